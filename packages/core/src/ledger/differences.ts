import { pathToBytes } from '../sandbox/path-bytes.ts'
import type { FileStat } from '../sandbox/sandbox.ts'
import type { FileTable } from './file-table.ts'
import { objectId } from './git-object.ts'
import type { Ledger, LedgerChange, LedgerFile } from './ledger.ts'
import type { FoundContent, Outcome } from './read-contents.ts'

/** Where what a table knows of a workspace is not as a state of the ledger has it. Of what is the same, nothing is kept twice. */
export interface Differences {
  /** What the state has at a path. */
  held(path: string): LedgerFile | undefined
  /** All paths that the state has. */
  heldPaths(): Iterable<string>
  /** Compares with another state. Rows of the table that are not as in that one are read again, since their content may not be in the ledger. */
  compareWith(files: ReadonlyMap<string, LedgerFile>): void
  /** Takes in what a path holds now. `sure`: it need not be read again for as long as it looks as it does. */
  take(stat: FileStat, outcome: Outcome, sure: boolean): void
  /** What the state has at a path stands, since nobody knows what is there. It is read by the next look. */
  keep(path: string): void
  /** Nothing is at a path any more. */
  remove(path: string): void
  /** A path that the state does not have is of no interest. */
  drop(path: string): void
  /** By path in byte order. */
  changes(): LedgerChange[]
  /** SHA-256 of what each changed path holds. */
  hashes(): ReadonlyMap<string, string>
  /** The state is as the table is, from now on. */
  settle(): void
  clear(): void
}

/** Makes the differences between a table and an empty state. */
export function createDifferences(table: FileTable, ledger: Pick<Ledger, 'put'>): Differences {
  /** Of each path that is not as in the state: what the state has there. */
  const before = new Map<string, LedgerFile | undefined>()
  const hashes = new Map<string, string>()
  const now = (path: string): LedgerFile | undefined => {
    const row = table.find(path)
    return row === undefined ? undefined : table.file(row)
  }
  const held = (path: string): LedgerFile | undefined => (before.has(path) ? before.get(path) : now(path))
  const agree = (path: string): void => {
    before.delete(path)
    hashes.delete(path)
  }
  const remove = (path: string): void => {
    const file = held(path)
    table.remove(path)
    agree(path)
    if (file !== undefined) before.set(path, file)
  }
  const keep = (path: string, stat: FileStat = unknownStat(path)): void => {
    const file = held(path)
    if (file === undefined) remove(path)
    else {
      table.set(stat, file, true)
      agree(path)
    }
  }
  const takeContent = (stat: FileStat, { content, link, hashOnly, sha256 }: FoundContent, sure: boolean): void => {
    const { path } = stat
    const file = held(path)
    const mode = link ? '120000' : (stat.mode & 0o100) !== 0 ? '100755' : '100644'
    const found: LedgerFile = { mode, oid: objectId('blob', content), hashOnly }
    const same = isSame(found, file)
    // First of all, since it may throw.
    if (!same) ledger.put(content, mode)
    table.set(stat, found, !sure)
    if (same) agree(path)
    else {
      before.set(path, file)
      hashes.set(path, sha256)
    }
  }
  const clear = (): void => {
    before.clear()
    hashes.clear()
  }
  return {
    held,
    *heldPaths() {
      for (const [path, file] of before) if (file !== undefined) yield path
      for (const [path, row] of table.rows()) if (!before.has(path) && !table.isIgnored(row)) yield path
    },
    compareWith(files) {
      clear()
      for (const [path, row] of table.rows()) {
        const file = files.get(path)
        if (isSame(table.file(row), file)) continue
        if (table.isIgnored(row)) table.remove(path)
        else {
          before.set(path, file)
          table.doubt(row)
        }
      }
      for (const [path, file] of files) if (table.find(path) === undefined && !path.split('/').includes('.git')) before.set(path, file)
    },
    take(stat, outcome, sure) {
      if (outcome === 'gone') remove(stat.path)
      else if (outcome === 'unreadable') keep(stat.path, stat)
      else takeContent(stat, outcome, sure)
    },
    keep: (path) => keep(path),
    remove,
    drop(path) {
      table.remove(path)
      agree(path)
    },
    changes: () =>
      [...before]
        .map(([path, file]) => ({ path, before: file, after: now(path), bytes: pathToBytes(path) }))
        .sort((one, other) => Buffer.compare(one.bytes, other.bytes))
        .map(({ path, ...sides }) => ({ path, ...(sides.before && { before: sides.before }), ...(sides.after && { after: sides.after }) })),
    hashes: () => new Map(hashes),
    settle: clear,
    clear,
  }
}

function isSame(one: LedgerFile | undefined, other: LedgerFile | undefined): boolean {
  return one?.oid === other?.oid && one?.mode === other?.mode
}

function unknownStat(path: string): FileStat {
  return { path, kind: 'file', size: 0, mode: 0, mtimeMs: 0, ctimeMs: 0, inode: 0 }
}

import { setImmediate as pause } from 'node:timers/promises'
import { throwIfAborted } from '../errors.ts'
import type { TreeEntry } from './git-tree.ts'
import { folderMode, pathOf, sortKey } from './git-tree.ts'
import type { LedgerChange, LedgerFile } from './ledger.ts'
import type { LedgerReader } from './ledger-reader.ts'
import { isPointer, pointerBytes } from './lfs-pointer.ts'

/** Folders that are read before others get a turn. */
const turn = 128

/** A walk over one state or two. */
interface Walk {
  readonly reader: LedgerReader
  readonly signal: AbortSignal | undefined
  folders: number
}

/** The files of a commit by path, in byte order. */
export async function filesOf(
  reader: LedgerReader,
  commit: string,
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, LedgerFile>> {
  const files = new Map<string, LedgerFile>()
  const { tree, mayHoldPointers } = reader.commit(commit)
  await walk({ reader, signal, folders: 0 }, undefined, tree, '', (path, _, after) => {
    if (after) files.set(pathOf(path), fileOf(reader, after, mayHoldPointers))
  })
  return files
}

/** What is different between two commits, by path in byte order. */
export async function compareCommits(
  reader: LedgerReader,
  from: string,
  to: string,
  signal: AbortSignal | undefined,
): Promise<readonly LedgerChange[]> {
  const changes: LedgerChange[] = []
  const before = reader.commit(from)
  const after = reader.commit(to)
  await walk({ reader, signal, folders: 0 }, before.tree, after.tree, '', (path, old, now) => {
    changes.push({
      path: pathOf(path),
      ...(old && { before: fileOf(reader, old, before.mayHoldPointers) }),
      ...(now && { after: fileOf(reader, now, after.mayHoldPointers) }),
    })
  })
  return changes
}

type Visit = (path: string, before: TreeEntry | undefined, after: TreeEntry | undefined) => void

/** Visits the files that are different in two trees, in byte order; folders that are the same are not read. */
async function walk(context: Walk, before: string | undefined, after: string | undefined, prefix: string, visit: Visit): Promise<void> {
  if (before === after) return
  throwIfAborted(context.signal, 'Reading the ledger')
  if (++context.folders % turn === 0) await pause()
  const [old, now] = [before, after].map((oid) => (oid === undefined ? [] : context.reader.tree(oid)))
  for (const [was, is] of paired(old ?? [], now ?? [])) {
    const entry = is ?? was
    const path = prefix + entry?.name
    if (entry?.mode === folderMode) await walk(context, was?.oid, is?.oid, `${path}/`, visit)
    else if (was?.oid !== is?.oid || was?.mode !== is?.mode) visit(path, was, is)
  }
}

/** Entries of the same name and kind side by side. */
function* paired(before: readonly TreeEntry[], after: readonly TreeEntry[]): Generator<[TreeEntry | undefined, TreeEntry | undefined]> {
  let at = 0
  for (const is of after) {
    const key = sortKey(is)
    let was = before[at]
    for (; was && sortKey(was) < key; was = before[++at]) yield [was, undefined]
    const isBoth = was !== undefined && sortKey(was) === key
    if (isBoth) at++
    yield [isBoth ? was : undefined, is]
  }
  for (; at < before.length; at++) yield [before[at], undefined]
}

function fileOf(reader: LedgerReader, { mode, oid }: TreeEntry, mayHoldPointers: boolean): LedgerFile {
  if (mode !== '100644' && mode !== '100755' && mode !== '120000') throw reader.damaged(oid, `of mode ${mode}`)
  const hashOnly = mayHoldPointers && mode !== '120000' && isPointerObject(reader, oid)
  return { mode, oid, ...(hashOnly && { hashOnly }) }
}

function isPointerObject(reader: LedgerReader, oid: string): boolean {
  const bytes = reader.size(oid) ?? 0
  return bytes >= pointerBytes.least && bytes <= pointerBytes.most && isPointer(reader.object(oid, 'the content of a file').content)
}

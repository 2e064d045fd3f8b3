import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BatonError } from '../errors.ts'
import type { Ledger, LedgerFile, WorkspaceLook, WorkspaceWatch } from '../ledger/ledger.ts'
import { defaultMaxFileBytes } from '../ledger/ledger.ts'
import { createWorkspaceWatch } from '../ledger/workspace-watch.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { fsPath, pathFromBytes } from '../sandbox/path-bytes.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'

/** A ledger in memory, for tests of what is put into one. Refuses a commit that names content which was never put. */
export interface TestLedger extends Ledger {
  /** Every content that was put, by object id. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  /** How often `put` and `files` were called. */
  readonly calls: { put: number; files: number }
}

/** Makes an empty one. */
export function createTestLedger(): TestLedger {
  const contents = new Map<string, Uint8Array>()
  const commits = new Map<string, ReadonlyMap<string, LedgerFile>>()
  const calls = { put: 0, files: 0 }
  const filesOf = (commit: string): ReadonlyMap<string, LedgerFile> => {
    const files = commits.get(commit)
    if (files === undefined) throw new BatonError('LEDGER_DAMAGED', `There is no commit ${commit}.`)
    return files
  }
  const unused = (): never => {
    throw new Error('not part of this double')
  }
  return {
    ...{
      dir: 'memory',
      maxFileBytes: defaultMaxFileBytes,
      contents,
      calls,
      compare: unused,
      read: unused,
      point: unused,
      head: unused,
      prune: unused,
      close: unused,
    },
    async files(commit) {
      calls.files++
      return new Map(filesOf(commit))
    },
    put(content, mode = '100644') {
      calls.put++
      const oid = blobId(content)
      contents.set(oid, Uint8Array.from(content))
      return { mode, oid }
    },
    async commit(base, stages) {
      let files = new Map(base === undefined ? [] : filesOf(base))
      const ids: string[] = []
      for (const stage of stages) {
        files = new Map(files)
        for (const [path, file] of stage.files) {
          if (file !== undefined && !contents.has(file.oid)) throw new Error(`the content of ${JSON.stringify(path)} was never put`)
          if (file === undefined) files.delete(path)
          else files.set(path, file)
        }
        const id = createHash('sha1').update(`commit ${commits.size}`).digest('hex')
        commits.set(id, files)
        ids.push(id)
      }
      return ids
    },
  }
}

/** A watch on a local sandbox. */
export interface WatchFixture<L extends Ledger = TestLedger> {
  readonly sandbox: Sandbox
  /** The sandbox's folder on the host. */
  readonly dir: string
  readonly ledger: L
  readonly watch: WorkspaceWatch
  /** The commit that the last `save` made. */
  readonly state: string | undefined
  /** Looks, without keeping what it finds. */
  look(sandbox?: Sandbox): Promise<WorkspaceLook>
  /** Looks and commits what was found. Gives {@link linesOf} it. */
  save(sandbox?: Sandbox): Promise<string[]>
}

/** Runs a test on a fresh local sandbox, with a ledger in memory. */
export function withWatch(run: (fixture: WatchFixture) => Promise<void>, options: { maxFileBytes?: number } = {}): Promise<void> {
  return withWatchOn(createTestLedger(), run, options)
}

/** Runs a test on a fresh local sandbox. */
export async function withWatchOn<L extends Ledger>(
  ledger: L,
  run: (fixture: WatchFixture<L>) => Promise<void>,
  options: { maxFileBytes?: number } = {},
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'baton-watch-'))
  const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
  const watch = createWorkspaceWatch({ ledger, ...options })
  let state: string | undefined
  try {
    await run({
      ...{ sandbox, ledger, watch, dir: sandbox.workdir },
      get state() {
        return state
      },
      look: (other = sandbox) => watch.look(other, state),
      async save(other = sandbox) {
        const look = await watch.look(other, state)
        const files = new Map(look.changes.map(({ path, after }) => [path, after]))
        state = (await ledger.commit(state, [{ author: { kind: 'system', id: 'test' }, message: 'test', files }]))[0]
        watch.settle(state ?? '')
        return linesOf(look)
      },
    })
  } finally {
    await sandbox.close()
    rmSync(root, { recursive: true, force: true })
  }
}

/** The changes of a look, one line each: `A`, `M` or `D`, the mode where it is another now, and the path. */
export function linesOf({ changes }: WorkspaceLook): string[] {
  return changes.map(({ path, before, after }) => {
    const letter = before === undefined ? 'A' : after === undefined ? 'D' : 'M'
    return `${letter}${after !== undefined && after.mode !== (before?.mode ?? '100644') ? after.mode : ''} ${path}`
  })
}

/** What is in a folder, read in the plainest way there is; without anything called `.git`. */
export function filesIn(dir: string, folder = ''): Map<string, LedgerFile> {
  const files = new Map<string, LedgerFile>()
  for (const entry of readdirSync(fsPath(join(dir, folder)), { encoding: 'buffer' })) {
    const name = pathFromBytes(entry)
    if (name === '.git') continue
    const path = folder === '' ? name : `${folder}/${name}`
    const full = fsPath(`${dir}/${path}`)
    const stats = lstatSync(full)
    if (stats.isDirectory()) for (const [inner, file] of filesIn(dir, path)) files.set(inner, file)
    else if (stats.isSymbolicLink()) files.set(path, { mode: '120000', oid: blobId(readlinkSync(full, { encoding: 'buffer' })) })
    else if (stats.isFile()) files.set(path, { mode: (stats.mode & 0o100) === 0 ? '100644' : '100755', oid: blobId(readFileSync(full)) })
  }
  return files
}

/** The id that git gives to a content. */
export function blobId(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
}

/** Writes files, given by path; folders are made. */
export function write(dir: string, files: Record<string, string | Uint8Array>): void {
  for (const [path, content] of Object.entries(files)) {
    const full = `${dir}/${path}`
    mkdirSync(fsPath(full.slice(0, full.lastIndexOf('/'))), { recursive: true })
    writeFileSync(fsPath(full), content)
  }
}

/** A sandbox that notes which paths are read from it, and which a scan gives. */
export function countingSandbox(sandbox: Sandbox): { sandbox: Sandbox; read: string[]; scanned: string[] } {
  const read: string[] = []
  const scanned: string[] = []
  const note = (stats: readonly FileStat[]): readonly FileStat[] => {
    scanned.push(...stats.map(({ path }) => path))
    return stats
  }
  return {
    ...{ read, scanned },
    sandbox: {
      ...sandbox,
      async *scanBatches(options) {
        for await (const batch of sandbox.scanBatches?.(options) ?? []) yield note(batch)
      },
      pack(options) {
        read.push(...(options?.paths ?? ['.']))
        return sandbox.pack(options)
      },
      readFile(path, options) {
        read.push(path)
        return sandbox.readFile(path, options)
      },
    },
  }
}

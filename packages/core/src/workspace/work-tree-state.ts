import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import { lstat, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fsPath } from '../sandbox/path-bytes.ts'
import type { CommitConflict, WorkFile } from './commit-work.ts'
import type { GitObject, TreeEntry } from './git-objects.ts'
import type { IndexEntry, Repository } from './repository.ts'
import type { StoredContent, StoredFile } from './stored-content.ts'
import { isObstructed } from './workspace-copy.ts'

/** A file of the work tree that is to be different; `file` undefined: gone. */
export interface PlannedFile {
  /** In the repository. */
  readonly path: string
  readonly file: WorkFile | undefined
}

/** What is known of one path that the work touches. */
export interface FinalState {
  /** As it was copied, and as the work leaves it. */
  readonly base: StoredFile | undefined
  readonly rawBase: WorkFile | undefined
  readonly theirs: StoredFile | undefined
  readonly rawTheirs: WorkFile | undefined
  /** On the branch, before and after the commits. */
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/** What {@link planWorkTree} works with. */
export interface WorkTreeContext {
  readonly stored: StoredContent
  readonly index: ReadonlyMap<string, IndexEntry>
  readonly states: ReadonlyMap<string, FinalState>
  readonly objects: Map<string, () => Promise<GitObject>>
  readonly conflicts: Map<string, CommitConflict['reason']>
}

/** What is to be written into the index and the work tree. */
export interface WorkTreePlan {
  readonly index: ReadonlyMap<string, TreeEntry | undefined>
  readonly files: readonly PlannedFile[]
  /** Whether the index and the files are still as they were planned with. */
  isCurrent(): Promise<boolean>
}

/** Alike in what git keeps: content, and what kind of file it is. */
export function looksSame(a: TreeEntry | undefined, b: TreeEntry | undefined): boolean {
  if (!a || !b) return a === b
  return a.oid === b.oid && plainMode(a.mode) === plainMode(b.mode)
}

/** Of files git only keeps whether they can be run; old repositories have more in their trees. */
export function plainMode(mode: string): string {
  if (!mode.startsWith('100')) return mode
  return (Number.parseInt(mode, 8) & 0o100) !== 0 ? '100755' : '100644'
}

/**
 * Works out what becomes of index and work tree. In each of the two, what is as on the branch becomes as on the branch after the commits, what is as it was
 * copied becomes as the work left it, what is right already stays, and anything else is a conflict. So a person's uncommitted changes, which were copied
 * with the workspace, stay uncommitted where the work can be told from them.
 */
export async function planWorkTree(repository: Repository, context: WorkTreeContext): Promise<WorkTreePlan> {
  const { conflicts } = context
  const fileMode = (await repository.config('core.filemode')) !== 'false'
  const index = new Map<string, TreeEntry | undefined>()
  const files: PlannedFile[] = []
  const seen = new Map<string, string>()
  const indexSeen = await indexWitness(repository)
  for (const [path, state] of context.states) {
    const isOnBranch = looksSame(state.before, state.after)
    if (isOnBranch && looksSame(state.base, state.theirs)) continue
    seen.set(path, await witness(repository.root, path))
    const entry = nextEntry(context, path, state)
    const file = await nextFile(repository, context, path, state, fileMode)
    // Where the branch has it already, what a person made of it since is nobody else's business.
    if (entry === 'conflict' && !isOnBranch) conflicts.set(path, 'index')
    else if (file === 'conflict' && !isOnBranch) conflicts.set(path, 'work-tree')
    if (entry && entry !== 'conflict') index.set(path, entry.entry)
    if (file && file !== 'conflict') files.push({ path, file: file.file })
  }
  const leaving = new Set(files.filter(({ file }) => !file).map(({ path }) => path))
  for (const { path, file } of files)
    if (await isObstructed(repository.root, { path, now: file }, leaving)) conflicts.set(path, 'obstructed')
  return {
    index,
    files,
    async isCurrent() {
      if ((await indexWitness(repository)) !== indexSeen) return false
      for (const [path, state] of seen) if ((await witness(repository.root, path)) !== state) return false
      return true
    },
  }
}

function nextEntry(
  { index, objects }: WorkTreeContext,
  path: string,
  state: FinalState,
): { entry: TreeEntry | undefined } | 'conflict' | undefined {
  const { base, theirs, before, after } = state
  const entry = index.get(path)
  if (entry && entry.stage !== 0) return 'conflict'
  if (looksSame(entry, after)) return undefined
  if (looksSame(entry, before)) return { entry: after && { mode: plainMode(after.mode), oid: after.oid } }
  if (!looksSame(entry, base)) return looksSame(entry, theirs) ? undefined : 'conflict'
  if (theirs) objects.set(theirs.oid, async () => ({ type: 'blob', content: await theirs.content() }))
  return { entry: theirs && { mode: theirs.mode, oid: theirs.oid } }
}

async function nextFile(
  repository: Repository,
  { stored, objects }: WorkTreeContext,
  path: string,
  state: FinalState,
  fileMode: boolean,
): Promise<{ file: WorkFile | undefined } | 'conflict' | undefined> {
  const { rawBase, rawTheirs, before, after, theirs } = state
  const there = await fileAt(repository.root, path)
  if (await isSameFile(there, rawTheirs, fileMode)) return undefined
  if (await isSameFile(there, rawBase, fileMode)) return { file: rawTheirs }
  const now = there && (await stored.store(path, there, async () => before && (await repository.read(before.oid)).content))
  if (isSameEntry(now, after, fileMode)) return undefined
  if (!isSameEntry(now, before, fileMode)) return 'conflict'
  if (looksSame(after, theirs)) return { file: rawTheirs }
  if (!after) return { file: undefined }
  const load = async (): Promise<Uint8Array> => ((await objects.get(after.oid)?.()) ?? (await repository.read(after.oid))).content
  const mode = plainMode(after.mode) as WorkFile['mode']
  return { file: { mode, content: async () => (mode === '120000' ? load() : stored.toWorkTree(path, await load())) } }
}

/** Where the file system does not keep whether a file can be run, nothing is told from it. */
function isSameEntry(now: TreeEntry | undefined, entry: TreeEntry | undefined, fileMode: boolean): boolean {
  return now && entry ? now.oid === entry.oid && isSameMode(now.mode, entry.mode, fileMode) : now === entry
}

async function isSameFile(a: WorkFile | undefined, b: WorkFile | undefined, fileMode: boolean): Promise<boolean> {
  if (!a || !b) return a === b
  return isSameMode(a.mode, b.mode, fileMode) && Buffer.compare(await a.content(), await b.content()) === 0
}

function isSameMode(a: string, b: string, fileMode: boolean): boolean {
  return plainMode(a) === plainMode(b) || (!fileMode && a.startsWith('100') && b.startsWith('100'))
}

/** A file or a link of the work tree, with its content as it is now. */
async function fileAt(root: string, path: string): Promise<WorkFile | undefined> {
  const full = fsPath(join(root, path))
  const stats = await lstat(full).catch(() => undefined)
  if (!stats || !(stats.isFile() || stats.isSymbolicLink())) return undefined
  const content = stats.isSymbolicLink() ? await readlink(full, 'buffer') : await readFile(full)
  const mode = stats.isSymbolicLink() ? '120000' : (stats.mode & 0o100) !== 0 ? '100755' : '100644'
  return { mode, content: async () => content }
}

/** Whether a path of the work tree is as it was copied. */
export async function isAsCopied(root: string, path: string, base: WorkFile): Promise<boolean> {
  return isSameFile(await fileAt(root, path), base, true)
}

/** Changes whenever the file does. */
async function witness(root: string, path: string): Promise<string> {
  const stats: BigIntStats | undefined = await lstat(fsPath(join(root, path)), { bigint: true }).catch(() => undefined)
  return stats ? [stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs, stats.mode].join() : ''
}

async function indexWitness({ gitDir }: Repository): Promise<string> {
  const bytes = await readFile(join(gitDir, 'index')).catch(() => undefined)
  return bytes ? createHash('sha256').update(bytes).digest('hex') : ''
}

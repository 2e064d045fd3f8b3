import { createHash } from 'node:crypto'
import { mkdir, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BatonError, throwIfAborted } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import type { CommitRun } from './commit-runs.ts'
import { groupStages } from './commit-runs.ts'
import type { CommitTarget } from './commit-target.ts'
import type { CommitConflict, CommitWorkOptions, MergeableFile, WorkFile } from './commit-work.ts'
import { writeDurable } from './git-lock.ts'
import type { CommitParts, GitObject, TreeEntry } from './git-objects.ts'
import { encodeCommit, objectId, treeOf } from './git-objects.ts'
import type { GitIdentity, Repository } from './repository.ts'
import type { StoredContent, StoredFile } from './stored-content.ts'
import { attributeFiles, readConversions } from './stored-content.ts'
import type { TreeEdit } from './tree-edit.ts'
import { editTree, folderMode } from './tree-edit.ts'
import type { FinalState, PlannedFile } from './work-tree-state.ts'
import { isAsCopied, looksSame, plainMode, planWorkTree } from './work-tree-state.ts'

/** A commit to be. */
export interface PlannedCommit {
  readonly oid: string
  readonly object: GitObject
  readonly parts: CommitParts
  readonly parent: string | undefined
  readonly tree: string
  readonly author: Actor
  readonly subject: string
  /** In the workspace. */
  readonly paths: readonly string[]
}

/** Everything that is to be written, worked out without writing anything. */
export interface CommitPlan {
  readonly conflicts: readonly CommitConflict[]
  readonly commits: readonly PlannedCommit[]
  readonly objects: Map<string, () => Promise<GitObject>>
  readonly committer: GitIdentity
  /** Changes of the index, by path in the repository. */
  readonly index: ReadonlyMap<string, TreeEntry | undefined>
  /** Changes of files of the work tree. */
  readonly files: readonly PlannedFile[]
  /** Whether HEAD, the index and the files are still as they were planned with. */
  isCurrent(): Promise<boolean>
  /** Puts the content of Git LFS pointers into LFS's store, as its own filter would. */
  storeLfs(): Promise<void>
}

/** What is known about one path while the plan is made. */
interface PathState {
  readonly base: StoredFile | undefined
  readonly rawBase: WorkFile | undefined
  readonly before: TreeEntry | undefined
  theirs: StoredFile | undefined
  rawTheirs: WorkFile | undefined
}

/** Works out everything, and writes nothing. */
export async function planCommits(repository: Repository, target: CommitTarget, options: CommitWorkOptions): Promise<CommitPlan> {
  const runs = await groupStages(options)
  const committer = await committerOf(repository, options)
  const startTree = target.start === undefined ? undefined : treeOf((await repository.read(target.start)).content)
  const work = new Map(runs.flatMap(({ files }) => [...files]).map(([path, file]) => [repository.prefix + path, file]))
  const conflicts: RunContext['conflicts'] = new Map()
  for (const path of work.keys()) if (!isAllowedName(path)) conflicts.set(path, 'name')
  const objects: RunContext['objects'] = new Map()
  const plan = { commits: [], objects, committer, index: new Map(), files: [], isCurrent: async () => true, storeLfs: async () => {} }
  const refused = (): CommitPlan => ({
    ...plan,
    conflicts: [...conflicts].map(([path, reason]) => ({ path: path.slice(repository.prefix.length), reason })),
  })
  if (conflicts.size > 0) return refused()

  const before = await editTree(repository, startTree)
  const stored = await readConversions(repository, [...work.keys()], await attributeFiles(repository, before, work, target.checkedOut))
  const states = await readStates(repository, { tree: before, stored, conflicts, work, options })
  if (conflicts.size > 0) return refused()

  const tree = await editTree(repository, startTree)
  const index = await repository.index()
  const context = { repository, tree, stored, states, objects, lfs: new Map(), conflicts, options, index }
  const commits = await makeCommits(context, runs, { parent: target.start, tree: startTree }, committer)
  if (conflicts.size > 0) return refused()
  const made = { ...plan, conflicts: [], commits, storeLfs: () => writeLfs(repository, context.lfs) }
  if (!target.checkedOut) return made

  const finals = new Map<string, FinalState>()
  for (const [path, state] of states) finals.set(path, { ...state, after: await fileIn(tree, path) })
  const planned = await planWorkTree(repository, { stored, index, states: finals, objects, conflicts })
  if (conflicts.size > 0) return refused()
  const isCurrent = async (): Promise<boolean> => (await repository.head()).ref === target.ref && (await planned.isCurrent())
  return { ...made, ...planned, isCurrent }
}

/** What is known of each path before the work; what cannot be converted is a conflict. */
async function readStates(
  repository: Repository,
  from: Pick<RunContext, 'tree' | 'stored' | 'conflicts' | 'options'> & { readonly work: ReadonlyMap<string, WorkFile | undefined> },
): Promise<Map<string, PathState>> {
  const states = new Map<string, PathState>()
  for (const [path, file] of from.work) {
    throwIfAborted(from.options.signal, 'commitWork')
    const problem = from.stored.problem(path)
    const base = from.options.base.get(path.slice(repository.prefix.length))
    if (problem && file) from.conflicts.set(path, problem)
    else states.set(path, await stateOf(repository, from.tree, from.stored, path, base))
  }
  return states
}

/** A commit for each run that changes anything. */
async function makeCommits(
  context: RunContext,
  runs: readonly CommitRun[],
  start: { readonly parent: string | undefined; readonly tree: string | undefined },
  committer: GitIdentity,
): Promise<PlannedCommit[]> {
  const commits: PlannedCommit[] = []
  for (const run of runs) {
    const paths = await applyRun(context, run)
    const before = commits.at(-1) ?? { oid: start.parent, tree: start.tree }
    if (context.conflicts.size > 0 || paths.length === 0) continue
    const tree = context.tree.finish(context.objects)
    if (tree === before.tree) continue
    const time = new Date()
    const parts: CommitParts = {
      tree,
      parents: before.oid === undefined ? [] : [before.oid],
      author: { ...run.author, time: run.author.time ?? time },
      committer: { ...committer, time },
      message: run.message,
    }
    const commit = plannedCommit(context.repository, parts, { author: run.actor, paths })
    context.objects.set(commit.oid, async () => commit.object)
    commits.push(commit)
  }
  return commits
}

/** Makes the commit of its parts. */
export function plannedCommit(
  { objectFormat }: Repository,
  parts: CommitParts,
  { author, paths }: Pick<PlannedCommit, 'author' | 'paths'>,
): PlannedCommit {
  const object: GitObject = { type: 'commit', content: encodeCommit(parts) }
  const subject = parts.message.split('\n')[0] ?? ''
  return { oid: objectId(objectFormat, object), object, parts, parent: parts.parents[0], tree: parts.tree, author, subject, paths }
}

async function stateOf(
  repository: Repository,
  tree: TreeEdit,
  stored: StoredContent,
  path: string,
  base: WorkFile | undefined,
): Promise<PathState> {
  const before = await fileIn(tree, path)
  // What was stored before it would have been converted is still what was copied.
  const isVerbatim = base && before && objectId(repository.objectFormat, { type: 'blob', content: await base.content() }) === before.oid
  const storedBase = isVerbatim
    ? storedAt(repository, { ...before, mode: base.mode })
    : base && (await stored.store(path, base, readerOf(repository, before)))
  return { base: storedBase, rawBase: base, before, theirs: undefined, rawTheirs: undefined }
}

/** What is at a path that is no folder. */
async function fileIn(tree: TreeEdit, path: string): Promise<TreeEntry | undefined> {
  const entry = await tree.get(path)
  return entry?.mode === folderMode ? undefined : entry
}

/** Reads what is stored at an entry; of a link or a submodule there is nothing to convert by. */
function readerOf(repository: Repository, entry: TreeEntry | undefined): () => Promise<Uint8Array | undefined> {
  return async () => (entry?.mode.startsWith('100') ? (await repository.read(entry.oid)).content : undefined)
}

interface RunContext {
  readonly repository: Repository
  readonly tree: TreeEdit
  readonly stored: StoredContent
  readonly states: ReadonlyMap<string, PathState>
  readonly objects: Map<string, () => Promise<GitObject>>
  readonly lfs: Map<string, () => Promise<Uint8Array>>
  readonly conflicts: Map<string, CommitConflict['reason']>
  readonly options: CommitWorkOptions
  readonly index: ReadonlyMap<string, TreeEntry>
}

/** Brings one run into the tree; returns the paths of the workspace that it changed there. */
async function applyRun(context: RunContext, run: CommitRun): Promise<string[]> {
  const { repository, tree, conflicts } = context
  const wanted = new Map<string, StoredFile | undefined>()
  for (const [inWorkspace, file] of run.files) {
    throwIfAborted(context.options.signal, 'commitWork')
    const path = repository.prefix + inWorkspace
    const state = context.states.get(path)
    if (!state) continue
    const outcome = await decide(context, path, state, file)
    if (outcome === 'conflict') conflicts.set(path, 'branch')
    else if (outcome !== 'same') wanted.set(path, outcome.file)
  }
  for (const [path, file] of wanted) if (!file) await tree.set(path, undefined)
  for (const [path, file] of wanted) {
    if (!file) continue
    const there = await tree.get(path)
    if ((await tree.obstacle(path)) || there?.mode === folderMode || there?.mode === '160000') conflicts.set(path, 'obstructed')
    else await keep(context, path, file)
  }
  return [...wanted.keys()].map((path) => path.slice(repository.prefix.length))
}

async function keep({ tree, objects, lfs }: RunContext, path: string, file: StoredFile): Promise<void> {
  await tree.set(path, { mode: file.mode, oid: file.oid })
  objects.set(file.oid, async () => ({ type: 'blob', content: await file.content() }))
  if (file.lfs) lfs.set(file.lfs.sha256, file.lfs.content)
}

/** What the branch is to have at a path after a run. */
async function decide(
  context: RunContext,
  path: string,
  state: PathState,
  file: WorkFile | undefined,
): Promise<{ file: StoredFile | undefined } | 'same' | 'conflict'> {
  const { repository, stored, tree } = context
  const theirs = file && (await stored.store(path, file, readerOf(repository, state.before)))
  state.theirs = theirs
  state.rawTheirs = file
  const outcome = await outcomeOf(context, path, state, theirs)
  if (outcome === 'conflict') return outcome
  return looksSame(outcome.file, await fileIn(tree, path)) ? 'same' : outcome
}

async function outcomeOf(
  context: RunContext,
  path: string,
  { base, before }: PathState,
  theirs: StoredFile | undefined,
): Promise<{ file: StoredFile | undefined } | 'conflict'> {
  const { repository } = context
  const ours = before && storedAt(repository, before)
  if (looksSame(theirs, before) || looksSame(theirs, base)) return { file: ours }
  if (looksSame(before, base) || (!before && (await isUntracked(context, path)))) return { file: theirs }
  if (context.stored.isLfs(path) || before?.mode === '160000') return 'conflict'
  const side = async (file: StoredFile | undefined) => file && { mode: file.mode as WorkFile['mode'], content: await file.content() }
  const merged = context.options.merge({ base: await side(base), ours: await side(ours), theirs: await side(theirs) })
  if (merged.conflict !== undefined || !('file' in merged)) return 'conflict'
  return { file: merged.file && storedAs(repository, merged.file) }
}

function storedAt(repository: Repository, { mode, oid }: TreeEntry): StoredFile {
  return { mode: plainMode(mode), oid, content: async () => (await repository.read(oid)).content }
}

function storedAs({ objectFormat }: Repository, { mode, content }: MergeableFile): StoredFile {
  return { mode, oid: objectId(objectFormat, { type: 'blob', content }), content: async () => content }
}

/** Whether the path is a person's file that git was never told of: as it was copied, and unknown to the index. */
async function isUntracked({ repository, index, options }: RunContext, path: string): Promise<boolean> {
  const base = options.base.get(path.slice(repository.prefix.length))
  return base !== undefined && !index.has(path) && (await isAsCopied(repository.root, path, base))
}

async function committerOf(repository: Repository, { committer }: CommitWorkOptions): Promise<GitIdentity> {
  const name = committer?.name ?? (await repository.config('user.name'))
  const email = committer?.email ?? (await repository.config('user.email'))
  if (name !== undefined && email !== undefined) return { name, email }
  throw new BatonError(
    'INVALID_OPTIONS',
    'commitWork: committer: the repository does not say who commits. Give a name and an address, or set user.name and user.email.',
    {
      details: { issues: [{ field: 'committer', problem: 'neither given nor configured' }] },
    },
  )
}

/** Names that git refuses, or that another system would take for `.git`. Source: git's verify_path, and CVE-2014-9390. */
function isAllowedName(path: string): boolean {
  return path.split('/').every((part) => {
    const plain = part.replace(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, '').toLowerCase()
    return part !== '' && part !== '.' && part !== '..' && !part.includes('\0') && !/^(\.git|git~1)[. ]*(:.*)?$/.test(plain)
  })
}

/** Source: the Git LFS specification, "Objects". */
async function writeLfs({ commonDir }: Repository, contents: ReadonlyMap<string, () => Promise<Uint8Array>>): Promise<void> {
  for (const [sha256, load] of contents) {
    const path = join(commonDir, 'lfs/objects', sha256.slice(0, 2), sha256.slice(2, 4), sha256)
    if (await stat(path).catch(() => undefined)) continue
    const content = await load()
    if (createHash('sha256').update(content).digest('hex') !== sha256)
      throw new BatonError('INVALID_STATE', 'A file changed while it was committed.')
    await mkdir(dirname(path), { recursive: true })
    await writeDurable(`${path}.baton`, content)
    await rename(`${path}.baton`, path)
  }
}

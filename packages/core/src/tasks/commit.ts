import { z } from 'zod'
import type { AgentTraceRecord } from '../attribution/agent-trace.ts'
import { toAgentTrace } from '../attribution/agent-trace.ts'
import type { Contributor, FileAttribution, FileVersion } from '../attribution/attribute-lines.ts'
import { attributeLines } from '../attribution/attribute-lines.ts'
import { toGitAiNote } from '../attribution/git-ai-note.ts'
import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import { actorKey, unknownActor } from '../events/envelope.ts'
import type { Ledger, LedgerChange, LedgerFile } from '../ledger/ledger.ts'
import { mergeFiles } from '../ledger/merge-files.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import type { CommitResult, MadeCommit, WorkFile, WorkStage } from '../workspace/commit-work.ts'
import { commitWork } from '../workspace/commit-work.ts'
import { openRepository } from '../workspace/open-repository.ts'
import { historyOf } from './history.ts'
import type { OpenTask } from './open-task.ts'
import type { TaskCommit } from './task-commits.ts'
import { readCommits } from './task-commits.ts'

/** A name and an address, as git writes them. */
export interface GitAuthor {
  readonly name: string
  readonly email: string
}

/** How the work is put onto a branch. */
export interface CommitOptions extends Abortable {
  /** Default: what each part of the work says of itself. */
  readonly message?: string | undefined
  /** Short name of the branch. Default: the one that is checked out. Another one is made where it is not there, and no file is touched. */
  readonly branch?: string | undefined
  /** One commit for each run of an actor, in place of one for all, whose author is who changed most lines. Default false. */
  readonly perActor?: boolean | undefined
  /** How git is to name an actor. Default: their name, and `ID@KIND.baton` as the address. */
  readonly author?: ((actor: Actor) => GitAuthor | undefined) | undefined
  /** Default: `user.name` and `user.email` of the repository's configuration. */
  readonly committer?: GitAuthor | undefined
  /** A line for the end of the message of each commit that an actor has a part in, such as `Assisted-by: …`. */
  readonly trailer?: ((actor: Actor) => string | undefined) | undefined
  /** Run the repository's commit hooks, as git would. Needs one commit, the branch that is checked out, and the git command line. Default false: none runs. */
  readonly hooks?: boolean | undefined
  /** Write which lines agents wrote as a note of git-ai (authorship/3.0.0) to `refs/notes/ai`. Default false. */
  readonly gitAiNote?: boolean | undefined
}

const aFunction = <T>() => z.custom<T>((value) => typeof value === 'function', 'expected a function')
const Author = z.strictObject({ name: z.string().min(1), email: z.string() })
const Options = z.looseObject({
  message: z.string().min(1).optional(),
  branch: z.string().min(1).optional(),
  perActor: z.boolean().optional(),
  author: aFunction<NonNullable<CommitOptions['author']>>().optional(),
  committer: Author.optional(),
  trailer: aFunction<NonNullable<CommitOptions['trailer']>>().optional(),
  hooks: z.boolean().optional(),
  gitAiNote: z.boolean().default(false),
})

/** One commit of the ledger with what it changed. */
interface Part extends TaskCommit {
  readonly changes: readonly LedgerChange[]
}

/** Puts the work onto a branch of the user's repository, with the right authors. */
export async function commitTask(open: OpenTask, actor: Actor, options: CommitOptions): Promise<CommitResult> {
  const { author, gitAiNote, ...given } = parseOptions('commit', Options, options)
  const { signal } = options
  const { runtime } = open
  const { workspace } = runtime.state.created
  if (!workspace) throw new BatonError('INVALID_STATE', `Task ${runtime.id} has no workspace, so there is no repository to commit to.`)
  const { ledger, sandbox } = await historyOf(open, options)
  await open.snapshots.take(sandbox, { reason: 'step', signal })
  const { first, commits, committed } = await readCommits(runtime.stream.read())
  if (first === undefined) throw new BatonError('INVALID_STATE', `Task ${runtime.id} has no state that could be committed.`)
  const branch = given.branch ?? (await checkedOut(workspace.path, options))
  const from = (branch === undefined ? undefined : committed.get(branch)) ?? first
  const rest = commits.slice(commits.findLastIndex(({ commit }) => commit === from) + 1)
  const parts = await partsOf(ledger, rest, signal)
  const fileOf = (file: LedgerFile, path: string): WorkFile => ({ mode: file.mode, content: () => contentOf(ledger, sandbox, file, path) })
  const touched = new Set(parts.flatMap(({ changes }) => changes.map(({ path }) => path)))
  const base = new Map(
    [...(await ledger.files(from, { signal }))].flatMap(([path, file]) => (touched.has(path) ? [[path, fileOf(file, path)]] : [])),
  )
  const stages = parts.map(
    (part): WorkStage => ({
      actor: part.actor,
      author: { ...(author?.(part.actor) ?? defaultAuthor(part.actor)), time: new Date(part.time) },
      message: given.message ?? `${runtime.state.created.goal.split('\n')[0]?.slice(0, 72)}`,
      files: new Map(part.changes.map(({ path, after }) => [path, after && fileOf(after, path)])),
    }),
  )
  const note = gitAiNote ? (commit: MadeCommit) => noteFor(ledger, runtime.id, parts, commit) : undefined
  const result = await commitWork({ ...given, branch, path: workspace.path, stages, base, merge: mergeFiles, note, signal })
  if (result.conflicts.length === 0) {
    const upTo = rest.at(-1)?.commit ?? from
    const data = { branch: result.branch, commits: result.commits.map(({ oid }) => oid), upTo }
    await runtime.stream.append([{ type: 'workspace.committed', actor, data }])
  }
  return result
}

/** Named here and now, so that the work that it lacks is told from the work that another branch lacks. */
async function checkedOut(path: string, options: Abortable): Promise<string | undefined> {
  const repository = await openRepository(path, options)
  try {
    return (await repository.head()).ref?.replace(/^refs\/heads\//, '')
  } finally {
    await repository.close()
  }
}

function defaultAuthor({ kind, id, name }: Actor): GitAuthor {
  return { name: name ?? id, email: `${id.replace(/[^\w.+-]/g, '-')}@${kind}.baton` }
}

async function partsOf(ledger: Ledger, commits: readonly TaskCommit[], signal: AbortSignal | undefined): Promise<Part[]> {
  const parts: Part[] = []
  for (const commit of commits) parts.push({ ...commit, changes: await ledger.compare(commit.parent, commit.commit, { signal }) })
  return parts
}

/** Of a file that is too large for the ledger, the content is where it always was. */
async function contentOf(ledger: Ledger, sandbox: Sandbox, file: LedgerFile, path: string): Promise<Uint8Array> {
  return file.hashOnly ? sandbox.readFile(path) : ledger.read(file)
}

/** Who brought about the lines of the files as they are now, as a record of the agent-trace specification (0.1.0, https://agent-trace.dev). */
export async function traceTask(
  open: OpenTask,
  options: Abortable & { readonly revision?: string | undefined },
): Promise<AgentTraceRecord> {
  const { ledger, sandbox } = await historyOf(open, options)
  await open.snapshots.take(sandbox, { reason: 'step', signal: options.signal })
  const { commits } = await readCommits(open.runtime.stream.read())
  const parts = await partsOf(ledger, commits, options.signal)
  const paths = new Set(parts.flatMap(({ changes }) => changes.map(({ path }) => path)))
  const files: FileAttribution[] = []
  for (const path of paths) {
    const versions = await versionsOf(ledger, parts, path)
    if (versions) files.push({ path, ...attributeLines(versions) })
  }
  return toAgentTrace({ files, revision: options.revision })
}

async function noteFor(ledger: Ledger, taskId: string, parts: readonly Part[], commit: MadeCommit): Promise<string | undefined> {
  const files: FileAttribution[] = []
  for (const path of commit.paths) {
    const content = await commit.read(path)
    const text = content && textOf(content)
    const versions = await versionsOf(ledger, parts, path)
    if (text === undefined || !versions) continue
    // Up to where the commit stands; what the branch had beside it is nobody's here.
    const end = versions.findLastIndex((version) => version.text === text)
    const upTo = end === -1 ? [...versions, { text }] : versions.slice(0, end + 1)
    files.push({ path, ...attributeLines(upTo) })
  }
  return toGitAiNote({ files, taskId, baseCommit: commit.parent })
}

/** The texts that a path went through, with who made each of them. Undefined where one of them is no text. */
async function versionsOf(ledger: Ledger, parts: readonly Part[], path: string): Promise<FileVersion[] | undefined> {
  const versions: FileVersion[] = []
  for (const part of parts) {
    const change = part.changes.find((one) => one.path === path)
    if (!change) continue
    if (versions.length === 0) versions.push({ text: (await readText(ledger, change.before)) ?? '' })
    const text = await readText(ledger, change.after)
    if (text === undefined) return undefined
    versions.push({ text, ...(!part.reverts && { by: contributorOf(part) }) })
  }
  return versions.length === 0 ? undefined : versions
}

function contributorOf({ actor, model }: Part): Contributor {
  const known = actorKey(actor) !== actorKey(unknownActor) && actor.kind !== 'system'
  return { actor: known ? actor : undefined, ...(actor.kind === 'agent' && model !== undefined && { model }) }
}

async function readText(ledger: Ledger, file: LedgerFile | undefined): Promise<string | undefined> {
  if (!file) return ''
  return file.hashOnly ? undefined : textOf(await ledger.read(file))
}

/** Undefined where it is no text. */
function textOf(content: Uint8Array): string | undefined {
  return content.subarray(0, 8192).includes(0) ? undefined : Buffer.from(content).toString('utf8')
}

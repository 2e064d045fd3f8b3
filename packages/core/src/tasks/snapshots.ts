import { v7 as uuidv7 } from 'uuid'
import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { CheckpointReason } from '../events/workspace-events.ts'
import type { LedgerFile, LedgerStage, WorkspaceLook, WorkspaceWatch } from '../ledger/ledger.ts'
import { createWorkspaceWatch } from '../ledger/workspace-watch.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { attribute, byActor, judge } from './attribution.ts'
import { draftOf, keyOf, sha256Of, windowsOf } from './found-changes.ts'
import type { GitLook, GitState } from './git-watch.ts'
import { lookAtGit } from './git-watch.ts'
import { labelOf } from './labels.ts'
import type { TaskRuntime } from './runtime.ts'
import type { CheckpointState } from './task-state.ts'
import type { Writer } from './writers.ts'

/** Why and how a snapshot is taken. */
export interface SnapshotOptions extends Abortable {
  readonly reason: CheckpointReason
  readonly label?: string | undefined
  /** Appended with what was found, in one go. */
  readonly also?: readonly EventDraft[] | undefined
  /** Refuses the append by throwing; looked at right before it. */
  readonly check?: (() => void) | undefined
  /** Counts only who fits as somebody who may have written. Default: all. */
  readonly writer?: ((writer: Writer) => boolean) | undefined
  /** Write a checkpoint down even where nothing has changed. Default false. */
  readonly always?: boolean | undefined
  /** With the reason `restore`: the commit that is come back to. */
  readonly restores?: string | undefined
  /** All that is found was written by this one. */
  readonly by?: Actor | undefined
}

/** The history of one task's files: looks into the sandbox, says who changed what, and keeps each state in the ledger. */
export interface Snapshots {
  /**
   * Looks for changes since the last snapshot and writes down who made them. One at a time; those asked for meanwhile wait. Returns the state that the files
   * are in, undefined where the task keeps no history.
   */
  take(sandbox: Sandbox, options: SnapshotOptions): Promise<CheckpointState | undefined>
  /** Whether the ledger has the last state that the log tells of. Not so with a log that outlived its ledger. */
  hasLast(): Promise<boolean>
  /** Catches what a recorded change has written, before somebody writes over it. */
  note(sandbox: Sandbox, path: string, sha256: string | undefined): Promise<void>
  /** What was seen of the files holds no more, as in another sandbox. */
  reset(): void
}

/** Most characters of differences that one look writes down: of what is beyond, as where another branch was checked out, it tells the paths. */
const maxDiffsLength = 8 * 1024 * 1024

/**
 * Starts the history of an open task. Where its Baton keeps no ledger, nothing is ever found. In a sandbox that is borrowed from another task, that one's agent
 * and people may write at any time.
 */
export function createSnapshots(runtime: TaskRuntime, { borrowed = false }: { readonly borrowed?: boolean } = {}): Snapshots {
  const { ledger } = runtime.parts
  if (!ledger)
    return {
      take: async (_, { also, check }) => void (await appendAll(runtime, also, check)),
      note: async () => {},
      hasLast: async () => false,
      reset() {},
    }
  const history = ledger
  let watching: WorkspaceWatch | undefined
  /** Contents that recorded changes have left, by path and hash. */
  const noted = new Map<string, LedgerFile>()
  /** The repository in the sandbox at the last look of this process, null: none; and the last checkpoint then. */
  let seen: { readonly git: GitState | null; readonly checkpoint: number } | undefined
  /** A commit that the ledger is known to have. */
  let found: string | undefined
  /** What is recorded up to there is accounted for. */
  let coveredTo = 0
  let queue: Promise<unknown> = Promise.resolve()

  /** Snapshots take turns. */
  function alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = queue.then(work, work)
    queue = turn.catch(() => {})
    return turn
  }

  async function take(sandbox: Sandbox, options: SnapshotOptions): Promise<CheckpointState | undefined> {
    const { state, stream, writers } = runtime
    for (let tries = 0; ; tries++) {
      const known = state.checkpoint?.seq
      const lost = known !== undefined && !(await hasLast())
      const base = lost ? undefined : state.checkpoint
      const upTo = stream.lastSeq
      const mark = writers.mark()
      // Made with the first look: most tasks that wait have no sandbox.
      watching ??= createWorkspaceWatch({ ledger: history })
      const look = await watching.look(sandbox, base?.commit, { signal: options.signal })
      // Another process may have told of more since.
      const since = seen && (base?.seq ?? 0) <= seen.checkpoint ? seen.git : base && (base.git ?? null)
      const git = await lookAtGit(sandbox, since, options)
      const { drafts, commits } = await compose({ sandbox, look, git, base, upTo, mark }, options)
      if (lost) drafts.unshift(lostLedgerDraft())
      try {
        await appendAll(runtime, [...drafts, ...(options.also ?? [])], () => {
          if (state.checkpoint?.seq !== known) throw movedOn
          options.check?.()
        })
      } catch (error) {
        if (error !== movedOn || tries > 10) throw error
        watching?.reset()
        continue
      }
      writers.closeWindow(mark)
      seen = { git: git.state ?? null, checkpoint: state.checkpoint?.seq ?? 0 }
      coveredTo = upTo
      const commit = commits.at(-1)
      if (commit !== undefined) moveTo(commit)
      await followLog()
      return state.checkpoint
    }
  }

  async function hasLast(): Promise<boolean> {
    const commit = runtime.state.checkpoint?.commit
    if (commit === undefined) return false
    if (commit === found) return true
    try {
      await history.files(commit)
      found = commit
      return true
    } catch (error) {
      if (BatonError.isInstance(error, 'LEDGER_DAMAGED')) return false
      throw error
    }
  }

  /** Writes what is different to the ledger, and says what the log is to be told. */
  async function compose(looked: Looked, options: SnapshotOptions): Promise<{ drafts: EventDraft[]; commits: readonly string[] }> {
    const { sandbox, look, git, base, upTo, mark } = looked
    const { state, writers } = runtime
    const verdict = options.by
      ? { actor: options.by, evidence: 'lease' as const }
      : judge(writers.current(mark).filter(options.writer ?? (() => true)), borrowed || (state.created.workspace?.inPlace ?? false))
    const drafts: EventDraft[] = []
    for (const operation of git.operations) {
      // Like differences, the messages of commits get into prompts.
      const label = await labelOf(runtime.parts, `${operation.branch ?? ''}\n${operation.message}`, ['git'])
      drafts.push({ type: 'git.changed', actor: verdict.actor, data: { ...operation, ...label } })
    }
    const stages: LedgerStage[] = []
    if (base === undefined) stages.push(startStage(runtime, look))
    else {
      const recorded = state.recordedAfter(Math.max(coveredTo, base.upTo))
      const windows = await windowsOf({ ledger: history, sandbox, base: base.commit, look, recorded, noted })
      const { steps, found: writes } = attribute(windows, verdict)
      let left = maxDiffsLength
      for (const write of writes) {
        const draft = await draftOf(runtime, history, write, left > 0)
        left -= draft.data.diff?.length ?? 0
        drafts.push(draft)
      }
      stages.push(...stagesOf(runtime, byActor(steps), options.reason, base.seq, upTo))
    }
    const commits = await history.commit(base?.commit, stages, { signal: options.signal })
    const unchanged = commits.length === 0 && base && (options.always || git.operations.length > 0) ? [base.commit] : commits
    for (const [index, commit] of unchanged.entries()) {
      const author = stages[index]?.author ?? systemActor
      const parent = unchanged[index - 1] ?? base?.commit
      drafts.push(
        checkpointDraft(author, { commit, ...(parent !== undefined && { parent }), upTo, ...(git.state && { git: git.state }) }, options),
      )
    }
    return { drafts, commits }
  }

  /** The ref goes where the log is, also where a process died in between, or another one was faster. */
  async function followLog(): Promise<void> {
    const commit = runtime.state.checkpoint?.commit
    if (commit !== undefined && (await history.head(runtime.id)) !== commit) await history.point(runtime.id, commit)
  }

  function moveTo(commit: string): void {
    found = commit
    watching?.settle(commit)
    for (const key of noted.keys()) {
      const later = runtime.state.recordedAfter(coveredTo).some(({ data }) => key === keyOf(data.path, data.after ?? ''))
      if (!later) noted.delete(key)
    }
  }

  return {
    hasLast,
    reset() {
      watching?.reset()
      seen = undefined
    },
    take: (sandbox, options) => alone(() => take(sandbox, options)),
    async note(sandbox, path, sha256) {
      if (sha256 === undefined) return
      const content = await sandbox.readFile(path).catch(() => undefined)
      if (content && sha256Of(content) === sha256) noted.set(keyOf(path, sha256), history.put(content))
    },
  }
}

/** What one look came to. */
interface Looked {
  readonly sandbox: Sandbox
  readonly look: WorkspaceLook
  readonly git: GitLook
  readonly base: CheckpointState | undefined
  readonly upTo: number
  /** The time when the look began, by the account of who may write. */
  readonly mark: number
}

/** Thrown where another process has taken a snapshot in between. */
const movedOn = Symbol('another snapshot came in between')

/** What is found is a fact, whoever drives the task: it needs no lease. */
async function appendAll(runtime: TaskRuntime, drafts: readonly EventDraft[] = [], check?: () => void): Promise<void> {
  if (drafts.length > 0) await runtime.stream.append(drafts, { check })
}

/** The state that the task begins with is nobody's change. */
function startStage({ id }: TaskRuntime, { changes }: WorkspaceLook): LedgerStage {
  return {
    author: systemActor,
    message: `The workspace as the task found it\n\nBaton-Task: ${id}\n`,
    files: new Map(changes.map(({ path, after }) => [path, after])),
  }
}

function stagesOf(
  { id }: TaskRuntime,
  groups: readonly { actor: Actor; files: Map<string, LedgerFile | undefined> }[],
  reason: CheckpointReason,
  from: number,
  upTo: number,
): LedgerStage[] {
  return groups.map(({ actor, files }) => ({
    author: actor,
    message: `${subjectOf(actor, [...files.keys()], reason)}\n\nBaton-Task: ${id}\nBaton-Events: ${from}..${upTo}\n`,
    files,
  }))
}

function subjectOf({ kind, id, name }: Actor, paths: readonly string[], reason: CheckpointReason): string {
  const who = kind === 'system' && id === 'unknown' ? 'Somebody' : (name ?? id)
  const what = paths.length === 1 ? JSON.stringify(paths[0]).slice(1, -1) : `${paths.length} files`
  return `${who} changed ${what}${reason === 'step' ? '' : ` (${reason})`}`
}

function checkpointDraft(
  actor: Actor,
  state: { readonly commit: string; readonly parent?: string; readonly upTo: number; readonly git?: GitState },
  { reason, label, restores }: SnapshotOptions,
): EventDraft {
  const more = { ...(label !== undefined && { label }), ...(restores !== undefined && { restores }) }
  return { type: 'checkpoint.created', actor, data: { checkpointId: uuidv7(), reason, ...state, ...more } }
}

/** What is told where the ledger does not have what the log tells of. */
function lostLedgerDraft(): EventDraft<'warning.raised'> {
  return {
    type: 'warning.raised',
    actor: systemActor,
    data: {
      code: 'ledger-lost',
      message:
        'The ledger does not have the last state of the files that the log tells of: it was another one, or is damaged. The history of the files begins anew here; earlier changes cannot be undone.',
    },
  }
}

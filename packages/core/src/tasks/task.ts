import type { AgentTraceRecord } from '../attribution/agent-trace.ts'
import { BatonError } from '../errors.ts'
import type { Autonomy } from '../events/envelope.ts'
import { Actor, systemActor } from '../events/envelope.ts'
import type { Event, EventDraft, EventType, LiveEvent, LoggedEvent } from '../events/event.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { SubscribeOptions } from '../events/event-stream.ts'
import type { TaskLimits } from '../events/task-events.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import type { CommitResult } from '../workspace/commit-work.ts'
import type { ApplyResult, BaselineFile, WorkspaceChange } from '../workspace/workspace-copy.ts'
import { applyChanges, findChanges, parseBaseline } from '../workspace/workspace-copy.ts'
import type { Briefing } from './briefing.ts'
import { brief } from './briefing.ts'
import type { CommitOptions } from './commit.ts'
import { commitTask, traceTask } from './commit.ts'
import type { TakeControlOptions } from './control.ts'
import { heldError } from './control.ts'
import type { ApprovalDecision } from './decide-approval.ts'
import { prepareRemembering, requireDecidable } from './decide-approval.ts'
import type { ProposalDecisions, WaitingProposal } from './decide-proposal.ts'
import { parseDecision, requireUndecided, waitingProposals } from './decide-proposal.ts'
import type { Desk } from './desk.ts'
import { openDesk } from './desk.ts'
import { copyLog } from './fork.ts'
import type { Checkpoint, RevertResult, UndoActor } from './history.ts'
import { listCheckpoints, makeCheckpoint, restore, undo } from './history.ts'
import { labelOf } from './labels.ts'
import type { OpenTask, StartedRun } from './open-task.ts'
import type { RunResult } from './run.ts'
import type { SuggestedEdit, Suggestion, SuggestionDecision } from './suggestions.ts'
import {
  AnswerOptions,
  ApproveOptions,
  AutonomyLevel,
  EventsOptions,
  ForkOptions,
  Limits,
  MessageOptions,
  Reason,
  RejectOptions,
  Scope,
} from './task-options.ts'
import { isolationWarning } from './task-sandbox.ts'

/** A run under way. */
export interface Run {
  readonly id: string
  /**
   * How it ended. A limit, failing checks and a cancel are outcomes. Rejects only when the run is let go of without having ended:
   * `CLOSED`, `LOST_OWNERSHIP`, `STORE_FULL`, `STORE_FAILED`.
   */
  readonly result: Promise<RunResult>
  /** This run's events, from `run.started` to `run.finished`. */
  events(options?: Abortable): AsyncIterable<LoggedEvent>
}

/** A task: what is to be done, and all that was said and done about it. What is called here is done in the name of `actor`. */
export interface Task {
  readonly id: string
  readonly actor: Actor
  /** Where it stands. */
  readonly summary: TaskSummary
  /** The same task in another's name. */
  as(actor: Actor): Task
  /** Starts a run, or joins the one that is open. Rejections come by `result`. Throws `INVALID_STATE` for an observer. */
  start(): Run
  /** All events, from the beginning or behind `after`, then live until the task is closed here. */
  events(options?: SubscribeOptions): AsyncIterable<LoggedEvent>
  events(options: SubscribeOptions & { readonly live: true }): AsyncIterable<LoggedEvent | LiveEvent>
  /** Calls a listener for each new event of a type, or of every type with `*`. Returns how to stop. */
  on<T extends EventType>(type: T, listener: (event: Event<T>) => void): () => void
  on(type: '*', listener: (event: LoggedEvent) => void): () => void
  /** Says something to the agent: before its next model call where it runs, else with a new run. A task that never ran waits for `start()`. */
  send(
    text: string,
    options?: { readonly attachments?: readonly { readonly mediaType: string; readonly data: Uint8Array; readonly name?: string }[] },
  ): Promise<void>
  /** Stops the run at its next safe point, until `resume`. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Ends the run; what runs is stopped. */
  cancel(reason?: string): Promise<void>
  /**
   * Allows a call that waits, with another input where one is given. `remember`: the same scope is not asked about again, in this task or in all tasks on its
   * workspace; with another input, the scope of that. The first decision stands: rejects with `UNKNOWN_REQUEST` where it was decided, or has expired.
   */
  approve(
    approvalId: string,
    options?: { readonly input?: unknown; readonly remember?: 'once' | 'task' | 'workspace'; readonly feedback?: string },
  ): Promise<void>
  /** Refuses a call that waits; the feedback reaches the agent. */
  reject(approvalId: string, options?: { readonly feedback?: string }): Promise<void>
  /** Asks again about a scope that was remembered for this task; says whether it was. For a workspace: `baton.approvals.revoke`. */
  forgetApproval(scope: string): Promise<boolean>
  /** The proposals that wait for a decision, oldest first. */
  proposals(): Promise<readonly WaitingProposal[]>
  /**
   * Decides on a proposal: on all of it, or on each of its hunks; a file without hunks is decided on under its path. What is accepted is written where the files
   * are still what they were, with edits in their place, and the agent is told what became of each part. Rejects with `UNKNOWN_REQUEST` where no such proposal
   * waits, as after another person's decision, and with `INVALID_OPTIONS` naming the hunks that a list leaves out.
   */
  decideProposal(proposalId: string, decisions: ProposalDecisions, options?: { readonly feedback?: string }): Promise<void>
  answer(questionId: string, text: string): Promise<void>
  /**
   * Suggests what goes between two parts of a file, at a person's cursor: with or without a run, also while somebody has control. It is no part of the agent's
   * conversation, and is paid by the task. The model is that of the role `complete`: one that fills in the middle, or a chat model. A newer completion of the same
   * person for the same path cancels this one (`ABORTED`). Undefined where the model has nothing to add. `maxOutputTokens`: default 256. Rejects with `LIMIT_REACHED`,
   * `NO_ELIGIBLE_MODEL`, and `INVALID_STATE` in the name of anybody but a person.
   */
  complete(
    request: { readonly path: string; readonly prefix: string; readonly suffix: string; readonly maxOutputTokens?: number },
    options?: Abortable,
  ): Promise<Suggestion | undefined>
  /**
   * Suggests other words for lines of a file: of the sandbox's, or of `content`, as in an unsaved buffer. Lines count from 1, the last one included; an end one below
   * the start puts lines in. The model is that of the role `edit`. Nothing is written. Undefined where the model would leave the lines as they are. Rejects as
   * `complete` does, and with `MODEL_FAILED` where the model declines, or its reply is cut off.
   */
  suggestEdit(
    request: {
      readonly path: string
      readonly range: { readonly start: number; readonly end: number }
      readonly instruction: string
      readonly content?: string
    },
    options?: Abortable,
  ): Promise<SuggestedEdit | undefined>
  /** Tells what became of a suggestion. Rejects with `UNKNOWN_REQUEST` where that was told before, or it is none of the latest 200 of the task. */
  decideSuggestion(suggestionId: string, decision: SuggestionDecision): Promise<void>
  setAutonomy(level: Autonomy): Promise<void>
  /** Replaces the limits. */
  setLimits(limits: TaskLimits): Promise<void>
  /**
   * Takes control: the agent stops at its next safe point, and the person works in the same sandbox until they return control. A person who has control
   * already, as before a restart, gets their desk again. Rejects with `CONTROL_HELD` where another person has it, and with `INVALID_STATE` in the name of an
   * agent. Waits for the agent's calls that run, unless told otherwise; for ever where the process that ran them is gone: open the task as its driver then.
   */
  takeControl(options?: TakeControlOptions): Promise<Desk>
  /** Declines an offer of control; the agent goes on. */
  declineControl(offerId: string, options?: { readonly feedback?: string }): Promise<void>
  /** What others did since this person last did something, or behind `since`, as data and in words. */
  briefing(options?: { readonly since?: number }): Promise<Briefing>
  /** Keeps the present state of the files under a name. Rejects with `INVALID_STATE` where there is no sandbox, or the Baton keeps no ledger. */
  checkpoint(options?: { readonly label?: string } & Abortable): Promise<Checkpoint>
  /** The states of the files that there were, oldest first. */
  checkpoints(): Promise<readonly Checkpoint[]>
  /**
   * Takes back what one actor changed, all of it or behind the seq `since`, and keeps what others did. Where the two touch the same lines nothing is done, and the
   * conflicts are the result. The agent stands still meanwhile, and is told.
   */
  undo(options: { readonly actor: UndoActor; readonly since?: number } & Abortable): Promise<RevertResult>
  /**
   * Comes back to a checkpoint, by its id or label: the files, the conversation, or both (the default). What was said and spent since stays in the log. The
   * conversation goes back to the nearest place at which no call was open. Rejects with `UNKNOWN_CHECKPOINT`, and with `INVALID_STATE` where the conversation of an open
   * run would be set back.
   */
  restore(options: { readonly checkpoint: string; readonly what?: 'files' | 'conversation' | 'both' } & Abortable): Promise<RevertResult>
  /**
   * A new task with this one's log up to a seq, the files as they were then, and a sandbox of its own. Default: the last place at which no call was open. Rejects with
   * `INVALID_STATE` at a seq with open calls, naming the nearest without.
   */
  fork(options?: { readonly at?: number }): Promise<Task>
  /** What is different in the sandbox from the workspace as it was copied. */
  changes(options?: Abortable): Promise<readonly WorkspaceChange[]>
  /** Brings the changes back into the workspace: all, or none where files there have changed meanwhile. */
  apply(options?: Abortable): Promise<ApplyResult>
  /**
   * Puts the work onto a branch of the workspace's git repository, as commits with the right authors. Anything that is in the way is returned as a conflict, and then
   * nothing is written. No hook runs. Rejects with `UNSUPPORTED_REPOSITORY`, and with `INVALID_STATE` as in the middle of a merge.
   */
  commit(options?: CommitOptions): Promise<CommitResult>
  /** Who brought about which lines, as a record of the agent-trace specification (0.1.0). What is not known is credited to nobody. */
  trace(options?: { readonly revision?: string } & Abortable): Promise<AgentTraceRecord>
  /** Lets go of the task in this process and keeps everything as it is: an open run goes on when it is opened again. */
  close(): Promise<void>
  /** Ends the task for good, with its sandbox. An open run is cancelled. */
  end(options?: { readonly reason?: string }): Promise<void>
}

const alreadySo = Symbol('already so')

/** A handle on an open task. */
export function createTaskHandle(open: OpenTask, actor: Actor): Task {
  const { runtime } = open
  const { id, stream, state } = runtime

  /** Intents may come from any process; another's events are read first, so that the check sees them. */
  async function intent(draft: () => EventDraft | readonly EventDraft[], check?: () => void): Promise<void> {
    if (!open.driving) await stream.catchUp()
    const alive = (): void => {
      if (state.closed) throw new BatonError('INVALID_STATE', `Task ${id} is closed for good; create another one.`)
    }
    await stream.append([draft()].flat(), {
      check: () => {
        alive()
        check?.()
      },
    })
  }

  function openRun(): string {
    if (state.run) return state.run.runId
    throw new BatonError('INVALID_STATE', `Task ${id} has no open run. start() or send() begins one.`)
  }

  async function runIntent(
    type: 'run.paused' | 'run.resumed' | 'run.cancelled',
    more: { reason?: string },
    check?: () => void,
  ): Promise<void> {
    if (!open.driving) await stream.catchUp()
    const runId = openRun()
    const draft = { type, actor, data: { runId, ...more } } as EventDraft
    await intent(
      () => draft,
      () => {
        if (openRun() !== runId) throw new BatonError('INVALID_STATE', `Task ${id}: the run is over.`)
        check?.()
      },
    )
  }

  async function cancel(reason?: string): Promise<void> {
    parseOptions('cancel', Reason, { reason })
    await runIntent('run.cancelled', reason === undefined ? {} : { reason })
  }

  function mayEnd(): void {
    if (state.closed) throw new BatonError('INVALID_STATE', `Task ${id} is closed for good already.`)
    if (state.run)
      throw new BatonError('INVALID_STATE', `Task ${id} has an open run in another process. Cancel it and wait for run.finished.`)
  }

  async function decide(approvalId: string, decision: ApprovalDecision): Promise<void> {
    await intent(
      () => ({ type: 'approval.decided', actor, data: { approvalId, ...decision } }),
      () => requireDecidable(runtime, approvalId, decision),
    )
  }

  async function baseline(): Promise<{ path: string; files: readonly BaselineFile[] }> {
    const { workspace } = state.created
    if (!workspace || workspace.inPlace) {
      throw new BatonError(
        'INVALID_STATE',
        `Task ${id} ${workspace ? 'works in its folder directly' : 'has no workspace'}: there is nothing to bring back.`,
      )
    }
    const ref = state.baseline
    return { path: workspace.path, files: ref ? parseBaseline(await runtime.parts.blobs.get(ref)) : [] }
  }

  async function findAll(
    options: Abortable,
  ): Promise<{ path: string; files: readonly BaselineFile[]; changes: Awaited<ReturnType<typeof findChanges>> }> {
    const base = await baseline()
    if (!state.sandbox && !(await open.snapshots.hasLast())) return { ...base, changes: [] }
    const sandbox = await open.sandbox.get(options.signal ?? new AbortController().signal)
    return { ...base, changes: await findChanges(sandbox, base.files, options) }
  }

  const handle: Task = {
    id,
    actor,
    get summary() {
      return stream.summary as TaskSummary
    },
    as: (other) => createTaskHandle(open, parseOptions('as', Actor, other)),
    start() {
      const run = open.start()
      return { id: run.runId, result: run.result, events: (options) => runEvents(open, run, options) }
    },
    events: ((options) => {
      parseOptions('events', EventsOptions, options ?? {})
      return stream.subscribe(options)
    }) as Task['events'],
    on: stream.on,
    async send(text, options = {}) {
      const given = parseOptions('send', MessageOptions, { text, ...options })
      const attachments = await Promise.all(
        (given.attachments ?? []).map(async ({ data, ...rest }) => ({ ...rest, blob: await runtime.parts.blobs.put(data) })),
      )
      const label = await labelOf(runtime.parts, text, [`${actor.kind}:${actor.id}`])
      const data = { text: given.text, ...(attachments.length > 0 && { attachments }), ...label }
      await intent(() => ({ type: 'message.sent', actor, data }))
    },
    async pause() {
      await runIntent('run.paused', { reason: 'requested' }, () => {
        if (state.run?.paused) throw alreadySo
      }).catch((error: unknown) => {
        if (error !== alreadySo) throw error
      })
    },
    resume: () =>
      runIntent('run.resumed', {}, () => {
        if (!state.run?.paused) throw new BatonError('INVALID_STATE', `Task ${id} is not paused.`)
      }),
    cancel,
    async approve(approvalId, options = {}) {
      const { input, remember, feedback } = parseOptions('approve', ApproveOptions, options)
      const given: ApprovalDecision = {
        decision: 'approved',
        remember,
        ...(input !== undefined && { input }),
        ...(feedback !== undefined && { feedback }),
      }
      if (remember === 'once') return decide(approvalId, given)
      if (!open.driving) await stream.catchUp()
      const { decision, undo } = await prepareRemembering(runtime, approvalId, given, actor)
      try {
        await decide(approvalId, decision)
      } catch (error) {
        await undo().catch(() => {})
        throw error
      }
    },
    async reject(approvalId, options = {}) {
      const { feedback } = parseOptions('reject', RejectOptions, options)
      await decide(approvalId, { decision: 'rejected', remember: 'once', ...(feedback !== undefined && { feedback }) })
    },
    async forgetApproval(scope) {
      const data = parseOptions('forgetApproval', Scope, { scope })
      let known = true
      await intent(
        () => ({ type: 'approval.forgotten', actor, data }),
        () => {
          known = state.remembered.has(scope)
          if (!known) throw alreadySo
        },
      ).catch((error: unknown) => {
        if (error !== alreadySo) throw error
      })
      return known
    },
    async proposals() {
      if (!open.driving) await stream.catchUp()
      return waitingProposals(runtime)
    },
    async decideProposal(proposalId, decisions, options = {}) {
      await intent(
        () => ({ type: 'proposal.decided', actor, data: parseDecision(runtime, proposalId, { ...options, decisions }) }),
        () => void requireUndecided(runtime, proposalId),
      )
    },
    async answer(questionId, text) {
      const given = parseOptions('answer', AnswerOptions, { text })
      const label = await labelOf(runtime.parts, text, [`${actor.kind}:${actor.id}`])
      await intent(
        () => ({ type: 'question.answered', actor, data: { questionId, text: given.text, ...label } }),
        () => {
          const question = state.questions.get(questionId)
          if (question && question.answer === undefined) return
          const waiting = [...state.questions.values()].filter((one) => one.answer === undefined).map((one) => one.questionId)
          throw new BatonError(
            'UNKNOWN_REQUEST',
            `Task ${id}: ${question ? 'it was answered already' : `no question "${questionId}" waits`}. Waiting: ${waiting.join(', ') || 'none'}.`,
            {
              details: { waiting },
            },
          )
        },
      )
    },
    complete: (request, options = {}) => open.suggestions.complete(actor, request, options),
    suggestEdit: (request, options = {}) => open.suggestions.suggestEdit(actor, request, options),
    decideSuggestion: (suggestionId, decision) => open.suggestions.decide(actor, suggestionId, decision),
    takeControl: (options = {}) => openDesk(open, actor, options, (text) => handle.send(text)),
    async declineControl(offerId, options = {}) {
      const { feedback } = parseOptions('declineControl', RejectOptions, options)
      const label = await labelOf(runtime.parts, feedback ?? '', [`${actor.kind}:${actor.id}`])
      await intent(
        () => ({ type: 'control.declined', actor, data: { offerId, ...(feedback !== undefined && { feedback }), ...label } }),
        () => {
          if (state.control) throw heldError(runtime, state.control)
          if ([...state.offersByKey.values()].some((offer) => offer.offerId === offerId && !offer.outcome)) return
          const waiting = [...state.offersByKey.values()].filter(({ outcome }) => !outcome).map((offer) => offer.offerId)
          throw new BatonError(
            'UNKNOWN_REQUEST',
            `Task ${id}: no offer of control "${offerId}" waits. Waiting: ${waiting.join(', ') || 'none'}.`,
            {
              details: { waiting },
            },
          )
        },
      )
    },
    briefing: (options = {}) => brief(open, actor, options),
    checkpoint: (options = {}) => makeCheckpoint(open, actor, options),
    checkpoints: () => listCheckpoints(open),
    undo: (options) => undo(open, actor, options),
    restore: (options) => restore(open, actor, options),
    async fork(options = {}) {
      const { at } = parseOptions('fork', ForkOptions, options)
      if (!open.driving) await stream.catchUp()
      const forkId = await copyLog(open, at, actor)
      return createTaskHandle(await runtime.parts.openFork(forkId), actor)
    },
    async setAutonomy(level) {
      const data = { level: parseOptions('setAutonomy', AutonomyLevel, level) }
      await intent(() => {
        const { sandbox } = state
        const warning = level === 'autonomous' && sandbox?.isolation === 'none' ? [isolationWarning(sandbox.provider)] : []
        return [{ type: 'autonomy.set', actor, data }, ...warning]
      })
    },
    async setLimits(limits) {
      const data = { limits: parseOptions('setLimits', Limits, limits) }
      await intent(() => ({ type: 'limits.set', actor, data }))
    },
    async changes(options = {}) {
      const { changes } = await findAll(options)
      return changes.map(({ path, change }) => ({ path, change }))
    },
    async apply(options = {}) {
      const { path, files, changes } = await findAll(options)
      if (changes.length === 0) return { applied: [], conflicts: [] }
      const sandbox = await open.sandbox.get(options.signal ?? new AbortController().signal)
      const { applied, conflicts, baseline: next } = await applyChanges(path, sandbox, files, changes, options)
      if (conflicts.length > 0) return { applied, conflicts }
      const ref = await runtime.parts.blobs.put(Buffer.from(JSON.stringify(next)))
      await intent(() => ({ type: 'workspace.applied', actor, data: { changes: [...applied], baseline: ref } }))
      return { applied, conflicts }
    },
    commit: (options = {}) => commitTask(open, actor, options),
    trace: (options = {}) => traceTask(open, options),
    close: () => open.close(),
    async end(options = {}) {
      const { reason } = parseOptions('end', Reason, options)
      if (!open.driving) await stream.catchUp()
      if (state.run && open.driving) {
        await cancel(reason).catch((error: unknown) => {
          if (state.run) throw error
        })
        // Where nothing is under way, as after a full disk, its end is still to be written.
        await (open.current ?? (state.run && open.start()))?.result
      }
      mayEnd()
      for (const { childId, inherited } of state.delegations.values()) if (!inherited) await runtime.parts.endSubTask(childId)
      const sandboxId = await open.sandbox.end()
      const closed: EventDraft[] = sandboxId === undefined ? [] : [{ type: 'sandbox.closed', actor: systemActor, data: { sandboxId } }]
      await intent(() => [...closed, { type: 'task.closed', actor, data: reason === undefined ? {} : { reason } }], mayEnd)
      await open.close()
    },
  }
  return handle
}

async function* runEvents(open: OpenTask, { runId, result, after }: StartedRun, options: Abortable = {}): AsyncIterable<LoggedEvent> {
  const stop = new AbortController()
  const abort = (): void => stop.abort()
  if (options.signal?.aborted) abort()
  options.signal?.addEventListener('abort', abort, { once: true })
  // A run that could not begin, or was let go of, has no run.finished to wait for.
  result.catch(abort)
  let inside = false
  try {
    for await (const event of open.runtime.stream.subscribe({ after, signal: stop.signal })) {
      if (event.type === 'run.started' && event.data.runId === runId) inside = true
      if (inside) yield event
      if (event.type === 'run.finished' && event.data.runId === runId) return
    }
  } finally {
    options.signal?.removeEventListener('abort', abort)
  }
}

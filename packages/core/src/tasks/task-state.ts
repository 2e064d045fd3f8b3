import { BatonError } from '../errors.ts'
import type { RunningCalls } from '../events/control-events.ts'
import { answersOffers } from '../events/control-events.ts'
import type { Actor, BlobRef } from '../events/envelope.ts'
import type { Event, EventTypes, LoggedEvent } from '../events/event.ts'
import { isAside, isKnown } from '../events/event.ts'
import type { ModelFinished } from '../events/model-events.ts'
import type { Spend, TaskLimits } from '../events/task-events.ts'
import type { RememberedCall } from '../events/tool-events.ts'
import type { CheckpointCreated } from '../events/workspace-events.ts'
import type { CallOutcome } from '../models/router.ts'
import { addSpend, noSpend, proposalIdOf, spendOf } from './task-summary.ts'

/** Where one tool call stands. */
export interface CallState {
  readonly callId: string
  /** Id of the `tool.called` event. */
  calledId: string
  readonly tool: string
  readonly effect: string | undefined
  input: unknown
  /** Id of its approval request, once there is one. */
  approvalId?: string
  started: boolean
  /** Seq of the `tool.finished` event. */
  finishedSeq?: number
}

/** Where one request for approval stands. */
export interface ApprovalState {
  readonly request: EventTypes['approval.requested']
  decision?: EventTypes['approval.decided']
}

/** An open run. */
export interface RunState {
  readonly runId: string
  readonly startedAt: string
  spent: Spend
  cancelled?: { readonly reason: string | undefined; readonly by: Event['actor'] }
  paused?: EventTypes['run.paused']
  /** Rounds of checks that were finished. */
  checkRound: number
  /** The last reply to a prompt made from the log. */
  lastReply?: ModelFinished
  /** The last reply of each model, to prompts from the log, since checks failed last. */
  readonly unchecked: Map<string, ModelFinished>
  /** What checks that failed have judged so far: for each round, each model that answered in it. */
  readonly judged: CallOutcome[]
}

/** Who has control. */
export interface ControlState {
  readonly leaseId: string
  readonly actor: Actor
  readonly since: string
  readonly seq: number
  readonly running: RunningCalls
  readonly idleMs: number
  /** Time of the holder's last event. */
  lastSign: string
}

/** An offer of control. */
export interface OfferState {
  readonly offerId: string
  /** Set once somebody who took it has given it back, or declined it. */
  outcome?: { readonly taken: boolean; readonly by: Actor; readonly note: string | undefined }
}

/** A proposal. */
export interface ProposalState {
  readonly made: EventTypes['proposal.made']
  decided?: { readonly data: EventTypes['proposal.decided']; readonly by: Actor }
}

/** A state of the files that the ledger keeps. */
export interface CheckpointState extends CheckpointCreated {
  readonly seq: number
}

/** A change of a file that whoever made it has recorded. */
export interface RecordedChange {
  readonly seq: number
  readonly actor: Actor
  /** Not its difference: it may be held for long where no look follows, as without a ledger. */
  readonly data: Pick<EventTypes['file.changed'], 'path' | 'before' | 'after'>
}

/** A sub-task. */
export interface DelegationState {
  readonly childId: string
  readonly goal: string
  readonly reserved: TaskLimits
  /** It is another task's, which this one was forked from. */
  readonly inherited?: boolean
  settled?: EventTypes['task.settled']
}

/** A task as the fold of its events: what the driver has to know, updated by each event and never computed from the start again. */
export interface TaskState {
  readonly created: EventTypes['task.created']
  readonly run: RunState | undefined
  readonly runs: number
  /** As they are now. */
  readonly limits: TaskLimits
  readonly epoch: number
  readonly closed: boolean
  /** The highest number of a model call so far, for minting ids. */
  readonly modelCalls: number
  readonly calls: ReadonlyMap<string, CallState>
  /** Those of them without an outcome. */
  readonly openCalls: ReadonlyMap<string, CallState>
  readonly approvals: ReadonlyMap<string, ApprovalState>
  readonly questions: ReadonlyMap<string, EventTypes['question.asked'] & { answer?: string }>
  /** Keys of what was said or asked once. */
  readonly saidKeys: ReadonlySet<string>
  readonly questionsByKey: ReadonlyMap<string, string>
  readonly delegations: ReadonlyMap<string, DelegationState>
  /** Approvals that hold for the whole task, by their scope. */
  readonly remembered: ReadonlyMap<string, RememberedCall>
  /** Messages for the agent that are in no prompt that was answered. */
  readonly unseen: number
  /** Those of them that came in behind a seq. */
  unseenAfter(seq: number): number
  /** Seq of the last message from outside: from a person, or another agent. */
  readonly messageSeq: number
  /** Seq of the last `run.finished`. */
  readonly endedSeq: number
  /** The model that answered last, to a prompt from the log where there were any. */
  readonly lastModel: string | undefined
  readonly sandbox: EventTypes['sandbox.started'] | undefined
  /** Who has control, while a person has it. */
  readonly control: ControlState | undefined
  readonly offersByKey: ReadonlyMap<string, OfferState>
  readonly proposals: ReadonlyMap<string, ProposalState>
  /** The workspace as it was copied, or brought back last. */
  readonly baseline: BlobRef | undefined
  /** The last state of the files in the ledger. */
  readonly checkpoint: CheckpointState | undefined
  /** What was recorded behind a seq and is not accounted for by a checkpoint, in order. */
  recordedAfter(seq: number): readonly RecordedChange[]
  apply(event: LoggedEvent): void
}

function notGoodEnough(taskId: string, reply: ModelFinished, check: string): CallOutcome {
  const { role, model, ms, firstChunkMs, usage, costUsd } = reply
  const error = { code: 'CHECK_FAILED', message: `The check "${check}" failed after its work.` }
  return { taskId, role, model, result: 'not-accepted', ms, firstChunkMs, usage, costUsd, error }
}

/** Starts the fold. */
export function createTaskState(taskId: string): TaskState {
  let created: EventTypes['task.created'] | undefined
  let run: RunState | undefined
  let limits: TaskLimits = {}
  let unseenSeqs: number[] = []
  /** Prompts from the log that have no answer yet, with the last seq that they include. */
  const logPrompts = new Map<string, number>()
  const calls = new Map<string, CallState>()
  const openCalls = new Map<string, CallState>()
  const approvals = new Map<string, ApprovalState>()
  const questions = new Map<string, EventTypes['question.asked'] & { answer?: string }>()
  const openQuestions = new Map<string, EventTypes['question.asked']>()
  const questionsByKey = new Map<string, string>()
  const delegations = new Map<string, DelegationState>()
  const saidKeys = new Set<string>()
  const remembered = new Map<string, RememberedCall>()
  const facts = {
    runs: 0,
    messageSeq: 0,
    endedSeq: 0,
    epoch: 0,
    closed: false,
    modelCalls: 0,
    lastModel: undefined as string | undefined,
    answeredFromLog: false,
    sandbox: undefined as EventTypes['sandbox.started'] | undefined,
    control: undefined as ControlState | undefined,
    checkpoint: undefined as CheckpointState | undefined,
    baseline: undefined as BlobRef | undefined,
  }
  const offersByKey = new Map<string, OfferState>()
  const proposals = new Map<string, ProposalState>()
  let recorded: RecordedChange[] = []

  /** Nobody waits for the answer any more. */
  function lapse({ questionId, key }: EventTypes['question.asked']): void {
    questions.delete(questionId)
    openQuestions.delete(questionId)
    questionsByKey.delete(key)
  }

  /** What came up and was never decided lapses with the run. */
  function lapseAll(): void {
    for (const [id, approval] of approvals) if (!approval.decision) approvals.delete(id)
    for (const [id, proposal] of proposals) if (!proposal.decided) proposals.delete(id)
    for (const [key, offer] of offersByKey) if (!offer.outcome) offersByKey.delete(key)
    for (const question of openQuestions.values()) lapse(question)
  }

  type Handlers = { [K in Event['type']]?: (event: Event<K>) => void }
  const handlers: Handlers = {
    'task.created': ({ data }) => {
      created = data
      limits = data.limits
    },
    'task.closed': () => {
      facts.closed = true
      facts.sandbox = undefined
      facts.control = undefined
    },
    'task.forked': ({ seq }) => {
      // Leases and what nobody decided lapse; what the other task's sandbox and runs were is nothing to this one.
      run = undefined
      Object.assign(facts, { sandbox: undefined, control: undefined, epoch: 0, closed: false, endedSeq: seq })
      // A folder that is worked on in place cannot be worked on twice: a fork has a copy.
      if (created?.workspace?.inPlace) created = { ...created, workspace: { path: created.workspace.path } }
      for (const [key, { settled, ...delegation }] of delegations) {
        if (settled) delegations.set(key, { ...delegation, settled, inherited: true })
        else delegations.delete(key)
      }
      lapseAll()
    },
    'task.delegated': ({ data }) => void delegations.set(data.key, { childId: data.childId, goal: data.goal, reserved: data.reserved }),
    'task.settled': ({ data }) => {
      const delegation = delegations.get(data.key)
      if (delegation) delegation.settled = data
    },
    'run.started': (event) => {
      facts.runs++
      if (event.data.trigger === 'start' && facts.runs > 1) unseenSeqs.push(event.seq)
      run = { runId: event.data.runId, startedAt: event.time, spent: noSpend, checkRound: 0, unchecked: new Map(), judged: [] }
    },
    'run.paused': ({ data }) => {
      if (run?.runId === data.runId) run.paused = data
    },
    'run.resumed': ({ data }) => {
      if (run?.runId === data.runId) delete run.paused
    },
    'run.cancelled': ({ data, actor }) => {
      if (run?.runId === data.runId) run.cancelled = { reason: data.reason, by: actor }
    },
    'run.finished': ({ seq }) => {
      run = undefined
      facts.endedSeq = seq
      lapseAll()
    },
    'driver.claimed': ({ data }) => {
      facts.epoch = data.epoch
    },
    'limits.set': ({ data }) => {
      limits = data.limits
    },
    'message.sent': ({ data, actor, seq }) => {
      if (data.key !== undefined) saidKeys.add(data.key)
      if (actor.kind === 'agent' && actor.id === created?.agent) return
      unseenSeqs.push(seq)
      if (actor.kind !== 'system') facts.messageSeq = seq
    },
    'question.asked': ({ data }) => {
      const question = { ...data }
      questions.set(data.questionId, question)
      openQuestions.set(data.questionId, question)
      questionsByKey.set(data.key, data.questionId)
    },
    'question.answered': ({ data }) => {
      const question = questions.get(data.questionId)
      if (question) question.answer = data.text
      openQuestions.delete(data.questionId)
    },
    'model.called': ({ data }) => {
      facts.modelCalls = Math.max(facts.modelCalls + 1, Number(data.modelCallId.slice(1)) || 0)
      if (data.prompt === 'log') logPrompts.set(data.modelCallId, data.upTo)
    },
    'model.finished': ({ data }) => {
      const upTo = logPrompts.get(data.modelCallId)
      if (upTo === undefined) {
        if (!facts.answeredFromLog) facts.lastModel = data.model
        return
      }
      facts.lastModel = data.model
      facts.answeredFromLog = true
      logPrompts.delete(data.modelCallId)
      // Only now: a call that a crash cut off has answered nobody.
      unseenSeqs = unseenSeqs.filter((seq) => seq > upTo)
      if (!run) return
      run.lastReply = data
      run.unchecked.set(data.model, data)
    },
    'model.failed': ({ data }) => {
      if (data.final) logPrompts.delete(data.modelCallId)
    },
    'tool.called': ({ data: { callId, tool, effect, input }, id }) => {
      const call = { callId, calledId: id, tool, effect, input, started: false }
      calls.set(callId, call)
      openCalls.set(callId, call)
    },
    'tool.started': ({ data }) => {
      const call = calls.get(data.callId)
      if (!call) return
      call.started = true
      call.input = data.input
    },
    'tool.finished': ({ data, seq }) => {
      const call = calls.get(data.callId)
      if (!call) return
      call.finishedSeq = seq
      openCalls.delete(data.callId)
      // The outcome stays in the log; holding the input too would double the task's memory.
      call.input = undefined
      if (call.approvalId !== undefined) approvals.delete(call.approvalId)
      proposals.delete(proposalIdOf(data.callId))
      for (const question of openQuestions.values()) if (question.callId === data.callId) lapse(question)
    },
    'approval.requested': ({ data }) => {
      approvals.set(data.approvalId, { request: data })
      const call = calls.get(data.callId)
      if (call) call.approvalId = data.approvalId
    },
    'approval.decided': ({ data, actor }) => {
      const approval = approvals.get(data.approvalId)
      if (!approval) return
      approval.decision = data
      if (data.decision !== 'approved' || data.remember !== 'task') return
      const scope = data.scope ?? approval.request.scope
      remembered.set(scope, { for: 'task', id: data.approvalId, scope, by: actor })
    },
    'approval.forgotten': ({ data }) => void remembered.delete(data.scope),
    'control.offered': ({ data }) => void offersByKey.set(data.key, { offerId: data.offerId }),
    'control.declined': ({ data, actor }) => {
      const offer = [...offersByKey.values()].find(({ offerId }) => offerId === data.offerId)
      if (offer) offer.outcome ??= { taken: false, by: actor, note: data.feedback }
    },
    'control.taken': ({ data, actor, time, seq }) => {
      facts.control = { ...data, actor, since: time, lastSign: time, seq }
    },
    'control.returned': ({ data, seq }) => {
      const { control } = facts
      if (control?.leaseId !== data.leaseId) return
      facts.control = undefined
      if (answersOffers(data))
        for (const offer of offersByKey.values()) offer.outcome ??= { taken: true, by: control.actor, note: data.note }
      if (run) unseenSeqs.push(seq)
    },
    'proposal.made': ({ data }) => void proposals.set(data.proposalId, { made: data }),
    'proposal.decided': ({ data, actor }) => {
      const proposal = proposals.get(data.proposalId)
      if (proposal) proposal.decided ??= { data, by: actor }
    },
    'file.changed': ({ data, actor, seq }) => {
      const { path, before, after, evidence } = data
      if (evidence === 'tool' || evidence === 'desk') recorded.push({ seq, actor, data: { path, before, after } })
    },
    'checkpoint.restored': ({ data }) => {
      unseenSeqs = unseenSeqs.filter((seq) => seq <= data.toSeq)
    },
    'checkpoint.created': ({ data, seq }) => {
      facts.checkpoint = { ...data, seq }
      recorded = recorded.filter((change) => change.seq > data.upTo)
    },
    'sandbox.started': ({ data }) => {
      facts.sandbox = data
      facts.baseline = data.baseline ?? facts.baseline
    },
    'workspace.applied': ({ data }) => {
      facts.baseline = data.baseline
    },
    'sandbox.lost': () => {
      facts.sandbox = undefined
    },
    'sandbox.closed': () => {
      facts.sandbox = undefined
    },
    'check.finished': ({ data }) => {
      if (run?.runId !== data.runId) return
      run.checkRound = data.round
      // A check that could not be started says nothing of the work.
      if (data.outcome !== 'failed') return
      for (const reply of run.unchecked.values()) run.judged.push(notGoodEnough(taskId, reply, data.name))
      run.unchecked.clear()
    },
  }

  return {
    get created() {
      if (!created) throw new BatonError('CORRUPT_LOG', `The log of task ${taskId} does not begin with task.created.`)
      return created
    },
    get run() {
      return run
    },
    get runs() {
      return facts.runs
    },
    get limits() {
      return limits
    },
    get epoch() {
      return facts.epoch
    },
    get closed() {
      return facts.closed
    },
    get modelCalls() {
      return facts.modelCalls
    },
    get lastModel() {
      return facts.lastModel
    },
    get sandbox() {
      return facts.sandbox
    },
    get control() {
      return facts.control
    },
    get baseline() {
      return facts.baseline
    },
    get checkpoint() {
      return facts.checkpoint
    },
    recordedAfter: (seq) => recorded.slice(recorded.findLastIndex((change) => change.seq <= seq) + 1),
    offersByKey,
    proposals,
    get unseen() {
      return unseenSeqs.length
    },
    unseenAfter: (after) => unseenSeqs.filter((seq) => seq > after).length,
    get messageSeq() {
      return facts.messageSeq
    },
    get endedSeq() {
      return facts.endedSeq
    },
    calls,
    openCalls,
    approvals,
    questions,
    questionsByKey,
    delegations,
    saidKeys,
    remembered,
    apply(event) {
      if (!isKnown(event)) return
      const aside = isAside(event)
      if (run && !aside) {
        const spent = spendOf(event)
        if (spent && event.type !== 'task.settled') run.spent = addSpend(run.spent, spent)
      }
      const { control } = facts
      if (control && event.actor.kind === control.actor.kind && event.actor.id === control.actor.id) control.lastSign = event.time
      if (!aside) (handlers[event.type] as ((event: Event) => void) | undefined)?.(event)
    },
  }
}

import { BatonError } from '../errors.ts'
import type { Event, EventTypes, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { ModelFinished } from '../events/model-events.ts'
import type { Spend, TaskLimits } from '../events/task-events.ts'
import type { CallOutcome } from '../models/router.ts'
import { addSpend, noSpend, spendOf } from './task-summary.ts'

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

/** A sub-task. */
export interface DelegationState {
  readonly childId: string
  readonly goal: string
  readonly reserved: TaskLimits
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
  /** Scopes that need no approval any more in this task. */
  readonly remembered: ReadonlySet<string>
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
  const remembered = new Set<string>()
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
  }

  /** Nobody waits for the answer any more. */
  function lapse({ questionId, key }: EventTypes['question.asked']): void {
    questions.delete(questionId)
    openQuestions.delete(questionId)
    questionsByKey.delete(key)
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
      // What came up and was never decided lapses with the run.
      for (const [id, approval] of approvals) if (!approval.decision) approvals.delete(id)
      for (const question of openQuestions.values()) lapse(question)
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
      for (const question of openQuestions.values()) if (question.callId === data.callId) lapse(question)
    },
    'approval.requested': ({ data }) => {
      approvals.set(data.approvalId, { request: data })
      const call = calls.get(data.callId)
      if (call) call.approvalId = data.approvalId
    },
    'approval.decided': ({ data }) => {
      const approval = approvals.get(data.approvalId)
      if (!approval) return
      approval.decision = data
      if (data.decision === 'approved' && data.remember === 'task') remembered.add(approval.request.scope)
    },
    'sandbox.started': ({ data }) => {
      facts.sandbox = data
    },
    'workspace.applied': ({ data }) => {
      if (facts.sandbox) facts.sandbox = { ...facts.sandbox, baseline: data.baseline }
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
      if (run) {
        const spent = spendOf(event)
        if (spent && event.type !== 'task.settled') run.spent = addSpend(run.spent, spent)
      }
      ;(handlers[event.type] as ((event: Event) => void) | undefined)?.(event)
    },
  }
}

import type { BatonError } from '../errors.ts'
import type { ErrorRecord } from '../events/envelope.ts'
import type { JudgeSpend, ModelFailed, Usage } from '../events/model-events.ts'
import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import { costOf } from './cost.ts'
import type { Refusal } from './eligibility.ts'
import { checkPermission } from './eligibility.ts'
import type { ExecutorOptions } from './executor.ts'
import { codeOf } from './failed-call.ts'
import type { CallNeed, Unadmitted } from './health.ts'
import type { Interrupt } from './interrupt.ts'
import { createInterrupt } from './interrupt.ts'
import type { Model } from './model.ts'
import { ModelError } from './model.ts'
import type { ModelTiming } from './model-timing.ts'
import type { Received } from './receive-reply.ts'
import type { Attempt, CallOutcome } from './router.ts'

/** One attempt of the route that may still be made. */
export interface Lane {
  readonly attempt: Attempt
  /** Sends to its model that ended by themselves; one that a hedge cut short is not counted. */
  tried: number
}

/** One send whose end is not recorded yet. */
export interface Sent {
  /** Its number among all sends of the call. */
  readonly attempt: number
  readonly at: number
}

/** A routed call under way: where it stands in its route, and what it has come to. */
export interface Execution {
  readonly call: ExecutorOptions
  readonly timing: ModelTiming
  readonly clock: Clock
  readonly interrupt: Interrupt
  readonly random: () => number
  readonly failures: ModelFailed[]
  /** Attempts that may still be made, the current one first. */
  readonly lanes: Lane[]
  /** Counts every send and every model passed over. */
  attempts: number
  /** The send under way, or the one whose end is being looked at; undefined between sends. */
  sent: Sent | undefined
  /** What failed and unaccepted replies cost, as far as it is known. */
  spentUsd: number
  /** What sends that were cut short may have cost: their provider does not say, and may charge for the prompt. */
  assumedUsd: number
  /** The failure to tell where the call fails. */
  lastError: ModelError | undefined
}

/** Begins at the first attempt. */
export function createExecution(call: ExecutorOptions, timing: ModelTiming): Execution {
  return {
    call,
    timing,
    clock: call.clock ?? systemClock,
    interrupt: createInterrupt(call.signal, 'The model call'),
    random: call.random ?? Math.random,
    failures: [],
    lanes: call.route.attempts.map((attempt) => ({ attempt, tried: 0 })),
    attempts: 0,
    sent: undefined,
    spentUsd: 0,
    assumedUsd: 0,
    lastError: undefined,
  }
}

/** The attempt that is being made. */
export function laneOf({ lanes }: Execution): Lane {
  return lanes[0] as Lane
}

/** What may still be spent, `pendingUsd` being spent too; undefined where there is no cost limit. */
export function leftUsd({ call, spentUsd, assumedUsd }: Execution, pendingUsd = 0): number | undefined {
  const own = call.budgetUsd === undefined ? undefined : call.budgetUsd - spentUsd
  const shared = call.leftUsd?.()
  if (own === undefined && shared === undefined) return undefined
  return Math.min(own ?? Number.POSITIVE_INFINITY, shared ?? Number.POSITIVE_INFINITY) - assumedUsd - pendingUsd
}

/** Why a model may not be called, with what this call has spent already. */
export function refusalOf(execution: Execution, model: Model, pendingUsd = 0): Refusal | undefined {
  const { sensitivity, estimatedTokens } = execution.call
  return checkPermission(model, { sensitivity, estimatedTokens, budgetUsd: leftUsd(execution, pendingUsd) })
}

/** Whether a later attempt may be made, once `pendingUsd` is spent too. */
export function permittedLater(execution: Execution, pendingUsd = 0): boolean {
  return execution.lanes.some(({ attempt }, place) => place > 0 && !refusalOf(execution, attempt.model, pendingUsd))
}

/** Whether a later attempt, with another model, may be made right now. */
export function availableLater(execution: Execution): boolean {
  const current = laneOf(execution).attempt.model.id
  return execution.lanes.some(({ attempt: { model } }, place) => {
    if (place === 0 || model.id === current || refusalOf(execution, model)) return false
    return !execution.call.health.check(model.id, needOf(execution, model))
  })
}

/** What a send takes of its model's own limits. */
export function needOf({ call }: Execution, { info }: Model): CallNeed | undefined {
  return info.limits && { limits: info.limits, tokens: call.estimatedTokens }
}

/** Counts a send that begins now. */
export function nextSend(execution: Execution): Sent {
  return { attempt: ++execution.attempts, at: execution.clock.now() }
}

/** What came of a send that failed by itself. */
export type FailedSend = Extract<Received, { error: ModelError }>

/** What came of the attempt, as far as it is known. */
interface FailureRecord {
  readonly error: ErrorRecord
  readonly usage?: Usage | undefined
  readonly costUsd?: number | undefined
  readonly judge?: JudgeSpend | undefined
  readonly ms?: number | undefined
  /** Whether the same model is tried again. */
  readonly retried?: boolean
  /** Where another send of the call is still to be looked at: the one that this is about. Default: the current one. */
  readonly beside?: { readonly lane: Lane; readonly sent: Sent }
}

/** Makes a failure durable: of the current attempt, or of one beside it. */
export async function recordFailure(execution: Execution, failure: FailureRecord): Promise<void> {
  const { call, lanes } = execution
  const { error, usage, costUsd, judge, ms = 0, retried = false, beside } = failure
  const sent = beside?.sent ?? execution.sent
  if (!beside) execution.sent = undefined
  execution.spentUsd += (costUsd ?? 0) + (judge?.costUsd ?? 0)
  const failed: ModelFailed = {
    modelCallId: call.modelCallId,
    model: (beside?.lane ?? laneOf(execution)).attempt.model.id,
    attempt: sent?.attempt ?? ++execution.attempts,
    error,
    ...(usage && { usage }),
    ...(costUsd !== undefined && { costUsd }),
    ...(judge && { judge }),
    ms,
    final: !retried && !beside && lanes.length === 1,
  }
  execution.failures.push(failed)
  await call.onFailed(failed)
}

/** Records a send that failed by itself, of the current attempt or one beside it, and tells it to whoever learns. */
export async function recordSend(
  execution: Execution,
  { error, usage, ms, firstChunkMs }: FailedSend,
  how: Pick<FailureRecord, 'retried' | 'beside'>,
): Promise<void> {
  const lane = how.beside?.lane ?? laneOf(execution)
  const costUsd = costOf(lane.attempt.model.info.price, usage)
  const recorded = { code: error.code, message: error.message, details: { ...error.details, kind: error.kind } }
  execution.lastError = error
  await recordFailure(execution, { error: recorded, usage, costUsd, ms, ...how })
  observe(execution, lane, { result: 'failed', ms, firstChunkMs, usage, costUsd, error: recorded })
}

/** Whether the same model may take the call yet after a send that failed. */
export function mayTryAgain({ timing }: Execution, { tried }: Lane, error: ModelError): boolean {
  return error.retryable && tried < timing.triesPerAttempt
}

/** Records that the current model is not called: because it may not be, or cannot be now. */
export async function recordPassedOver(execution: Execution, why: Refusal | Unadmitted): Promise<void> {
  if ('detail' in why) {
    await recordFailure(execution, { error: { code: codeOf(why.reason), message: `${why.model} was not called: ${why.detail}.` } })
    return
  }
  const error = unavailable(laneOf(execution).attempt.model, why, execution.clock)
  execution.lastError = error
  await recordFailure(execution, { error: { code: codeOf(why.reason), message: error.message, details: { kind: error.kind } } })
}

function unavailable(model: Model, { reason, retryAt, limit }: Unadmitted, clock: Clock): ModelError {
  const limited = reason === 'rate-limited'
  const own = limit && `its limit of ${model.info.limits?.[`${limit}PerMinute`]} ${limit} per minute is used up`
  const why = own ?? (limited ? 'its provider asked to wait' : 'its last calls failed')
  const when =
    retryAt === undefined ? ', and another call is trying it out' : `; it can be tried again at ${new Date(retryAt).toISOString()}`
  return new ModelError(limited ? 'rate-limited' : 'overloaded', `${model.id} was not called, because ${why}${when}.`, {
    retryAfterMs: retryAt === undefined ? undefined : Math.max(0, Math.round(retryAt - clock.now())),
  })
}

/** Records that the caller gave up: the last word on the call. */
export async function recordAbort(execution: Execution, error: BatonError): Promise<void> {
  const { call, clock, sent } = execution
  const failed: ModelFailed = {
    modelCallId: call.modelCallId,
    model: laneOf(execution).attempt.model.id,
    attempt: sent?.attempt ?? execution.attempts + 1,
    error: { code: error.code, message: error.message },
    ms: sent === undefined ? 0 : Math.max(0, Math.round(clock.now() - sent.at)),
    final: true,
  }
  await call.onFailed(failed)
}

/** Tells the outcome of a send to whoever learns from it. */
export function observe(execution: Execution, lane: Lane, outcome: Omit<CallOutcome, 'taskId' | 'role' | 'model'>): void {
  const { call } = execution
  try {
    call.onOutcome?.({ taskId: call.taskId, role: call.role, model: lane.attempt.model.id, ...outcome })
  } catch {
    // It is for learning only: a reply is not lost because somebody could not take note of it.
  }
}

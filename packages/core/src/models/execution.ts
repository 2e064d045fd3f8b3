import type { BatonError } from '../errors.ts'
import type { ErrorRecord } from '../events/envelope.ts'
import type { JudgeSpend, ModelFailed, Usage } from '../events/model-events.ts'
import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import type { Refusal } from './eligibility.ts'
import { checkPermission } from './eligibility.ts'
import type { ExecutorOptions } from './executor.ts'
import { codeOf } from './failed-call.ts'
import type { Admission } from './health.ts'
import type { Interrupt } from './interrupt.ts'
import { createInterrupt } from './interrupt.ts'
import type { Model } from './model.ts'
import { ModelError } from './model.ts'
import type { ModelTiming } from './model-timing.ts'
import type { Attempt, CallOutcome } from './router.ts'

/** A routed call under way: where it stands in its route, and what it has come to. */
export interface Execution {
  readonly call: ExecutorOptions
  readonly timing: ModelTiming
  readonly clock: Clock
  readonly interrupt: Interrupt
  readonly random: () => number
  readonly failures: ModelFailed[]
  /** Place in the route. */
  index: number
  /** Counts every send and every model passed over. */
  attempt: number
  /** When the send under way began; undefined between sends. */
  sentAt: number | undefined
  /** What failed and unaccepted replies cost, as far as it is known. */
  spentUsd: number
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
    index: 0,
    attempt: 0,
    sentAt: undefined,
    spentUsd: 0,
    lastError: undefined,
  }
}

/** The attempt that is being made. */
export function attemptOf({ call, index }: Execution): Attempt {
  return call.route.attempts[index] as Attempt
}

/** Why a model may not be called, with what this call has spent already. */
export function refusalOf({ call, spentUsd }: Execution, model: Model, pendingUsd = 0): Refusal | undefined {
  const { sensitivity, estimatedTokens, budgetUsd } = call
  return checkPermission(model, {
    sensitivity,
    estimatedTokens,
    budgetUsd: budgetUsd === undefined ? undefined : budgetUsd - spentUsd - pendingUsd,
  })
}

/** Whether a later attempt may be made, once `pendingUsd` is spent too. */
export function permittedLater(execution: Execution, pendingUsd = 0): boolean {
  return execution.call.route.attempts.slice(execution.index + 1).some(({ model }) => !refusalOf(execution, model, pendingUsd))
}

/** Whether a later attempt, with another model, may be made right now. */
export function availableLater(execution: Execution): boolean {
  const { call, clock, index } = execution
  const current = attemptOf(execution).model.id
  return call.route.attempts.slice(index + 1).some(({ model }) => {
    if (model.id === current || refusalOf(execution, model)) return false
    const { breaker, retryAt = 0 } = call.health.get(model.id)
    return (breaker === 'closed' || breaker === 'half-open') && retryAt <= clock.now()
  })
}

/** What came of the attempt, as far as it is known. */
interface FailureRecord {
  readonly error: ErrorRecord
  readonly usage?: Usage | undefined
  readonly costUsd?: number | undefined
  readonly judge?: JudgeSpend | undefined
  readonly ms?: number | undefined
  /** Whether the same model is tried again. */
  readonly retried?: boolean
}

/** Makes a failure of the current attempt durable. */
export async function recordFailure(execution: Execution, failure: FailureRecord): Promise<void> {
  const { call } = execution
  const { error, usage, costUsd, judge, ms = 0, retried = false } = failure
  if (execution.sentAt === undefined) execution.attempt += 1
  execution.sentAt = undefined
  execution.spentUsd += (costUsd ?? 0) + (judge?.costUsd ?? 0)
  const failed: ModelFailed = {
    modelCallId: call.modelCallId,
    model: attemptOf(execution).model.id,
    attempt: execution.attempt,
    error,
    ...(usage && { usage }),
    ...(costUsd !== undefined && { costUsd }),
    ...(judge && { judge }),
    ms,
    final: !retried && execution.index === call.route.attempts.length - 1,
  }
  execution.failures.push(failed)
  await call.onFailed(failed)
}

/** Records that the current model is not called: because it may not be, or cannot be now. */
export async function recordPassedOver(execution: Execution, why: Refusal | Exclude<Admission, { call: object }>): Promise<void> {
  if ('detail' in why) {
    await recordFailure(execution, { error: { code: codeOf(why.reason), message: `${why.model} was not called: ${why.detail}.` } })
    return
  }
  const error = unavailable(attemptOf(execution).model, why, execution.clock)
  execution.lastError = error
  await recordFailure(execution, { error: { code: codeOf(why.reason), message: error.message, details: { kind: error.kind } } })
}

function unavailable(model: Model, { reason, retryAt }: Exclude<Admission, { call: object }>, clock: Clock): ModelError {
  const limited = reason === 'rate-limited'
  const why = limited ? 'its provider asked to wait' : 'its last calls failed'
  const when =
    retryAt === undefined ? ', and another call is trying it out' : `; it can be tried again at ${new Date(retryAt).toISOString()}`
  return new ModelError(limited ? 'rate-limited' : 'overloaded', `${model.id} was not called, because ${why}${when}.`, {
    retryAfterMs: retryAt === undefined ? undefined : Math.max(0, Math.round(retryAt - clock.now())),
  })
}

/** Records that the caller gave up: the last word on the call. */
export async function recordAbort(execution: Execution, error: BatonError): Promise<void> {
  const { call, clock, sentAt } = execution
  execution.index = Math.min(execution.index, call.route.attempts.length - 1)
  const failed: ModelFailed = {
    modelCallId: call.modelCallId,
    model: attemptOf(execution).model.id,
    attempt: sentAt === undefined ? execution.attempt + 1 : execution.attempt,
    error: { code: error.code, message: error.message },
    ms: sentAt === undefined ? 0 : Math.max(0, Math.round(clock.now() - sentAt)),
    final: true,
  }
  await call.onFailed(failed)
}

/** Tells the outcome of a send to whoever learns from it. */
export function observe(execution: Execution, outcome: Omit<CallOutcome, 'taskId' | 'role' | 'model'>): void {
  const { call } = execution
  try {
    call.onOutcome?.({ taskId: call.taskId, role: call.role, model: attemptOf(execution).model.id, ...outcome })
  } catch {
    // It is for learning only: a reply is not lost because somebody could not take note of it.
  }
}

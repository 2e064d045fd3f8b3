import { messageOf } from '../errors.ts'
import type { ModelFailed } from '../events/model-events.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import type { Clock } from './clock.ts'
import { costOf } from './cost.ts'
import { noEligibleModel } from './eligibility.ts'
import type { Execution } from './execution.ts'
import {
  attemptOf,
  availableLater,
  createExecution,
  observe,
  permittedLater,
  recordAbort,
  recordFailure,
  recordPassedOver,
  refusalOf,
} from './execution.ts'
import { callFailed } from './failed-call.ts'
import type { AdmittedCall, ModelHealthBook } from './health.ts'
import { pause } from './interrupt.ts'
import type { Model, ModelError, ModelReply } from './model.ts'
import { ModelTiming } from './model-timing.ts'
import type { Received } from './receive-reply.ts'
import { receiveReply } from './receive-reply.ts'
import type { CallOutcome, Route, RouteRequest, Verdict } from './router.ts'

/** What {@link executeRoute} works with: one call, routed, to be made. */
export interface ExecutorOptions
  extends Abortable,
    Pick<RouteRequest, 'taskId' | 'role' | 'request' | 'sensitivity' | 'estimatedTokens' | 'budgetUsd'> {
  readonly route: Route
  readonly modelCallId: string
  readonly health: ModelHealthBook
  /** Default: the defaults of {@link ModelTiming}. Checked once per object. */
  readonly timing?: Partial<ModelTiming> | undefined
  /** Names the tool call at a place of the reply. */
  mintCallId(index: number): string
  /** Told right before each send. */
  onSend?(model: Model, attempt: number): void
  /**
   * Makes a failure durable; awaited before anything else is tried, and what it throws ends the call. Told once for every send that failed or
   * was not accepted (`NOT_ACCEPTED`), once for every model that was passed over (`NOT_CLEARED`, `PRICE_UNKNOWN`, `OVER_BUDGET`, `OPEN`,
   * `PROBING`, `RATE_LIMITED`), and once for the caller's abort (`ABORTED`). Exactly one, the last, is `final` where the call fails; none where it does not.
   */
  onFailed(failure: ModelFailed): Promise<void>
  /** Told what is being said, for showing; what a failed attempt said is void. */
  onDelta?(kind: 'text' | 'reasoning', text: string, attempt: number): void
  /** Told what each send came to, for a router's learning; what it throws is ignored. An aborted one came to nothing. */
  onOutcome?(outcome: CallOutcome): void
  /** Chance, for tests. */
  readonly random?: (() => number) | undefined
  /** Time, for tests; the same as the health book's. */
  readonly clock?: Clock | undefined
}

/**
 * Makes a routed call: tries the attempts in order until one succeeds and is accepted.
 *
 * Right before every send, retries too, a model has to be cleared for the content, of known price under a cost limit, and affordable; one
 * that is not is passed over and never called, whatever the router said. Failures that may pass are retried with growing random waits; others
 * go to the next attempt at once. A provider that asks to wait, or a breaker that is open, makes the call go on with another model, and wait
 * only where there is none.
 *
 * @throws ModelError when the last attempt failed; `details.attempts` tells all of them.
 * @throws BatonError `NO_ELIGIBLE_MODEL` when no model was allowed to be tried, `ABORTED` promptly on the caller's signal, whatever the model does,
 * and `INVALID_OPTIONS`. Also what `onFailed`, `onSend`, `onDelta` or `mintCallId` throw.
 */
export async function executeRoute(call: ExecutorOptions): Promise<ModelReply> {
  const timing = timingOf(call.timing)
  if (call.route.attempts.length === 0) throw noEligibleModel(call.route.considered)
  const execution = createExecution(call, timing)
  try {
    for (; execution.index < call.route.attempts.length; execution.index++) {
      const reply = await runAttempt(execution)
      if (reply) return reply
    }
    throw callFailed(execution.failures, execution.lastError)
  } catch (error) {
    if (execution.interrupt.aborted && error === execution.interrupt.aborted) await recordAbort(execution, execution.interrupt.aborted)
    throw error
  } finally {
    execution.interrupt.close()
  }
}

const defaults = ModelTiming.parse({})
const checked = new WeakMap<object, ModelTiming>()

function timingOf(given: Partial<ModelTiming> | undefined): ModelTiming {
  if (given === undefined) return defaults
  let timing = checked.get(given)
  if (!timing) {
    timing = parseOptions('The timing of model calls', ModelTiming, given)
    checked.set(given, timing)
  }
  return timing
}

/** Sends to the model of one attempt until there is a reply to return, or nothing more to be got from it. */
async function runAttempt(execution: Execution): Promise<ModelReply | undefined> {
  for (let tried = 1; ; tried++) {
    const admitted = await admit(execution)
    if (!admitted) return undefined
    const received = await send(execution, admitted)
    if (received.whole) return await judge(execution, received)
    const waitMs = await fail(execution, received, tried)
    if (waitMs === undefined) return undefined
    await pause(execution.interrupt, execution.clock, waitMs)
  }
}

/** Waits until the model may be called. The last look at whether it may, and the send, are one step without an await between. */
async function admit(execution: Execution): Promise<AdmittedCall | undefined> {
  const { call, clock, interrupt, timing, random } = execution
  const { model } = attemptOf(execution)
  const deadline = clock.now() + timing.maxWaitMs
  for (;;) {
    if (interrupt.aborted) throw interrupt.aborted
    const refusal = refusalOf(execution, model)
    if (refusal) {
      await recordPassedOver(execution, refusal)
      return undefined
    }
    const admission = call.health.begin(model.id)
    if (admission.call) return admission.call
    const now = clock.now()
    // The outcome of a probe is waited for, as long as this call waits for anything.
    const until = admission.retryAt ?? deadline
    if (now >= deadline || until > deadline || availableLater(execution)) {
      await recordPassedOver(execution, admission)
      return undefined
    }
    // A little later than asked, so that all who wait do not come at once.
    await pause(interrupt, clock, until - now + random() * timing.backoffBaseMs, (wake) => call.health.onProbed(model.id, wake))
  }
}

/** One transfer. The health book is told how it went on every path. */
async function send(execution: Execution, admitted: AdmittedCall): Promise<Received> {
  const { call, clock, interrupt, timing } = execution
  const { model } = attemptOf(execution)
  const attempt = ++execution.attempt
  execution.sentAt = clock.now()
  try {
    call.onSend?.(model, attempt)
    const received = await receiveReply({
      model,
      request: call.request,
      interrupt,
      clock,
      firstChunkMs: timing.firstChunkMs,
      betweenChunksMs: timing.betweenChunksMs,
      ...(call.onDelta && { onDelta: (kind, text) => call.onDelta?.(kind, text, attempt) }),
    })
    if (received.error) admitted.failed(received.error)
    else admitted.succeeded({ ms: received.ms, firstChunkMs: received.firstChunkMs, outputTokens: received.whole.usage?.outputTokens })
    return received
  } finally {
    admitted.dropped()
  }
}

/** Takes a reply, or records why not. */
async function judge(execution: Execution, received: Extract<Received, { whole: object }>): Promise<ModelReply | undefined> {
  const { call } = execution
  const { model } = attemptOf(execution)
  const { whole, ms, firstChunkMs } = received
  const { usage } = whole
  const costUsd = costOf(model.info.price, usage)
  const reply: ModelReply = {
    modelCallId: call.modelCallId,
    model: model.id,
    attempt: execution.attempt,
    ...whole.reply((place) => call.mintCallId(place)),
    ...(costUsd !== undefined && { costUsd }),
    ms,
    ...(firstChunkMs !== undefined && { firstChunkMs }),
  }
  const { accepted, reason, judge } = await verdictOn(execution, reply)
  if (accepted || !permittedLater(execution, (costUsd ?? 0) + (judge?.costUsd ?? 0))) {
    observe(execution, { result: accepted ? 'ok' : 'not-accepted', ms, firstChunkMs, usage, costUsd })
    return judge ? { ...reply, judge } : reply
  }
  const error = { code: 'NOT_ACCEPTED', message: reason ?? 'the reply was judged not good enough' }
  await recordFailure(execution, { error, usage, costUsd, judge, ms })
  observe(execution, { result: 'not-accepted', ms, firstChunkMs, usage, costUsd, error })
  return undefined
}

/** The last reply that can be had is taken as it is, so it is not judged. */
async function verdictOn(execution: Execution, reply: ModelReply): Promise<Verdict> {
  const { call, interrupt } = execution
  const attempt = attemptOf(execution)
  if (!attempt.accept || !permittedLater(execution, reply.costUsd)) return { accepted: true }
  const { request, sensitivity, budgetUsd, signal } = call
  const leftUsd = budgetUsd === undefined ? undefined : Math.max(0, budgetUsd - execution.spentUsd - (reply.costUsd ?? 0))
  try {
    return await interrupt.race(attempt.accept(reply, { request, sensitivity, budgetUsd: leftUsd, signal }))
  } catch (error) {
    if (interrupt.aborted) throw interrupt.aborted
    return { accepted: false, reason: `the reply could not be judged: ${messageOf(error)}` }
  }
}

/** Records a failed send. Returns how long to wait before the same model is tried again, or undefined where it is not. */
async function fail(execution: Execution, received: Extract<Received, { error: ModelError }>, tried: number): Promise<number | undefined> {
  const { error, usage, ms, firstChunkMs } = received
  const costUsd = costOf(attemptOf(execution).model.info.price, usage)
  execution.lastError = error
  const waitMs = retryDelay(execution, error, tried)
  const recorded = { code: error.code, message: error.message, details: { ...error.details, kind: error.kind } }
  await recordFailure(execution, { error: recorded, usage, costUsd, ms, retried: waitMs !== undefined })
  observe(execution, { result: 'failed', ms, firstChunkMs, usage, costUsd, error: recorded })
  return waitMs
}

function retryDelay(execution: Execution, error: ModelError, tried: number): number | undefined {
  const { timing, random } = execution
  if (!error.retryable || tried >= timing.triesPerAttempt) return undefined
  const backoffMs = random() * Math.min(timing.backoffCapMs, timing.backoffBaseMs * 2 ** (tried - 1))
  const { retryAfterMs } = error
  if (retryAfterMs === undefined || !(retryAfterMs > 0)) return backoffMs
  if (retryAfterMs > timing.maxWaitMs || availableLater(execution)) return undefined
  return retryAfterMs + backoffMs
}

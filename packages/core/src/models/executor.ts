import { messageOf } from '../errors.ts'
import type { ModelFailed } from '../events/model-events.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import type { Clock } from './clock.ts'
import { costOf } from './cost.ts'
import { noEligibleModel } from './eligibility.ts'
import type { Execution, FailedSend } from './execution.ts'
import {
  availableLater,
  createExecution,
  laneOf,
  leftUsd,
  mayTryAgain,
  needOf,
  nextSend,
  observe,
  permittedLater,
  recordAbort,
  recordFailure,
  recordPassedOver,
  recordSend,
  refusalOf,
} from './execution.ts'
import { callFailed } from './failed-call.ts'
import type { AdmittedCall, ModelHealthBook, Reservation } from './health.ts'
import { sendHedged } from './hedge.ts'
import { pause } from './interrupt.ts'
import type { Model, ModelError, ModelReply } from './model.ts'
import { ModelTiming } from './model-timing.ts'
import type { ModelSend, Received } from './receive-reply.ts'
import type { CallOutcome, Route, RouteRequest, Verdict } from './router.ts'
import { transfer } from './transfer.ts'

/** What {@link executeRoute} works with: one call, routed, to be made. */
export interface ExecutorOptions
  extends Abortable,
    Pick<RouteRequest, 'taskId' | 'role' | 'request' | 'sensitivity' | 'estimatedTokens' | 'budgetUsd'> {
  readonly route: Route
  readonly modelCallId: string
  readonly health: ModelHealthBook
  /** Default: the defaults of {@link ModelTiming}. Checked once per object. */
  readonly timing?: Partial<ModelTiming> | undefined
  /**
   * What may still be spent now, where budgets are shared with other calls: what was told to `onFailed` is in it. Asked right before each send, beside
   * `budgetUsd`; the lower one holds. Undefined: no limit.
   */
  leftUsd?(): number | undefined
  /** What a model is sent, where that depends on the model. Asked right before each send. Default: `request`, for all. */
  sendFor?(model: Model): ModelSend
  /** Names the tool call at a place of the reply. */
  mintCallId(index: number): string
  /** Told right before each send. */
  onSend?(model: Model, attempt: number): void
  /**
   * Makes a failure durable; awaited before anything else is tried, and what it throws ends the call. Told once for every send that failed or
   * was not accepted (`NOT_ACCEPTED`) or was cut short since another model answered first (`HEDGED`), once for every model that was passed over
   * (`NOT_CLEARED`, `PRICE_UNKNOWN`, `OVER_BUDGET`, `OPEN`, `PROBING`, `RATE_LIMITED`), and for the caller's abort (`ABORTED`) once for each send under
   * way, else once. Exactly one, the last, is `final` where the call fails; none where it does not.
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
    for (; execution.lanes.length > 0; execution.lanes.shift()) {
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
  for (;;) {
    const admitted = await admit(execution)
    if (!admitted) return undefined
    const received = await send(execution, admitted)
    if (received.whole) return await judge(execution, received)
    const waitMs = await fail(execution, received)
    if (waitMs === undefined) return undefined
    await pause(execution.interrupt, execution.clock, waitMs)
  }
}

/** Waits until the model may be called. The last look at whether it may, and the send, are one step without an await between. */
async function admit(execution: Execution): Promise<AdmittedCall | undefined> {
  const { call, clock, interrupt, timing, random } = execution
  const { model } = laneOf(execution).attempt
  const deadline = clock.now() + timing.maxWaitMs
  let reservation: Reservation | undefined
  try {
    for (;;) {
      if (interrupt.aborted) throw interrupt.aborted
      const refusal = refusalOf(execution, model)
      if (refusal) {
        await recordPassedOver(execution, refusal)
        return undefined
      }
      const need = needOf(execution, model)
      const admission = call.health.begin(model.id, reservation ? { ...need, reservation } : need)
      if (admission.call) return admission.call
      const now = clock.now()
      // The outcome of a probe is waited for, as long as this call waits for anything.
      const until = admission.retryAt ?? deadline
      if (now >= deadline || until > deadline || availableLater(execution)) {
        await recordPassedOver(execution, admission)
        return undefined
      }
      // Who waits for a limit has a place; the others come a little later than asked, so that not all come at once.
      if (admission.limit && need) reservation ??= call.health.reserve(model.id, need)
      const laterMs = admission.limit ? 0 : random() * timing.backoffBaseMs
      await pause(interrupt, clock, until - now + laterMs, (wake) => call.health.onProbed(model.id, wake))
    }
  } finally {
    reservation?.release()
  }
}

/** One transfer to the current model, with another one beside it where the attempt says so. */
async function send(execution: Execution, admitted: AdmittedCall): Promise<Received> {
  const { interrupt, timing, lanes } = execution
  const lane = laneOf(execution)
  const { hedgeAfterMs } = lane.attempt
  if (hedgeAfterMs !== undefined && hedgeAfterMs < timing.firstChunkMs && lanes.length > 1)
    return sendHedged(execution, admitted, hedgeAfterMs)
  lane.tried++
  const sent = nextSend(execution)
  execution.sent = sent
  return transfer(execution, { lane, sent, admitted, interrupt })
}

/** Takes a reply, or records why not. */
async function judge(execution: Execution, received: Extract<Received, { whole: object }>): Promise<ModelReply | undefined> {
  const { call } = execution
  const { sent } = execution
  const lane = laneOf(execution)
  const { model } = lane.attempt
  const { whole, ms, firstChunkMs } = received
  const { usage } = whole
  const costUsd = costOf(model.info.price, usage)
  const reply: ModelReply = {
    modelCallId: call.modelCallId,
    model: model.id,
    attempt: sent?.attempt ?? execution.attempts,
    ...whole.reply((place) => call.mintCallId(place)),
    ...(costUsd !== undefined && { costUsd }),
    ms,
    ...(firstChunkMs !== undefined && { firstChunkMs }),
  }
  const { accepted, reason, judge } = await verdictOn(execution, reply)
  if (accepted || !permittedLater(execution, (costUsd ?? 0) + (judge?.costUsd ?? 0))) {
    observe(execution, lane, { result: accepted ? 'ok' : 'not-accepted', ms, firstChunkMs, usage, costUsd })
    return judge ? { ...reply, judge } : reply
  }
  const error = { code: 'NOT_ACCEPTED', message: reason ?? 'the reply was judged not good enough' }
  await recordFailure(execution, { error, usage, costUsd, judge, ms })
  observe(execution, lane, { result: 'not-accepted', ms, firstChunkMs, usage, costUsd, error })
  return undefined
}

/** The last reply that can be had is taken as it is, so it is not judged. */
async function verdictOn(execution: Execution, reply: ModelReply): Promise<Verdict> {
  const { call, interrupt } = execution
  const { attempt } = laneOf(execution)
  if (!attempt.accept || !permittedLater(execution, reply.costUsd)) return { accepted: true }
  const { request, sensitivity, signal } = call
  const left = leftUsd(execution, reply.costUsd)
  const budgetUsd = left === undefined ? undefined : Math.max(0, left)
  const { verdictMs } = execution.timing
  const limit = new AbortController()
  const cancel = execution.clock.setTimer(() => {
    const error = new Error(`there was no verdict within ${verdictMs / 1000} s`)
    limit.abort(error)
    interrupt.trip(error)
  }, verdictMs)
  const stop = signal ? AbortSignal.any([signal, limit.signal]) : limit.signal
  try {
    return await interrupt.race(attempt.accept(reply, { request, sensitivity, budgetUsd, signal: stop }))
  } catch (error) {
    if (interrupt.aborted) throw interrupt.aborted
    return { accepted: false, reason: `the reply could not be judged: ${messageOf(error)}` }
  } finally {
    cancel()
  }
}

/** Records a failed send. Returns how long to wait before the same model is tried again, or undefined where it is not. */
async function fail(execution: Execution, received: FailedSend): Promise<number | undefined> {
  const waitMs = retryDelay(execution, received.error)
  await recordSend(execution, received, { retried: waitMs !== undefined })
  return waitMs
}

function retryDelay(execution: Execution, error: ModelError): number | undefined {
  const { timing, random } = execution
  const lane = laneOf(execution)
  if (!mayTryAgain(execution, lane, error)) return undefined
  const backoffMs = random() * Math.min(timing.backoffCapMs, timing.backoffBaseMs * 2 ** (lane.tried - 1))
  const { retryAfterMs } = error
  if (retryAfterMs === undefined || !(retryAfterMs > 0)) return backoffMs
  if (retryAfterMs > timing.maxWaitMs || availableLater(execution)) return undefined
  return retryAfterMs + backoffMs
}

import { BatonError } from '../errors.ts'
import type { Execution, Lane, Sent } from './execution.ts'
import { laneOf, mayTryAgain, needOf, nextSend, recordFailure, recordSend, refusalOf } from './execution.ts'
import type { AdmittedCall } from './health.ts'
import { createInterrupt } from './interrupt.ts'
import type { Model } from './model.ts'
import type { Received } from './receive-reply.ts'
import { transfer } from './transfer.ts'

/** One of the sends that run beside each other. */
interface Side {
  readonly lane: Lane
  readonly sent: Sent
  readonly admitted: AdmittedCall
  readonly stop: AbortController
  /** What it came to; absent while it runs. */
  end: End | undefined
}

/** How a side ended: with nothing received where it was broken off. */
interface End {
  readonly received: Received | undefined
  readonly ms: number
}

/**
 * Sends to the current model, and where it says nothing for so long, to that of a later attempt too. Once one has said something, the other is cut
 * short. The failure of the one that is not returned is recorded here; the other's attempt is the current one then.
 *
 * @throws what a listener throws, or the caller's abort. Both sends are over then.
 */
export async function sendHedged(execution: Execution, admitted: AdmittedCall, hedgeAfterMs: number): Promise<Received> {
  const { clock, interrupt } = execution
  const outrun = new BatonError('ABORTED', 'Another model answered first.')
  const sides: Side[] = []
  const over: Promise<void>[] = []
  let winner: Side | undefined
  /** What ended the call: its caller's abort, or what a listener threw. */
  let thrown: { readonly error: unknown } | undefined

  function begin(lane: Lane, call: AdmittedCall): void {
    const stop = new AbortController()
    const side: Side = { lane, sent: nextSend(execution), admitted: call, stop, end: undefined }
    sides.push(side)
    lane.tried++
    const work = transfer(execution, {
      lane,
      sent: side.sent,
      admitted: call,
      interrupt: createInterrupt(stop.signal, 'The model call'),
      onFirstChunk() {
        winner = side
        for (const other of sides) if (other !== side && !other.end) cutShort(other)
      },
    })
    const end = (received?: Received): void => {
      side.end = { received, ms: Math.max(0, Math.round(clock.now() - side.sent.at)) }
    }
    over.push(
      work.then(end, (error: unknown) => {
        end()
        if (error === outrun) return
        thrown ??= { error }
        stopAll(error)
      }),
    )
  }

  function cutShort({ admitted: call, sent, lane, stop }: Side): void {
    call.outrun(Math.round(clock.now() - sent.at))
    lane.tried--
    execution.assumedUsd += promptUsd(execution, lane.attempt.model)
    stop.abort(outrun)
  }

  function stopAll(reason: unknown): void {
    for (const { end, stop } of sides) if (!end) stop.abort(reason)
  }

  function beginBeside(): void {
    if (winner || interrupt.aborted || sides[0]?.end) return
    const found = hedgeOf(execution)
    if (found) begin(found.lane, found.admitted)
  }

  interrupt.onAbort = stopAll
  const cancel = clock.setTimer(beginBeside, hedgeAfterMs)
  try {
    begin(laneOf(execution), admitted)
    await over[0]
    await over[1]
  } finally {
    cancel()
    interrupt.onAbort = undefined
  }
  if (thrown && thrown.error !== interrupt.aborted) throw thrown.error
  // Where none has said anything, the earlier attempt is gone on with.
  const main = winner ?? sides.find(({ end }) => !end?.received) ?? (sides[0] as Side)
  await settle(execution, sides, main)
  if (thrown) throw thrown.error
  return main.end?.received as Received
}

/** The attempt to make beside the current one: the first that may be made right now, the price of both being within the budget. */
function hedgeOf(execution: Execution): { lane: Lane; admitted: AdmittedCall } | undefined {
  const { call, lanes } = execution
  const currentUsd = priceUsd(execution, laneOf(execution).attempt.model)
  for (const lane of lanes.slice(1)) {
    const { model } = lane.attempt
    const outputUsd = priceUsd(execution, model) - promptUsd(execution, model)
    if (refusalOf(execution, model, currentUsd + outputUsd)) continue
    const { call: admitted } = call.health.begin(model.id, needOf(execution, model))
    if (admitted) return { lane, admitted }
  }
  return undefined
}

function promptUsd({ call }: Execution, { info }: Model): number {
  return (call.estimatedTokens * (info.price?.input ?? 0)) / 1e6
}

/** Of the prompt, and of the output as far as the request limits it. */
function priceUsd(execution: Execution, model: Model): number {
  const { maxOutputTokens = 0 } = execution.call.request
  return promptUsd(execution, model) + (maxOutputTokens * (model.info.price?.output ?? 0)) / 1e6
}

/** Makes the send that the call goes on with the current one, and records what became of the other. */
async function settle(execution: Execution, sides: readonly Side[], main: Side): Promise<void> {
  const { lanes } = execution
  execution.sent = main.sent
  const other = sides.find((side) => side !== main)
  if (!other) return
  lanes.splice(lanes.indexOf(main.lane), 1)
  lanes.unshift(main.lane)
  const { received, ms } = other.end as End
  if (!received) {
    const aborted = execution.interrupt.aborted
    const error = aborted ?? { code: 'HEDGED', message: `${main.lane.attempt.model.id} answered first, so this send was cut short.` }
    await recordFailure(execution, { error: { code: error.code, message: error.message }, ms, beside: other })
    return
  }
  if (received.whole) return
  if (!mayTryAgain(execution, other.lane, received.error)) lanes.splice(lanes.indexOf(other.lane), 1)
  await recordSend(execution, received, { beside: other })
}

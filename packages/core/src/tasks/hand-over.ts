import { z } from 'zod'
import type { HandOverResult } from '../agents/agent.ts'
import { until } from '../events/event-stream.ts'
import { parseOptions } from '../options.ts'
import { lookBack } from './look-around.ts'
import type { ActiveRun } from './run-context.ts'
import { ready } from './run-context.ts'
import { offerIdOf } from './task-summary.ts'

const Options = z.strictObject({
  key: z.string().min(1, 'expected a key'),
  reason: z.string().min(1, 'expected some words'),
  to: z.string().min(1).optional(),
})

/** Offers control under a key, and waits for what becomes of it. */
export async function handOver(
  active: ActiveRun,
  options: { readonly key: string; readonly reason: string; readonly to?: string | undefined },
): Promise<HandOverResult> {
  const { key, reason, to } = parseOptions('handOver', Options, options)
  const { runtime, hold, signal } = active
  const { state } = runtime
  const outcome = (): HandOverResult | undefined => {
    const known = state.offersByKey.get(key)?.outcome
    return known && { taken: known.taken, by: known.by, ...(known.note !== undefined && { note: known.note }) }
  }
  await ready(active)
  const there = outcome()
  if (there) return there
  if (!state.offersByKey.has(key)) {
    const data = { offerId: offerIdOf(key), key, reason, ...(to !== undefined && { to }) }
    await runtime.drive([{ type: 'control.offered', actor: runtime.agentActor, data }])
  }
  await lookBack(active)
  return hold.yieldFor(() => until(runtime.stream, outcome, signal, 'The offer of control'))
}

import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Candidate, Choice, RoutingPolicy } from '../policy.ts'
import { compose, usd } from './compose.ts'
import { PolicySchema } from './policy-schema.ts'

const Options = z.strictObject({
  /** How many more calls a task is expected to make, this one included: the longer, the sooner a switch pays. Default: 5. */
  expectedCalls: z.int().positive().default(5),
})

/**
 * The same model within a task, as long as its warm prompt cache is worth more than what the inner policy's first choice would save. Staying is
 * counted as `expectedCalls` calls with the prompt seen before at the price for cached input, switching as one cold call at the other
 * model and then warm ones. It only stays with a model that the inner policy ranks, and lets go where that model's replies were judged not good enough.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function sticky(inner: RoutingPolicy, options: z.input<typeof Options> = {}): RoutingPolicy {
  parseOptions('sticky', z.object({ inner: PolicySchema }), { inner })
  const { expectedCalls } = parseOptions('sticky', Options, options)
  return compose(`sticky(${inner.name})`, [inner], async (candidates, request) => {
    const choices = await inner.rank(candidates, request)
    const { lastModel, previous = [] } = request
    const [first] = choices
    const last = choices.find(({ candidate }) => candidate.model.id === lastModel)
    if (!first || !last || last === first || previous.some(({ model }) => model === lastModel)) return choices
    const stayUsd = costOver(expectedCalls, last.candidate.warmCostUsd, last.candidate)
    const switchUsd = costOver(expectedCalls, first.candidate.costUsd, first.candidate)
    // Of unknown price either way there is nothing to compare: the inner policy's word stands.
    if (stayUsd === undefined || switchUsd === undefined) return choices
    const calls = expectedCalls === 1 ? 'this call' : `${expectedCalls} calls`
    const figures = `${calls} cost about ${usd(stayUsd)} with ${lastModel}, whose cache is warm, and ${usd(switchUsd)} with ${first.candidate.model.id}`
    if (stayUsd >= switchUsd) return [withDetail(first, `a switch pays: ${figures}`), ...choices.slice(1)]
    return [{ ...last, reason: 'sticky', detail: figures }, ...choices.filter((choice) => choice !== last)]
  })
}

function costOver(calls: number, firstUsd: number | undefined, { warmCostUsd }: Candidate): number | undefined {
  return firstUsd === undefined || warmCostUsd === undefined ? undefined : firstUsd + (calls - 1) * warmCostUsd
}

function withDetail(choice: Choice, detail: string): Choice {
  return { ...choice, detail: choice.detail === undefined ? detail : `${choice.detail}; ${detail}` }
}

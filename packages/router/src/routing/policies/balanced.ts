import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Candidate, RoutingPolicy } from '../policy.ts'
import { costNow } from './cheapest.ts'
import { byScore, usd } from './compose.ts'
import { expectedMs } from './fastest.ts'

const weight = z.number().nonnegative()
const Options = z
  .strictObject({
    /** How much each counts; only their proportions matter. Default: 1 each, and 0 for quality where no quality is given. */
    cost: weight.default(1),
    speed: weight.default(1),
    quality: weight.default(1),
    /** How good each model is for the work at hand, from 0 to 1, by id. A model that is not named counts as their mean. */
    qualities: z.record(z.string(), z.number().min(0).max(1)).default({}),
  })
  .refine(({ cost, speed, quality }) => cost + speed + quality > 0, { error: 'expected at least one weight above 0', path: ['cost'] })

/** Options of {@link balanced}. */
export type BalancedOptions = z.input<typeof Options>

/**
 * By a weighted sum of three marks from 0 to 1: how near its cost comes to the cheapest candidate's, how near its time comes to the fastest's
 * (as measured; the mean of the others where it was not), and how good it is said to be. Cost is a share of the cheapest: twice the cost is half the mark.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function balanced(options: BalancedOptions = {}): RoutingPolicy {
  const { qualities, ...given } = parseOptions('balanced', Options, options)
  const ids = Object.keys(qualities)
  const meanQuality = mean(Object.values(qualities)) ?? 0.5
  const weights = ids.length === 0 && given.cost + given.speed > 0 ? { ...given, quality: 0 } : given
  const total = weights.cost + weights.speed + weights.quality
  return {
    name: 'balanced',
    ...(ids.length > 0 && { modelIds: ids }),
    rank(candidates, request) {
      const costs = nearness(candidates.map((candidate) => costNow(candidate, request.lastModel)))
      const speeds = nearness(candidates.map((candidate) => expectedMs(candidate, request)))
      const meanSpeed = mean(speeds.filter((mark) => mark !== undefined)) ?? 1
      // What is unknown is not cheap, and not slow.
      const markOf = (candidate: Candidate, at: number) => {
        const [cost, speed, quality] = [costs[at] ?? 0, speeds[at] ?? meanSpeed, qualities[candidate.model.id] ?? meanQuality]
        return { cost, speed, quality, all: (weights.cost * cost + weights.speed * speed + weights.quality * quality) / total }
      }
      return byScore(candidates, {
        reason: 'balanced',
        score: (candidate, at) => -markOf(candidate, at).all,
        explain: (candidate) => {
          const { all, cost, speed, quality } = markOf(candidate, candidates.indexOf(candidate))
          const parts = `cost ${cost.toFixed(2)} (${usd(costNow(candidate, request.lastModel))}), speed ${speed.toFixed(2)}`
          return `mark ${all.toFixed(2)} of 1: ${parts}${weights.quality > 0 ? `, quality ${quality.toFixed(2)}` : ''}`
        },
      })
    },
  }
}

/** How near each value comes to the least: 1 for the least itself, 1/2 for twice as much. */
function nearness(values: readonly (number | undefined)[]): (number | undefined)[] {
  const least = values.reduce<number>((low, value) => Math.min(low, value ?? Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY)
  return values.map((value) => (value === undefined ? undefined : value === least ? 1 : least / value))
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
}

import type { Candidate, RoutingPolicy } from '../policy.ts'
import { byScore, usd } from './compose.ts'

/** What a call would cost with a candidate now: less where its cache holds the beginning of the prompt. */
export function costNow({ model, costUsd, warmCostUsd }: Candidate, lastModel: string | undefined): number | undefined {
  return model.id === lastModel ? warmCostUsd : costUsd
}

/** By what the call is expected to cost, with the cache of the model that answered last counted in. Models of unknown price come last: unknown is never free. */
export function cheapest(): RoutingPolicy {
  return {
    name: 'cheapest',
    rank: (candidates, { lastModel }) =>
      byScore(candidates, {
        reason: 'cheapest',
        score: (candidate) => costNow(candidate, lastModel) ?? Number.POSITIVE_INFINITY,
        explain: (candidate) => `about ${usd(costNow(candidate, lastModel))}`,
      }),
  }
}

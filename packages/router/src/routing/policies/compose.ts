import type { CallOutcome } from '@baton-sdk/core/plugin'
import type { Candidate, Choice, RoutingPolicy, RoutingRequest } from '../policy.ts'

/** How many choices of a ranking are explained with figures: nobody reads two hundred, and each one stands in the log. */
const explained = 8

/** Builds a policy out of others, which are told of outcomes too. */
export function compose(
  name: string,
  inner: readonly RoutingPolicy[],
  rank: (candidates: readonly Candidate[], request: RoutingRequest) => Promise<readonly Choice[]> | readonly Choice[],
): RoutingPolicy {
  const modelIds = [...new Set(inner.flatMap((policy) => policy.modelIds ?? []))]
  return {
    name,
    ...(modelIds.length > 0 && { modelIds }),
    rank,
    observe(outcome: CallOutcome) {
      for (const policy of inner) policy.observe?.(outcome)
    },
  }
}

/** The candidates in the order in which the router was given them. */
export const inOrder: RoutingPolicy = {
  name: 'in-order',
  rank: (candidates) => candidates.map((candidate) => ({ candidate, reason: 'in-order' })),
}

/** The candidates that are named, in the order of the names. */
export function listed(ids: readonly string[], reason: string): RoutingPolicy {
  return {
    name: reason,
    modelIds: ids,
    rank(candidates) {
      const byId = new Map(candidates.map((candidate) => [candidate.model.id, candidate]))
      return ids.flatMap((id, place) => {
        const candidate = byId.get(id)
        return candidate ? [{ candidate, reason, detail: `number ${place + 1} of ${ids.length}` }] : []
      })
    },
  }
}

/** Ids are a list in order of preference. */
export function asPolicy(policy: RoutingPolicy | readonly string[], reason: string): RoutingPolicy {
  return 'rank' in policy ? policy : listed(policy, reason)
}

/** Candidates by a score, the lowest first; equal ones stay in their order. */
export function byScore(
  candidates: readonly Candidate[],
  { reason, score, explain }: { reason: string; score(candidate: Candidate, at: number): number; explain(candidate: Candidate): string },
): Choice[] {
  const scored = candidates.map((candidate, at) => ({ candidate, score: score(candidate, at) }))
  // Infinity less itself is no number, which a sort takes for equal.
  scored.sort((a, b) => a.score - b.score)
  return scored.map(({ candidate }, place) =>
    place < explained ? { candidate, reason, detail: explain(candidate) } : { candidate, reason, detail: undefined },
  )
}

/** An amount for a person. */
export function usd(amount: number | undefined): string {
  if (amount === undefined) return 'an unknown price'
  return amount > 0 && amount < 1e-6 ? 'less than $0.000001' : `$${Number(amount.toPrecision(3))}`
}

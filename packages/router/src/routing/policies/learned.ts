import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { OutcomeIndex } from '../../learning/outcome-index.ts'
import type { OutcomeEstimate } from '../../learning/outcome-memory.ts'
import { taskText } from '../../learning/task-text.ts'
import type { Candidate, Choice, RoutingPolicy, RoutingRequest } from '../policy.ts'
import { costNow } from './cheapest.ts'
import { byScore, compose, inOrder, usd } from './compose.ts'
import { PolicySchema } from './policy-schema.ts'

const Options = z.strictObject({
  index: z.custom<OutcomeIndex>(
    (value) => typeof value === 'object' && value !== null && 'estimate' in value && typeof value.estimate === 'function',
    { error: 'expected an index of outcomes; see createOutcomeIndex' },
  ),
  worthUsd: z.number().positive(),
  otherwise: PolicySchema.default(() => inOrder),
  text: z.custom<(request: RoutingRequest) => string>((value) => typeof value === 'function', 'expected a function').optional(),
})

/** Options of {@link learned}. */
export interface LearnedOptions {
  readonly index: OutcomeIndex
  /**
   * What it is worth that a call goes right, in US dollars: the exchange rate between quality and cost. A dearer model is preferred where its
   * chance is better by more than its extra cost over this: with 0.05, a model for $0.01 more has to be right 20 points more often.
   */
  readonly worthUsd: number
  /** Decides where the index abstains, and orders the models that it knows nothing of. Default: the order in which the router was given them. */
  readonly otherwise?: RoutingPolicy | undefined
  /** What a call is about. Default: its first message from a user, which is the goal in a task; it has to be what the outcomes were recorded under. */
  readonly text?: ((request: RoutingRequest) => string) | undefined
}

interface Known {
  readonly candidate: Candidate
  readonly costUsd: number
  readonly success: number
}

/**
 * By what is gained for the cost: of all models whose price and outcomes are known, the one with the highest `P(right) · worthUsd − cost`, which
 * is the cheapest one unless another's gain over it, `P(right) − P(cheapest right)`, is worth its extra cost. How hard a call is makes no
 * difference: where it is too hard for all, nothing is gained by paying more. Those of unknown price or without outcomes come after them.
 *
 * It only ever learns of models that are called: see to it that others are now and then, or that their outcomes are added.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function learned(options: LearnedOptions): RoutingPolicy {
  const { index, worthUsd, otherwise, text } = parseOptions('learned', Options, options)
  return compose('learned', [otherwise], async (candidates, request) => {
    const estimate = await index.estimate(text ? text(request) : taskText(request.request))
    const known = estimate.abstains ? [] : candidates.flatMap((candidate) => knownOf(candidate, estimate, request))
    if (known.length < 2) return defer(await otherwise.rank(candidates, request), why(estimate))
    const ranked = rankByGain(known, worthUsd)
    const rest = candidates.filter((candidate) => !known.some((one) => one.candidate === candidate))
    return [...ranked, ...(rest.length > 0 ? await otherwise.rank(rest, request) : [])]
  })
}

function knownOf(candidate: Candidate, { models }: OutcomeEstimate, { lastModel }: RoutingRequest): Known[] {
  const [costUsd, expected] = [costNow(candidate, lastModel), models.get(candidate.model.id)]
  return costUsd === undefined || expected === undefined ? [] : [{ candidate, costUsd, success: expected.success }]
}

function rankByGain(known: readonly Known[], worthUsd: number): Choice[] {
  const base = known.reduce((cheapest, one) => (one.costUsd < cheapest.costUsd ? one : cheapest))
  const byCandidate = new Map(known.map((one) => [one.candidate, one]))
  return byScore([...byCandidate.keys()], {
    reason: 'expected-gain',
    score: (candidate) => -worthOf(byCandidate.get(candidate) as Known, worthUsd),
    explain: (candidate) => explain(byCandidate.get(candidate) as Known, base),
  })
}

function worthOf({ success, costUsd }: Known, worthUsd: number): number {
  return success * worthUsd - costUsd
}

function explain({ candidate, success, costUsd }: Known, base: Known): string {
  const expected = `right ${percent(success)} of the time on tasks like this one, about ${usd(costUsd)}`
  if (candidate === base.candidate) return `${expected}, the cheapest`
  const points = Math.round((success - base.success) * 100)
  return `${expected}: ${points < 0 ? '' : '+'}${points} points on ${base.candidate.model.id} for ${usd(costUsd - base.costUsd)} more`
}

function why({ abstains, familiarity, models }: OutcomeEstimate): string {
  if (models.size === 0) return 'learned: too few outcomes are known'
  if (abstains) return `learned: it is like no task that is known (familiarity ${familiarity.toFixed(2)})`
  return 'learned: fewer than two models have both a price and outcomes'
}

function defer(choices: readonly Choice[], reason: string): readonly Choice[] {
  const [first, ...rest] = choices
  return first ? [{ ...first, detail: first.detail === undefined ? reason : `${reason}; ${first.detail}` }, ...rest] : []
}

function percent(part: number): string {
  return `${Math.round(part * 100)}%`
}

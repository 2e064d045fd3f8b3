import type { Model } from '@baton-sdk/core'
import type { Attempt, CallOutcome, ModelHealth, RouteRequest } from '@baton-sdk/core/plugin'

/** A model that passed every hard filter, with what the call would cost there. */
export interface Candidate {
  readonly model: Model
  /** US dollars for the call with nothing of the prompt in the provider's cache, the expected answer included. Absent where the price is unknown. */
  readonly costUsd: number | undefined
  /** The same where the model answered last in this task, so that its cache holds the beginning of the prompt. */
  readonly warmCostUsd: number | undefined
  /** Absent where it was never called. */
  readonly health: ModelHealth | undefined
}

/** What a policy decides on: the call, and what the router made of it. */
export interface RoutingRequest extends RouteRequest {
  readonly health: ReadonlyMap<string, ModelHealth>
  /** Tokens that the answer is expected to have: what the router was told, or the limit of the request where that is less. */
  readonly expectedOutputTokens: number
  /** Tokens of the prompt that the model which answered last has seen before: all up to its last answer. */
  readonly seenTokens: number
}

/** One candidate in a policy's ranking. */
export interface Choice {
  readonly candidate: Candidate
  /** A stable word for the log: `role`, `cheapest`, `escalated`, … */
  readonly reason: string
  /** The figures behind it, for a person. */
  readonly detail?: string | undefined
  /** Judges the reply before it is used; the next choice is tried where it says no. */
  readonly accept?: Attempt['accept']
  /** When the next choice is asked beside this one. Default: what the router was told. */
  readonly hedgeAfterMs?: Attempt['hedgeAfterMs']
}

/**
 * Ranks candidates, best first. Policies are composed: most take other policies. A policy sees only what may and can take the call, and calls no model.
 * It prefers, and cannot forbid: what it leaves out is not tried, but where it leaves out all, the router tries them in the order in which it was given them.
 * To forbid, set a clearance or leave the model out of the router.
 */
export interface RoutingPolicy {
  /** Used in explanations, for example `cheapest`. */
  readonly name: string
  /** Ids of models that it speaks of: `createRouter` refuses names that it does not know. */
  readonly modelIds?: readonly string[] | undefined
  /** The same answer to the same question, unless it learns. Health is absent or stale at times and no reason to leave a candidate out. */
  rank(candidates: readonly Candidate[], request: RoutingRequest): readonly Choice[] | Promise<readonly Choice[]>
  /** Told what each attempt came to; for learning only. A policy that takes others passes it on. */
  observe?(outcome: CallOutcome): void
}

import type { Sensitivity } from '../events/envelope.ts'
import type { Consideration, JudgeSpend, Usage } from '../events/model-events.ts'
import type { Abortable } from '../options.ts'
import type { Model, ModelReply, ModelRequest } from './model.ts'

/** What a router decides on. */
export interface RouteRequest {
  readonly taskId: string
  /** What the call is for: `code`, `plan`, `summarize`, … */
  readonly role: string
  readonly request: ModelRequest
  /** Highest label over all parts of the request. */
  readonly sensitivity: Sensitivity
  /** Of the request, in tokens. */
  readonly estimatedTokens: number
  /** Capabilities that the call needs and the request does not show. Default: none. */
  readonly needs?: readonly ('reasoning' | 'fim')[] | undefined
  /** What may still be spent; absent where there is no cost limit. */
  readonly budgetUsd?: number | undefined
  /** The model that answered last in this task: its prompt cache is warm. */
  readonly lastModel?: string | undefined
  /** What was tried before for the same step and judged not good enough: by core, the models that answered in this run before its checks failed, a round each. */
  readonly previous?: readonly CallOutcome[] | undefined
}

/** How a model has been doing lately. Kept by core, one per Baton; routers only read it. */
export interface ModelHealth {
  /**
   * `open`: not to be called until `retryAt`. `half-open`: that time is over, and the next call is let through to see whether it works again.
   * `probing`: that call is under way.
   */
  readonly breaker: 'closed' | 'open' | 'half-open' | 'probing'
  /** Milliseconds since 1970, in the future; set where the breaker is open, the provider asked to wait, or a limit of the model's own is used up. */
  readonly retryAt?: number | undefined
  /** Which limit of the model's own (`ModelInfo.limits`) is used up, so that the next call would wait. */
  readonly limit?: 'requests' | 'tokens' | undefined
  /** What is left now of the model's tokens per minute: a larger call would wait. Absent where they are not limited. */
  readonly tokensLeft?: number | undefined
  readonly failuresInARow: number
  /** Moving averages over the last calls; absent before the first. */
  readonly firstChunkMs?: number | undefined
  readonly tokensPerSecond?: number | undefined
}

/** What an attempt came to. */
export interface CallOutcome {
  readonly taskId: string
  readonly role: string
  readonly model: string
  readonly result: 'ok' | 'failed' | 'not-accepted'
  readonly ms: number
  readonly firstChunkMs?: number | undefined
  readonly usage?: Usage | undefined
  readonly costUsd?: number | undefined
  readonly error?: { readonly code: string; readonly message: string } | undefined
}

/** Whether a reply is good enough. */
export interface Verdict {
  readonly accepted: boolean
  readonly reason?: string | undefined
  /** What the verdict took, where a model gave it: counted as spent by the call. */
  readonly judge?: JudgeSpend | undefined
}

/** What a reply is judged by. */
export interface VerifyContext extends Abortable {
  readonly request: ModelRequest
  /** Of the request and so of its reply: a judge that is not cleared for it may not see them. */
  readonly sensitivity: Sensitivity
  /** What may still be spent, this reply paid; absent where there is no cost limit. */
  readonly budgetUsd?: number | undefined
}

/** One way to answer a call. Attempts are made in order until one succeeds and is accepted. */
export interface Attempt {
  readonly model: Model
  /**
   * Where no chunk has come after so many milliseconds, the first later attempt that may be made right now is begun beside it (a hedged request;
   * J. Dean and L. Barroso, "The Tail at Scale", 2013). Whose first chunk is there first goes on; the other is cut short, and recorded as
   * failed with the code `HEDGED`. Nothing is begun beside a stream that has said something, nor where the cost limit does not pay for both: their
   * prompts, and `maxOutputTokens` of output where the request sets it. The one that was cut short may be tried again where the other fails.
   * Default: never.
   */
  readonly hedgeAfterMs?: number | undefined
  /**
   * Judges a reply before anything of it is used; one that it throws on is not accepted. A reply after which no other attempt may be made is
   * taken as it is. An implementer that asks a model owes what core does before a send: a look at its clearance and its price.
   */
  accept?(reply: ModelReply, context: VerifyContext): Promise<Verdict>
}

/** A router's answer. */
export interface Route {
  /** At least one. */
  readonly attempts: readonly Attempt[]
  /** Every model, with why it was left out or ranked where it is. */
  readonly considered: readonly Consideration[]
}

/**
 * Ranks models for a call. Calls no model and keeps no clock, so it can be tested with plain values.
 * Core checks clearance again before every send. Conformance: `testRouter` in `@baton-sdk/core/testing`.
 */
export interface Router {
  /** The models it knows. */
  readonly models: readonly Model[]
  /**
   * Rejects with `NO_ELIGIBLE_MODEL`, naming for each model why not (`details.considered`), rather than offer one that may not or cannot take
   * the call. Health ranks and is no reason to reject: the executor waits for a model where there is no other.
   */
  route(request: RouteRequest & { readonly health: ReadonlyMap<string, ModelHealth> }): Promise<Route>
  /** Told what each attempt came to; for learning only. */
  observe?(outcome: CallOutcome): void
}

import type { Model } from '@baton-sdk/core'
import type { ModelHealth } from '@baton-sdk/core/plugin'
import { costOf } from '@baton-sdk/core/plugin'
import type { Candidate, RoutingRequest } from './policy.ts'

/** A class, since a router makes hundreds of them for each call: costs are worked out when a policy asks for them, and most ask for few. */
class PricedCandidate implements Candidate {
  readonly model: Model
  readonly health: ModelHealth | undefined
  readonly #request: RoutingRequest

  constructor(model: Model, request: RoutingRequest) {
    this.model = model
    this.health = request.health.get(model.id)
    this.#request = request
  }

  get costUsd(): number | undefined {
    const { estimatedTokens: inputTokens, expectedOutputTokens: outputTokens } = this.#request
    return costOf(this.model.info.price, { inputTokens, outputTokens })
  }

  get warmCostUsd(): number | undefined {
    const { estimatedTokens: inputTokens, expectedOutputTokens: outputTokens, seenTokens: cachedInputTokens } = this.#request
    return costOf(this.model.info.price, { inputTokens, outputTokens, cachedInputTokens })
  }
}

/** Builds a {@link Candidate} for a call. */
export function createCandidate(model: Model, request: RoutingRequest): Candidate {
  return new PricedCandidate(model, request)
}

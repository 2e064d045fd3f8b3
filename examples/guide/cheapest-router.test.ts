import type { Model, Router } from '@baton-sdk/core'
import { eligibleModels } from '@baton-sdk/core/plugin'
import { testRouter } from '@baton-sdk/core/testing'
import { describe, it } from 'vitest'

/** Takes the cheapest model that may and can take the call; the others follow, should it fail. */
function createCheapestRouter(models: readonly Model[]): Router {
  const priceOf = ({ info }: Model): number => (info.price ? info.price.input + info.price.output : Number.POSITIVE_INFINITY)
  const ranked = models.toSorted((a, b) => priceOf(a) - priceOf(b))
  return {
    models,
    async route(request) {
      // Knows the rules of who may and can take a call, and throws where none is left.
      const { eligible, refused } = eligibleModels(ranked, request)
      const considered = eligible.map(({ id }, at) => ({ model: id, rank: at + 1, reason: 'price' }))
      return { attempts: eligible.map((model) => ({ model })), considered: [...considered, ...refused] }
    },
  }
}

describe('createCheapestRouter', () => {
  testRouter(it, { create: createCheapestRouter })
})

import type { Model, Router } from '@baton-sdk/core'
import { BatonError, createSingleModelRouter } from '@baton-sdk/core'
import { testRouter } from '@baton-sdk/core/testing'
import { describe, it } from 'vitest'

/** Takes the cheapest model that may and can take the call; the others follow, should it fail. */
function createCheapestRouter(models: readonly Model[]): Router {
  const priceOf = ({ info }: Model): number => (info.price ? info.price.input + info.price.output : Number.POSITIVE_INFINITY)
  const ranked = models.toSorted((a, b) => priceOf(a) - priceOf(b))
  return {
    models,
    async route(request) {
      const attempts = []
      const considered = []
      for (const model of ranked) {
        try {
          // Knows the rules of who may and can take a call.
          await createSingleModelRouter(model).route(request)
          attempts.push({ model })
          considered.push({ model: model.id, rank: attempts.length, reason: 'price' })
        } catch (error) {
          if (!BatonError.isInstance(error, 'NO_ELIGIBLE_MODEL')) throw error
          considered.push(...(error.details.considered as { model: string; reason: string }[]))
        }
      }
      if (attempts.length > 0) return { attempts, considered }
      const reasons = considered.map(({ model, reason }) => `${model}: ${reason}`).join(', ')
      throw new BatonError('NO_ELIGIBLE_MODEL', `No model may or can take this call. ${reasons}`, { details: { considered } })
    },
  }
}

describe('createCheapestRouter', () => {
  testRouter(it, { create: createCheapestRouter })
})

import { z } from 'zod'
import { implementing, parseOptions } from '../options.ts'
import { checkEligibility, noEligibleModel } from './eligibility.ts'
import type { Model } from './model.ts'
import { ModelInfo } from './model.ts'
import type { Router } from './router.ts'

/** A schema for a model, checked down to what is known of it. */
const AnyModel = implementing<Model>('a Model', 'generate').superRefine((model, context) => {
  if (typeof model !== 'object' || model === null) return
  if (typeof model.id !== 'string' || model.id === '')
    context.addIssue({ code: 'custom', path: ['id'], message: 'expected a name such as "openai/gpt-5.4-mini"' })
  const info = ModelInfo.safeParse(model.info)
  for (const { path, message } of info.error?.issues ?? []) context.addIssue({ code: 'custom', path: ['info', ...path], message })
})

/** Options of {@link createSingleModelRouter}. */
export interface SingleModelRouterOptions {
  readonly model: Model
}

/**
 * Builds a router for one model: takes every call that the model may and can take, whatever its health, since there is no other. With its
 * breaker open the call waits until the model may be tried again, where that is soon enough, and fails with a clear error where it is not.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createSingleModelRouter(options: Model | SingleModelRouterOptions): Router {
  const given = typeof options === 'object' && options !== null && 'model' in options ? options : { model: options }
  const { model } = parseOptions('createSingleModelRouter', z.strictObject({ model: AnyModel }), given)
  return {
    models: [model],
    async route(request) {
      const refusal = checkEligibility(model, request)
      if (refusal) throw noEligibleModel([refusal])
      return { attempts: [{ model }], considered: [{ model: model.id, rank: 1, reason: 'only-model' }] }
    },
  }
}

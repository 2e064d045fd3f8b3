import { describe, expect, it } from 'vitest'
import { ableInfo, fakeModel } from '../testing/fake-model.ts'
import { checkAvailability, checkEligibility, eligibleModels } from './eligibility.ts'
import type { ModelInfo } from './model.ts'
import type { ModelHealth, RouteRequest } from './router.ts'

const request: RouteRequest = {
  taskId: 't',
  role: 'code',
  request: { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] },
  sensitivity: 'internal',
  estimatedTokens: 1_000,
}
const modelOf = (info: Partial<ModelInfo> = {}) => fakeModel('m', [], { info })
const { capabilities } = ableInfo
const picture = { role: 'user' as const, parts: [{ type: 'image' as const, mediaType: 'image/png', data: new Uint8Array() }] }

describe('checkEligibility', () => {
  it.each([
    ['not-cleared', { location: 'public' }, { sensitivity: 'restricted' }],
    ['lacks-tools', { capabilities: { ...capabilities, tools: false } }, withTools()],
    ['lacks-images', { capabilities: { ...capabilities, images: false } }, { request: { messages: [picture] } }],
    ['lacks-json-schema', { capabilities: { ...capabilities, jsonSchema: false } }, withSchema()],
    ['lacks-reasoning', { capabilities: { ...capabilities, reasoning: false } }, { needs: ['reasoning'] }],
    ['lacks-fim', { capabilities: { ...capabilities, fim: false } }, { needs: ['reasoning', 'fim'] }],
    ['window-too-small', { contextWindow: 1_000 }, {}],
    ['price-unknown', { price: undefined }, { budgetUsd: 1 }],
    ['over-budget', { price: { input: 2, output: 1 } }, { budgetUsd: 0.001 }],
  ] satisfies [string, { [K in keyof ModelInfo]?: ModelInfo[K] | undefined }, Partial<RouteRequest>][])(
    'leaves a model out as %s, and takes one that is not',
    (reason, info, changes) => {
      const asked = { ...request, ...changes }
      expect(checkEligibility(modelOf(info as Partial<ModelInfo>), asked)).toMatchObject({ model: 'm', reason })
      expect(
        checkEligibility(modelOf({ capabilities: { ...capabilities, fim: true }, price: { input: 0, output: 0 } }), asked),
      ).toBeUndefined()
    },
  )

  it('names what comes first in the order clearance, capabilities, window, budget', () => {
    const asked = { ...request, ...withTools(), sensitivity: 'restricted' as const, budgetUsd: 0, estimatedTokens: 1e6 }
    const worst: Partial<ModelInfo> = { location: 'public', capabilities: { ...capabilities, tools: false } }
    const reasons = [worst, { ...worst, clearance: 'restricted' as const }, {}, { contextWindow: 2e6 }].map(
      (info) => checkEligibility(modelOf(info), asked)?.reason,
    )
    expect(reasons).toEqual(['not-cleared', 'lacks-tools', 'window-too-small', 'over-budget'])
  })
})

describe('eligibleModels', () => {
  const [able, unable] = [fakeModel('able', []), fakeModel('unable', [], { info: { location: 'public' } })]

  it('parts models into those that may and can take the call and those that are left out', () => {
    expect(eligibleModels([unable, able], { ...request, sensitivity: 'restricted' })).toEqual({
      eligible: [able],
      refused: [expect.objectContaining({ model: 'unable', reason: 'not-cleared' })],
    })
  })

  it.each([[[]], [[unable]]])('throws NO_ELIGIBLE_MODEL where none is left', (models) => {
    const run = () => eligibleModels(models, { ...request, sensitivity: 'restricted' })
    expect(run).toThrow(expect.objectContaining({ code: 'NO_ELIGIBLE_MODEL', message: expect.stringContaining(models[0]?.id ?? 'none') }))
  })
})

describe('checkAvailability', () => {
  it.each([
    [undefined, undefined],
    [{ breaker: 'closed', failuresInARow: 4 }, undefined],
    [{ breaker: 'half-open', failuresInARow: 5 }, undefined],
    [
      { breaker: 'open', failuresInARow: 5, retryAt: 0 },
      { model: 'm', reason: 'unhealthy', detail: 'its last 5 calls failed; to be tried again at 1970-01-01T00:00:00.000Z' },
    ],
    [
      { breaker: 'probing', failuresInARow: 5 },
      { model: 'm', reason: 'unhealthy', detail: 'its last calls failed, and a call is trying it out' },
    ],
    [
      { breaker: 'closed', failuresInARow: 0, retryAt: 0 },
      { model: 'm', reason: 'rate-limited', detail: 'its provider asked to wait; to be tried again at 1970-01-01T00:00:00.000Z' },
    ],
  ] satisfies [ModelHealth | undefined, object | undefined][])('says of %o what keeps a call from being made now', (health, expected) => {
    expect(checkAvailability(modelOf(), health)).toEqual(expected)
  })

  it('compares the tokens of the call with what is left of a limit', () => {
    const health: ModelHealth = { breaker: 'closed', failuresInARow: 0, tokensLeft: 1_000 }
    expect([checkAvailability(modelOf(), health), checkAvailability(modelOf(), health, 1_000)]).toEqual([undefined, undefined])
    expect(checkAvailability(modelOf(), health, 1_001)).toEqual({
      model: 'm',
      reason: 'rate-limited',
      detail: 'the call needs about 1001 tokens, and 1000 are left of its limit per minute',
    })
  })
})

function withTools(): Pick<RouteRequest, 'request'> {
  return { request: { ...request.request, tools: [{ name: 'x', description: '', parameters: {} }] } }
}

function withSchema(): Pick<RouteRequest, 'request'> {
  return { request: { ...request.request, responseSchema: { name: 'x', schema: {} } } }
}

import { describe, expect, it } from 'vitest'
import { ableInfo, fakeModel, saying } from '../testing/fake-model.ts'
import { testRouter } from '../testing/test-router.ts'
import type { ModelInfo } from './model.ts'
import type { RouteRequest } from './router.ts'
import { createSingleModelRouter } from './single-model-router.ts'

const request: RouteRequest = {
  taskId: 't',
  role: 'code',
  request: { messages: [] },
  sensitivity: 'internal',
  estimatedTokens: 1_000,
}
const health = new Map()
const { price: _, ...unpriced } = ableInfo

describe('createSingleModelRouter', () => {
  testRouter(it, { create: ([model]) => createSingleModelRouter(model as never), maxModels: 1 })

  it('takes a model, or options with one', async () => {
    const model = fakeModel('m', [saying('x')])
    for (const router of [createSingleModelRouter(model), createSingleModelRouter({ model })]) {
      expect(router.models).toEqual([model])
      const route = await router.route({ ...request, health })
      expect(route).toEqual({ attempts: [{ model }], considered: [{ model: 'm', rank: 1, reason: 'only-model' }] })
    }
  })

  it.each<[string, Partial<ModelInfo>, Partial<RouteRequest>, RegExp]>([
    ['not-cleared', { location: 'public' }, { sensitivity: 'confidential' }, /cleared up to internal.*set `clearance`/],
    [
      'lacks-tools',
      { capabilities: { ...ableInfo.capabilities, tools: false } },
      { request: { messages: [{ role: 'tool', callId: 'c', tool: 't', text: '', failed: false }] } },
      /no tool calls/,
    ],
    [
      'lacks-images',
      { capabilities: { ...ableInfo.capabilities, images: false } },
      {
        request: { messages: [{ role: 'user', parts: [{ type: 'image-ref', mediaType: 'image/png', blob: { sha256: '0', bytes: 1 } }] }] },
      },
      /image/,
    ],
    [
      'lacks-json-schema',
      { capabilities: { ...ableInfo.capabilities, jsonSchema: false } },
      { request: { messages: [], responseSchema: { name: 'x', schema: {} } } },
      /schema/,
    ],
    ['window-too-small', { contextWindow: 1_000 }, {}, /about 1001 tokens, and its window has 1000.*compact/],
    ['over-budget', {}, { budgetUsd: 0.0009 }, /\$0\.0010, and \$0\.0009 is left/],
  ])('says %s, what is missing and what would help', async (reason, info, asked, message) => {
    const router = createSingleModelRouter(fakeModel('m', [], { info }))
    await expect(router.route({ ...request, ...asked, health })).rejects.toMatchObject({
      code: 'NO_ELIGIBLE_MODEL',
      message: expect.stringMatching(message),
      details: { considered: [{ model: 'm', reason }] },
    })
  })

  it('says price-unknown only where there is a cost limit', async () => {
    const router = createSingleModelRouter({ ...fakeModel('m', []), info: unpriced })
    await expect(router.route({ ...request, budgetUsd: 5, health })).rejects.toThrow(/price-unknown.*give its `price`/)
    await expect(router.route({ ...request, health })).resolves.toBeDefined()
  })

  it('says what is wrong with what it was given', () => {
    expect(() => createSingleModelRouter(undefined as never)).toThrow(
      /createSingleModelRouter: model: expected a Model, received undefined/,
    )
    expect(() => createSingleModelRouter({} as never)).toThrow(/model: expected a Model; it lacks generate\(\)/)
    expect(() => createSingleModelRouter({ ...fakeModel('', []) })).toThrow(/model\.id: expected a name/)
    const info = { ...ableInfo, contextWindow: -5, location: 'moon' } as never
    expect(() => createSingleModelRouter({ ...fakeModel('m', []), info })).toThrow(/model\.info\.contextWindow: .*model\.info\.location: /)
  })
})

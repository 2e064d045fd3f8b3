import type { ModelHealth } from '@baton-sdk/core/plugin'
import { testRouter } from '@baton-sdk/core/testing'
import { describe, expect, it } from 'vitest'
import { balanced } from './policies/balanced.ts'
import { byRole } from './policies/by-role.ts'
import { cascade } from './policies/cascade.ts'
import { cheapest } from './policies/cheapest.ts'
import { localFirst } from './policies/local-first.ts'
import { sticky } from './policies/sticky.ts'
import type { Candidate, RoutingPolicy, RoutingRequest } from './policy.ts'
import { createRouter } from './router.ts'
import { modelOf, requestOf } from './testing/routing-fixtures.ts'
import { leaves } from './testing/sample-policies.ts'
import { acceptJudge } from './verifiers/accept-judge.ts'

const verify = acceptJudge({ model: modelOf('judge') })

describe('createRouter', () => {
  for (const [name, policyOf] of Object.entries(leaves))
    describe(`with ${name}`, () => {
      testRouter(it, {
        create: (models) =>
          createRouter({
            models,
            policy: policyOf(
              models.map(({ id }) => id),
              verify,
            ),
          }),
      })
    })
})

describe('createRouter', () => {
  const down: ModelHealth = { breaker: 'open', failuresInARow: 5, retryAt: 0 }
  const [a, b, c] = [modelOf('a'), modelOf('b'), modelOf('c')]

  it.each([
    [{ models: [] }, 'models: expected at least one model'],
    [{ models: [a, modelOf('b', { price: { input: -1, output: 2 } })] }, /models\.1\.info\.price\.input: .*>=0 \(b\)/],
    [{ models: [modelOf('a', { price: { input: 1, output: 2, cachedInput: -0.1 } })] }, /models\.0\.info\.price\.cachedInput: .*>=0 \(a\)/],
    [
      { models: [modelOf('a', { price: { input: 1, output: 2, tiers: [{ aboveInputTokens: 200_000, input: 2, output: -4 }] } })] },
      /models\.0\.info\.price\.tiers\.0\.output: .*>=0 \(a\)/,
    ],
    [
      { models: [modelOf('a', { price: { input: 1, output: 2, tiers: [{ aboveInputTokens: -1, input: 2, output: 4 }] } })] },
      /models\.0\.info\.price\.tiers\.0\.aboveInputTokens: .*>=0 \(a\)/,
    ],
    [{ models: [modelOf('a', { price: { input: Number.NaN, output: 2 } })] }, /models\.0\.info\.price\.input: .* \(a\)/],
    [{ models: [{ id: 'x', info: a.info }] }, 'models.0: expected a Model'],
    [{ models: [a, b, modelOf('a')] }, 'models: two have the id "a"'],
    [{ models: [a], roles: { code: [] } }, 'roles.code: expected at least one model for the role'],
    [
      { models: [modelOf('openai/gpt-5.4-mini'), a], roles: { code: ['gpt-5.4'] } },
      'name the model "gpt-5.4", and there is none of that id. Nearest: openai/gpt-5.4-mini.',
    ],
    [{ models: [a, b], roles: { code: ['something-else-entirely'] } }, 'Known: a, b.'],
    [{ models: [a, b], policy: sticky(cascade({ cheap: ['a'], strong: ['d'] })) }, 'name the model "d"'],
    [{ models: [a, b], policy: balanced({ qualities: { z: 1 } }) }, 'name the model "z"'],
    [{ models: [a], policy: { rank: 1 } }, 'policy: expected a routing policy, such as cheapest()'],
    [{ models: [a], expectedOutputTokens: 0 }, 'expectedOutputTokens'],
    [{ models: [a], hedge: true }, 'hedge'],
    [{ models: [a], hedgeAfterMs: -1 }, 'hedgeAfterMs'],
    [
      { models: [modelOf('cloud', { location: 'public' }), modelOf('own', { location: 'private' })], serves: 'restricted' },
      /serves: no model is cleared for restricted content\..*cloud: not-cleared.*own: not-cleared/,
    ],
  ])('refuses %j with INVALID_OPTIONS', (options, message) => {
    expect(() => createRouter(options as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    expect(() => createRouter(options as never)).toThrow(message)
  })

  it('takes `serves` where a model is cleared for it', () => {
    expect(createRouter({ models: [modelOf('cloud', { location: 'public' }), a], serves: 'restricted' }).models).toHaveLength(2)
  })

  it('tries models in the order in which it was given them, where no policy says otherwise', async () => {
    const route = await createRouter({ models: [b, a] }).route(requestOf())
    expect(route).toEqual({
      attempts: [{ model: b }, { model: a }],
      considered: [
        { model: 'b', rank: 1, reason: 'in-order' },
        { model: 'a', rank: 2, reason: 'in-order' },
      ],
    })
  })

  it('hedges where it is told to, and as a choice of the policy says', async () => {
    const policy: RoutingPolicy = {
      name: 'p',
      rank: (all) => all.map((candidate) => ({ candidate, reason: 'p', ...(candidate.model === a && { hedgeAfterMs: 50 }) })),
    }
    const { attempts } = await createRouter({ models: [a, b], policy, hedgeAfterMs: 2_000 }).route(requestOf())
    expect(attempts).toEqual([
      { model: a, hedgeAfterMs: 50 },
      { model: b, hedgeAfterMs: 2_000 },
    ])
  })

  it('puts roles before the policy', async () => {
    const router = createRouter({
      models: [a, b, c],
      roles: { plan: ['c', 'a'] },
      policy: { name: 'p', rank: (all) => all.map((candidate) => ({ candidate, reason: 'p' })) },
    })
    const orderFor = async (role: string) => (await router.route(requestOf({ role }))).attempts.map(({ model }) => model.id)
    expect([await orderFor('plan'), await orderFor('code')]).toEqual([
      ['c', 'a'],
      ['a', 'b', 'c'],
    ])
  })

  it('tells of each model once: in order of rank, then what the policy left out, then what may not or cannot take the call', async () => {
    const cloud = modelOf('cloud', { location: 'public' })
    const router = createRouter({ models: [cloud, a, b, c], roles: { code: ['c', 'b'] } })
    expect((await router.route(requestOf({ sensitivity: 'confidential' }))).considered).toEqual([
      { model: 'c', rank: 1, reason: 'role', detail: 'number 1 of 2' },
      { model: 'b', rank: 2, reason: 'role', detail: 'number 2 of 2' },
      { model: 'a', reason: 'left-out', detail: 'by-role did not rank it' },
      { model: 'cloud', reason: 'not-cleared', detail: 'the content is confidential, and it is cleared up to internal' },
    ])
  })

  it('tries models that cannot be called now after those that can, and says why', async () => {
    const health = new Map<string, ModelHealth>([
      ['a', down],
      ['b', { breaker: 'closed', failuresInARow: 0, retryAt: 0 }],
      ['c', { breaker: 'half-open', failuresInARow: 5 }],
    ])
    const { attempts, considered } = await createRouter({ models: [a, b, c], policy: cheapest() }).route(requestOf({ health }))
    expect(attempts.map(({ model }) => model.id)).toEqual(['c', 'a', 'b'])
    expect(considered.map(({ reason, detail }) => `${reason}: ${detail}`)).toEqual([
      'cheapest: about $0.009',
      'unhealthy: its last 5 calls failed; to be tried again at 1970-01-01T00:00:00.000Z; else cheapest: about $0.009',
      'rate-limited: its provider asked to wait; to be tried again at 1970-01-01T00:00:00.000Z; else cheapest: about $0.009',
    ])
  })

  it('tries a model later whose limit does not hold the call', async () => {
    const health = new Map<string, ModelHealth>([['a', { breaker: 'closed', failuresInARow: 0, tokensLeft: 999 }]])
    const { considered } = await createRouter({ models: [a, b] }).route(requestOf({ health }))
    expect(considered.map(({ model, reason }) => [model, reason])).toEqual([
      ['b', 'in-order'],
      ['a', 'rate-limited'],
    ])
  })

  it('tries none twice and none that was not a candidate, whatever the policy ranks', async () => {
    const { attempts } = await createRouter({ models: [a, b], policy: leaves['strange ones ranked']?.([], verify) as RoutingPolicy }).route(
      requestOf(),
    )
    expect(attempts.map(({ model }) => model.id)).toEqual(['a', 'b'])
    const cloud = modelOf('cloud', { location: 'public' })
    const leaky: RoutingPolicy = {
      name: 'leaky',
      rank: () => [{ candidate: { model: cloud, costUsd: 0, warmCostUsd: 0, health: undefined }, reason: 'leak' }],
    }
    const route = await createRouter({ models: [cloud, a], policy: leaky }).route(requestOf({ sensitivity: 'restricted' }))
    expect(route.attempts).toEqual([{ model: a }])
    expect(route.considered[0]).toEqual({ model: 'a', rank: 1, reason: 'in-order', detail: 'leaky ranked none' })
  })

  it('tells a policy what a call would cost, with the cache of the last model warm up to its last answer', async () => {
    let seen: { candidates: readonly Candidate[]; request: RoutingRequest } | undefined
    const policy: RoutingPolicy = {
      name: 'spy',
      rank(candidates, request) {
        seen = { candidates, request }
        return []
      },
    }
    const router = createRouter({ models: [a, modelOf('unpriced', { price: undefined })], policy, expectedOutputTokens: 100 })
    const messages = [
      { role: 'user' as const, parts: [{ type: 'text' as const, text: 'x'.repeat(1_000) }] },
      { role: 'assistant' as const, text: 'x'.repeat(26), toolCalls: [] },
      { role: 'user' as const, parts: [{ type: 'text' as const, text: 'x'.repeat(26) }] },
    ]
    await router.route(requestOf({ request: { messages }, lastModel: 'a', estimatedTokens: 1_028 }))
    expect(seen?.request).toMatchObject({ expectedOutputTokens: 100, seenTokens: 1_000 })
    const [priced, unpriced] = seen?.candidates ?? []
    expect(priced?.costUsd).toBeCloseTo((1_028 * 1 + 100 * 10) / 1e6, 12)
    expect(priced?.warmCostUsd).toBeCloseTo((28 * 1 + 1_000 * 0.1 + 100 * 10) / 1e6, 12)
    expect([unpriced?.costUsd, unpriced?.warmCostUsd]).toEqual([undefined, undefined])
    await router.route(requestOf({ request: { messages, maxOutputTokens: 7 }, estimatedTokens: 1_028 }))
    expect(seen?.request).toMatchObject({ expectedOutputTokens: 7, seenTokens: 0 })
    // Another conversation than the one that the last model answered: nothing of it is cached.
    await router.route(requestOf({ request: { messages: messages.slice(0, 1) }, lastModel: 'a', estimatedTokens: 400 }))
    expect(seen?.request.seenTokens).toBe(0)
  })

  it('passes outcomes on to every policy within', () => {
    const told: string[] = []
    const learner: RoutingPolicy = { name: 'learner', rank: () => [], observe: ({ model }) => told.push(model) }
    const policy = sticky(localFirst(cascade({ cheap: learner, strong: byRole({ code: learner }, learner) })))
    createRouter({ models: [a], policy }).observe?.({ taskId: 't', role: 'code', model: 'a', result: 'ok', ms: 1 })
    expect(told).toEqual(['a', 'a', 'a'])
  })
})

import { describe, expect, it } from 'vitest'
import { explainRoute } from './explain-route.ts'
import { cheapest } from './policies/cheapest.ts'
import { createRouter } from './router.ts'
import { modelOf, requestOf } from './testing/routing-fixtures.ts'

describe('explainRoute', () => {
  const models = [
    modelOf('cloud', { location: 'public' }),
    modelOf('here/large'),
    modelOf('here/small', { price: { input: 0, output: 0 } }),
  ]

  it('lists what is tried in its order, and what was left out, each with the reason', async () => {
    const route = await createRouter({ models, policy: cheapest() }).route(requestOf({ sensitivity: 'restricted' }))
    expect(explainRoute(route)).toBe(
      [
        'here/small (2 of 3 models)',
        '  1. here/small  cheapest: about $0',
        '  2. here/large  cheapest: about $0.009',
        '  -  cloud       not-cleared: the content is restricted, and it is cleared up to internal',
      ].join('\n'),
    )
  })

  it('tells more of an event: the role, the label and the size', () => {
    const why = [
      { model: 'b', reason: 'lacks-tools' },
      { model: 'a', rank: 1, reason: 'only-model' },
    ]
    const called = { modelCallId: 'm1', role: 'plan', model: 'a', why, sensitivity: 'internal' as const, prompt: 'log' as const }
    expect(explainRoute({ ...called, upTo: 3, projection: 0, estimatedTokens: 1_200 })).toBe(
      'plan: a (1 of 2 models; internal content, about 1200 tokens)\n  1. a  only-model\n  -  b  lacks-tools',
    )
  })

  it('has words for nothing at all', () => {
    expect(explainRoute({ considered: [] })).toBe('no model (0 of 0 models)')
  })
})

import { describe, expect, it } from 'vitest'
import { decide, modelOf, orderOf } from '../testing/routing-fixtures.ts'
import { cheapest } from './cheapest.ts'

const answered = {
  request: {
    messages: [
      { role: 'user' as const, parts: [{ type: 'text' as const, text: 'x' }] },
      { role: 'assistant' as const, text: 'x', toolCalls: [] },
    ],
  },
}

describe('cheapest', () => {
  it('goes by the cost of this prompt and the answer to expect', async () => {
    const models = [modelOf('prompt', { price: { input: 1, output: 0 } }), modelOf('answer', { price: { input: 0, output: 2 } })]
    // The answer is expected to have 800 tokens: 1,600 against the prompt.
    expect(await decide(models, cheapest(), { estimatedTokens: 1_000 })).toEqual([
      'prompt: cheapest: about $0.001',
      'answer: cheapest: about $0.0016',
    ])
    expect(await orderOf(models, cheapest(), { estimatedTokens: 2_000 })).toEqual(['answer', 'prompt'])
  })

  it('puts an unknown price last, and never takes it for none', async () => {
    const models = [
      modelOf('unknown', { price: undefined }),
      modelOf('dear', { price: { input: 1e3, output: 1e3 } }),
      modelOf('free', { price: { input: 0, output: 0 } }),
    ]
    expect(await decide(models, cheapest())).toEqual([
      'free: cheapest: about $0',
      'dear: cheapest: about $1.8',
      'unknown: cheapest: about an unknown price',
    ])
  })

  it('counts in that the model which answered last has the prompt in its cache', async () => {
    const models = [
      modelOf('cold', { price: { input: 1, output: 0 } }),
      modelOf('warm', { price: { input: 2, output: 0, cachedInput: 0.2 } }),
    ]
    expect(await orderOf(models, cheapest(), answered)).toEqual(['cold', 'warm'])
    expect(await orderOf(models, cheapest(), { ...answered, lastModel: 'warm' })).toEqual(['warm', 'cold'])
  })

  it('explains the first ones, and leaves the tail of a long list in its order', async () => {
    const models = Array.from({ length: 30 }, (_, at) => modelOf(`m${at}`))
    const decision = await decide(models, cheapest())
    expect(decision.filter((line) => line.includes('about'))).toHaveLength(8)
    expect(decision.map((line) => line.split(':')[0])).toEqual(models.map(({ id }) => id))
  })
})

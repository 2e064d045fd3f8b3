import { describe, expect, it } from 'vitest'
import { decide, modelOf, orderOf } from '../testing/routing-fixtures.ts'
import { byRole } from './by-role.ts'
import { cascade } from './cascade.ts'
import { cheapest } from './cheapest.ts'
import { sticky } from './sticky.ts'

/** Prices per million so that the default prompt of 1,000 tokens, all but one seen before, costs in thousandths. */
const strong = modelOf('strong', { price: { input: 4, output: 0, cachedInput: 0.4 } })
const weak = modelOf('weak', { price: { input: 1, output: 0, cachedInput: 0.1 } })
const preferWeak = byRole({ code: ['weak', 'strong'] })
const preferStrong = byRole({ code: ['strong', 'weak'] })
const conversation = (tokens: number) => ({
  estimatedTokens: tokens,
  request: {
    messages: [
      { role: 'user' as const, parts: [{ type: 'text' as const, text: 'x' }] },
      { role: 'assistant' as const, text: '', toolCalls: [] },
    ],
  },
})
const after = (lastModel: string, tokens = 100_004) => ({ ...conversation(tokens), lastModel })

describe('sticky', () => {
  it('stays where five calls with the warm cache cost less than a switch', async () => {
    const [first, second] = await decide([strong, weak], sticky(preferStrong), after('weak'))
    expect(first).toBe('weak: sticky: 5 calls cost about $0.05 with weak, whose cache is warm, and $0.56 with strong')
    expect(second).toMatch(/^strong: role/)
  })

  it('switches where that is cheaper over the calls to expect, and stays where there are few', async () => {
    // Five: 5 × $0.04 to stay, $0.1 + 4 × $0.01 to go. One: $0.04 against $0.1.
    expect((await decide([strong, weak], sticky(preferWeak), after('strong')))[0]).toBe(
      'weak: role: number 1 of 2; a switch pays: 5 calls cost about $0.2 with strong, whose cache is warm, and $0.14 with weak',
    )
    expect((await decide([strong, weak], sticky(preferWeak, { expectedCalls: 1 }), after('strong')))[0]).toBe(
      'strong: sticky: this call cost about $0.04 with strong, whose cache is warm, and $0.1 with weak',
    )
  })

  it('has nothing to keep before the first answer, and nothing to compare without prices', async () => {
    expect(await orderOf([strong, weak], sticky(preferStrong))).toEqual(['strong', 'weak'])
    const unpriced = modelOf('unpriced', { price: undefined })
    const policy = sticky(byRole({ code: ['strong', 'unpriced'] }))
    expect(await orderOf([strong, unpriced], policy, after('unpriced'))).toEqual(['strong', 'unpriced'])
  })

  it('does not keep a model that the inner policy does not rank, that may not take the call, or that cannot be called now', async () => {
    expect(await orderOf([strong, weak], sticky(byRole({ code: ['strong'] })), after('weak'))).toEqual(['strong'])
    const cloud = modelOf('cloud', { location: 'public', price: { input: 0, output: 0 } })
    expect(await orderOf([strong, cloud], sticky(cheapest()), { ...after('cloud'), sensitivity: 'restricted' })).toEqual(['strong'])
    const health = new Map([['weak', { breaker: 'open' as const, failuresInARow: 5, retryAt: 0 }]])
    expect(await orderOf([strong, weak], sticky(preferStrong), { ...after('weak'), health })).toEqual(['strong', 'weak'])
  })

  it('lets go where the model’s work was judged not good enough', async () => {
    const previous = [{ taskId: 'task', role: 'code', model: 'weak', result: 'not-accepted' as const, ms: 1 }]
    const policy = sticky(cascade({ cheap: ['weak'], strong: ['strong'] }))
    expect((await orderOf([strong, weak], policy, { ...after('weak'), previous }))[0]).toBe('strong')
    // And stays with the strong one, whose cache is warm by then.
    const [first] = await decide([strong, weak], sticky(cascade({ cheap: ['weak'], strong: ['strong'] }), { expectedCalls: 1 }), {
      ...after('strong'),
      previous,
    })
    expect(first).toMatch(/^strong: escalated/)
  })

  it('refuses less than one call', () => {
    expect(() => sticky(cheapest(), { expectedCalls: 0 })).toThrow('expectedCalls')
    expect(() => sticky(undefined as never)).toThrow('inner: expected a routing policy')
  })
})

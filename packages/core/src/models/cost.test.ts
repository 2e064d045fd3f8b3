import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { costOf } from './cost.ts'

describe('costOf', () => {
  it('adds up input, cached input, cache writes and output', () => {
    const price = { input: 3, cachedInput: 0.3, cacheWrite: 3.75, output: 15 }
    const usage = { inputTokens: 10_000, cachedInputTokens: 6_000, cacheWriteTokens: 1_000, outputTokens: 500 }
    expect(costOf(price, usage)).toBe(0.02205)
  })

  it('takes the price of input where caching has none of its own', () => {
    expect(costOf({ input: 1, output: 1 }, { inputTokens: 100, cachedInputTokens: 60, cacheWriteTokens: 40, outputTokens: 0 })).toBe(0.0001)
  })

  it('is unknown, never 0, where price or usage is unknown', () => {
    expect(costOf(undefined, { inputTokens: 1, outputTokens: 1 })).toBeUndefined()
    expect(costOf({ input: 0, output: 0 }, undefined)).toBeUndefined()
    expect(costOf({ input: 0, output: 0 }, { inputTokens: 1, outputTokens: 1 })).toBe(0)
  })

  it('is never below 0 where a provider counts more cached tokens than tokens', () => {
    expect(
      costOf({ input: 2, cachedInput: 1, output: 0 }, { inputTokens: 10, cachedInputTokens: 50, cacheWriteTokens: 9, outputTokens: 0 }),
    ).toBe(1e-5)
  })

  it('charges the whole call by the highest tier that its input is above', () => {
    const price = {
      input: 2.5,
      output: 15,
      cachedInput: 0.25,
      tiers: [
        { aboveInputTokens: 500_000, input: 10, output: 40 },
        { aboveInputTokens: 200_000, input: 5, output: 22.5, cachedInput: 0.5 },
      ],
    }
    const cost = (inputTokens: number, cachedInputTokens = 0) => costOf(price, { inputTokens, cachedInputTokens, outputTokens: 1_000 })
    expect(cost(200_000)).toBe(0.515)
    expect(cost(200_001)).toBe(1.022505)
    expect(cost(300_000, 200_000)).toBe(0.6225)
    // A tier's own defaults, not those of the tier below it.
    expect(cost(600_000, 100_000)).toBe(6.04)
  })

  it('is the number nearest to the exact sum', () => {
    const price = fc.integer({ min: 0, max: 200_000_000 })
    const tokens = fc.integer({ min: 0, max: 2_000_000 })
    fc.assert(
      fc.property(price, price, price, tokens, tokens, tokens, (input, cachedInput, output, fresh, cached, out) => {
        const exact = BigInt(fresh) * BigInt(input) + BigInt(cached) * BigInt(cachedInput) + BigInt(out) * BigInt(output)
        const usage = { inputTokens: fresh + cached, cachedInputTokens: cached, outputTokens: out }
        // Decimal text to number rounds correctly.
        const nearest = Number(`${exact}e-12`)
        expect(costOf({ input: input / 1e6, cachedInput: cachedInput / 1e6, output: output / 1e6 }, usage)).toBe(nearest)
      }),
      { numRuns: 500 },
    )
  })

  it('goes on for prices of more digits and sums beyond whole numbers', () => {
    expect(costOf({ input: 0.123456789, output: 0 }, { inputTokens: 1_000_000, outputTokens: 0 })).toBeCloseTo(0.123456789, 12)
    expect(costOf({ input: 1e6, output: 0 }, { inputTokens: 1e12, outputTokens: 0 })).toBe(1e12)
  })
})

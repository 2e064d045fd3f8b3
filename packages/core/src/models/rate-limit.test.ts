import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelLimits } from './model.ts'
import { createRateLimiter } from './rate-limit.ts'

const minuteMs = 60_000

function limiterWith(limits: ModelLimits) {
  const limiter = createRateLimiter()
  limiter.set(limits)
  return limiter
}

describe('createRateLimiter', () => {
  it('lets a burst of one minute pass, and then one request after the other', () => {
    const limiter = limiterWith({ requestsPerMinute: 3 })
    for (let i = 0; i < 3; i++) {
      expect(limiter.check(0, 1_000)).toBeUndefined()
      limiter.take(0, 1_000)
    }
    expect(limiter.check(0, 1_000)).toEqual({ limit: 'requests', retryAt: 21_000 })
    expect(limiter.check(0, 20_999)).toMatchObject({ limit: 'requests' })
    expect(limiter.check(0, 21_000)).toBeUndefined()
  })

  it('names the limit that is waited for the longest', () => {
    const limiter = limiterWith({ requestsPerMinute: 60, tokensPerMinute: 600 })
    limiter.take(600, 0)
    expect(limiter.check(100, 0)).toEqual({ limit: 'tokens', retryAt: 10_000 })
    for (let i = 0; i < 59; i++) limiter.take(0, 0)
    expect(limiter.check(5, 0)).toEqual({ limit: 'requests', retryAt: 1_000 })
  })

  it('queues what is taken ahead of its time', () => {
    const limiter = limiterWith({ requestsPerMinute: 1 })
    limiter.take(0, 0)
    expect(limiter.check(0, 0)?.retryAt).toBe(minuteMs)
    limiter.take(0, 0)
    expect(limiter.check(0, 0)?.retryAt).toBe(2 * minuteMs)
    limiter.giveBack(0, 0)
    expect(limiter.check(0, 0)?.retryAt).toBe(minuteMs)
  })

  it('lets a request that is larger than the limit go when nothing else is being used, and makes up for it after', () => {
    const limiter = limiterWith({ tokensPerMinute: 1_000 })
    limiter.take(1, 0)
    expect(limiter.check(5_000, 0)?.retryAt).toBe(60)
    limiter.take(5_000, 60)
    expect(limiter.check(1_000, 60)?.retryAt).toBe(60 + 5 * minuteMs)
  })

  it('takes what a call used in the place of its estimate', () => {
    const limiter = limiterWith({ tokensPerMinute: 1_000 })
    limiter.take(200, 0)
    limiter.correct(300, 0)
    expect(limiter.tokensLeft(0)).toBe(500)
    limiter.correct(-400, 0)
    expect(limiter.tokensLeft(0)).toBe(900)
    limiter.correct(-5_000, 0)
    expect(limiter.tokensLeft(0)).toBe(1_000)
  })

  it('takes limits as they are now', () => {
    const limiter = limiterWith({ requestsPerMinute: 10 })
    for (let i = 0; i < 10; i++) limiter.take(0, 0)
    limiter.set({ requestsPerMinute: 12 })
    limiter.take(0, 0)
    limiter.take(0, 0)
    expect(limiter.check(0, 0)?.retryAt).toBe(5_000)
    limiter.set({})
    expect(limiter.check(1e9, 0)).toBeUndefined()
    expect(limiter.tokensLeft(0)).toBeUndefined()
  })

  it('never lets through more than one burst and what the time brings, in whatever span, and keeps nobody waiting for ever', () => {
    const schedule = fc.record({
      requestsPerMinute: fc.integer({ min: 1, max: 500 }),
      tokensPerMinute: fc.integer({ min: 1, max: 50_000 }),
      calls: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 5_000 }), tokens: fc.integer({ min: 0, max: 60_000 }) }), {
        maxLength: 60,
      }),
    })
    fc.assert(
      fc.property(schedule, ({ calls, ...limits }) => {
        const limiter = limiterWith(limits)
        const sent: { at: number; tokens: number }[] = []
        let now = 0
        for (const { afterMs, tokens: any } of calls) {
          now += afterMs
          const tokens = any % (limits.tokensPerMinute + 1)
          const wait = limiter.check(tokens, now)
          if (wait) {
            expect(wait.retryAt).toBeGreaterThan(now)
            now = wait.retryAt
            expect(limiter.check(tokens, now)).toBeUndefined()
          }
          limiter.take(tokens, now)
          sent.push({ at: now, tokens })
        }
        for (const [from, { at }] of sent.entries()) {
          for (let to = from; to < sent.length; to++) {
            const span = sent.slice(from, to + 1)
            const minutes = ((sent[to]?.at ?? 0) - at) / minuteMs
            expect(span.length).toBeLessThanOrEqual(limits.requestsPerMinute * (1 + minutes) + 1e-3)
            const all = span.reduce((sum, { tokens }) => sum + tokens, 0)
            expect(all).toBeLessThanOrEqual(limits.tokensPerMinute * (1 + minutes) + 1e-3)
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})

import { describe, expect, it } from 'vitest'
import type { ModelHealthOptions } from './health.ts'
import { createModelHealthBook } from './health.ts'

function setUp(options: ModelHealthOptions = {}, random = () => 1) {
  let now = 1_000_000
  const book = createModelHealthBook(options, { clock: { now: () => now }, random })
  const admitted = () => {
    const { call } = book.begin('m')
    if (!call) throw new Error('not admitted')
    return call
  }
  const fail = (times = 1) => {
    for (let i = 0; i < times; i++) admitted().failed({ kind: 'server', retryAfterMs: undefined })
  }
  return { book, admitted, fail, now: () => now, pass: (ms: number) => (now += ms) }
}

describe('createModelHealthBook', () => {
  it('holds a model that was never called for healthy', () => {
    const { book } = setUp()
    expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0 })
    expect(book.all.size).toBe(0)
  })

  it('opens the breaker after five failures in a row, and a success in between starts the count again', () => {
    const { book, admitted, fail, now } = setUp()
    fail(4)
    admitted().succeeded({ ms: 10 })
    fail(4)
    expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 4 })
    fail()
    expect(book.get('m')).toEqual({ breaker: 'open', failuresInARow: 5, retryAt: now() + 5_000 })
    expect(book.begin('m')).toEqual({ reason: 'open', retryAt: now() + 5_000 })
  })

  it.each(['bad-request', 'context-too-long', 'unauthorized', 'unknown-model', 'quota', 'content-filter', 'rate-limited'] as const)(
    'does not count %s, which any model would have met',
    (kind) => {
      const { book, admitted } = setUp()
      for (let i = 0; i < 20; i++) admitted().failed({ kind, retryAfterMs: undefined })
      expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0 })
    },
  )

  it('lets exactly one probe through when the time is over; its success closes the breaker', () => {
    const { book, admitted, fail, pass } = setUp()
    fail(5)
    pass(5_000)
    expect(book.get('m')).toEqual({ breaker: 'half-open', failuresInARow: 5 })
    const probe = admitted()
    expect(probe.probe).toBe(true)
    expect(book.get('m').breaker).toBe('probing')
    expect(book.begin('m')).toEqual({ reason: 'probing' })
    probe.succeeded({ ms: 10 })
    expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0 })
    expect(admitted().probe).toBe(false)
  })

  it('stays open twice as long after each failed probe, up to the longest, less a random part of up to a half', () => {
    const { book, fail, now, pass } = setUp({ openMs: 1_000, maxOpenMs: 5_000 }, () => 0)
    fail(5)
    const lengths = []
    for (let i = 0; i < 5; i++) {
      const ms = (book.get('m').retryAt ?? 0) - now()
      lengths.push(ms)
      pass(ms)
      fail()
    }
    expect(lengths).toEqual([500, 1_000, 2_000, 2_500, 2_500])
  })

  it('lets another probe through when one was dropped', () => {
    const { book, admitted, fail, pass } = setUp()
    fail(5)
    pass(5_000)
    admitted().dropped()
    expect(book.get('m').breaker).toBe('half-open')
    expect(admitted().probe).toBe(true)
  })

  it('closes when a probe fails for a reason of its own: the model answered', () => {
    const { book, admitted, fail, pass } = setUp()
    fail(5)
    pass(5_000)
    admitted().failed({ kind: 'bad-request', retryAfterMs: undefined })
    expect(book.get('m').breaker).toBe('closed')
  })

  it('tells who waits when a probe ended, however it did', () => {
    const { book, admitted, fail, pass } = setUp()
    let told = 0
    const stop = book.onProbed('m', () => told++)
    fail(5)
    expect(told).toBe(0)
    pass(5_000)
    admitted().dropped()
    expect(told).toBe(1)
    fail()
    expect(told).toBe(2)
    pass(10_000)
    stop()
    admitted().succeeded({ ms: 1 })
    expect(told).toBe(2)
  })

  it('is not moved by calls that were sent before it opened', () => {
    const { book, admitted, fail, pass } = setUp()
    const [early, late] = [admitted(), admitted()]
    fail(5)
    const { retryAt } = book.get('m')
    early.succeeded({ ms: 1 })
    late.failed({ kind: 'server', retryAfterMs: undefined })
    expect(book.get('m')).toEqual({ breaker: 'open', retryAt, failuresInARow: 5 })
    pass(5_000)
    expect(admitted().probe).toBe(true)
  })

  it('counts what a call tells once', () => {
    const { book, admitted } = setUp()
    const call = admitted()
    call.failed({ kind: 'server', retryAfterMs: 5_000 })
    call.failed({ kind: 'server', retryAfterMs: 50_000 })
    call.succeeded({ ms: 5, firstChunkMs: 1 })
    call.dropped()
    expect(book.get('m')).toMatchObject({ failuresInARow: 1 })
    expect(book.get('m').firstChunkMs).toBeUndefined()
  })

  it('keeps calls back as long as the provider asked, without opening', () => {
    const { book, admitted, now, pass } = setUp()
    admitted().failed({ kind: 'rate-limited', retryAfterMs: 30_000 })
    expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0, retryAt: now() + 30_000 })
    expect(book.begin('m')).toEqual({ reason: 'rate-limited', retryAt: now() + 30_000 })
    pass(30_000)
    expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0 })
    expect(admitted().probe).toBe(false)
  })

  it.each([Number.NaN, -5, 0])('takes a Retry-After of %s for none', (retryAfterMs) => {
    const { book, admitted } = setUp()
    admitted().failed({ kind: 'rate-limited', retryAfterMs })
    expect(book.get('m').retryAt).toBeUndefined()
  })

  it('takes an endless one for an hour', () => {
    const { book, admitted, now } = setUp()
    admitted().failed({ kind: 'rate-limited', retryAfterMs: Number.POSITIVE_INFINITY })
    expect(book.get('m').retryAt).toBe(now() + 3_600_000)
  })

  it('averages the time to the first chunk and the tokens per second, the newest for a fifth', () => {
    const { book, admitted } = setUp()
    admitted().succeeded({ ms: 1_100, firstChunkMs: 100, outputTokens: 50 })
    expect(book.get('m')).toMatchObject({ firstChunkMs: 100, tokensPerSecond: 50 })
    admitted().succeeded({ ms: 1_200, firstChunkMs: 200, outputTokens: 100 })
    expect(book.get('m')).toMatchObject({ firstChunkMs: 120, tokensPerSecond: 60 })
    admitted().succeeded({ ms: 120, firstChunkMs: 120, outputTokens: 100 })
    expect(book.get('m').tokensPerSecond).toBe(60)
  })

  it('shows all models live', () => {
    const { book, fail, pass } = setUp()
    const { all } = book
    fail(5)
    expect([...all.keys()]).toEqual(['m'])
    expect(all.has('m')).toBe(true)
    expect(all.get('n')).toBeUndefined()
    pass(5_000)
    const halfOpen = { breaker: 'half-open', failuresInARow: 5 }
    expect(all.get('m')).toEqual(halfOpen)
    expect([...all]).toEqual([['m', halfOpen]])
    expect([...all.entries()]).toEqual([['m', halfOpen]])
    expect([...all.values()]).toEqual([halfOpen])
    const seen: unknown[] = []
    all.forEach((health, id) => {
      seen.push([id, health])
    })
    expect(seen).toEqual([['m', halfOpen]])
  })

  it('names an option that is wrong', () => {
    expect(() => createModelHealthBook({ failuresToOpen: 0 })).toThrow(/createModelHealthBook: failuresToOpen/)
  })
})

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

  describe("with a model's own limits", () => {
    const limits = { requestsPerMinute: 2, tokensPerMinute: 1_000 }
    const need = (tokens = 100) => ({ limits, tokens })
    const admitted = (book: ReturnType<typeof createModelHealthBook>, tokens = 100) => {
      const { call } = book.begin('m', need(tokens))
      if (!call) throw new Error('not admitted')
      return call
    }

    it('says when there is room again, to the call and to routers', () => {
      const { book, now, pass } = setUp()
      expect(book.check('m', need())).toBeUndefined()
      admitted(book)
      expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0, tokensLeft: 900 })
      admitted(book)
      const retryAt = now() + 30_000
      expect(book.begin('m', need())).toEqual({ reason: 'rate-limited', limit: 'requests', retryAt })
      expect(book.check('m', need())).toEqual({ reason: 'rate-limited', limit: 'requests', retryAt })
      expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0, limit: 'requests', retryAt, tokensLeft: 800 })
      pass(30_000)
      expect(book.get('m').retryAt).toBeUndefined()
      admitted(book)
    })

    it('counts the estimate at first, and what was used once it is known', () => {
      const { book } = setUp()
      const call = admitted(book, 600)
      expect(book.begin('m', need(600))).toMatchObject({ reason: 'rate-limited', limit: 'tokens' })
      expect(book.get('m')).toMatchObject({ tokensLeft: 400 })
      call.succeeded({ ms: 1, inputTokens: 50, outputTokens: 20 })
      call.succeeded({ ms: 1, inputTokens: 9_000 })
      expect(book.get('m')).toMatchObject({ tokensLeft: 930 })
      admitted(book, 600).failed({ kind: 'cut-stream', retryAfterMs: undefined })
      expect(book.get('m')).toMatchObject({ tokensLeft: 330 })
    })

    it.each<[string, (call: ReturnType<typeof admitted>) => void, number]>([
      ['keeps the estimate of a call that was given up', (call) => call.dropped(), 400],
      ['keeps that of one which another model outran', (call) => call.outrun(5), 400],
      ['keeps that of one that succeeded without telling', (call) => call.succeeded({ ms: 1 }), 400],
      ['gives back that of one that was turned away', (call) => call.failed({ kind: 'rate-limited', retryAfterMs: undefined }), 1_000],
      ['takes what a failed one used', (call) => call.failed({ kind: 'cut-stream', retryAfterMs: undefined }, { inputTokens: 10 }), 990],
    ])('%s', (_, end, tokensLeft) => {
      const { book } = setUp()
      end(admitted(book, 600))
      expect(book.get('m')).toMatchObject({ tokensLeft })
    })

    it('lets those who wait go in the order in which they came, whatever they need', () => {
      const { book, now, pass } = setUp()
      admitted(book, 1_000)
      const large = book.reserve('m', need(900))
      expect(large).toMatchObject({ limit: 'tokens', retryAt: now() + 54_000 })
      expect(book.begin('m', need(10))).toMatchObject({ retryAt: now() + 54_600 })
      const small = book.reserve('m', need(10))
      pass(54_000)
      expect(book.begin('m', { ...need(10), reservation: small })).toMatchObject({ reason: 'rate-limited', retryAt: now() + 600 })
      expect(book.begin('m', { ...need(900), reservation: large }).call).toBeDefined()
      large.release()
      expect(book.begin('m', need(10))).toMatchObject({ reason: 'rate-limited' })
      small.release()
      small.release()
      pass(600)
      expect(book.begin('m', need(10)).call).toBeDefined()
    })

    it('keeps the breaker and Retry-After before them', () => {
      const { book, now } = setUp()
      const first = admitted(book)
      admitted(book)
      first.failed({ kind: 'rate-limited', retryAfterMs: 90_000 })
      expect(book.begin('m', need())).toEqual({ reason: 'rate-limited', retryAt: now() + 90_000 })
      expect(book.get('m').retryAt).toBe(now() + 90_000)
      const other = setUp()
      other.fail(5)
      expect(other.book.begin('m', need())).toMatchObject({ reason: 'open' })
    })

    it('forgets them when they are lifted', () => {
      const { book } = setUp()
      admitted(book)
      admitted(book)
      expect(book.begin('m').call).toBeDefined()
      expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0 })
    })
  })

  it('takes a model that was outrun for as slow as it was silent, and for no failure', () => {
    const { book, admitted, fail, pass } = setUp()
    admitted().outrun(4_000)
    expect(book.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0, firstChunkMs: 4_000 })
    admitted().outrun(1_000)
    expect(book.get('m').firstChunkMs).toBe(4_000)
    fail(5)
    pass(5_000)
    const probe = admitted()
    probe.outrun(9_000)
    probe.dropped()
    expect(book.get('m')).toMatchObject({ breaker: 'half-open', firstChunkMs: 5_000 })
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

import type { ModelLimits } from './model.ts'

/** Which of a model's own limits. */
export type LimitKind = 'requests' | 'tokens'

/** A limit that is used up, and when there is room again: milliseconds since 1970. */
export interface LimitWait {
  readonly limit: LimitKind
  readonly retryAt: number
}

/** What a model's own limits leave. Time is given to each call, in milliseconds since 1970. */
export interface RateLimiter {
  /** Takes other limits from here on; what was used stays used. */
  set(limits: ModelLimits): void
  /** What a request of so many tokens has to wait for, if for anything. One that is larger than the limit itself goes when nothing else is being used. */
  check(tokens: number, now: number): LimitWait | undefined
  /** Takes one request of so many tokens, also where it has to wait: what comes later waits behind it. */
  take(tokens: number, now: number): void
  /** Takes more tokens, or gives some back. */
  correct(tokens: number, now: number): void
  /** Gives back what was taken for a request that is not made. */
  giveBack(tokens: number, now: number): void
  /** Whole tokens that are left now; undefined where they are not limited. */
  tokensLeft(now: number): number | undefined
}

/** A store of requests or tokens that refills evenly. Below nothing is what was promised to those who wait. */
interface Bucket {
  perMinute: number
  level: number
  at: number
}

const minuteMs = 60_000
/** Adding up many small refills must not keep a call back for ever. */
const rounding = 1e-6

/**
 * Builds a {@link RateLimiter} on two token buckets, which hold one minute's worth each and are full at first: short bursts pass, and over longer
 * times the limit holds. The idea is J. Turner's leaky bucket ("New directions in communications", IEEE Communications Magazine 24(10), 1986).
 */
export function createRateLimiter(): RateLimiter {
  let requests: Bucket | undefined
  let tokens: Bucket | undefined
  return {
    set({ requestsPerMinute, tokensPerMinute }) {
      requests = resize(requests, requestsPerMinute)
      tokens = resize(tokens, tokensPerMinute)
    },
    check(count, now) {
      const forRequest = waitMs(requests, 1, now)
      const forTokens = waitMs(tokens, count, now)
      if (forRequest <= 0 && forTokens <= 0) return undefined
      return { limit: forTokens > forRequest ? 'tokens' : 'requests', retryAt: Math.ceil(now + Math.max(forRequest, forTokens)) }
    },
    take(count, now) {
      change(requests, -1, now)
      change(tokens, -count, now)
    },
    correct: (count, now) => change(tokens, -count, now),
    giveBack(count, now) {
      change(requests, 1, now)
      change(tokens, count, now)
    },
    tokensLeft: (now) => (tokens ? Math.floor(Math.max(0, refill(tokens, now)) + rounding) : undefined),
  }
}

function resize(bucket: Bucket | undefined, perMinute: number | undefined): Bucket | undefined {
  if (perMinute === undefined) return undefined
  if (!bucket) return { perMinute, level: perMinute, at: Number.NEGATIVE_INFINITY }
  if (bucket.perMinute !== perMinute) {
    bucket.level = Math.min(perMinute, bucket.level + perMinute - bucket.perMinute)
    bucket.perMinute = perMinute
  }
  return bucket
}

function refill(bucket: Bucket, now: number): number {
  if (now > bucket.at) {
    bucket.level = Math.min(bucket.perMinute, bucket.level + ((now - bucket.at) * bucket.perMinute) / minuteMs)
    bucket.at = now
  }
  return bucket.level
}

/** Milliseconds until there is so much. */
function waitMs(bucket: Bucket | undefined, count: number, now: number): number {
  if (!bucket) return 0
  const missing = Math.min(count, bucket.perMinute) - refill(bucket, now)
  return missing <= rounding ? 0 : (missing * minuteMs) / bucket.perMinute
}

function change(bucket: Bucket | undefined, by: number, now: number): void {
  if (!bucket) return
  bucket.level = Math.min(bucket.perMinute, refill(bucket, now) + by)
}

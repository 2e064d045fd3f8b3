import { z } from 'zod'
import { parseOptions } from '../options.ts'
import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import type { ModelError, ModelErrorKind, ModelLimits } from './model.ts'
import type { LimitKind, RateLimiter } from './rate-limit.ts'
import { createRateLimiter } from './rate-limit.ts'
import type { ModelHealth } from './router.ts'

/** Options of {@link createModelHealthBook}. */
export const ModelHealthOptions = z.strictObject({
  /** So many failures in a row open a model's breaker. Default: 5. */
  failuresToOpen: z.int().positive().default(5),
  /** How long it stays open the first time, in milliseconds; doubled each time that the probe fails, less a random part of up to a half. Default: 5,000. */
  openMs: z.number().positive().default(5_000),
  /** The longest it stays open. Default: 120,000. */
  maxOpenMs: z.number().positive().default(120_000),
})
export type ModelHealthOptions = z.input<typeof ModelHealthOptions>

/** What a call would take of a model's own limits. */
export interface CallNeed {
  /** Default: none. */
  readonly limits?: ModelLimits | undefined
  /** As they are estimated. Default: 0. */
  readonly tokens?: number | undefined
  /** A place that was taken before, which the call goes in. */
  readonly reservation?: Reservation | undefined
}

/** A place in the queue before a limit: what the call will take is taken already, so that nothing that comes later gets ahead of it. */
export interface Reservation {
  /** When the call may be made: milliseconds since 1970. */
  readonly retryAt: number
  readonly limit: LimitKind | undefined
  /** Gives the place up. Does nothing once the call was admitted. */
  release(): void
}

/** What a call took, as its provider counted it. */
export interface TokensUsed {
  readonly inputTokens?: number | undefined
  readonly outputTokens?: number | undefined
}

/** A call that was let through. Tell once how it went; what is told later does nothing. */
export interface AdmittedCall {
  /** Whether it is the one call that finds out if the model works again. */
  readonly probe: boolean
  /** @param measured - milliseconds from sending to the first chunk and to the end, and what was read and generated, where known */
  succeeded(measured: TokensUsed & { readonly ms: number; readonly firstChunkMs?: number | undefined }): void
  failed(error: Pick<ModelError, 'kind' | 'retryAfterMs'>, used?: TokensUsed): void
  /** It was given up since another model answered first, when this one had been silent for so long: slow, but no failure. */
  outrun(silentMs: number): void
  /** It ended for a reason that says nothing of the model, such as the caller's abort. */
  dropped(): void
}

/** Why a model may not be called now, and until when (absent while the outcome of a probe is awaited). */
export interface Unadmitted {
  readonly call?: undefined
  readonly reason: 'open' | 'probing' | 'rate-limited'
  readonly retryAt?: number | undefined
  /** Which limit of the model's own it is; absent where its provider asked to wait. */
  readonly limit?: LimitKind | undefined
}

/** Whether a model may be called now. */
export type Admission = { readonly call: AdmittedCall } | Unadmitted

/** How each model has been doing lately: one per Baton, written by the executor of calls, read by routers. */
export interface ModelHealthBook {
  /** A model that was never called is healthy. */
  get(modelId: string): ModelHealth
  /** A live view of the models called so far, for {@link Router.route}. */
  readonly all: ReadonlyMap<string, ModelHealth>
  /** Asks to call a model now. Who is admitted has to tell how it went, or the breaker waits for its probe for ever. */
  begin(modelId: string, need?: CallNeed): Admission
  /** Why such a call would not be admitted now, if it would not. */
  check(modelId: string, need?: CallNeed): Unadmitted | undefined
  /** Takes a place for a call that will wait for a limit of the model's own. Give it to `begin`, or release it. */
  reserve(modelId: string, need: CallNeed): Reservation
  /** Calls the listener whenever a probe of the model ends. Returns how to stop that. */
  onProbed(modelId: string, listener: () => void): () => void
}

/** The kinds of failure that say something of the model, and so count for its breaker; the others would have met any model. */
const counting: ReadonlySet<ModelErrorKind> = new Set(['server', 'network', 'timeout', 'overloaded', 'cut-stream'])
/** With these the provider has turned the request away and read nothing of it. */
const turnedAway: ReadonlySet<ModelErrorKind> = new Set([
  'rate-limited',
  'overloaded',
  'unauthorized',
  'unknown-model',
  'context-too-long',
  'bad-request',
  'quota',
])
/** A longer Retry-After is taken for this long, so that one broken header does not end a model for the life of the process. */
const maxRetryAfterMs = 3_600_000
/** The share of the newest value in a moving average. */
const newest = 0.2

interface Entry {
  state: 'closed' | 'open' | 'probing'
  failuresInARow: number
  /** How often the breaker opened since it was last closed. */
  opened: number
  /** Rises when the breaker opens or closes: what calls of an earlier time tell, no longer moves it. */
  era: number
  openUntil: number
  limitedUntil: number
  firstChunkMs: number | undefined
  tokensPerSecond: number | undefined
  /** Absent where no limits are set. */
  limiter: RateLimiter | undefined
  readonly listeners: Set<() => void>
}

/**
 * Builds a {@link ModelHealthBook}. The breaker opens after failures in a row, and when its time is over lets exactly one call through as
 * a probe; the pattern is from M. Nygard, "Release It!". A provider that asks to wait (Retry-After) is not called until then, which opens no breaker.
 * A model's own limits are kept with what calls are estimated to take, corrected by what they took.
 *
 * @param around - time and chance, for tests
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createModelHealthBook(
  options: ModelHealthOptions = {},
  around: { readonly clock?: Pick<Clock, 'now'>; readonly random?: () => number } = {},
): ModelHealthBook {
  const { failuresToOpen, openMs, maxOpenMs } = parseOptions('createModelHealthBook', ModelHealthOptions, options)
  const { clock = systemClock, random = Math.random } = around
  const entries = new Map<string, Entry>()
  /** Reservations that are over: their calls were admitted, or they were given up. */
  const taken = new WeakSet<Reservation>()

  function entryOf(modelId: string): Entry {
    let entry = entries.get(modelId)
    if (!entry) {
      entry = {
        state: 'closed',
        failuresInARow: 0,
        opened: 0,
        era: 0,
        openUntil: 0,
        limitedUntil: 0,
        firstChunkMs: undefined,
        tokensPerSecond: undefined,
        limiter: undefined,
        listeners: new Set(),
      }
      entries.set(modelId, entry)
    }
    return entry
  }

  function open(entry: Entry): void {
    const longest = Math.min(maxOpenMs, openMs * 2 ** Math.min(entry.opened, 30))
    entry.state = 'open'
    entry.openUntil = clock.now() + longest * (0.5 + random() / 2)
    entry.opened += 1
    entry.era += 1
  }

  function close(entry: Entry): void {
    entry.state = 'closed'
    entry.failuresInARow = 0
    entry.opened = 0
    entry.era += 1
  }

  function admit(entry: Entry, probe: boolean, taken: number): AdmittedCall {
    if (probe) entry.state = 'probing'
    const { era, limiter } = entry
    /** Replaces the estimate by what is known. */
    const correct = ({ inputTokens, outputTokens }: TokensUsed): void => {
      if (inputTokens === undefined && outputTokens === undefined) return
      limiter?.correct((inputTokens ?? 0) + (outputTokens ?? 0) - taken, clock.now())
    }
    let settled = false
    /** Whether what a call tells may move the breaker. */
    const settle = (): boolean => {
      if (settled) return false
      settled = true
      return entry.era === era
    }
    const probed = () => {
      if (probe) for (const listener of [...entry.listeners]) listener()
    }
    const giveUp = (): void => {
      if (!settle()) return
      if (probe) entry.state = 'open'
      probed()
    }
    return {
      probe,
      succeeded(measured) {
        if (settled) return
        measure(entry, measured)
        correct(measured)
        if (!settle()) return
        if (probe) close(entry)
        else entry.failuresInARow = 0
        probed()
      },
      failed({ kind, retryAfterMs }, used = {}) {
        if (settled) return
        correct(turnedAway.has(kind) ? { inputTokens: 0, ...used } : used)
        if (retryAfterMs !== undefined && retryAfterMs > 0)
          entry.limitedUntil = Math.max(entry.limitedUntil, clock.now() + Math.min(retryAfterMs, maxRetryAfterMs))
        if (!settle()) return
        if (counting.has(kind)) {
          entry.failuresInARow += 1
          if (probe || entry.failuresInARow >= failuresToOpen) open(entry)
        } else if (probe) close(entry)
        probed()
      },
      outrun(silentMs) {
        if (settled) return
        // At least that long: a model that always loses must not look faster than it is.
        entry.firstChunkMs = average(entry.firstChunkMs, Math.max(entry.firstChunkMs ?? 0, silentMs))
        giveUp()
      },
      dropped: giveUp,
    }
  }

  function check(entry: Entry, { limits, tokens = 0, reservation }: CallNeed, now: number): Unadmitted | undefined {
    if (entry.state === 'probing') return { reason: 'probing' }
    if (entry.state === 'open' && entry.openUntil > now) return { reason: 'open', retryAt: Math.max(entry.openUntil, entry.limitedUntil) }
    if (entry.limitedUntil > now) return { reason: 'rate-limited', retryAt: entry.limitedUntil }
    if (!limits) return undefined
    const { retryAt, limit } = reservation ?? limiterOf(entry, limits).check(tokens, now) ?? {}
    return retryAt !== undefined && retryAt > now ? { reason: 'rate-limited', retryAt, limit } : undefined
  }

  return {
    get: (modelId) => healthOf(entries.get(modelId), clock.now()),
    all: createView(entries, () => clock.now()),
    begin(modelId, need = noNeed) {
      const entry = entryOf(modelId)
      const now = clock.now()
      const unadmitted = check(entry, need, now)
      if (unadmitted) return unadmitted
      const { limits, tokens = 0, reservation } = need
      if (reservation) taken.add(reservation)
      else if (limits) limiterOf(entry, limits).take(tokens, now)
      else entry.limiter = undefined
      return { call: admit(entry, entry.state === 'open', tokens) }
    },
    check(modelId, need = noNeed) {
      const entry = entries.get(modelId)
      return entry && check(entry, need, clock.now())
    },
    reserve(modelId, { limits = {}, tokens = 0 }) {
      const now = clock.now()
      const limiter = limiterOf(entryOf(modelId), limits)
      const { retryAt = now, limit } = limiter.check(tokens, now) ?? {}
      limiter.take(tokens, now)
      const reservation: Reservation = {
        retryAt,
        limit,
        release() {
          if (!taken.has(reservation)) limiter.giveBack(tokens, clock.now())
          taken.add(reservation)
        },
      }
      return reservation
    },
    onProbed(modelId, listener) {
      const { listeners } = entryOf(modelId)
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

const noNeed: CallNeed = {}

/** With the limits as they are now: a host may change them. */
function limiterOf(entry: Entry, limits: ModelLimits): RateLimiter {
  entry.limiter ??= createRateLimiter()
  entry.limiter.set(limits)
  return entry.limiter
}

function measure(entry: Entry, { ms, firstChunkMs, outputTokens }: Parameters<AdmittedCall['succeeded']>[0]): void {
  if (firstChunkMs === undefined) return
  entry.firstChunkMs = average(entry.firstChunkMs, firstChunkMs)
  // A reply that came in one piece says nothing of how fast it was written.
  if (outputTokens && ms - firstChunkMs >= 1)
    entry.tokensPerSecond = average(entry.tokensPerSecond, (outputTokens * 1000) / (ms - firstChunkMs))
}

function average(sofar: number | undefined, value: number): number {
  return sofar === undefined ? value : sofar + newest * (value - sofar)
}

function healthOf(entry: Entry | undefined, now: number): ModelHealth {
  if (!entry) return { breaker: 'closed', failuresInARow: 0 }
  const open = entry.state === 'open' && entry.openUntil > now
  const wait = entry.limiter?.check(1, now)
  const tokensLeft = entry.limiter?.tokensLeft(now)
  const retryAt = Math.max(open ? entry.openUntil : 0, entry.limitedUntil, wait?.retryAt ?? 0)
  return {
    breaker: entry.state === 'open' && !open ? 'half-open' : entry.state,
    ...(retryAt > now && { retryAt }),
    ...(wait && { limit: wait.limit }),
    ...(tokensLeft !== undefined && { tokensLeft }),
    failuresInARow: entry.failuresInARow,
    ...(entry.firstChunkMs !== undefined && { firstChunkMs: entry.firstChunkMs }),
    ...(entry.tokensPerSecond !== undefined && { tokensPerSecond: entry.tokensPerSecond }),
  }
}

/** Entries as a map of health, each read at the moment it is asked for. */
function createView(entries: ReadonlyMap<string, Entry>, now: () => number): ReadonlyMap<string, ModelHealth> {
  const snapshot = () => {
    const at = now()
    return new Map([...entries].map(([modelId, entry]) => [modelId, healthOf(entry, at)]))
  }
  return {
    get size() {
      return entries.size
    },
    get(modelId) {
      const entry = entries.get(modelId)
      return entry && healthOf(entry, now())
    },
    has: (modelId) => entries.has(modelId),
    keys: () => entries.keys(),
    values: () => snapshot().values(),
    entries: () => snapshot().entries(),
    forEach: (run, self) => snapshot().forEach(run, self),
    [Symbol.iterator]: () => snapshot().entries(),
  }
}

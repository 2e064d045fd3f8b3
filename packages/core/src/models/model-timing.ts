import { z } from 'zod'

const day = 86_400_000
const ms = z.number().nonnegative().max(day)

/** How patient model calls are. All times in milliseconds, at most a day. */
export const ModelTiming = z.strictObject({
  /** Sends to one model before the next one in the route is tried, where its failures may pass. Default: 4. */
  triesPerAttempt: z.int().positive().max(100).default(4),
  /**
   * Longest wait before the second try, doubled with each further one; the wait itself is a random part of it ("full jitter",
   * M. Brooker, "Exponential Backoff And Jitter", AWS 2015). Default: 500.
   */
  backoffBaseMs: ms.default(500),
  /** The most that doubling leads to. Default: 20,000. */
  backoffCapMs: ms.default(20_000),
  /**
   * The longest that a call waits for a model that asked to wait (Retry-After) or whose breaker is open, when no other model of the route can
   * be called now. Beyond that it fails. Default: 60,000.
   */
  maxWaitMs: ms.default(60_000),
  /** Limit until the first chunk. Generous, because some models reason for minutes before they say anything. Default: 120,000. */
  firstChunkMs: ms.positive().default(120_000),
  /** Limit from one chunk to the next. Default: 60,000. */
  betweenChunksMs: ms.positive().default(60_000),
  /** Limit for the verdict on a reply (`accept` of an attempt); without one by then, the reply is not accepted. Default: 300,000. */
  verdictMs: ms.positive().default(300_000),
})
export type ModelTiming = z.output<typeof ModelTiming>

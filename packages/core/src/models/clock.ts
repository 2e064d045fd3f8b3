/** Time, so that tests can bring their own. */
export interface Clock {
  /** Milliseconds since 1970; never runs backwards. */
  now(): number
  /** Calls `run` once after `ms` milliseconds, unless the function it returns is called before. */
  setTimer(run: () => void, ms: number): () => void
}

/** The machine's clock. Monotonic: setting the wall clock moves no time limit. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  setTimer(run, ms) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}

import assert from 'node:assert/strict'
import type { Clock } from '../models/clock.ts'

/** A clock that stands still until everything waits, then jumps to the next timer: a day of back-off takes no time. */
export interface VirtualClock extends Clock {
  /** Timers that are set. */
  readonly timers: number
  /** Runs work to its end. Fails where it waits for something that no timer will bring: it would hang for ever. */
  run<T>(work: Promise<T>): Promise<T>
}

interface Timer {
  readonly due: number
  readonly run: () => void
}

/** Builds a {@link VirtualClock}. What runs on it must wait for nothing else but its timers and its own promises. */
export function createVirtualClock(start: number = Date.UTC(2030, 0, 1)): VirtualClock {
  let now = start
  const timers = new Set<Timer>()

  function jump(): void {
    let next: Timer | undefined
    for (const timer of timers) if (!next || timer.due < next.due) next = timer
    assert.ok(next, 'hangs: it waits, and no timer is set')
    timers.delete(next)
    now = Math.max(now, next.due)
    next.run()
  }

  return {
    now: () => now,
    get timers() {
      return timers.size
    },
    setTimer(run, ms) {
      const timer = { due: now + ms, run }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    async run(work) {
      let settled = false
      const settle = () => {
        settled = true
      }
      work.then(settle, settle)
      for (;;) {
        // All promises that can go on have gone on when this fires.
        await new Promise((resolve) => setImmediate(resolve))
        if (settled) return work
        jump()
      }
    },
  }
}

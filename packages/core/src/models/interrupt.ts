import type { BatonError } from '../errors.ts'
import { abortedError } from '../errors.ts'
import type { Clock } from './clock.ts'

/**
 * Lets a line of work that awaits one thing at a time be broken off, whatever that thing does. One listener on the caller's signal for the
 * whole of it, and one slot instead of a lasting promise: `Promise.race` on that would grow with every chunk of a stream.
 */
export interface Interrupt {
  /** Set once the caller aborted. */
  readonly aborted: BatonError | undefined
  /** Called when the caller aborts, before what is awaited is broken off. */
  onAbort: ((error: BatonError) => void) | undefined
  /** Waits for a promise, or rejects when interrupted. */
  race<T>(promise: PromiseLike<T> | T): Promise<T>
  /** Makes what is awaited right now reject. */
  trip(error: Error): void
  /** Stops listening to the signal. */
  close(): void
}

/** Builds an {@link Interrupt} on a caller's signal. */
export function createInterrupt(signal: AbortSignal | undefined, what: string): Interrupt {
  let aborted: BatonError | undefined
  let reject: ((error: Error) => void) | undefined
  const interrupt: Interrupt = {
    get aborted() {
      return aborted
    },
    onAbort: undefined,
    race<T>(promise: PromiseLike<T> | T) {
      return new Promise<T>((resolve, refuse) => {
        // Listened to in any case, so that a promise which rejects later is no unhandled rejection.
        Promise.resolve(promise).then(resolve, refuse)
        if (aborted) refuse(aborted)
        else reject = refuse
      })
    },
    trip(error) {
      reject?.(error)
    },
    close() {
      signal?.removeEventListener('abort', abort)
    },
  }
  function abort(): void {
    if (aborted || !signal) return
    aborted = abortedError(signal, what)
    interrupt.onAbort?.(aborted)
    reject?.(aborted)
  }
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) abort()
  return interrupt
}

/** Waits for some time, or until `wake` calls what it was given, or rejects when interrupted. `wake` returns how to stop listening. */
export async function pause(interrupt: Interrupt, clock: Clock, ms: number, wake?: (run: () => void) => () => void): Promise<void> {
  let cancel: (() => void) | undefined
  let unsubscribe: (() => void) | undefined
  try {
    await interrupt.race(
      new Promise<void>((resolve) => {
        cancel = clock.setTimer(resolve, ms)
        unsubscribe = wake?.(resolve)
      }),
    )
  } finally {
    cancel?.()
    unsubscribe?.()
  }
}

import type { ExitStatus, SpawnOptions } from './sandbox.ts'

/** Why a process was ended from outside. */
export type StopReason = Extract<ExitStatus['reason'], 'timeout' | 'silence' | 'aborted'>

/** The clocks of one process. */
export interface ProcessLimits {
  /** It said something. */
  touch(): void
  /** It has ended; nothing fires from now on. */
  stop(): void
}

/** Watches a process's time limits and signal, and says once when one is reached. Time in which `isHeldBack` is no silence. */
export function watchLimits(
  options: Pick<SpawnOptions, 'timeoutMs' | 'silenceMs' | 'signal'>,
  isHeldBack: () => boolean,
  onReached: (reason: StopReason) => void,
): ProcessLimits {
  const { timeoutMs, silenceMs, signal } = options
  const timers: { total?: NodeJS.Timeout; silence?: NodeJS.Timeout } = {}
  let lastOutput = performance.now()
  const stop = (): void => {
    clearTimeout(timers.total)
    clearTimeout(timers.silence)
    signal?.removeEventListener('abort', abort)
  }
  const reach = (reason: StopReason): void => {
    stop()
    onReached(reason)
  }
  const abort = (): void => reach('aborted')
  const checkSilence = (limit: number): void => {
    if (isHeldBack()) lastOutput = performance.now()
    const left = limit - (performance.now() - lastOutput)
    if (left <= 0) reach('silence')
    else timers.silence = setTimeout(checkSilence, Math.max(1, Math.min(left, longestTimer)), limit)
  }
  const checkTotal = (left: number): void => {
    const wait = Math.min(left, longestTimer)
    timers.total = setTimeout(() => (left > wait ? checkTotal(left - wait) : reach('timeout')), wait)
  }
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted) queueMicrotask(abort)
  if (timeoutMs !== undefined) checkTotal(timeoutMs)
  if (silenceMs !== undefined) checkSilence(silenceMs)
  return {
    touch: () => {
      lastOutput = performance.now()
    },
    stop,
  }
}

/** What `setTimeout` can count. */
const longestTimer = 2 ** 31 - 1

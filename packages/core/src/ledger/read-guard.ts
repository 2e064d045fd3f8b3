import type { FileStat } from '../sandbox/sandbox.ts'

/**
 * Says of which files a later edit is sure to show. Clocks that stamp files stand still for a while (the grain), so an edit right after a read can leave size
 * and times as they were; git calls such an entry racy. No clock of a sandbox is compared with one of the host.
 */
export interface ReadGuard {
  /** Hears of everything that a scan meets. */
  see(ctimeMs: number): void
  /** The scan is done. */
  scanned(): void
  /** Reading begins, of files as the last scan had them. */
  reading(): void
  /**
   * Whether any edit after this read shows. `sameAsBefore`: an earlier look met the file just as it is now. Either something else has a later change time than
   * this file, by more than the grain: then the clock had gone on. Or the grain has passed since this file was first met as it is.
   */
  isSure(stat: FileStat, sameAsBefore: boolean): boolean
  /** Lets go of a path. */
  forget(path: string): void
  reset(): void
}

/** In milliseconds, where times have fractions of a second: the tick of a kernel of 100 Hz. Else times are cut to seconds. */
const fineGrainMs = 10
const coarseGrainMs = 1_010

/** Makes a guard that has seen nothing. */
export function createReadGuard(): ReadGuard {
  let newestMs = Number.NEGATIVE_INFINITY
  let fine = false
  let scannedAt = 0
  let readingAt = 0
  /** When files that were not sure were first met as they are; host's monotonic time, at the end of that scan. */
  const metAt = new Map<string, number>()
  return {
    see(ctimeMs) {
      if (ctimeMs > newestMs) newestMs = ctimeMs
      if (!fine && !Number.isInteger(ctimeMs)) fine = true
    },
    scanned() {
      scannedAt = performance.now()
    },
    reading() {
      readingAt = performance.now()
    },
    isSure({ path, ctimeMs }, sameAsBefore) {
      const grainMs = fine ? fineGrainMs : coarseGrainMs
      const met = (sameAsBefore ? metAt.get(path) : undefined) ?? scannedAt
      const sure = ctimeMs < newestMs - grainMs || readingAt - met > 2 * grainMs
      if (sure) metAt.delete(path)
      else metAt.set(path, met)
      return sure
    },
    forget: (path) => void metAt.delete(path),
    reset() {
      newestMs = Number.NEGATIVE_INFINITY
      fine = false
      metAt.clear()
    },
  }
}

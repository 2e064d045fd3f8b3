import PQueue from 'p-queue'

/** The places in which runs can be active. */
export interface RunSlots {
  /** Waits for a place; a higher priority goes first. Resolves with how to give it back. Rejects when the signal aborts. */
  acquire(priority: number, signal: AbortSignal): Promise<() => void>
}

/** As many places as `concurrency` says. */
export function createRunSlots(concurrency: number): RunSlots {
  const queue = new PQueue({ concurrency })
  return {
    acquire(priority, signal) {
      return new Promise((resolve, reject) => {
        queue
          .add(
            () =>
              new Promise<void>((release) => {
                resolve(release)
              }),
            { priority, signal },
          )
          .catch(reject)
      })
    },
  }
}

/** One run's hold on a place: given up while it waits for a person or a sub-task, so that it costs others nothing. */
export interface SlotHold {
  /** Waits for the place at first. */
  enter(): Promise<void>
  /** Gives the place up while `wait` is pending. */
  yieldFor<T>(wait: () => Promise<T>): Promise<T>
  leave(): void
  /** Milliseconds in which the place was held so far. */
  readonly activeMs: number
  /** Told when the place is taken and given up. */
  onChange(listener: (active: boolean) => void): void
}

/** Makes a run's hold. */
export function createSlotHold(slots: RunSlots, priority: number, signal: AbortSignal): SlotHold {
  let release: (() => void) | undefined
  let waiting = 0
  let activeMs = 0
  let since = 0
  let listener: ((active: boolean) => void) | undefined

  async function enter(bonus = 0): Promise<void> {
    const got = await slots.acquire(priority + bonus, signal)
    if (signal.aborted || release) return got()
    release = got
    since = Date.now()
    listener?.(true)
  }

  function leave(): void {
    if (!release) return
    release()
    release = undefined
    activeMs += Date.now() - since
    listener?.(false)
  }

  return {
    enter: () => enter(),
    leave,
    get activeMs() {
      return activeMs + (release ? Date.now() - since : 0)
    },
    onChange(next) {
      listener = next
    },
    async yieldFor(wait) {
      if (waiting++ === 0) leave()
      try {
        return await wait()
      } finally {
        // Whoever was running before goes before those who have not begun.
        if (--waiting === 0 && !signal.aborted) await enter(1)
      }
    },
  }
}

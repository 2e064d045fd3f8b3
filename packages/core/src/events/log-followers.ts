import type { FSWatcher } from 'node:fs'
import { statSync, watch } from 'node:fs'
import type { LoggedEvent } from './event.ts'
import type { Commit } from './log-file.ts'
import type { LogCursor, LogStretch } from './log-reader.ts'
import { identityOf } from './log-reader.ts'

/** How often logs are looked at in case the watcher says nothing, as on network file systems. */
const pollMs = 250
/** Logs looked at each time while there is a watcher, so that a thousand idle tasks cost next to nothing. */
const polledAtOnce = 32
/** Events of this process that wait for one follower; beyond them it reads the file. */
const readyLimit = 1024

/** A place in a log, and which file it is in. */
export interface LogPlace {
  readonly identity: string
  readonly cursor: LogCursor
}

/** What followers need of their store. */
export interface LogFollowersOptions {
  readonly dir: string
  readonly extension: string
  /** Reads on behind a seq, from a place where one is known. */
  read(taskId: string, after: number, place: LogPlace | undefined): AsyncIterable<LogStretch>
  /** Whether this process is writing to the log right now; it will tell of that itself. */
  isWriting(taskId: string): boolean
}

/** Everyone who follows a log of one store: one watcher and one timer serve them all. */
export interface LogFollowers {
  follow(taskId: string, options: { readonly after: number; readonly signal: AbortSignal }): AsyncGenerator<LoggedEvent, void, void>
  /** Hands over what this process has just appended, so that nobody need read it back. */
  deliver(taskId: string, commit: Commit): void
  /** Looks at a log, which may have changed. */
  check(taskId: string): void
  close(): void
}

interface Follower {
  readonly taskId: string
  readonly ready: LoggedEvent[]
  /** Seq of the last event that it has, or that is ready. */
  seq: number
  place: LogPlace | undefined
  /** The file has more than what is ready. */
  behind: boolean
  reading: boolean
  /** Size and time of the file when it was last found behind, so that a torn end is not read again and again. */
  seen: string
  wake: () => void
}

/** Follows logs of one folder. */
export function createLogFollowers(options: LogFollowersOptions): LogFollowers {
  const { dir, extension } = options
  const byTask = new Map<string, Set<Follower>>()
  let watcher: FSWatcher | undefined
  let timer: NodeJS.Timeout | undefined
  let polled: Iterator<string> = [].values()
  let closed = false

  function add(follower: Follower): void {
    const followers = byTask.get(follower.taskId) ?? new Set()
    byTask.set(follower.taskId, followers.add(follower))
    if (timer === undefined) start()
  }

  function remove(follower: Follower): void {
    const followers = byTask.get(follower.taskId)
    followers?.delete(follower)
    if (followers?.size === 0) byTask.delete(follower.taskId)
    if (byTask.size === 0) stop()
  }

  function start(): void {
    try {
      watcher = watch(dir, (_kind, name) => {
        if (name === null) for (const taskId of byTask.keys()) check(taskId)
        else if (name.endsWith(extension)) check(name.slice(0, -extension.length))
      })
      watcher.on('error', stopWatching)
    } catch {
      // No such folder, or no watches left: the timer alone does it.
    }
    timer = setInterval(poll, pollMs)
    if (watcher) timer.unref()
  }

  function stopWatching(): void {
    watcher?.close()
    watcher = undefined
    timer?.ref()
  }

  function stop(): void {
    stopWatching()
    clearInterval(timer)
    timer = undefined
  }

  function poll(): void {
    const count = watcher ? Math.min(polledAtOnce, byTask.size) : byTask.size
    for (let done = 0; done < count; done++) {
      let next = polled.next()
      if (next.done) {
        polled = byTask.keys()
        next = polled.next()
      }
      if (!next.done) check(next.value)
    }
  }

  function check(taskId: string): void {
    const followers = byTask.get(taskId)
    if (!followers || options.isWriting(taskId)) return
    const stat = statSync(`${dir}/${taskId}${extension}`, { throwIfNoEntry: false })
    const seen = stat ? `${stat.size}:${stat.mtimeMs}` : 'gone'
    for (const follower of followers) {
      const { place } = follower
      if (stat && place?.cursor.offset === stat.size && place.identity === identityOf(stat)) continue
      if (follower.seen !== seen) markBehind(follower)
      follower.seen = seen
    }
  }

  function markBehind(follower: Follower): void {
    follower.behind = true
    follower.wake()
  }

  async function* readOn(follower: Follower): AsyncGenerator<LoggedEvent, void, void> {
    follower.behind = false
    follower.reading = true
    try {
      for await (const { events, next, identity } of options.read(follower.taskId, follower.seq, follower.place)) {
        follower.place = { identity, cursor: next }
        follower.seq = next.seq
        yield* events
      }
    } finally {
      follower.reading = false
    }
  }

  return {
    async *follow(taskId, { after, signal }) {
      const follower: Follower = { taskId, ready: [], seq: after, place: undefined, behind: true, reading: false, seen: '', wake: () => {} }
      const wake = (): void => follower.wake()
      signal.addEventListener('abort', wake)
      add(follower)
      try {
        while (!signal.aborted && !closed) {
          const event = follower.ready.shift()
          if (event) yield event
          else if (follower.behind) {
            for await (const next of readOn(follower)) {
              if (signal.aborted || closed) return
              yield next
            }
          } else
            await new Promise<void>((resolve) => {
              follower.wake = resolve
            })
        }
      } finally {
        remove(follower)
        signal.removeEventListener('abort', wake)
      }
    },
    deliver(taskId, { events, from, to, identity }) {
      for (const follower of byTask.get(taskId) ?? []) {
        const next = !follower.behind && !follower.reading && follower.seq === from.seq
        if (next && follower.ready.length + events.length <= readyLimit) {
          for (const event of events) follower.ready.push(event)
          follower.seq = to.seq
          follower.place = { identity, cursor: to }
          follower.wake()
        } else markBehind(follower)
      }
    },
    check,
    close() {
      closed = true
      for (const followers of byTask.values()) for (const follower of followers) follower.wake()
    },
  }
}

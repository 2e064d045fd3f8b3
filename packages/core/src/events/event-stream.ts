import { EventEmitter } from 'eventemitter3'
import { abortedError, BatonError } from '../errors.ts'
import type { Abortable } from '../options.ts'
import type { Event, EventDraft, EventType, LiveEvent, LoggedEvent } from './event.ts'
import { isKnown } from './event.ts'
import { mintEventId } from './event-id.ts'
import { checkEventData, versionOf } from './event-registry.ts'
import type { EventStore, TaskSummary } from './event-store.ts'

/** How much of the log's end is held in memory for those who follow it; what is older is read from the store. */
const tailLength = 1024
/** The same while nobody does, so that a task that waits costs little, however long it is. */
const unfollowedTailLength = 32
/** Live events that wait for one slow reader. */
const liveBuffer = 256

/** What a stream keeps up to date as events become durable. */
export interface Fold {
  /** The task with one more event. Pure. */
  summarize(summary: TaskSummary | undefined, event: LoggedEvent): TaskSummary
  /** Told of each event, once and in order, after it is durable and before any subscriber sees it. */
  apply(event: LoggedEvent): void
}

/** How events are appended. */
export interface StreamAppendOptions {
  /** Set by the driver: the append is refused with `LOST_OWNERSHIP` once another process has claimed the task. */
  readonly epoch?: number | undefined
  /**
   * Called right before the append with everything that is durable folded in, and again after a conflict. Throwing refuses the append.
   * What it allows is appended next to exactly what it saw.
   */
  readonly check?: (() => void) | undefined
}

/** What a subscription delivers. */
export interface SubscribeOptions extends Abortable {
  /** Start behind this seq. Default 0: from the beginning. */
  readonly after?: number | undefined
  /** Called when the reader is so slow that events have to be read back from the store: nothing is lost but live events. */
  readonly onBehind?: ((info: { readonly seq: number; readonly lastSeq: number }) => void) | undefined
}

/** The log of one open task. */
export interface EventStream {
  readonly taskId: string
  readonly lastSeq: number
  readonly summary: TaskSummary | undefined
  /** Resolves when the events are durable. Drafts of one call stay together. Rejects with `INVALID_EVENT`, `LOST_OWNERSHIP`, `STORE_FULL`, `STORE_FAILED`, `CLOSED`. */
  append(drafts: readonly EventDraft[], options?: StreamAppendOptions): Promise<readonly Event[]>
  read(options?: { readonly after?: number; readonly limit?: number }): AsyncIterable<LoggedEvent>
  /**
   * Replays, then follows live, without gap or duplicate. Live events come in their place: behind the event that was last when they were sent.
   * Ends when the signal aborts, or with the last event once the stream is closed.
   */
  subscribe(options?: SubscribeOptions): AsyncIterable<LoggedEvent>
  subscribe(options: SubscribeOptions & { readonly live: true }): AsyncIterable<LoggedEvent | LiveEvent>
  /** Calls a listener for each new event of a type, or for every one with `*`. Returns how to stop. */
  on<T extends EventType>(type: T, listener: (event: Event<T>) => void): () => void
  on(type: '*', listener: (event: LoggedEvent) => void): () => void
  /** Passes a live event to those who watch. */
  sendLive(event: LiveEvent): void
  /** Whether anyone watches live events. */
  readonly watched: boolean
  /** Reads on to the end of the log. */
  catchUp(): Promise<void>
  /** Reads on as other processes append, until closed. */
  followOthers(): void
  close(): Promise<void>
}

interface QueuedAppend {
  readonly drafts: readonly EventDraft[]
  readonly options: StreamAppendOptions
  resolve(events: readonly Event[]): void
  reject(error: unknown): void
}

/** Appends that go to the store together. */
interface Group {
  readonly entries: { readonly entry: QueuedAppend; readonly events: readonly Event[] }[]
  readonly all: Event[]
  /** The task as it stands with them. */
  next: TaskSummary | undefined
}

/** Opens the log of one task. Reads nothing by itself: `catchUp` does. */
export function createEventStream(options: { readonly store: EventStore; readonly taskId: string; readonly fold: Fold }): EventStream {
  const { store, taskId, fold } = options
  const emitter = new EventEmitter()
  const closing = new AbortController()
  const wakers = new Set<() => void>()
  const liveReaders = new Set<(event: LiveEvent) => void>()
  const queue: QueuedAppend[] = []
  let tail: LoggedEvent[] = []
  let tailStart = 1
  let followers = 0
  let lastSeq = 0
  let summary: TaskSummary | undefined
  let pumping: Promise<void> | undefined

  function ingest(event: LoggedEvent): void {
    if (event.seq <= lastSeq) return
    lastSeq = event.seq
    summary = fold.summarize(summary, event)
    fold.apply(event)
    tail.push(event)
    trimTail()
    notify(event)
    for (const wake of wakers) wake()
  }

  function trimTail(): void {
    const held = followers > 0 ? tailLength : unfollowedTailLength
    if (tail.length >= 2 * held) tail = tail.slice(-held)
    tailStart = lastSeq - tail.length + 1
  }

  function notify(event: LoggedEvent): void {
    for (const name of isKnown(event) ? [event.type, '*'] : ['*']) {
      if (emitter.listenerCount(name) === 0) continue
      for (const listener of emitter.listeners(name) as ((event: LoggedEvent) => void)[]) {
        try {
          listener(event)
        } catch (error) {
          // A listener is a guest: its fault must not stop the log.
          process.emitWarning(
            `A listener for "${name}" threw: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
            'BatonWarning',
          )
        }
      }
    }
  }

  async function catchUp(): Promise<void> {
    for await (const event of store.read(taskId, { after: lastSeq })) {
      if (event.seq > lastSeq + 1)
        throw new BatonError('CORRUPT_LOG', `Task ${taskId}: the store went from seq ${lastSeq} to ${event.seq}.`)
      ingest(event)
    }
  }

  /** Gives drafts their place. An entry with a check may only be first in a group, since it has to see what comes before as durable. */
  function takeGroup(): Group {
    const group: Group = { entries: [], all: [], next: summary }
    while (queue[0] && !(queue[0].options.check && group.entries.length > 0)) {
      const entry = queue.shift() as QueuedAppend
      try {
        place(entry, group)
      } catch (error) {
        entry.reject(error)
      }
    }
    return group
  }

  function place(entry: QueuedAppend, group: Group): void {
    const { epoch, check } = entry.options
    check?.()
    const driver = group.next?.driver
    if (epoch !== undefined && driver?.epoch !== epoch) {
      throw new BatonError(
        'LOST_OWNERSHIP',
        `Task ${taskId} is driven by ${driver?.owner ?? 'nobody'} now (epoch ${driver?.epoch ?? 0}, this process had ${epoch}). Open it again to see where it stands.`,
      )
    }
    const time = new Date().toISOString()
    let { next } = group
    const events = entry.drafts.map((draft, index) => {
      const event = {
        id: mintEventId(),
        taskId,
        seq: lastSeq + group.all.length + index + 1,
        time,
        actor: draft.actor,
        ...(epoch !== undefined && { epoch }),
        ...(draft.cause !== undefined && { cause: draft.cause }),
        v: versionOf(draft.type),
        type: draft.type,
        data: draft.data,
      } as Event
      next = fold.summarize(next, event)
      return event
    })
    group.all.push(...events)
    group.entries.push({ entry, events })
    group.next = next
  }

  async function pump(): Promise<void> {
    let conflicts = 0
    while (queue.length > 0) {
      const { entries, all, next } = takeGroup()
      try {
        if (all.length > 0 && next !== undefined) {
          const refused = await appendOrCatchUp(all, next)
          if (refused?.again && conflicts++ < 100) {
            queue.unshift(...entries.map(({ entry }) => entry))
            continue
          }
          if (refused) throw refused.error
          for (const event of all) ingest(event)
        }
        conflicts = 0
        for (const { entry, events } of entries) entry.resolve(events)
      } catch (error) {
        for (const { entry } of entries) entry.reject(error)
      }
    }
    // In the same turn as the last look at the queue, or an append in between would wait for ever.
    pumping = undefined
  }

  /** Returns why not, and whether it is worth trying again with what others appended meanwhile. */
  async function appendOrCatchUp(all: readonly Event[], next: TaskSummary): Promise<{ error: unknown; again: boolean } | undefined> {
    const before = lastSeq
    try {
      await store.append(taskId, all, { after: before, summary: next })
      return undefined
    } catch (error) {
      if (!BatonError.isInstance(error, 'CONFLICT')) return { error, again: false }
      try {
        await catchUp()
      } catch (failure) {
        return { error: failure, again: false }
      }
      const stale = new BatonError('STORE_FAILED', `Task ${taskId}: the store reports a conflict, but has nothing new.`, { cause: error })
      return lastSeq > before ? { error, again: true } : { error: stale, again: false }
    }
  }

  async function follow(): Promise<void> {
    try {
      for await (const event of store.follow(taskId, { after: lastSeq, signal: closing.signal })) {
        if (event.seq <= lastSeq) continue
        // An append of our own that is durable but not yet taken in: let it be taken in first.
        if (pumping !== undefined) await pumping.catch(() => {})
        if (event.seq > lastSeq + 1) await catchUp()
        else ingest(event)
      }
    } catch (error) {
      if (!closing.signal.aborted) {
        process.emitWarning(
          `Task ${taskId}: following the log ended: ${error instanceof Error ? error.message : String(error)}`,
          'BatonWarning',
        )
      }
    }
  }

  /** Waits for the next event, without a chance to miss one between looking and waiting. */
  function changed(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        wakers.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      wakers.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  async function* subscribe(
    subscription: SubscribeOptions & { readonly live?: boolean } = {},
  ): AsyncGenerator<LoggedEvent | LiveEvent, void, void> {
    const { signal, onBehind } = subscription
    let cursor = subscription.after ?? 0
    let wasLive = false
    const live: LiveEvent[] = []
    const receive = (event: LiveEvent): void => {
      if (live.length < liveBuffer) live.push(event)
      for (const wake of wakers) wake()
    }
    if (subscription.live) liveReaders.add(receive)
    followers++
    try {
      while (!signal?.aborted) {
        const next = live[0]
        if (next && next.after <= cursor) {
          live.shift()
          yield next
        } else if (cursor < lastSeq) {
          const held = cursor + 1 >= tailStart ? tail[cursor + 1 - tailStart] : undefined
          if (held) {
            cursor = held.seq
            yield held
            continue
          }
          if (wasLive) onBehind?.({ seq: cursor, lastSeq })
          const from = cursor
          for await (const event of store.read(taskId, { after: cursor })) {
            if (signal?.aborted) return
            if (event.seq > lastSeq) break
            cursor = event.seq
            yield event
            if (cursor + 1 >= tailStart) break
          }
          if (cursor === from) throw new BatonError('CORRUPT_LOG', `Task ${taskId}: the store has lost what came after seq ${cursor}.`)
        } else {
          wasLive = true
          if (closing.signal.aborted) return
          await changed(signal)
        }
      }
    } finally {
      followers--
      trimTail()
      liveReaders.delete(receive)
    }
  }

  return {
    taskId,
    get lastSeq() {
      return lastSeq
    },
    get summary() {
      return summary
    },
    get watched() {
      return liveReaders.size > 0
    },
    append(drafts, appendOptions = {}) {
      return new Promise((resolve, reject) => {
        if (closing.signal.aborted) throw new BatonError('CLOSED', `Task ${taskId} is closed here. Open it again to write to it.`)
        for (const draft of drafts) checkEventData(draft.type, draft.data)
        queue.push({ drafts, options: appendOptions, resolve, reject })
        // What is appended in one go waits for the same write.
        pumping ??= Promise.resolve().then(pump)
      })
    },
    read: (readOptions) => store.read(taskId, readOptions),
    subscribe: subscribe as EventStream['subscribe'],
    on(type: string, listener: (event: never) => void) {
      emitter.on(type, listener as (event: unknown) => void)
      return () => emitter.off(type, listener as (event: unknown) => void)
    },
    sendLive(event) {
      for (const receive of liveReaders) receive(event)
    },
    catchUp,
    followOthers() {
      void follow()
    },
    async close() {
      await pumping
      closing.abort(new BatonError('CLOSED', `Task ${taskId} was closed.`))
      for (const wake of [...wakers]) wake()
      emitter.removeAllListeners()
    },
  }
}

/**
 * Waits until a condition holds, looking again after each event.
 *
 * @throws BatonError `ABORTED` (or the signal's own BatonError) when the signal aborts first.
 */
export function until<T>(stream: EventStream, find: () => T | undefined, signal: AbortSignal, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (): boolean => {
      const found = find()
      if (found === undefined) return false
      stop()
      resolve(found)
      return true
    }
    const abort = (): void => {
      stop()
      reject(abortedError(signal, what))
    }
    let off = (): void => {}
    const stop = (): void => {
      off()
      signal.removeEventListener('abort', abort)
    }
    if (signal.aborted) return abort()
    if (settle()) return
    off = stream.on('*', settle)
    signal.addEventListener('abort', abort, { once: true })
  })
}

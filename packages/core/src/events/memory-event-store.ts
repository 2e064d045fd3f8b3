import type { LoggedEvent } from './event.ts'
import type { EventStore, TaskSummary } from './event-store.ts'
import { byCreation, matchesFilter } from './event-store.ts'
import { checkOrder, conflictError, storeClosedError, unknownTaskError } from './store-errors.ts'

interface MemoryLog {
  readonly events: LoggedEvent[]
  summary: TaskSummary
  deleted: boolean
}

/** Keeps logs in memory, for tests and for what need not last. It keeps the events it is given, not copies of them. */
export function createMemoryEventStore(): EventStore {
  const logs = new Map<string, MemoryLog>()
  const wakers = new Map<string, Set<() => void>>()
  let closed = false

  function find(taskId: string): MemoryLog {
    if (closed) throw storeClosedError()
    const log = logs.get(taskId)
    if (!log) throw unknownTaskError(taskId)
    return log
  }

  function wake(taskId: string): void {
    for (const waker of wakers.get(taskId) ?? []) waker()
  }

  function changed(taskId: string, signal: AbortSignal): Promise<void> {
    const set = wakers.get(taskId) ?? new Set()
    wakers.set(taskId, set)
    return new Promise((resolve) => {
      const waker = (): void => {
        set.delete(waker)
        if (set.size === 0) wakers.delete(taskId)
        signal.removeEventListener('abort', waker)
        resolve()
      }
      set.add(waker)
      signal.addEventListener('abort', waker)
    })
  }

  return {
    async append(taskId, events, { after, summary }) {
      if (closed) throw storeClosedError()
      checkOrder(taskId, events, after)
      const log = logs.get(taskId) ?? { events: [], summary, deleted: false }
      if (log.events.length !== after) throw conflictError(taskId, after, log.events.length)
      log.events.push(...events)
      log.summary = summary
      logs.set(taskId, log)
      wake(taskId)
    },
    async *read(taskId, { after = 0, limit = Number.POSITIVE_INFINITY } = {}) {
      yield* find(taskId).events.slice(after, after + limit)
    },
    async *follow(taskId, { after, signal }) {
      const log = find(taskId)
      for (let next = after; !signal.aborted && !closed; ) {
        const event = log.events[next]
        if (event) {
          next++
          yield event
        } else if (log.deleted) throw unknownTaskError(taskId)
        else await changed(taskId, signal)
      }
    },
    async *tasks(filter) {
      if (closed) throw storeClosedError()
      const summaries = [...logs.values()].map(({ summary }) => summary)
      yield* summaries.filter((summary) => matchesFilter(summary, filter)).sort(byCreation)
    },
    async delete(taskId) {
      if (closed) throw storeClosedError()
      const log = logs.get(taskId)
      if (log) log.deleted = true
      logs.delete(taskId)
      wake(taskId)
    },
    async close() {
      closed = true
      for (const taskId of [...wakers.keys()]) wake(taskId)
    },
  }
}

import { describe, expect, it } from 'vitest'
import { BatonError } from '../errors.ts'
import type { LoggedEvent, UnknownEvent } from '../events/event.ts'
import type { EventStore } from '../events/event-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { collect } from './conformance.ts'
import { runSuite } from './run-suite.ts'
import { sampleSummary } from './sample-events.ts'
import { testEventStore } from './test-event-store.ts'

type Break = (store: EventStore) => Partial<EventStore>

async function* reversed(events: AsyncIterable<LoggedEvent>): AsyncIterable<LoggedEvent> {
  yield* (await collect(events)).reverse()
}

async function* filtered(events: AsyncIterable<LoggedEvent>, keep: (event: LoggedEvent) => boolean): AsyncIterable<LoggedEvent> {
  for await (const event of events) if (keep(event)) yield event
}

async function* mapped(events: AsyncIterable<LoggedEvent>, change: (event: LoggedEvent) => LoggedEvent): AsyncIterable<LoggedEvent> {
  for await (const event of events) yield change(event)
}

async function* twice(events: AsyncIterable<LoggedEvent>, seq: number): AsyncIterable<LoggedEvent> {
  for await (const event of events) {
    yield event
    if (event.seq === seq) yield event
  }
}

function reserialised(event: LoggedEvent): LoggedEvent {
  return 'raw' in event ? ({ ...event, raw: JSON.stringify(JSON.parse(event.raw)) } satisfies UnknownEvent) : event
}

async function lastSeq(store: EventStore, taskId: string): Promise<number> {
  return (await collect(store.read(taskId)).catch(() => [])).length
}

/** Appends whatever `after` says, renumbered so that the log itself stays whole. */
async function appendAnyway(
  store: EventStore,
  taskId: string,
  events: readonly LoggedEvent[],
  summary = sampleSummary(taskId, 0),
): Promise<void> {
  const after = await lastSeq(store, taskId)
  const renumbered = events.map((event, index) => ({ ...event, seq: after + index + 1 }))
  await store.append(taskId, renumbered, { after, summary })
}

/** Each breaks one clause of the contract. The name of a test that has to fail goes with it. */
const broken: Record<string, { fails: string; make: Break }> = {
  'forgets the order of events': {
    fails: 'gives back what was appended, in order',
    make: (store) => ({ read: (taskId, options) => reversed(store.read(taskId, options)) }),
  },
  'accepts a stale `after`': {
    fails: 'rejects an append that is behind the log with CONFLICT, naming the last seq',
    make: (store) => ({ append: (taskId, events, { summary }) => appendAnyway(store, taskId, events, summary) }),
  },
  'says CONFLICT without the last seq': {
    fails: 'rejects an append that is behind the log with CONFLICT, naming the last seq',
    make: (store) => ({
      append: (taskId, events, options) =>
        store.append(taskId, events, options).catch((error: unknown) => {
          throw BatonError.isInstance(error, 'CONFLICT') ? new BatonError('CONFLICT', error.message) : error
        }),
    }),
  },
  'stores half an append before it refuses': {
    fails: 'stores nothing of an append that is refused',
    make: (store) => ({
      async append(taskId, events, options) {
        try {
          await store.append(taskId, events, options)
        } catch (error) {
          if (BatonError.isInstance(error, 'INVALID_EVENT')) await store.append(taskId, events.slice(0, 1), options)
          throw error
        }
      },
    }),
  },
  'accepts a gap': {
    fails: 'rejects events that leave a gap, repeat a seq, or are none, with INVALID_EVENT',
    make: (store) => ({
      append: (taskId, events, options) =>
        store.append(taskId, events, options).catch((error: unknown) => {
          if (!BatonError.isInstance(error, 'INVALID_EVENT')) throw error
          return appendAnyway(store, taskId, events, options.summary)
        }),
    }),
  },
  'mixes up appends made at the same time': {
    fails: 'takes appends that do not wait for each other in the order they were made',
    make: (store) => ({
      async append(taskId, events, options) {
        if (options.after % 2 === 0) await Promise.resolve()
        await store.append(taskId, events, options)
      },
    }),
  },
  'acknowledges before it stores': {
    fails: 'shows an append to a read that begins after it',
    make: (store) => ({
      async append(taskId, events, options) {
        if (options.after === 0) return store.append(taskId, events, options)
        setTimeout(() => void store.append(taskId, events, options).catch(() => {}), 1)
      },
    }),
  },
  'ignores where to read from': {
    fails: 'reads from behind a seq, at most as many as asked for',
    make: (store) => ({ read: (taskId, { limit = 1e9 } = {}) => store.read(taskId, { limit }) }),
  },
  'ignores the limit': {
    fails: 'reads from behind a seq, at most as many as asked for',
    make: (store) => ({ read: (taskId, { after = 0 } = {}) => store.read(taskId, { after }) }),
  },
  'reads a task that is not there as an empty one': {
    fails: 'rejects reading a task that is not there with UNKNOWN_TASK',
    make: (store) => ({
      async *read(taskId, options) {
        if ((await lastSeq(store, taskId)) > 0) yield* store.read(taskId, options)
      },
    }),
  },
  'serialises unknown events anew': {
    fails: 'gives back an unknown event byte for byte, wherever it stands in an append',
    make: (store) => ({ read: (taskId, options) => mapped(store.read(taskId, options), reserialised) }),
  },
  'drops fields of the envelope': {
    fails: 'gives back every field and every character',
    make: (store) => ({ read: (taskId, options) => mapped(store.read(taskId, options), ({ epoch: _, ...event }) => event as LoggedEvent) }),
  },
  'drops an event on the way to followers': {
    fails: 'follows what is there and what comes, without gap or duplicate',
    make: (store) => ({ follow: (taskId, options) => filtered(store.follow(taskId, options), ({ seq }) => seq !== 50) }),
  },
  'gives followers an event twice': {
    fails: 'follows what is there and what comes, without gap or duplicate',
    make: (store) => ({ follow: (taskId, options) => twice(store.follow(taskId, options), 10) }),
  },
  'does not follow what comes': {
    fails: 'follows what is there and what comes, without gap or duplicate',
    make: (store) => ({ follow: (taskId, { after }) => store.read(taskId, { after }) }),
  },
  'follows from the beginning': {
    fails: 'follows without gap or duplicate when it begins in the middle of appends',
    make: (store) => ({ follow: (taskId, { signal }) => store.follow(taskId, { after: 0, signal }) }),
  },
  'goes on following after an abort': {
    fails: 'ends following while it waits, when the signal aborts',
    make: (store) => ({ follow: (taskId, { after }) => store.follow(taskId, { after, signal: new AbortController().signal }) }),
  },
  'serialises unknown events anew for followers': {
    fails: 'gives a follower unknown events byte for byte',
    make: (store) => ({ follow: (taskId, options) => mapped(store.follow(taskId, options), reserialised) }),
  },
  'waits for a task that is not there': {
    fails: 'rejects following a task that is not there with UNKNOWN_TASK',
    make: (store) => ({
      async *follow(taskId, options) {
        while ((await lastSeq(store, taskId)) === 0) await new Promise((resolve) => setTimeout(resolve, 1).unref())
        yield* store.follow(taskId, options)
      },
    }),
  },
  'loses the summary': {
    fails: 'lists the last summary of each task, oldest first',
    make: () => ({ async *tasks() {} }),
  },
  'keeps the first summary': {
    fails: 'lists the last summary of each task, oldest first',
    make(store) {
      const first = new Map<string, ReturnType<typeof sampleSummary>>()
      return {
        async append(taskId, events, options) {
          const summary = first.get(taskId) ?? options.summary
          await store.append(taskId, events, { ...options, summary })
          first.set(taskId, summary)
        },
      }
    },
  },
  'lists in any order': {
    fails: 'lists the last summary of each task, oldest first',
    make: (store) => ({
      async *tasks(filter) {
        yield* (await collect(store.tasks(filter))).reverse()
      },
    }),
  },
  'ignores the filter': { fails: 'lists by status, by what waits and by parent', make: (store) => ({ tasks: () => store.tasks() }) },
  'does not delete': { fails: 'deletes a log and its summary, and begins anew at 1', make: () => ({ async delete() {} }) },
  'rejects deleting what is not there': {
    fails: 'deletes a task that is not there without an error',
    make: (store) => ({
      async delete(taskId) {
        if ((await lastSeq(store, taskId)) === 0) throw new BatonError('UNKNOWN_TASK', 'not there')
        await store.delete(taskId)
      },
    }),
  },
  'takes appends after close': {
    fails: 'refuses everything with CLOSED after close, which may be called again',
    make: () => ({ async close() {} }),
  },
  'cannot be closed twice': {
    fails: 'refuses everything with CLOSED after close, which may be called again',
    make(store) {
      let closed = false
      return {
        async close() {
          if (closed) throw new Error('already closed')
          closed = true
          await store.close()
        },
      }
    },
  },
  'leaves followers waiting when it closes': {
    fails: 'ends following without an error when it closes',
    make: (store) => ({
      async *follow(taskId, options) {
        yield* store.follow(taskId, options)
        if (!options.signal.aborted) await new Promise(() => {})
      },
    }),
  },
}

function breakStore(make: Break): EventStore {
  const store = createMemoryEventStore()
  return { ...store, ...make(store) }
}

describe('testEventStore', () => {
  it('passes a store that keeps the contract', async () => {
    const results = await runSuite((test) => testEventStore(test, { create: async () => createMemoryEventStore() }))
    expect(results.filter(({ failure }) => failure)).toEqual([])
  })

  for (const [what, { fails, make }] of Object.entries(broken)) {
    it.concurrent(`fails a store that ${what}`, async () => {
      const results = await runSuite((test) => testEventStore(test, { create: async () => breakStore(make), patienceMs: 300 }))
      expect(results.filter(({ failure }) => failure).map(({ name }) => name)).toContain(fails)
    })
  }

  it('fails a store that loses everything when it is opened again', async () => {
    const results = await runSuite((test) =>
      testEventStore(test, { create: async () => createMemoryEventStore(), reopen: async () => createMemoryEventStore(), patienceMs: 300 }),
    )
    const failed = results.filter(({ failure }) => failure).map(({ name }) => name)
    expect(failed).toEqual(
      expect.arrayContaining([
        'has everything when it is opened again',
        'sees what another one appended',
        'lets one of two win, again and again',
        'follows what another one appends, without gap or duplicate',
        'tells a follower that another one deleted its task',
      ]),
    )
  })
})

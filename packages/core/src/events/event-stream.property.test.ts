import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { summarizeTask } from '../tasks/task-summary.ts'
import type { EventDraft, LoggedEvent } from './event.ts'
import type { EventStore, TaskSummary } from './event-store.ts'
import type { EventStream } from './event-stream.ts'
import { createEventStream } from './event-stream.ts'
import { createMemoryEventStore } from './memory-event-store.ts'

const said = (text: string): EventDraft => ({ type: 'message.sent', actor: { kind: 'human', id: 'u' }, data: { text } })

/** A store that takes a random number of turns for each append. */
function slowly(store: EventStore, waits: Iterator<number>): EventStore {
  return {
    ...store,
    async append(taskId, events, options) {
      for (let left = waits.next().value ?? 0; left > 0; left--) await turn()
      await store.append(taskId, events, options)
    },
  }
}

/** Reads until it has the last event, a number of turns after each. */
async function read(stream: EventStream, after: number, last: number, pause: number): Promise<number[]> {
  const seen: number[] = []
  if (after >= last) return seen
  for await (const { seq } of stream.subscribe({ after })) {
    seen.push(seq)
    if (seq === last) break
    for (let left = pause; left > 0; left--) await turn()
  }
  return seen
}

describe('EventStream', () => {
  it('replays and follows without gap or duplicate, whoever appends when and wherever a reader starts', async () => {
    const writes = fc.array(
      fc.record({ by: fc.nat(2), drafts: fc.integer({ min: 1, max: 4 }), turns: fc.nat(2), checked: fc.boolean(), waitsFor: fc.boolean() }),
      { minLength: 1, maxLength: 25 },
    )
    const readers = fc.array(fc.record({ of: fc.nat(2), after: fc.nat(60), pause: fc.nat(3), since: fc.nat(10) }), { maxLength: 5 })
    const waits = fc.array(fc.nat(2), { maxLength: 10 })
    await fc.assert(
      fc.asyncProperty(writes, readers, waits, async (schedule, subscriptions, delays) => {
        const store = createMemoryEventStore()
        const folded: number[][] = [[], [], []]
        const endless = (function* () {
          for (;;) yield* delays.length > 0 ? delays : [0]
        })()
        const streams = folded.map((seen) =>
          createEventStream({
            store: slowly(store, endless),
            taskId: 't',
            fold: { summarize: summarizeTask, apply: ({ seq }: LoggedEvent) => void seen.push(seq) },
          }),
        )
        const total = schedule.reduce((sum, { drafts }) => sum + drafts, 0)
        const reading: Promise<number[]>[] = []
        const appends: Promise<unknown>[] = []
        const order = [...schedule.keys()]
        let following = false
        for (const index of order) {
          const { by, drafts, turns, checked, waitsFor } = schedule[index]!
          for (const { of, after, pause, since } of subscriptions)
            if (since === index) reading.push(read(streams[of]!, after, total, pause).then((seen) => seen.map((seq) => seq - after)))
          const stream = streams[by]!
          let sawAt = -1
          const check = (): void => {
            sawAt = stream.lastSeq
          }
          const appended = stream.append(
            Array.from({ length: drafts }, (_, part) => said(`${index}.${part}`)),
            checked ? { check } : {},
          )
          appends.push(
            appended.then((events) => {
              const first = events[0]!.seq
              expect(events.map(({ seq }) => seq - first)).toEqual([...events.keys()])
              if (checked) expect(sawAt).toBe(first - 1)
            }),
          )
          if (waitsFor) await appended
          if (!following && index === 0) {
            await appended
            following = true
            for (const one of streams) one.followOthers()
          }
          for (let left = turns; left > 0; left--) await turn()
        }
        await Promise.all(appends)
        for (const seen of await Promise.all(reading)) expect(seen).toEqual(seen.map((_, index) => index + 1))
        await Promise.all(streams.map((stream) => stream.catchUp()))
        const all = Array.from({ length: total }, (_, index) => index + 1)
        expect(folded).toEqual([all, all, all])
        // The summary that was stored with the last append is the fold of all events.
        const stored: TaskSummary[] = []
        for await (const summary of store.tasks()) stored.push(summary)
        expect(stored).toEqual([streams[0]!.summary])
        await Promise.all(streams.map((stream) => stream.close()))
      }),
      { numRuns: 300 },
    )
  })
})

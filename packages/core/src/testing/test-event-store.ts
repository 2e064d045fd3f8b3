import assert from 'node:assert/strict'
import { BatonError } from '../errors.ts'
import type { LoggedEvent } from '../events/event.ts'
import type { EventStore, TaskSummary } from '../events/event-store.ts'
import type { TestFunction } from './conformance.ts'
import { collect, expectRejection } from './conformance.ts'
import { sampleEvent, sampleEvents, sampleSummary, sampleUnknownEvent } from './sample-events.ts'

/** What {@link testEventStore} needs. */
export interface TestEventStoreOptions {
  /** An empty store; each test makes one and closes it. */
  create(): Promise<EventStore>
  /** Another store on the same data, as another process would open it; the one given may be open or closed. Leave it out where data does not outlive a store. */
  readonly reopen?: ((store: EventStore) => Promise<EventStore>) | undefined
  /** How long a test waits for what has to happen. Default 5,000. */
  readonly patienceMs?: number | undefined
}

/**
 * Tests each clause of the contract of `EventStore`.
 *
 * ```ts
 * describe('createMyStore', () => testEventStore(it, { create: async () => createMyStore() }))
 * ```
 */
export function testEventStore(it: TestFunction, options: TestEventStoreOptions): void {
  const suite = createSuite(it, options)
  testAppending(suite)
  testReading(suite)
  testFollowing(suite)
  testListing(suite)
  testEnding(suite)
  if (options.reopen) testSharing(suite, options.reopen)
}

interface Suite {
  test(name: string, run: (store: EventStore) => Promise<void>): void
  /** What a promise resolves to, unless that takes too long. */
  within<T>(promise: Promise<T>, what: string): Promise<T>
}

const task = 'task-1'

function createSuite(it: TestFunction, { create, patienceMs = 5000 }: TestEventStoreOptions): Suite {
  return {
    test(name, run) {
      it(name, async () => {
        const store = await create()
        try {
          await run(store)
        } finally {
          await store.close()
        }
      })
    },
    within(promise, what) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new assert.AssertionError({ message: `waited ${patienceMs} ms for ${what}` })), patienceMs)
      })
      return Promise.race([promise, late]).finally(() => clearTimeout(timer))
    },
  }
}

function append(store: EventStore, taskId: string, events: readonly LoggedEvent[], summary: Partial<TaskSummary> = {}): Promise<void> {
  const after = (events[0]?.seq ?? 1) - 1
  return store.append(taskId, events, { after, summary: sampleSummary(taskId, after + events.length, summary) })
}

async function seqs(source: AsyncIterable<LoggedEvent>): Promise<number[]> {
  return (await collect(source)).map(({ seq }) => seq)
}

/** Names what differs in a line: a difference of thousands of events would take minutes to print. */
function assertEvents(found: readonly unknown[], expected: readonly LoggedEvent[]): void {
  const seqsOf = (events: readonly unknown[]): string => events.map((event) => (event as LoggedEvent | undefined)?.seq).join()
  assert.equal(seqsOf(found), seqsOf(expected))
  for (const [index, event] of expected.entries()) assert.deepEqual(found[index], event)
}

/** Follows until `count` events came. */
async function followed(store: EventStore, taskId: string, after: number, count: number): Promise<LoggedEvent[]> {
  const stop = new AbortController()
  const events: LoggedEvent[] = []
  if (count === 0) return events
  for await (const event of store.follow(taskId, { after, signal: stop.signal })) {
    events.push(event)
    if (events.length === count) break
  }
  stop.abort()
  return events
}

function testAppending({ test }: Suite): void {
  test('gives back what was appended, in order', async (store) => {
    await append(store, task, sampleEvents(task, 1, 3))
    await append(store, task, sampleEvents(task, 4, 4))
    assertEvents(await collect(store.read(task)), sampleEvents(task, 1, 4))
  })

  test('gives back every field and every character', async (store) => {
    const event = { ...sampleEvent(task, 1, 'line\nline\r\n\u2028 "quoted" \\ \u0000 \ud83e\udeb7 é'), epoch: 3, cause: 'some-id' }
    await append(store, task, [event])
    assert.deepEqual(await collect(store.read(task)), [event])
  })

  test('keeps the logs of tasks apart', async (store) => {
    await append(store, 'left', sampleEvents('left', 1, 2))
    await append(store, 'right', sampleEvents('right', 1, 1))
    assert.deepEqual(await collect(store.read('left')), sampleEvents('left', 1, 2))
    assert.deepEqual(await collect(store.read('right')), sampleEvents('right', 1, 1))
  })

  test('gives back an unknown event byte for byte, wherever it stands in an append', async (store) => {
    const events = [sampleUnknownEvent(task, 1), sampleUnknownEvent(task, 2), sampleEvent(task, 3), sampleUnknownEvent(task, 4)]
    await append(store, task, events)
    assert.deepEqual(await collect(store.read(task)), events)
  })

  for (const [what, after] of [
    ['behind', 1],
    ['ahead of', 3],
  ] as const) {
    test(`rejects an append that is ${what} the log with CONFLICT, naming the last seq`, async (store) => {
      await append(store, task, sampleEvents(task, 1, 2))
      const error = await expectRejection(append(store, task, sampleEvents(task, after + 1, after + 1)), 'CONFLICT')
      assert.equal(error.details.lastSeq, 2)
    })
  }

  test('rejects the first append to a task with CONFLICT when it does not begin at 1, naming 0', async (store) => {
    const error = await expectRejection(append(store, task, sampleEvents(task, 2, 2)), 'CONFLICT')
    assert.equal(error.details.lastSeq, 0)
  })

  test('stores nothing of an append that is refused', async (store) => {
    await append(store, task, sampleEvents(task, 1, 2))
    await expectRejection(append(store, task, [sampleEvent(task, 2, 'other'), sampleEvent(task, 3, 'other')]), 'CONFLICT')
    await expectRejection(append(store, task, [sampleEvent(task, 3), sampleEvent(task, 5)]), 'INVALID_EVENT')
    assert.deepEqual(await collect(store.read(task)), sampleEvents(task, 1, 2))
    await append(store, task, sampleEvents(task, 3, 3))
    assert.deepEqual(await collect(store.read(task)), sampleEvents(task, 1, 3))
  })

  test('rejects events that leave a gap, repeat a seq, or are none, with INVALID_EVENT', async (store) => {
    const summary = sampleSummary(task, 3)
    await append(store, task, sampleEvents(task, 1, 1))
    for (const wrong of [[3], [1], [2, 4], [2, 2], [3, 2], []]) {
      const events = wrong.map((seq) => sampleEvent(task, seq))
      await expectRejection(store.append(task, events, { after: 1, summary }), 'INVALID_EVENT')
    }
    assert.deepEqual(await seqs(store.read(task)), [1])
  })

  test('takes appends that do not wait for each other in the order they were made', async (store) => {
    const all = sampleEvents(task, 1, 50)
    await Promise.all(all.map((event) => append(store, task, [event])))
    assert.deepEqual(await collect(store.read(task)), all)
  })

  test('lets exactly one of many appends to the same place win', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, writer) => append(store, task, [sampleEvent(task, 2, `writer ${writer}`)])),
    )
    const refused = results.filter((result) => result.status === 'rejected')
    assert.deepEqual(
      refused.map(({ reason }) => BatonError.isInstance(reason, 'CONFLICT') && reason.details.lastSeq),
      Array.from({ length: 7 }, () => 2),
    )
    const winner = results.findIndex(({ status }) => status === 'fulfilled')
    assert.deepEqual(await collect(store.read(task, { after: 1 })), [sampleEvent(task, 2, `writer ${winner}`)])
  })

  test('takes an append that fits after one that did not', async (store) => {
    const [, wrong] = await Promise.allSettled([
      append(store, task, sampleEvents(task, 1, 1)),
      append(store, task, sampleEvents(task, 3, 3)),
      append(store, task, sampleEvents(task, 2, 2)),
    ])
    assert.equal(wrong?.status, 'rejected')
    assert.deepEqual(await seqs(store.read(task)), [1, 2])
  })
}

function testReading({ test }: Suite): void {
  test('reads from behind a seq, at most as many as asked for', async (store) => {
    await append(store, task, sampleEvents(task, 1, 5))
    await append(store, task, sampleEvents(task, 6, 7))
    assert.deepEqual(await seqs(store.read(task, { after: 2 })), [3, 4, 5, 6, 7])
    assert.deepEqual(await seqs(store.read(task, { limit: 2 })), [1, 2])
    assert.deepEqual(await seqs(store.read(task, { after: 4, limit: 2 })), [5, 6])
    assert.deepEqual(await seqs(store.read(task, { after: 6, limit: 9 })), [7])
  })

  test('reads nothing behind the end, without an error', async (store) => {
    await append(store, task, sampleEvents(task, 1, 2))
    assert.deepEqual(await seqs(store.read(task, { after: 2 })), [])
    assert.deepEqual(await seqs(store.read(task, { after: 20 })), [])
  })

  test('shows an append to a read that begins after it', async (store) => {
    for (let seq = 1; seq <= 5; seq++) {
      await append(store, task, sampleEvents(task, seq, seq))
      assert.deepEqual(await seqs(store.read(task, { after: seq - 1 })), [seq])
    }
  })

  test('rejects reading a task that is not there with UNKNOWN_TASK', async (store) => {
    await expectRejection(collect(store.read('nobody')), 'UNKNOWN_TASK')
    await expectRejection(append(store, task, sampleEvents(task, 2, 2)), 'CONFLICT')
    await expectRejection(collect(store.read(task)), 'UNKNOWN_TASK')
  })
}

function testFollowing({ test, within }: Suite): void {
  test('follows what is there and what comes, without gap or duplicate', async (store) => {
    await append(store, task, sampleEvents(task, 1, 10))
    const following = followed(store, task, 0, 200)
    for (let seq = 11; seq <= 200; seq += 5) await append(store, task, sampleEvents(task, seq, seq + 4))
    assertEvents(await within(following, 'a follower to get 200 events'), sampleEvents(task, 1, 200))
  })

  test('follows without gap or duplicate when it begins in the middle of appends', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const writing = Promise.all(sampleEvents(task, 2, 100).map((event) => append(store, task, [event])))
    const following = [0, 1, 40].map((after) => followed(store, task, after, 100 - after))
    await writing
    for (const [index, after] of [0, 1, 40].entries()) {
      const events = await within(following[index] as Promise<LoggedEvent[]>, `a follower from ${after} to reach the end`)
      assert.deepEqual(events, sampleEvents(task, after + 1, 100))
    }
  })

  test('lets a slow follower have everything', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const following = store.follow(task, { after: 0, signal: new AbortController().signal })[Symbol.asyncIterator]()
    const first = await within(following.next(), 'the first event')
    for (let seq = 2; seq <= 2001; seq += 100) await append(store, task, sampleEvents(task, seq, seq + 99))
    const rest: unknown[] = [first.value]
    while (rest.length < 2001) rest.push((await within(following.next(), `event ${rest.length + 1}`)).value)
    await within(Promise.resolve(following.return?.()), 'the follower to end')
    assertEvents(rest, sampleEvents(task, 1, 2001))
  })

  test('follows one task without the events of another', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const following = followed(store, task, 0, 3)
    await append(store, 'other', sampleEvents('other', 1, 3))
    await append(store, task, sampleEvents(task, 2, 3))
    assert.deepEqual(await within(following, 'a follower to get 3 events'), sampleEvents(task, 1, 3))
  })

  test('gives a follower unknown events byte for byte', async (store) => {
    await append(store, task, [sampleUnknownEvent(task, 1)])
    const following = followed(store, task, 0, 2)
    await append(store, task, [sampleUnknownEvent(task, 2)])
    assert.deepEqual(await within(following, 'a follower to get 2 events'), [sampleUnknownEvent(task, 1), sampleUnknownEvent(task, 2)])
  })

  test('ends following without an error when the signal aborts', async (store) => {
    await append(store, task, sampleEvents(task, 1, 2))
    const stop = new AbortController()
    const seen: number[] = []
    const following = (async () => {
      for await (const { seq } of store.follow(task, { after: 0, signal: stop.signal })) {
        seen.push(seq)
        if (seq === 3) stop.abort()
      }
    })()
    await append(store, task, sampleEvents(task, 3, 5))
    await within(following, 'a follower to end')
    assert.deepEqual(seen, [1, 2, 3])
    assert.deepEqual(await within(seqs(store.follow(task, { after: 0, signal: AbortSignal.abort() })), 'a follower to end at once'), [])
  })

  test('ends following while it waits, when the signal aborts', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const stop = new AbortController()
    const following = store.follow(task, { after: 0, signal: stop.signal })[Symbol.asyncIterator]()
    await within(following.next(), 'the first event')
    const next = following.next()
    stop.abort()
    assert.equal((await within(next, 'a follower to end')).done, true)
  })

  test('rejects following a task that is not there with UNKNOWN_TASK', async (store) => {
    const following = collect(store.follow('nobody', { after: 0, signal: new AbortController().signal }))
    await within(expectRejection(following, 'UNKNOWN_TASK'), 'the rejection')
  })
}

function testListing({ test }: Suite): void {
  test('lists the last summary of each task, oldest first', async (store) => {
    await append(store, 'c', sampleEvents('c', 1, 1), { createdAt: '2026-01-01T00:00:00.003Z' })
    await append(store, 'b', sampleEvents('b', 1, 1), { createdAt: '2026-01-01T00:00:00.001Z' })
    await append(store, 'a', sampleEvents('a', 1, 1), { createdAt: '2026-01-01T00:00:00.003Z' })
    await append(store, 'c', sampleEvents('c', 2, 4), { createdAt: '2026-01-01T00:00:00.003Z', status: 'running' })
    assert.deepEqual(await collect(store.tasks()), [
      sampleSummary('b', 1, { createdAt: '2026-01-01T00:00:00.001Z' }),
      sampleSummary('a', 1, { createdAt: '2026-01-01T00:00:00.003Z' }),
      sampleSummary('c', 4, { createdAt: '2026-01-01T00:00:00.003Z', status: 'running' }),
    ])
  })

  test('lists nothing when there is nothing', async (store) => {
    assert.deepEqual(await collect(store.tasks()), [])
  })

  test('does not take the summary of an append that is refused', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1), { goal: 'first' })
    await expectRejection(append(store, task, sampleEvents(task, 1, 1), { goal: 'second' }), 'CONFLICT')
    await expectRejection(append(store, 'other', sampleEvents('other', 4, 4)), 'CONFLICT')
    assert.deepEqual(await collect(store.tasks()), [sampleSummary(task, 1, { goal: 'first' })])
  })

  test('lists by status, by what waits and by parent', async (store) => {
    const waiting = [{ kind: 'approval' as const, id: 'approval-1', since: '2026-01-01T00:00:00.000Z', text: 'rm -rf build' }]
    await append(store, 'a', sampleEvents('a', 1, 1), { status: 'running' })
    await append(store, 'b', sampleEvents('b', 1, 1), { status: 'waiting', waiting })
    await append(store, 'c', sampleEvents('c', 1, 1), { status: 'closed', parentId: 'a' })
    await append(store, 'd', sampleEvents('d', 1, 1), { status: 'waiting', waiting, parentId: 'a' })
    const ids = async (filter: Parameters<EventStore['tasks']>[0]): Promise<string[]> =>
      (await collect(store.tasks(filter))).map(({ taskId }) => taskId)
    assert.deepEqual(await ids({}), ['a', 'b', 'c', 'd'])
    assert.deepEqual(await ids({ status: ['running', 'closed'] }), ['a', 'c'])
    assert.deepEqual(await ids({ waiting: true }), ['b', 'd'])
    assert.deepEqual(await ids({ waiting: false }), ['a', 'c'])
    assert.deepEqual(await ids({ parentId: 'a' }), ['c', 'd'])
    assert.deepEqual(await ids({ parentId: 'a', waiting: true }), ['d'])
    assert.deepEqual(await ids({ status: [] }), [])
  })
}

function testEnding({ test, within }: Suite): void {
  test('deletes a log and its summary, and begins anew at 1', async (store) => {
    await append(store, task, sampleEvents(task, 1, 3))
    await append(store, 'other', sampleEvents('other', 1, 1))
    await store.delete(task)
    await expectRejection(collect(store.read(task)), 'UNKNOWN_TASK')
    assert.deepEqual(await collect(store.tasks()), [sampleSummary('other', 1)])
    await expectRejection(append(store, task, sampleEvents(task, 4, 4)), 'CONFLICT')
    await append(store, task, [sampleEvent(task, 1, 'again')])
    assert.deepEqual(await collect(store.read(task)), [sampleEvent(task, 1, 'again')])
  })

  test('deletes a task that is not there without an error', async (store) => {
    await store.delete('nobody')
  })

  test('tells a follower with UNKNOWN_TASK that its task was deleted', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const following = store.follow(task, { after: 0, signal: new AbortController().signal })[Symbol.asyncIterator]()
    await within(following.next(), 'the first event')
    const next = expectRejection(following.next(), 'UNKNOWN_TASK')
    await store.delete(task)
    await within(next, 'the rejection')
  })

  test('refuses everything with CLOSED after close, which may be called again', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    await store.close()
    await store.close()
    await expectRejection(append(store, task, sampleEvents(task, 2, 2)), 'CLOSED')
    await expectRejection(collect(store.read(task)), 'CLOSED')
    await expectRejection(collect(store.tasks()), 'CLOSED')
    await expectRejection(store.delete(task), 'CLOSED')
    const following = collect(store.follow(task, { after: 0, signal: new AbortController().signal }))
    await within(expectRejection(following, 'CLOSED'), 'the rejection')
  })

  test('lets what is being written finish before it closes', async (store) => {
    const writing = Promise.all(sampleEvents(task, 1, 20).map((event) => append(store, task, [event])))
    await Promise.all([store.close(), writing])
  })

  test('ends following without an error when it closes', async (store) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const following = store.follow(task, { after: 0, signal: new AbortController().signal })[Symbol.asyncIterator]()
    await within(following.next(), 'the first event')
    const next = following.next()
    await store.close()
    assert.equal((await within(next, 'the follower to end')).done, true)
  })
}

function testSharing({ test, within }: Suite, reopen: (store: EventStore) => Promise<EventStore>): void {
  function testShared(name: string, run: (store: EventStore, other: EventStore) => Promise<void>): void {
    test(name, async (store) => {
      const other = await reopen(store)
      try {
        await run(store, other)
      } finally {
        await other.close()
      }
    })
  }

  test('has everything when it is opened again', async (store) => {
    const events = [...sampleEvents(task, 1, 3), sampleUnknownEvent(task, 4)]
    await append(store, task, events, { status: 'paused' })
    await append(store, 'gone', sampleEvents('gone', 1, 1))
    await store.delete('gone')
    await store.close()
    const again = await reopen(store)
    try {
      assert.deepEqual(await collect(again.read(task)), events)
      assert.deepEqual(await collect(again.tasks()), [sampleSummary(task, 4, { status: 'paused' })])
      await append(again, task, sampleEvents(task, 5, 5))
      assert.deepEqual(await seqs(again.read(task, { after: 3 })), [4, 5])
    } finally {
      await again.close()
    }
  })

  testShared('sees what another one appended', async (store, other) => {
    await append(store, task, sampleEvents(task, 1, 2))
    await append(other, task, sampleEvents(task, 3, 3), { goal: 'from the other' })
    assert.deepEqual(await seqs(store.read(task, { after: 1 })), [2, 3])
    assert.deepEqual(await collect(store.tasks()), [sampleSummary(task, 3, { goal: 'from the other' })])
    const error = await expectRejection(append(store, task, sampleEvents(task, 3, 3)), 'CONFLICT')
    assert.equal(error.details.lastSeq, 3)
    await append(store, task, sampleEvents(task, 4, 4))
    assert.deepEqual(await seqs(other.read(task)), [1, 2, 3, 4])
  })

  testShared('lets one of two win, again and again', async (store, other) => {
    const last = [0, 0]
    await Promise.all(
      [store, other].map(async (writer, index) => {
        for (let seq = 1, won = 0; won < 20; seq++) {
          const mine = await append(writer, task, [sampleEvent(task, seq, `writer ${index}`)]).then(
            () => true,
            (error: unknown) => {
              if (!BatonError.isInstance(error, 'CONFLICT')) throw error
              return false
            },
          )
          if (mine) won++
          last[index] = seq
        }
      }),
    )
    const events = await collect(store.read(task))
    assert.deepEqual(
      events.map(({ seq }) => seq),
      Array.from({ length: 40 }, (_, index) => index + 1),
    )
    assert.equal(Math.max(...last), 40)
  })

  testShared('follows what another one appends, without gap or duplicate', async (store, other) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const following = followed(store, task, 0, 60)
    for (let seq = 2; seq <= 60; seq++) await append(seq % 3 === 0 ? store : other, task, sampleEvents(task, seq, seq))
    assertEvents(await within(following, 'a follower to get 60 events'), sampleEvents(task, 1, 60))
  })

  testShared('tells a follower that another one deleted its task', async (store, other) => {
    await append(store, task, sampleEvents(task, 1, 1))
    const following = store.follow(task, { after: 0, signal: new AbortController().signal })[Symbol.asyncIterator]()
    await within(following.next(), 'the first event')
    const next = expectRejection(following.next(), 'UNKNOWN_TASK')
    await other.delete(task)
    await within(next, 'the rejection')
    await append(store, task, sampleEvents(task, 1, 1))
    assert.deepEqual(await seqs(other.read(task)), [1])
  })
}

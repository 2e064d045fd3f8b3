import { describe, expect, it, vi } from 'vitest'
import { BatonError } from '../errors.ts'
import { summarizeTask } from '../tasks/task-summary.ts'
import type { EventDraft, LiveEvent, LoggedEvent } from './event.ts'
import type { EventStore } from './event-store.ts'
import type { EventStream } from './event-stream.ts'
import { createEventStream, until } from './event-stream.ts'
import { createMemoryEventStore } from './memory-event-store.ts'

const alice = { kind: 'human', id: 'alice' } as const
const said = (text: string): EventDraft => ({ type: 'message.sent', actor: alice, data: { text } })
const claimed = (epoch: number): EventDraft => ({
  type: 'driver.claimed',
  actor: { kind: 'system', id: 'baton' },
  data: { epoch, owner: `process ${epoch}` },
})

function open(store: EventStore = createMemoryEventStore(), apply: (event: LoggedEvent) => void = () => {}): EventStream {
  return createEventStream({ store, taskId: 'task', fold: { summarize: summarizeTask, apply } })
}

async function take<T>(source: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = []
  if (count > 0)
    for await (const item of source) {
      taken.push(item)
      if (taken.length === count) break
    }
  return taken
}

const seqs = (events: readonly (LoggedEvent | LiveEvent)[]): number[] => events.flatMap((event) => ('seq' in event ? event.seq : []))
const texts = (events: readonly LoggedEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'message.sent' ? event.data.text : []))
const live = (after: number, text: string): LiveEvent => ({
  ...{ taskId: 'task', after, cause: 'x', type: 'model.delta' },
  data: { kind: 'text', text },
})

describe('EventStream.append', () => {
  it('takes one append right after another', async () => {
    const stream = open()
    for (const text of ['a', 'b', 'c']) await stream.append([said(text)])
    await expect(stream.append([said('never')], { check: () => expect.fail('no') })).rejects.toThrow('no')
    await stream.append([said('d')])
    expect(stream.lastSeq).toBe(4)
  })

  it('keeps the drafts of one call together and in order, and writes what comes at once in one go', async () => {
    const store = createMemoryEventStore()
    const append = vi.spyOn(store, 'append')
    const stream = open(store)
    await Promise.all([stream.append([said('a'), said('b')]), stream.append([said('c')]), stream.append([said('d'), said('e')])])
    expect(append).toHaveBeenCalledTimes(1)
    expect(texts(await take(stream.read(), 5))).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  it('shows nobody an event that is not durable', async () => {
    const store = createMemoryEventStore()
    const gate = Promise.withResolvers<void>()
    const append = store.append.bind(store)
    store.append = async (...call) => {
      await gate.promise
      await append(...call)
    }
    const stream = open(store)
    const heard: number[] = []
    stream.on('*', ({ seq }) => heard.push(seq))
    const appended = stream.append([said('a')])
    await Promise.resolve()
    expect([stream.lastSeq, heard]).toEqual([0, []])
    gate.resolve()
    const [event] = await appended
    expect([stream.lastSeq, heard, event]).toMatchObject([1, [1], { seq: 1, taskId: 'task', v: 1, actor: alice }])
    expect(event?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/)
    expect(event?.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  it('resolves with nothing for no drafts', async () => {
    expect(await open().append([])).toEqual([])
  })

  it('refuses data that does not fit, naming the field, and leaves the log as it was', async () => {
    const stream = open()
    const wrong = { type: 'message.sent', actor: alice, data: { text: 5 } } as unknown as EventDraft
    await expect(stream.append([said('a'), wrong])).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_EVENT', message: expect.stringMatching(/at text/) }),
    )
    const unknown = { type: 'nobody.knows', actor: alice, data: {} } as unknown as EventDraft
    await expect(stream.append([unknown])).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_EVENT', message: expect.stringMatching(/registerEvent/) }),
    )
    expect(stream.lastSeq).toBe(0)
  })

  it('rejects what the store refuses, and goes on with the next', async () => {
    const store = createMemoryEventStore()
    const append = store.append.bind(store)
    let full = true
    store.append = async (...call) => {
      if (full) throw new BatonError('STORE_FULL', 'full')
      await append(...call)
    }
    const stream = open(store)
    const [first, second] = await Promise.allSettled([stream.append([said('a')]), stream.append([said('b')])])
    expect([first.status, second.status]).toEqual(['rejected', 'rejected'])
    full = false
    await stream.append([said('c')])
    expect(texts(await take(stream.read(), 1))).toEqual(['c'])
  })

  it('rejects instead of hanging when a store conflicts with nothing', async () => {
    const store = createMemoryEventStore()
    store.append = () => Promise.reject(new BatonError('CONFLICT', 'who knows'))
    store.read = async function* () {}
    await expect(open(store).append([said('a')])).rejects.toThrow(expect.objectContaining({ code: 'STORE_FAILED' }))
  })

  it('lets a check see all that is durable when another process appended meanwhile', async () => {
    const store = createMemoryEventStore()
    const [ours, theirs] = [open(store), open(store)]
    await theirs.append([said('theirs')])
    const saw: number[] = []
    await ours.append([said('ours')], { check: () => saw.push(ours.lastSeq) })
    expect(saw).toEqual([0, 1])
    expect(texts(await take(ours.read(), 2))).toEqual(['theirs', 'ours'])
  })

  it('refuses by a check that what another process appended made untrue', async () => {
    const store = createMemoryEventStore()
    const [ours, theirs] = [open(store), open(store)]
    await theirs.append([said('taken')])
    const free = (): void => {
      if (ours.lastSeq > 0) throw new BatonError('INVALID_STATE', 'taken')
    }
    await expect(ours.append([said('mine')], { check: free })).rejects.toThrow('taken')
    expect(ours.lastSeq).toBe(1)
  })

  it('runs a check on what comes before it in the queue too', async () => {
    const stream = open()
    const saw: number[] = []
    await Promise.all([stream.append([said('a'), said('b')]), stream.append([said('c')], { check: () => saw.push(stream.lastSeq) })])
    expect(saw).toEqual([2])
  })

  it('refuses a driver whose lease is gone with LOST_OWNERSHIP, also when it learns so only now', async () => {
    const store = createMemoryEventStore()
    const [old, next] = [open(store), open(store)]
    await old.append([claimed(1)])
    const [event] = await old.append([said('by the driver')], { epoch: 1 })
    expect(event?.epoch).toBe(1)
    await next.catchUp()
    await next.append([claimed(2)])
    await expect(old.append([said('too late')], { epoch: 1 })).rejects.toThrow(expect.objectContaining({ code: 'LOST_OWNERSHIP' }))
    await expect(old.append([said('nobody')], { epoch: 0 })).rejects.toThrow(expect.objectContaining({ code: 'LOST_OWNERSHIP' }))
    await old.append([said('an intent')])
    expect(texts(await take(next.read(), 4))).toEqual(['by the driver', 'an intent'])
  })

  it('rejects with CLOSED after close, and close waits for what is under way', async () => {
    const stream = open()
    const appended = stream.append([said('a')])
    await stream.close()
    expect(await appended).toHaveLength(1)
    await expect(stream.append([said('b')])).rejects.toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })
})

describe('EventStream.subscribe', () => {
  it('goes on from the place it is given, into what is appended later', async () => {
    const stream = open()
    await stream.append([said('a'), said('b'), said('c')])
    const reading = take(stream.subscribe({ after: 1 }), 4)
    await stream.append([said('d')])
    await stream.append([said('e')])
    expect(texts((await reading) as LoggedEvent[])).toEqual(['b', 'c', 'd', 'e'])
  })

  it('ends with the signal, also while it waits', async () => {
    const stream = open()
    const controller = new AbortController()
    const reading = take(stream.subscribe({ signal: controller.signal }), 10)
    await stream.append([said('a')])
    controller.abort()
    expect((await reading).length).toBeLessThanOrEqual(1)
  })

  it('ends with the last event once the stream is closed', async () => {
    const stream = open()
    const reading = take(stream.subscribe(), 10)
    await stream.append([said('a'), said('b')])
    await stream.close()
    expect(seqs(await reading)).toEqual([1, 2])
  })

  it('holds little while nobody follows, and gives all of it to those who come later', async () => {
    const store = createMemoryEventStore()
    const read = vi.spyOn(store, 'read')
    const stream = open(store)
    const append = (count: number) => Promise.all(Array.from({ length: count }, (_, index) => stream.append([said(String(index))])))
    for (let round = 0; round < 10; round++) await append(50)
    await stream.append([said('last')])
    expect(seqs(await take(stream.subscribe({ after: 480 }), 21))).toEqual(Array.from({ length: 21 }, (_, index) => 481 + index))
    expect(read).not.toHaveBeenCalled()
    const reader = stream.subscribe()[Symbol.asyncIterator]()
    for (let seq = 1; seq <= 501; seq++) expect((await reader.next()).value).toMatchObject({ seq })
    expect(read).toHaveBeenCalledTimes(1)
    for (let round = 0; round < 10; round++) await append(50)
    for (let seq = 502; seq <= 1001; seq++) expect((await reader.next()).value).toMatchObject({ seq })
    expect(read).toHaveBeenCalledTimes(1)
    await reader.return?.()
    expect(seqs(await take(stream.subscribe({ after: 600 }), 401))).toHaveLength(401)
    expect(read).toHaveBeenCalledTimes(2)
  })

  it('tells a reader that it fell behind, and loses nothing', async () => {
    const store = createMemoryEventStore()
    const stream = open(store)
    const read = vi.spyOn(store, 'read')
    const behind: { seq: number; lastSeq: number }[] = []
    const reader = stream.subscribe({ onBehind: (info) => behind.push(info) })[Symbol.asyncIterator]()
    const first = reader.next()
    await stream.append([said('first')])
    expect((await first).value?.seq).toBe(1)
    expect(behind).toEqual([])
    for (let batch = 0; batch < 5; batch++) await stream.append(Array.from({ length: 1000 }, (_, index) => said(`${batch}/${index}`)))
    const rest = await take({ [Symbol.asyncIterator]: () => reader }, 5000)
    expect(seqs(rest as LoggedEvent[])).toEqual(Array.from({ length: 5000 }, (_, index) => index + 2))
    expect(behind[0]).toEqual({ seq: 1, lastSeq: 5001 })
    expect(read).toHaveBeenCalled()
  })

  it('reads what it still holds for a reader without asking the store', async () => {
    const store = createMemoryEventStore()
    const stream = open(store)
    const reader = stream.subscribe()[Symbol.asyncIterator]()
    const first = reader.next()
    await stream.append(Array.from({ length: 1000 }, () => said('x')))
    const read = vi.spyOn(store, 'read')
    expect((await first).value?.seq).toBe(1)
    expect(await take({ [Symbol.asyncIterator]: () => reader }, 999)).toHaveLength(999)
    expect(read).not.toHaveBeenCalled()
  })

  it('says so when the store has lost events, instead of looking for them for ever', async () => {
    const store = createMemoryEventStore()
    const stream = open(store)
    await stream.append(Array.from({ length: 3000 }, () => said('x')))
    store.read = async function* () {}
    await expect(take(stream.subscribe(), 1)).rejects.toThrow(expect.objectContaining({ code: 'CORRUPT_LOG' }))
  })

  it('delivers live events in their place, and drops them for a reader that is too slow', async () => {
    const stream = open()
    await stream.append([said('a')])
    expect(stream.watched).toBe(false)
    const reader = stream.subscribe({ live: true })[Symbol.asyncIterator]()
    expect((await reader.next()).value).toMatchObject({ seq: 1 })
    expect(stream.watched).toBe(true)
    for (let index = 0; index < 10_000; index++) stream.sendLive(live(1, `${index}`))
    await stream.append([said('b')])
    stream.sendLive(live(2, 'dropped, for the buffer is full'))
    const seen: (LoggedEvent | LiveEvent)[] = []
    for (let next = await reader.next(); !next.done; next = await reader.next()) {
      seen.push(next.value)
      if ('seq' in next.value && next.value.seq === 3) break
      if ('seq' in next.value) await stream.append([said('c')])
    }
    expect(seqs(seen)).toEqual([2, 3])
    const deltas = seen.filter((event) => !('seq' in event))
    expect(deltas.length).toBeGreaterThan(200)
    expect(deltas.length).toBeLessThan(300)
    // All of them were sent before event 2, and come before it.
    expect(seen.findIndex((event) => 'seq' in event)).toBe(deltas.length)
    await reader.return?.(undefined)
    expect(stream.watched).toBe(false)
  })

  it('shows other processes’ events once it follows them', async () => {
    const store = createMemoryEventStore()
    const [ours, theirs] = [open(store), open(store)]
    await ours.append([said('a')])
    ours.followOthers()
    const reading = take(ours.subscribe(), 3)
    await theirs.catchUp()
    await theirs.append([said('b'), said('c')])
    expect(texts((await reading) as LoggedEvent[])).toEqual(['a', 'b', 'c'])
    await ours.close()
  })
})

describe('EventStream.on', () => {
  it('narrows by type, hears everything with *, and stops when told', async () => {
    const stream = open()
    const heard: string[] = []
    const off = stream.on('message.sent', ({ data }) => heard.push(data.text))
    stream.on('*', ({ type }) => heard.push(type))
    await stream.append([said('a'), claimed(1)])
    off()
    await stream.append([said('b')])
    expect(heard).toEqual(['a', 'message.sent', 'driver.claimed', 'message.sent'])
  })

  it('survives a listener that throws, and warns', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const stream = open()
    const heard: number[] = []
    stream.on('message.sent', () => {
      throw new Error('a bad guest')
    })
    stream.on('message.sent', ({ seq }) => heard.push(seq))
    await stream.append([said('a')])
    await stream.append([said('b')])
    expect(heard).toEqual([1, 2])
    expect(warned).toHaveBeenCalledWith(expect.stringContaining('a bad guest'), 'BatonWarning')
    warned.mockRestore()
  })
})

describe('until', () => {
  it('resolves at once, with an event, or rejects with the signal', async () => {
    const stream = open()
    const never = new AbortController()
    expect(await until(stream, () => 'now', never.signal, 'It')).toBe('now')
    const later = until(stream, () => (stream.lastSeq > 1 ? stream.lastSeq : undefined), never.signal, 'It')
    await stream.append([said('a')])
    await stream.append([said('b')])
    expect(await later).toBe(2)
    const aborted = until(stream, () => undefined, never.signal, 'It')
    never.abort()
    await expect(aborted).rejects.toThrow(expect.objectContaining({ code: 'ABORTED' }))
  })
})

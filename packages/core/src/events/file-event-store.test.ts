import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { collect } from '../testing/conformance.ts'
import { sampleEvent, sampleEvents, sampleSummary, sampleUnknownEvent } from '../testing/sample-events.ts'
import { testEventStore } from '../testing/test-event-store.ts'
import type { LoggedEvent } from './event.ts'
import type { EventStore } from './event-store.ts'
import type { StoreWarning } from './file-event-store.ts'
import { createFileEventStore } from './file-event-store.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-events-'))
afterAll(() => rmSync(root, { recursive: true }))

const dirs = new WeakMap<EventStore, string>()

function createIn(dir: string, onWarning?: (warning: StoreWarning) => void): EventStore {
  const store = createFileEventStore({ dir, onWarning })
  dirs.set(store, dir)
  return store
}

function newDir(): string {
  return mkdtempSync(join(root, 'store-'))
}

function append(store: EventStore, taskId: string, events: readonly LoggedEvent[]): Promise<void> {
  const after = (events[0]?.seq ?? 1) - 1
  return store.append(taskId, events, { after, summary: sampleSummary(taskId, after + events.length) })
}

async function readSeqs(store: EventStore, taskId: string, after = 0): Promise<number[]> {
  return (await collect(store.read(taskId, { after }))).map(({ seq }) => seq)
}

/** A log of three appends: event 1, events 2 to 4, event 5. */
async function createLog(): Promise<{ dir: string; file: string; bytes: Buffer; lines: string[] }> {
  const dir = newDir()
  const store = createIn(dir)
  for (const [from, to] of [
    [1, 1],
    [2, 4],
    [5, 5],
  ] as const)
    await append(store, 'task', sampleEvents('task', from, to))
  await store.close()
  const file = join(dir, 'task.jsonl')
  const bytes = readFileSync(file)
  return { dir, file, bytes, lines: bytes.toString().trimEnd().split('\n') }
}

describe('createFileEventStore', () => {
  testEventStore(it, {
    create: async () => createIn(newDir()),
    reopen: async (store) => createIn(dirs.get(store) as string),
  })

  it('keeps an event a line, and the summary in the last line of each append', async () => {
    const { lines } = await createLog()
    expect(lines.map((line) => JSON.parse(line).seq)).toEqual([1, 2, 3, 4, 5])
    expect(lines.map((line) => JSON.parse(line).summary?.seq)).toEqual([1, undefined, undefined, 4, 5])
  })

  it('makes its folder when it is not there', async () => {
    const dir = join(newDir(), 'a', 'b')
    const store = createIn(dir)
    expect(await collect(store.tasks())).toEqual([])
    await append(store, 'task', sampleEvents('task', 1, 1))
    expect(await readSeqs(createIn(dir), 'task')).toEqual([1])
  })

  it('writes appends that wait for the same log together', async () => {
    const store = createIn(newDir())
    await append(store, 'task', sampleEvents('task', 1, 1))
    const writes = (): number => Number(/syscw: (\d+)/.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
    const before = writes()
    await Promise.all(sampleEvents('task', 2, 1001).map((event) => append(store, 'task', [event])))
    expect(writes() - before).toBeLessThan(100)
    expect(await readSeqs(store, 'task', 999)).toEqual([1000, 1001])
  })

  it('takes an append that fits after the one before it failed', async () => {
    const store = createIn(newDir())
    const results = await Promise.allSettled([
      append(store, 'task', sampleEvents('task', 1, 1)),
      append(store, 'task', [sampleEvent('task', 2), sampleEvent('task', 4)]),
      append(store, 'task', sampleEvents('task', 2, 2)),
      append(store, 'task', sampleEvents('task', 2, 2)),
      append(store, 'task', sampleEvents('task', 3, 3)),
    ])
    expect(results.map((result) => (result.status === 'rejected' ? result.reason.code : 'stored'))).toEqual([
      'stored',
      'INVALID_EVENT',
      'stored',
      'CONFLICT',
      'stored',
    ])
  })

  it('refuses a raw text that would spoil the log', async () => {
    const store = createIn(newDir())
    const unknown = sampleUnknownEvent('task', 1)
    for (const raw of [
      `${unknown.raw}\n`,
      unknown.raw.replace('{', '{\n'),
      unknown.raw.replace('"seq":1', '"seq":2'),
      'null',
      '[]',
      '{"seq":1',
    ]) {
      await expect(append(store, 'task', [{ ...unknown, raw }])).rejects.toMatchObject({ code: 'INVALID_EVENT' })
    }
    await append(store, 'task', [unknown])
  })

  it('refuses a task id that could be a path, and wrong options, saying what is right', async () => {
    const store = createIn(newDir())
    for (const taskId of ['', '..', '../task', 'a/b', 'a.b', 'a\u0000', 'x'.repeat(129)]) {
      await expect(append(store, taskId, sampleEvents(taskId, 1, 1))).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
      await expect(readSeqs(store, taskId)).rejects.toThrow(/1 to 128 letters, digits/)
    }
    await append(store, 'x'.repeat(128), sampleEvents('x', 1, 1))
    await expect(readSeqs(store, 'task', -1)).rejects.toThrow(/after: /)
    expect(() => createFileEventStore({ dir: '' })).toThrow(/dir: expected the path of a folder/)
  })

  it('keeps more tasks than it keeps files open', async () => {
    const store = createIn(newDir())
    const ids = Array.from({ length: 1500 }, (_, index) => `task-${index}`)
    for (const seq of [1, 2]) await Promise.all(ids.map((taskId) => append(store, taskId, sampleEvents(taskId, seq, seq))))
    expect(readdirSync('/proc/self/fd').length).toBeLessThan(700)
    expect(await collect(store.tasks())).toHaveLength(1500)
    expect(await readSeqs(store, 'task-7')).toEqual([1, 2])
  })

  it('reads from the middle and the end of a long log with and without having read it before', async () => {
    const dir = newDir()
    const writer = createIn(dir)
    const count = 6000
    for (let seq = 1; seq <= count; seq += 60) {
      await writer.append(
        'task',
        Array.from({ length: 60 }, (_, index) => sampleEvent('task', seq + index, 'x'.repeat(200))),
        {
          after: seq - 1,
          summary: sampleSummary('task', seq + 59),
        },
      )
    }
    const reader = createIn(dir)
    for (const store of [writer, createIn(dir), reader, reader]) {
      for (const after of [count, count - 1, 4321, 60, 59, 0]) {
        const seqs = await readSeqs(store, 'task', after)
        expect([seqs.length, seqs[0], seqs.at(-1)]).toEqual(after === count ? [0, undefined, undefined] : [count - after, after + 1, count])
      }
    }
  })

  it('reads one append that is larger than what it reads at a time', async () => {
    const store = createIn(newDir())
    await append(store, 'task', [sampleEvent('task', 1)])
    await append(store, 'task', [sampleEvent('task', 2, 'é'.repeat(3_000_000)), sampleEvent('task', 3, 'x'.repeat(500_000))])
    await append(store, 'task', [sampleEvent('task', 4)])
    expect(await readSeqs(store, 'task')).toEqual([1, 2, 3, 4])
    expect(await readSeqs(store, 'task', 2)).toEqual([3, 4])
    const again = createIn(dirs.get(store) as string)
    await append(again, 'task', [sampleEvent('task', 5)])
    expect(await readSeqs(again, 'task', 4)).toEqual([5])
  })

  describe('after a crash', () => {
    it('shows no part of an append that was cut short anywhere, and cuts it off with the next one', async () => {
      const { bytes, lines } = await createLog()
      const firstAppend = Buffer.byteLength(`${lines[0]}\n`)
      const secondAppend = firstAppend + Buffer.byteLength(`${lines.slice(1, 4).join('\n')}\n`)
      const cuts = [firstAppend + 1, firstAppend + 300, secondAppend - 2, secondAppend - 1, secondAppend + 1, bytes.length - 1]
      for (const cut of cuts) {
        const dir = newDir()
        const file = join(dir, 'task.jsonl')
        writeFileSync(file, bytes.subarray(0, cut))
        const warnings: StoreWarning[] = []
        const store = createIn(dir, (warning) => warnings.push(warning))
        const whole = cut > secondAppend ? 4 : 1
        expect((await readSeqs(store, 'task')).length).toBe(whole)
        expect((await collect(store.tasks()))[0]?.seq).toBe(whole)
        expect(warnings).toEqual([])
        await append(store, 'task', sampleEvents('task', whole + 1, whole + 2))
        expect((await readSeqs(store, 'task')).length).toBe(whole + 2)
        expect(warnings).toMatchObject([{ code: 'torn-log', taskId: 'task', file, keptAs: `${file}.torn-1` }])
        const kept = readFileSync(`${file}.torn-1`)
        expect(kept.equals(bytes.subarray(whole === 1 ? firstAppend : secondAppend, cut))).toBe(true)
        await store.delete('task')
        expect(readdirSync(dir).filter((name) => name !== '.locks')).toEqual([])
      }
    })

    it('keeps each torn end in a file of its own', async () => {
      const { dir, file } = await createLog()
      for (const [number, seq] of [
        [1, 6],
        [2, 7],
      ] as const) {
        appendFileSync(file, `torn ${number}`)
        await append(
          createIn(dir, () => {}),
          'task',
          sampleEvents('task', seq, seq),
        )
        expect(readFileSync(`${file}.torn-${number}`, 'utf8')).toBe(`torn ${number}`)
      }
      expect(await readSeqs(createIn(dir), 'task')).toEqual([1, 2, 3, 4, 5, 6, 7])
    })

    it('takes zero bytes at the end for a torn append', async () => {
      const { dir, file } = await createLog()
      appendFileSync(file, Buffer.alloc(100_000))
      const store = createIn(dir, () => {})
      expect(await readSeqs(store, 'task')).toEqual([1, 2, 3, 4, 5])
      await append(store, 'task', sampleEvents('task', 6, 6))
      expect(await readSeqs(store, 'task')).toEqual([1, 2, 3, 4, 5, 6])
    })

    it('has no task where its first append was cut short', async () => {
      const dir = newDir()
      writeFileSync(join(dir, 'task.jsonl'), JSON.stringify(sampleEvent('task', 1)))
      const warnings: StoreWarning[] = []
      const store = createIn(dir, (warning) => warnings.push(warning))
      await expect(readSeqs(store, 'task')).rejects.toMatchObject({ code: 'UNKNOWN_TASK' })
      await append(store, 'task', sampleEvents('task', 1, 1))
      expect(await readSeqs(store, 'task')).toEqual([1])
      expect(warnings.map(({ code }) => code)).toEqual(['torn-log'])
    })

    it('cuts off what another process left torn while this one had the log open', async () => {
      const dir = newDir()
      const store = createIn(dir, () => {})
      await append(store, 'task', sampleEvents('task', 1, 1))
      appendFileSync(join(dir, 'task.jsonl'), '{"seq":2')
      await append(store, 'task', sampleEvents('task', 2, 2))
      expect(await readSeqs(store, 'task')).toEqual([1, 2])
      expect(existsSync(join(dir, 'task.jsonl.torn-1'))).toBe(true)
    })

    it('warns the process when nobody else is told, and survives a listener that throws', async () => {
      const { dir, file } = await createLog()
      appendFileSync(file, 'torn')
      const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
      await append(createIn(dir), 'task', sampleEvents('task', 6, 6))
      expect((await warned).message).toContain(`${file} ended in 4 bytes`)
      appendFileSync(file, 'torn')
      const alsoWarned = new Promise<Error>((resolve) => process.once('warning', resolve))
      const store = createIn(dir, () => {
        throw new Error('listener broke')
      })
      await append(store, 'task', sampleEvents('task', 7, 7))
      expect((await alsoWarned).message).toContain('listener broke')
    })
  })

  describe('with a damaged log', () => {
    const damages: [string, (lines: string[]) => string[]][] = [
      ['a line that is no JSON', (lines) => lines.with(2, 'garbage')],
      ['a line cut in two', (lines) => lines.with(2, (lines[2] ?? '').slice(0, 40))],
      ['a line of zero bytes', (lines) => lines.with(2, '\u0000'.repeat(50))],
      ['an empty line', (lines) => lines.with(2, '')],
      ['a missing line', (lines) => lines.toSpliced(2, 1)],
      ['a line that is there twice', (lines) => lines.toSpliced(2, 0, lines[1] ?? '')],
      ['an envelope that is none', (lines) => lines.with(2, '{"seq":3}')],
      ['data that does not fit its type', (lines) => lines.with(2, (lines[2] ?? '').replace('"text"', '"words"'))],
    ]
    for (const [what, damage] of damages) {
      it(`yields what is before ${what}, then rejects with CORRUPT_LOG naming file and line, and changes nothing`, async () => {
        const { dir, file, lines } = await createLog()
        writeFileSync(file, `${damage(lines).join('\n')}\n`)
        const before = readFileSync(file)
        const store = createIn(dir)
        const seen: number[] = []
        const reading = (async () => {
          for await (const { seq } of store.read('task')) seen.push(seq)
        })()
        await expect(reading).rejects.toMatchObject({ code: 'CORRUPT_LOG', details: { file, line: 3 } })
        await expect(reading).rejects.toThrow(`${file}:3: `)
        expect(seen).toEqual([1, 2])
        expect(readFileSync(file).equals(before)).toBe(true)
        const rest = what === 'a missing line' || what === 'a line that is there twice' ? 'CORRUPT_LOG' : [5]
        expect(await readSeqs(store, 'task', 4).catch((error) => error.code)).toEqual(rest)
      })
    }

    it('lists the other tasks, and warns once for as long as nothing changes', async () => {
      const { dir } = await createLog()
      writeFileSync(join(dir, 'broken.jsonl'), 'garbage\n')
      const good = readFileSync(join(dir, 'task.jsonl'), 'utf8')
      writeFileSync(join(dir, 'strange.jsonl'), good.replaceAll('"status":"idle"', '"status":"odd"'))
      writeFileSync(join(dir, 'empty.jsonl'), '')
      writeFileSync(join(dir, 'unrelated.txt'), 'garbage')
      const warnings: StoreWarning[] = []
      const store = createIn(dir, (warning) => warnings.push(warning))
      for (let round = 0; round < 2; round++) expect(await collect(store.tasks())).toEqual([sampleSummary('task', 5)])
      expect(warnings.map(({ code, taskId }) => `${code} ${taskId}`).sort()).toEqual(['damaged-log broken', 'damaged-log strange'])
    })

    it('tells a follower', async () => {
      const { dir, file, lines } = await createLog()
      writeFileSync(file, `${lines.with(2, 'garbage').join('\n')}\n`)
      const following = collect(createIn(dir).follow('task', { after: 0, signal: new AbortController().signal }))
      await expect(following).rejects.toMatchObject({ code: 'CORRUPT_LOG', details: { line: 3 } })
    })
  })

  it('rejects with STORE_FAILED and the cause when the log cannot be opened', async () => {
    const dir = newDir()
    const store = createIn(dir)
    await append(store, 'other', sampleEvents('other', 1, 1))
    mkdirSync(join(dir, 'task.jsonl'))
    await expect(append(store, 'task', sampleEvents('task', 1, 1))).rejects.toMatchObject({
      code: 'STORE_FAILED',
      cause: { code: 'EISDIR' },
    })
    await expect(readSeqs(store, 'task')).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await append(store, 'other', sampleEvents('other', 2, 2))
  })

  it('lists what changed behind its back', async () => {
    const dir = newDir()
    const [one, two] = [createIn(dir), createIn(dir)]
    await append(one, 'task', sampleEvents('task', 1, 1))
    expect((await collect(one.tasks()))[0]?.seq).toBe(1)
    await append(two, 'task', sampleEvents('task', 2, 2))
    expect((await collect(one.tasks()))[0]?.seq).toBe(2)
    const { size } = statSync(join(dir, 'task.jsonl'))
    truncateSync(join(dir, 'task.jsonl'), size - 1)
    expect((await collect(one.tasks()))[0]?.seq).toBe(1)
  })

  it('goes on after its folder was removed', async () => {
    const dir = newDir()
    const store = createIn(dir)
    await append(store, 'task', sampleEvents('task', 1, 1))
    rmSync(dir, { recursive: true })
    await append(store, 'task', sampleEvents('task', 1, 1))
    expect(await readSeqs(store, 'task')).toEqual([1])
  })

  it('leaves no lock and no owner behind when it is closed', async () => {
    const dir = newDir()
    const store = createIn(dir)
    const appended = append(store, 'task', sampleEvents('task', 1, 1))
    await store.close()
    await appended
    expect(readdirSync(join(dir, '.locks'))).toEqual([])
  })
})

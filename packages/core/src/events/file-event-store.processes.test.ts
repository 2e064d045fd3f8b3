import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { collect } from '../testing/conformance.ts'
import { sampleEvents, sampleSummary } from '../testing/sample-events.ts'
import { createFileEventStore } from './file-event-store.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-processes-'))
afterAll(() => rmSync(root, { recursive: true }))

interface Writer {
  readonly child: ChildProcess
  /** Names of the events that the process said are durable. */
  readonly acknowledged: string[]
  readonly ended: Promise<number | null>
}

/** A process that appends to the task as fast as it can, two events at a time, reads on after a conflict, and says what was stored. */
function startWriter(dir: string, name: string, count: number): Writer {
  const url = (file: string): string => JSON.stringify(new URL(file, import.meta.url).href)
  const program = `
    import { writeSync } from 'node:fs'
    import { createFileEventStore } from ${url('file-event-store.ts')}
    import { sampleEvent, sampleSummary } from ${url('../testing/sample-events.ts')}
    const store = createFileEventStore({ dir: ${JSON.stringify(dir)}, onWarning() {} })
    let after = 0
    for (let number = 1; number <= ${count}; ) {
      const text = ${JSON.stringify(name)} + '-' + number
      const events = [sampleEvent('task', after + 1, text + '-a'), sampleEvent('task', after + 2, text + '-b')]
      try {
        await store.append('task', events, { after, summary: sampleSummary('task', after + 2) })
        writeSync(1, text + '\\n')
        after += 2
        number++
      } catch (error) {
        if (error.code !== 'CONFLICT') throw error
        after = error.details.lastSeq
      }
    }
    await store.close()`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const acknowledged: string[] = []
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    acknowledged.push(...lines)
  })
  return { child, acknowledged, ended: once(child, 'close').then(([code]) => code) }
}

/** Resolves when the process has stored that many. */
async function stored(writer: Writer, count: number): Promise<void> {
  while (writer.acknowledged.length < count) await once(writer.child.stdout as NodeJS.ReadableStream, 'data')
}

async function textsOf(dir: string): Promise<string[]> {
  const events = await collect(createFileEventStore({ dir }).read('task'))
  expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: events.length }, (_, index) => index + 1))
  return events.map((event) => (event.type === 'message.sent' ? event.data.text : event.type))
}

describe('createFileEventStore in several processes', () => {
  it('takes the appends of all, each whole and in the order of its process', { timeout: 60_000 }, async () => {
    const dir = mkdtempSync(join(root, 'store-'))
    const names = ['p', 'q', 'r']
    const writers = names.map((name) => startWriter(dir, name, 40))
    expect(await Promise.all(writers.map(({ ended }) => ended))).toEqual([0, 0, 0])
    const texts = await textsOf(dir)
    expect(texts).toHaveLength(240)
    for (const name of names) {
      const own = texts.filter((text) => text.startsWith(name))
      expect(own).toEqual(Array.from({ length: 40 }, (_, index) => [`${name}-${index + 1}-a`, `${name}-${index + 1}-b`]).flat())
    }
    expect(texts.filter((_, index) => index % 2 === 0).map((text) => text.replace(/a$/, 'b'))).toEqual(
      texts.filter((_, index) => index % 2 === 1),
    )
  })

  it('loses nothing that was acknowledged when processes are killed while they append', { timeout: 60_000 }, async () => {
    const dir = mkdtempSync(join(root, 'store-'))
    const stays = startWriter(dir, 'stays', 150)
    const killed: Writer[] = []
    for (let round = 0; round < 6; round++) {
      const writer = startWriter(dir, `killed${round}`, 1_000_000)
      killed.push(writer)
      await stored(writer, 3 + round)
      writer.child.kill('SIGKILL')
      await writer.ended
    }
    expect(await stays.ended).toBe(0)
    const texts = await textsOf(dir)
    expect(new Set(texts).size).toBe(texts.length)
    for (const { acknowledged } of [stays, ...killed]) {
      expect(acknowledged.length).toBeGreaterThan(0)
      for (const text of acknowledged) expect([text, texts.includes(`${text}-a`), texts.includes(`${text}-b`)]).toEqual([text, true, true])
    }
    for (const text of texts) expect(texts).toContain(text.replace(/-[ab]$/, text.endsWith('a') ? '-b' : '-a'))
  })

  it('lets a process follow another, without gap or duplicate', { timeout: 60_000 }, async () => {
    const dir = mkdtempSync(join(root, 'store-'))
    const store = createFileEventStore({ dir })
    await store.append('task', sampleEvents('task', 1, 2), { after: 0, summary: sampleSummary('task', 2) })
    const writer = startWriter(dir, 'w', 60)
    const seqs: number[] = []
    for await (const { seq } of store.follow('task', { after: 0, signal: new AbortController().signal })) {
      seqs.push(seq)
      if (seq === 122) break
    }
    expect(seqs).toEqual(Array.from({ length: 122 }, (_, index) => index + 1))
    expect(await writer.ended).toBe(0)
    await store.close()
  })
})

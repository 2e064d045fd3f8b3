import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { collect } from '../testing/conformance.ts'
import { sampleEvent, sampleEvents, sampleSummary } from '../testing/sample-events.ts'
import { mountSmallDisk } from '../testing/small-disk.ts'
import { createFileBlobStore } from './file-blob-store.ts'
import { createFileEventStore } from './file-event-store.ts'

const { dir: disk, isLacking: lacksDisk, remove } = mountSmallDisk('128k')

afterAll(remove)

async function seqs(dir: string, taskId: string): Promise<number[]> {
  return (await collect(createFileEventStore({ dir }).read(taskId))).map(({ seq }) => seq)
}

describe('createFileEventStore on a full disk', () => {
  it.skipIf(lacksDisk)('rejects the append with STORE_FULL, leaves the log readable, and goes on when there is room', async () => {
    const dir = mkdtempSync(join(disk, 'events-'))
    const warnings: unknown[] = []
    const store = createFileEventStore({ dir, onWarning: (warning) => warnings.push(warning) })
    await store.append('task', sampleEvents('task', 1, 2), { after: 0, summary: sampleSummary('task', 2) })
    const { size } = statSync(join(dir, 'task.jsonl'))
    const large = sampleEvent('task', 3, 'x'.repeat(200_000))
    for (let round = 0; round < 3; round++) {
      const appending = store.append('task', [large], { after: 2, summary: sampleSummary('task', 3) })
      await expect(appending).rejects.toMatchObject({ code: 'STORE_FULL', cause: { code: 'ENOSPC' } })
      expect(statSync(join(dir, 'task.jsonl')).size).toBe(size)
    }
    expect(await seqs(dir, 'task')).toEqual([1, 2])
    await store.append('task', sampleEvents('task', 3, 4), { after: 2, summary: sampleSummary('task', 4) })
    expect(await seqs(dir, 'task')).toEqual([1, 2, 3, 4])
    expect(await collect(store.tasks())).toEqual([sampleSummary('task', 4)])
    expect(warnings).toEqual([])
    await store.close()
    rmSync(dir, { recursive: true })
  })

  it.skipIf(lacksDisk)('keeps of appends that were written together those that are whole', async () => {
    const dir = mkdtempSync(join(disk, 'events-'))
    const store = createFileEventStore({ dir })
    await store.append('task', sampleEvents('task', 1, 1), { after: 0, summary: sampleSummary('task', 1) })
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => {
        const seq = index + 2
        const events = [sampleEvent('task', seq, 'x'.repeat(25_000))]
        return store.append('task', events, { after: seq - 1, summary: sampleSummary('task', seq) })
      }),
    )
    const stored = results.filter(({ status }) => status === 'fulfilled').length
    expect(stored).toBeGreaterThan(0)
    expect(stored).toBeLessThan(10)
    for (const [index, result] of results.entries()) {
      if (result.status === 'rejected') expect(['STORE_FULL', 'CONFLICT']).toContain(result.reason.code)
      else expect(index).toBeLessThan(stored)
    }
    expect((await seqs(dir, 'task')).length).toBe(1 + stored)
    await store.close()
    rmSync(dir, { recursive: true })
  })

  it.skipIf(lacksDisk)('stores an append that fits because the one before it found no room', async () => {
    const dir = mkdtempSync(join(disk, 'events-'))
    const store = createFileEventStore({ dir })
    const append = (text: string): Promise<void> =>
      store.append('task', [sampleEvent('task', 1, text)], { after: 0, summary: sampleSummary('task', 1) })
    const [large, small, late] = await Promise.allSettled([append('x'.repeat(200_000)), append('small'), append('late')])
    expect(large).toMatchObject({ reason: { code: 'STORE_FULL' } })
    expect(small).toMatchObject({ status: 'fulfilled' })
    expect(late).toMatchObject({ reason: { code: 'CONFLICT', details: { lastSeq: 1 } } })
    expect(await collect(store.read('task'))).toEqual([sampleEvent('task', 1, 'small')])
    await store.close()
    rmSync(dir, { recursive: true })
  })

  it.skipIf(lacksDisk)('rejects with STORE_FULL when there is no room for a new task, and leaves none behind', async () => {
    const dir = mkdtempSync(join(disk, 'events-'))
    const store = createFileEventStore({ dir })
    const filler = join(disk, 'filler')
    await store.append('first', sampleEvents('first', 1, 1), { after: 0, summary: sampleSummary('first', 1) })
    fill(filler)
    const appending = store.append('second', sampleEvents('second', 1, 9), { after: 0, summary: sampleSummary('second', 9) })
    await expect(appending).rejects.toMatchObject({ code: 'STORE_FULL' })
    expect(existsSync(join(dir, 'second.jsonl'))).toBe(false)
    await expect(seqs(dir, 'second')).rejects.toMatchObject({ code: 'UNKNOWN_TASK' })
    unlinkSync(filler)
    await store.append('second', sampleEvents('second', 1, 9), { after: 0, summary: sampleSummary('second', 9) })
    expect((await seqs(dir, 'second')).length).toBe(9)
    await store.close()
    rmSync(dir, { recursive: true })
  })

  it('rejects with STORE_FULL when the file may not grow', () => {
    const dir = mkdtempSync(join(tmpdir(), 'baton-small-file-'))
    const url = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href)
    const program = `
      import { createFileEventStore } from ${url('file-event-store.ts')}
      import { sampleEvent, sampleSummary } from ${url('../testing/sample-events.ts')}
      const store = createFileEventStore({ dir: ${JSON.stringify(dir)} })
      const append = (seq, text) => store.append('task', [sampleEvent('task', seq, text)], { after: seq - 1, summary: sampleSummary('task', seq) })
      await append(1, 'one')
      const code = await append(2, 'x'.repeat(100_000)).catch((error) => error.code + ' ' + error.cause.code)
      await append(2, 'two')
      const texts = []
      for await (const event of store.read('task')) texts.push(event.data.text)
      await store.close()
      console.log(JSON.stringify({ code, texts }))`
    const args = [process.execPath, '--input-type=module', '--eval', program]
    const result = spawnSync('sh', ['-c', 'ulimit -f 20 && exec "$@"', 'sh', ...args], { encoding: 'utf8' })
    expect(result.stderr).toBe('')
    expect(JSON.parse(result.stdout)).toEqual({ code: 'STORE_FULL EFBIG', texts: ['one', 'two'] })
    rmSync(dir, { recursive: true })
  })
})

describe('createFileBlobStore on a full disk', () => {
  it.skipIf(lacksDisk)('rejects with STORE_FULL, leaves nothing half-written, and goes on when there is room', async () => {
    const store = createFileBlobStore({ dir: join(disk, 'blobs') })
    const large = new Uint8Array(300_000)
    await expect(store.put(large)).rejects.toMatchObject({ code: 'STORE_FULL', cause: { code: 'ENOSPC' } })
    const small = await store.put(new Uint8Array(20_000))
    expect((await store.get(small)).length).toBe(20_000)
  })
})

function fill(path: string): void {
  for (let size = 65_536; size >= 1; size >>= 1) {
    for (;;) {
      try {
        writeFileSync(path, new Uint8Array(size), { flag: 'a' })
      } catch {
        break
      }
    }
  }
  expect(readFileSync(path).length).toBeGreaterThan(0)
}

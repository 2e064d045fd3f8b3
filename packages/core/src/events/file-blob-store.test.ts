import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { testBlobStore } from '../testing/test-blob-store.ts'
import type { BlobStore } from './blob-store.ts'
import { createFileBlobStore } from './file-blob-store.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-blobs-'))
afterAll(() => rmSync(root, { recursive: true }))

const dirs = new WeakMap<BlobStore, string>()

function createIn(dir: string): BlobStore {
  const store = createFileBlobStore({ dir })
  dirs.set(store, dir)
  return store
}

function newDir(): string {
  return mkdtempSync(join(root, 'store-'))
}

function dirOf(store: BlobStore): string {
  return dirs.get(store) as string
}

describe('createFileBlobStore', () => {
  testBlobStore(it, {
    create: async () => createIn(newDir()),
    reopen: async (store) => createIn(dirOf(store)),
    damage: async (store, sha256) => writeFileSync(join(dirOf(store), sha256.slice(0, 2), sha256.slice(2, 4), sha256), 'other content'),
  })

  it('makes its folder when it is not there', async () => {
    const dir = join(newDir(), 'a', 'b')
    const ref = await createIn(dir).put(Buffer.from('x'))
    expect(Buffer.from(await createIn(dir).get(ref)).toString()).toBe('x')
  })

  it('writes content that was cut short by something else again', async () => {
    const store = createIn(newDir())
    const ref = await store.put(Buffer.from('content'))
    writeFileSync(join(dirOf(store), ref.sha256.slice(0, 2), ref.sha256.slice(2, 4), ref.sha256), 'con')
    await store.put(Buffer.from('content'))
    expect(Buffer.from(await store.get(ref)).toString()).toBe('content')
  })

  it('removes old leftovers of a process that died while it wrote, and no young ones', async () => {
    const dir = newDir()
    mkdirSync(join(dir, 'tmp'))
    for (const name of ['old', 'young']) writeFileSync(join(dir, 'tmp', name), 'half')
    utimesSync(join(dir, 'tmp', 'old'), new Date(0), new Date(0))
    await createIn(dir).put(Buffer.from('x'))
    expect(readdirSync(join(dir, 'tmp'))).toEqual(['young'])
  })

  it('leaves nothing half-written behind when a put fails', async () => {
    const dir = newDir()
    const store = createIn(dir)
    const controller = new AbortController()
    const putting = store.put(new Uint8Array(20_000_000), { signal: controller.signal })
    controller.abort()
    await expect(putting).rejects.toMatchObject({ code: 'ABORTED' })
    expect(readdirSync(join(dir, 'tmp'), { recursive: true })).toEqual([])
  })

  it('refuses wrong options, naming the field', () => {
    expect(() => createFileBlobStore({ dir: '' })).toThrow(/dir: expected the path of a folder/)
  })

  it('refuses a reference that is none, rather than look for a file of that name', async () => {
    const store = createIn(newDir())
    await expect(store.get({ sha256: '../../etc/passwd', bytes: 1 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { BlobStore } from '../events/blob-store.ts'
import type { TestFunction } from './conformance.ts'
import { expectRejection } from './conformance.ts'

/** What {@link testBlobStore} needs. */
export interface TestBlobStoreOptions {
  /** An empty store, for each test. */
  create(): Promise<BlobStore>
  /** Another store on the same data, as another process would open it. Leave it out where data does not outlive a store. */
  readonly reopen?: ((store: BlobStore) => Promise<BlobStore>) | undefined
  /** Changes the kept content of a blob behind the store's back. Leave it out where nobody can. */
  readonly damage?: ((store: BlobStore, sha256: string) => Promise<void>) | undefined
}

const text = new TextEncoder().encode('some content')

/** Tests each clause of the contract of `BlobStore`. */
export function testBlobStore(it: TestFunction, { create, reopen, damage }: TestBlobStoreOptions): void {
  it('gives back what was put, byte for byte', async () => {
    const store = await create()
    const everyByte = Uint8Array.from({ length: 1024 }, (_, index) => index % 256)
    for (const data of [text, everyByte, new Uint8Array(3_000_000).fill(7)]) {
      const found = await store.get(await store.put(data))
      assert.ok(Buffer.from(found).equals(data))
    }
  })

  it('names content by its SHA-256 and its length', async () => {
    const ref = await (await create()).put(text)
    assert.deepEqual(ref, { sha256: createHash('sha256').update(text).digest('hex'), bytes: text.length })
  })

  it('keeps nothing as well as something', async () => {
    const store = await create()
    const ref = await store.put(new Uint8Array())
    assert.equal(ref.bytes, 0)
    assert.equal((await store.get(ref)).length, 0)
  })

  it('gives the same reference for the same content, also at the same time', async () => {
    const store = await create()
    const refs = await Promise.all([store.put(text), store.put(text.slice()), store.put(text)])
    assert.deepEqual(refs[1], refs[0])
    assert.deepEqual(refs[2], refs[0])
    assert.deepEqual(new Uint8Array(await store.get(refs[0])), text)
  })

  it('tells different content apart', async () => {
    const store = await create()
    const other = new TextEncoder().encode('same content')
    const [a, b] = await Promise.all([store.put(text), store.put(other)])
    assert.notEqual(a.sha256, b.sha256)
    assert.deepEqual(new Uint8Array(await store.get(a)), text)
    assert.deepEqual(new Uint8Array(await store.get(b)), other)
  })

  it('stores a part of a larger buffer as that part alone', async () => {
    const store = await create()
    const part = new Uint8Array(text.buffer, 5, 7)
    assert.deepEqual(new Uint8Array(await store.get(await store.put(part))), Uint8Array.from(part))
  })

  it('is not changed by what happens to the data that was put, or that it gave', async () => {
    const store = await create()
    const mine = text.slice()
    const ref = await store.put(mine)
    mine.fill(0)
    const first = await store.get(ref)
    assert.deepEqual(new Uint8Array(first), text)
    first.fill(0)
    assert.deepEqual(new Uint8Array(await store.get(ref)), text)
  })

  it('rejects a reference that it does not have with UNKNOWN_BLOB', async () => {
    const store = await create()
    await store.put(text)
    await expectRejection(store.get({ sha256: '0'.repeat(64), bytes: 3 }), 'UNKNOWN_BLOB')
  })

  it('rejects with ABORTED when the signal is aborted, and stores nothing', async () => {
    const store = await create()
    const ref = await (await create()).put(text)
    await expectRejection(store.put(text, { signal: AbortSignal.abort() }), 'ABORTED')
    await expectRejection(store.get(ref), 'UNKNOWN_BLOB')
    await store.put(text)
    await expectRejection(store.get(ref, { signal: AbortSignal.abort() }), 'ABORTED')
  })

  if (reopen) {
    it('has everything when it is opened again', async () => {
      const store = await create()
      const ref = await store.put(text)
      assert.deepEqual(new Uint8Array(await (await reopen(store)).get(ref)), text)
    })
  }

  if (damage) {
    it('rejects content that no longer fits its reference with CORRUPT_LOG', async () => {
      const store = await create()
      const ref = await store.put(text)
      await damage(store, ref.sha256)
      await expectRejection(store.get(ref), 'CORRUPT_LOG')
    })
  }
}

import { throwIfAborted } from '../errors.ts'
import { blobRefOf, unknownBlobError } from './blob-ref.ts'
import type { BlobStore } from './blob-store.ts'

/** Keeps blobs in memory, for tests and for what need not last. */
export function createMemoryBlobStore(): BlobStore {
  const blobs = new Map<string, Uint8Array>()
  return {
    async put(data, { signal } = {}) {
      throwIfAborted(signal, 'Storing a blob')
      const ref = blobRefOf(data)
      if (!blobs.has(ref.sha256)) blobs.set(ref.sha256, data.slice())
      return ref
    },
    async get(ref, { signal } = {}) {
      throwIfAborted(signal, 'Reading a blob')
      const data = blobs.get(ref.sha256)
      if (!data) throw unknownBlobError(ref)
      return data.slice()
    },
  }
}

import { describe, expect, it } from 'vitest'
import { BatonError } from '../errors.ts'
import type { BlobStore } from '../events/blob-store.ts'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { runSuite } from './run-suite.ts'
import { testBlobStore } from './test-blob-store.ts'

/** Each breaks one clause of the contract. The name of a test that has to fail goes with it. */
const broken: Record<string, { fails: string; make(store: BlobStore): Partial<BlobStore> }> = {
  'keeps text only': {
    fails: 'gives back what was put, byte for byte',
    make: (store) => ({ put: (data, options) => store.put(Buffer.from(Buffer.from(data).toString('utf8')), options) }),
  },
  'makes names up': {
    fails: 'names content by its SHA-256 and its length',
    make: (store) => ({ put: async (data) => ({ ...(await store.put(data)), sha256: 'f'.repeat(64) }) }),
  },
  'says a wrong length': {
    fails: 'names content by its SHA-256 and its length',
    make: (store) => ({ put: async (data) => ({ ...(await store.put(data)), bytes: 1 }) }),
  },
  'refuses empty content': {
    fails: 'keeps nothing as well as something',
    make: (store) => ({
      async put(data, options) {
        if (data.length === 0) throw new BatonError('STORE_FAILED', 'nothing to store')
        return store.put(data, options)
      },
    }),
  },
  'stores the whole buffer behind a part': {
    fails: 'stores a part of a larger buffer as that part alone',
    make: (store) => ({ put: (data, options) => store.put(new Uint8Array(data.buffer), options) }),
  },
  'keeps the caller’s own array': {
    fails: 'is not changed by what happens to the data that was put, or that it gave',
    make(store) {
      const kept = new Map<string, Uint8Array>()
      return {
        async put(data, options) {
          const ref = await store.put(data, options)
          kept.set(ref.sha256, data)
          return ref
        },
        get: async (ref, options) => kept.get(ref.sha256) ?? store.get(ref, options),
      }
    },
  },
  'gives nothing for a reference that it does not have': {
    fails: 'rejects a reference that it does not have with UNKNOWN_BLOB',
    make: (store) => ({ get: (ref, options) => store.get(ref, options).catch(() => new Uint8Array()) }),
  },
  'takes no notice of the signal': {
    fails: 'rejects with ABORTED when the signal is aborted, and stores nothing',
    make: (store) => ({ put: (data) => store.put(data), get: (ref) => store.get(ref) }),
  },
}

function breakStore(make: (store: BlobStore) => Partial<BlobStore>): BlobStore {
  const store = createMemoryBlobStore()
  return { ...store, ...make(store) }
}

async function failures(create: () => Promise<BlobStore>, options: Partial<Parameters<typeof testBlobStore>[1]> = {}): Promise<string[]> {
  const results = await runSuite((test) => testBlobStore(test, { create, ...options }))
  return results.filter(({ failure }) => failure !== undefined).map(({ name }) => name)
}

describe('testBlobStore', () => {
  it('passes a store that keeps the contract', async () => {
    expect(await failures(async () => createMemoryBlobStore())).toEqual([])
  })

  for (const [what, { fails, make }] of Object.entries(broken)) {
    it(`fails a store that ${what}`, async () => {
      expect(await failures(async () => breakStore(make))).toContain(fails)
    })
  }

  it('fails a store that loses everything when it is opened again, and one that does not look at what it gives', async () => {
    const create = async (): Promise<BlobStore> => createMemoryBlobStore()
    expect(await failures(create, { reopen: create, damage: async () => {} })).toEqual([
      'has everything when it is opened again',
      'rejects content that no longer fits its reference with CORRUPT_LOG',
    ])
  })
})

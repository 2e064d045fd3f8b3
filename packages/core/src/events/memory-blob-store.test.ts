import { describe, it } from 'vitest'
import { testBlobStore } from '../testing/test-blob-store.ts'
import { createMemoryBlobStore } from './memory-blob-store.ts'

describe('createMemoryBlobStore', () => {
  testBlobStore(it, { create: async () => createMemoryBlobStore() })
})

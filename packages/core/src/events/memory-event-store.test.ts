import { describe, expect, it } from 'vitest'
import { sampleEvent, sampleSummary } from '../testing/sample-events.ts'
import { testEventStore } from '../testing/test-event-store.ts'
import { createMemoryEventStore } from './memory-event-store.ts'

describe('createMemoryEventStore', () => {
  testEventStore(it, { create: async () => createMemoryEventStore() })

  it('gives back the events themselves, not copies', async () => {
    const store = createMemoryEventStore()
    const event = sampleEvent('task', 1)
    await store.append('task', [event], { after: 0, summary: sampleSummary('task', 1) })
    for await (const found of store.read('task')) expect(found).toBe(event)
  })
})

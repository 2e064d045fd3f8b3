import { describe, expect, it } from 'vitest'
import { mintEventId } from './event-id.ts'

describe('mintEventId', () => {
  it('mints version 7 UUIDs of the current time, each greater than the one before', () => {
    const before = Date.now()
    const ids = Array.from({ length: 2000 }, mintEventId)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect([...ids].sort()).toEqual(ids)
    expect(new Set(ids).size).toBe(ids.length)
    const times = ids.map((id) => Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16))
    expect(Math.min(...times)).toBeGreaterThanOrEqual(before)
    expect(Math.max(...times)).toBeLessThanOrEqual(Date.now())
  })

  it('draws other random bytes for each id', () => {
    const ends = Array.from({ length: 2000 }, () => mintEventId().slice(-10))
    expect(new Set(ends).size).toBe(ends.length)
  })
})

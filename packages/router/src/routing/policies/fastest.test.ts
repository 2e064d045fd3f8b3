import type { ModelHealth } from '@baton-sdk/core/plugin'
import { describe, expect, it } from 'vitest'
import { decide, measured, modelOf, orderOf } from '../testing/routing-fixtures.ts'
import { fastest } from './fastest.ts'

const models = ['a', 'b', 'c', 'd'].map((id) => modelOf(id))
const health = (entries: Record<string, ModelHealth>) => ({ health: new Map(Object.entries(entries)) })
const never = fastest({ explore: 0 })

describe('fastest', () => {
  it('goes by the first chunk and the tokens per second together', async () => {
    // 800 tokens: b needs 0.5 + 8 s, a 2 + 4 s; c answers in one piece.
    const known = health({ a: measured(2_000, 200), b: measured(500, 100), c: measured(7_000) })
    expect(await decide(models, never, known)).toEqual([
      'a: fastest: about 6.0 s: first chunk after 2000 ms, then 200 tokens/s',
      'c: fastest: about 7.0 s: first chunk after 7000 ms',
      'd: fastest: not measured yet; taken for the median',
      'b: fastest: about 8.5 s: first chunk after 500 ms, then 100 tokens/s',
    ])
  })

  it('keeps the order given where nothing was measured', async () => {
    expect(await orderOf(models, fastest({ explore: 1 }))).toEqual(['a', 'b', 'c', 'd'])
  })

  it('sends a share of the calls to models that were not measured, each in its turn, and the same call always the same way', async () => {
    const known = health({ a: measured(100, 100), b: measured(200, 100) })
    const first: Record<string, number> = {}
    for (let at = 0; at < 2_000; at++) {
      const request = { ...known, taskId: `task-${at}` }
      const [model = ''] = await orderOf(models, fastest({ explore: 0.2 }), request)
      expect((await orderOf(models, fastest({ explore: 0.2 }), request))[0]).toBe(model)
      first[model] = (first[model] ?? 0) + 1
    }
    expect(first.b).toBeUndefined()
    expect((first.c ?? 0) + (first.d ?? 0)).toBeGreaterThan(300)
    expect((first.c ?? 0) + (first.d ?? 0)).toBeLessThan(500)
    expect(Math.min(first.c ?? 0, first.d ?? 0)).toBeGreaterThan(120)
  })

  it('measures slow ones again now and then, once all are known', async () => {
    const known = health({ a: measured(100), b: measured(200), c: measured(300), d: measured(400) })
    expect((await decide(models, fastest({ explore: 1 }), known))[0]).toMatch(/^[bcd]: explored: to be measured: a share of 1/)
    expect(await orderOf(models.slice(0, 1), fastest({ explore: 1 }), known)).toEqual(['a'])
  })

  it('refuses a share beyond 1', () => {
    expect(() => fastest({ explore: 2 })).toThrow('explore')
  })
})

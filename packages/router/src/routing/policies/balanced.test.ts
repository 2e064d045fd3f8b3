import { describe, expect, it } from 'vitest'
import { decide, measured, modelOf, orderOf } from '../testing/routing-fixtures.ts'
import { balanced } from './balanced.ts'

const dear = modelOf('dear', { price: { input: 2, output: 2 } })
const cheap = modelOf('cheap', { price: { input: 1, output: 1 } })
const unknown = modelOf('unknown', { price: undefined })
const health = new Map([
  ['dear', measured(100, 1_000)],
  ['cheap', measured(1_000, 1_000)],
])

describe('balanced', () => {
  it('weighs cost and speed by how near each comes to the best', async () => {
    // dear costs twice as much and needs half the time: 0.9 s against 1.8 s.
    expect(await decide([dear, cheap], balanced({ cost: 3, speed: 1 }), { health })).toEqual([
      'cheap: balanced: mark 0.88 of 1: cost 1.00 ($0.0018), speed 0.50',
      'dear: balanced: mark 0.63 of 1: cost 0.50 ($0.0036), speed 1.00',
    ])
    expect(await orderOf([cheap, dear], balanced({ cost: 1, speed: 3 }), { health })).toEqual(['dear', 'cheap'])
  })

  it('weighs quality where it is given, and takes the mean for a model that is not named', async () => {
    const options = { cost: 1, speed: 0, quality: 2, qualities: { dear: 0.9, cheap: 0.1 } }
    expect(await decide([cheap, dear, unknown], balanced(options))).toEqual([
      'dear: balanced: mark 0.77 of 1: cost 0.50 ($0.0036), speed 1.00, quality 0.90',
      'cheap: balanced: mark 0.40 of 1: cost 1.00 ($0.0018), speed 1.00, quality 0.10',
      'unknown: balanced: mark 0.33 of 1: cost 0.00 (an unknown price), speed 1.00, quality 0.50',
    ])
  })

  it('has free models share the best mark for cost', async () => {
    const free = (id: string) => modelOf(id, { price: { input: 0, output: 0 } })
    expect(await decide([cheap, free('x'), free('y')], balanced({ speed: 0 }))).toEqual([
      'x: balanced: mark 1.00 of 1: cost 1.00 ($0), speed 1.00',
      'y: balanced: mark 1.00 of 1: cost 1.00 ($0), speed 1.00',
      'cheap: balanced: mark 0.00 of 1: cost 0.00 ($0.0018), speed 1.00',
    ])
  })

  it.each([[{ cost: -1 }], [{ cost: 0, speed: 0, quality: 0 }], [{ qualities: { a: 2 } }]])('refuses %j', (options) => {
    expect(() => balanced(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
  })
})

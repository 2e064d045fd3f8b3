import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { countEquations, numberOf } from './arithmetic.ts'

describe('countEquations', () => {
  it.each([
    ['4 x $2.50 = $10', 1, 0, 10],
    ['She pays 3 × 7 = 21 and 21 ÷ 4 = 5.25.', 2, 0, 5.25],
    ['20 x $2 = $<<20*2=40>>40', 1, 0, 40],
    ['<<40+40-20=60>>60', 1, 0, 60],
    ['27 / (3/4) = 36, (1 + 2) * (3 - 1) = 6', 2, 0, 6],
    ['15% x 200 = 30', 1, 0, 30],
    ['1,200 + 34 = 1,234', 1, 0, 1234],
    ['36 - 40 = -4', 1, 0, -4],
    ['2 * 3 = 6 + 1 = 7', 2, 0, 7],
    ['10 / 3 = 3.33', 1, 0, 3.33],
    ['2 + 2 = 5', 1, 1, 5],
    ['150 - 50 x 14 = 150 - 700 = -550', 2, 1, -550],
    ['7 = 7, x = 5, 3 + 4, total: 12', 0, 0, undefined],
    ['1 / 0 = 3', 0, 0, undefined],
    ['(1 + 2 = 3', 0, 0, undefined],
    ['2 + 3\n= 5', 0, 0, undefined],
    ['', 0, 0, undefined],
  ])('%j: %i stated, %i wrong', (text, stated, wrong, lastResult) => {
    expect(countEquations(text)).toEqual({ stated, wrong, lastResult })
  })

  it('finds every sum that is right to be right, and every one that is off to be wrong', () => {
    const amount = fc.integer({ min: 1, max: 999 })
    fc.assert(
      fc.property(amount, amount, amount, fc.integer({ min: 100, max: 900 }), (a, b, c, off) => {
        const right = a + b * c
        expect(countEquations(`So ${a} + ${b} * ${c} = ${right} in all`)).toMatchObject({ stated: 1, wrong: 0 })
        expect(countEquations(`So ${a} + ${b} * ${c} = ${right * 2 + off} in all`)).toMatchObject({ stated: 1, wrong: 1 })
      }),
    )
  })

  it('reads any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'12.,+-*/()= x%$<>a\n'), maxLength: 300 }), (text) => {
        const { stated, wrong } = countEquations(text)
        expect(wrong).toBeLessThanOrEqual(stated)
      }),
    )
    expect(countEquations(`${'('.repeat(200_000)}1 + 1${')'.repeat(200_000)} = 2`).stated).toBe(0)
    expect(countEquations(`${'1 + '.repeat(200_000)}1 = 2`).stated).toBe(0)
  })
})

describe('numberOf', () => {
  it.each([
    ['1,234.5', 1234.5],
    ['15%', 0.15],
  ])('%s is %d', (text, value) => {
    expect(numberOf(text)).toBe(value)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createPlaceholderTable } from './placeholder-table.ts'

/** Few different characters, so that values begin alike, hold each other and overlap. */
const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '[', ':', '1'), maxLength: 8 })
const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '[', ']', ':', '1', '[[secret:1]]'), maxLength: 60 })

/** Which characters of a text belong to a value: each looked for by itself, from the left, without overlaps. */
function covered(of: string, values: readonly string[]): boolean[] {
  const marks = Array.from(of.matchAll(/./gsu), () => false)
  for (const value of values.filter((one) => one !== '')) {
    for (let at = of.indexOf(value); at >= 0; at = of.indexOf(value, at + value.length)) marks.fill(true, at, at + value.length)
  }
  return marks
}

describe('createPlaceholderTable', () => {
  it('replaces every place of every value, and nothing else, however they overlap', () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 12 }), text, (values, whole) => {
        const table = createPlaceholderTable()
        for (const value of values) table.add('secret', value)
        const safe = table.replace(whole)
        expect(table.restore(safe)).toBe(whole)
        const plain = whole.replaceAll('[[secret:1]]', '')
        const expected = [...plain].filter((_, at) => !covered(plain, values)[at]).join('')
        expect(table.replace(plain).replace(/\[\[(?:secret|text):\d+\]\]/g, '')).toBe(expected)
      }),
      { numRuns: 1_000 },
    )
  })

  it('has no place for an empty value', () => {
    const table = createPlaceholderTable()
    table.add('secret', '')
    expect([table.size, table.replace('abc')]).toEqual([0, 'abc'])
  })

  it('finds each of thousands of values', () => {
    const table = createPlaceholderTable()
    const values = Array.from({ length: 5_000 }, (_, at) => `key-${at.toString(36).padStart(4, '0')}`)
    for (const value of values) table.add('secret', value)
    const whole = values.join(', ')
    const safe = table.replace(whole)
    expect(safe).not.toContain('key-')
    expect(table.restore(safe)).toBe(whole)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyHunks, composeHunks, diffLines } from './line-hunks.ts'

const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 })

/** Every longest way to keep lines, as pairs of places: by trying all of them. */
function allWays(a: readonly string[], b: readonly string[]): string[][] {
  let best: string[][] = [[]]
  const walk = (i: number, j: number, kept: readonly string[]): void => {
    if (i === a.length || j === b.length) {
      if (kept.length > best[0]!.length) best = [[...kept]]
      else if (kept.length === best[0]!.length) best.push([...kept])
      return
    }
    for (let x = i; x < a.length; x++) for (let y = j; y < b.length; y++) if (a[x] === b[y]) walk(x + 1, y + 1, [...kept, `${x}:${y}`])
    walk(a.length, b.length, kept)
  }
  walk(0, 0, [])
  return best
}

describe('diffLines', () => {
  it('keeps exactly the lines that all shortest ways keep, and says where there are several', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const ways = allWays(a, b)
        const certain = new Set(ways[0]!.filter((pair) => ways.every((way) => way.includes(pair))))
        const hunks = diffLines(a, b)
        expect(applyHunks(a, hunks)).toEqual(b)
        const kept: string[] = []
        let shift = 0
        let at = 0
        for (const { start, end, lines, loose } of [...hunks, { start: a.length, end: a.length, lines: [], loose: false }]) {
          for (; at < start; at++) kept.push(`${at}:${at + shift}`)
          const inside = ways.some((way) => way.some((pair) => Number(pair.split(':')[0]) >= start && Number(pair.split(':')[0]) < end))
          expect(loose).toBe(inside)
          at = end
          shift += lines.length - (end - start)
        }
        expect(new Set(kept)).toEqual(certain)
      }),
      { numRuns: 300 },
    )
  })

  it('takes a text as changed from end to end where comparing would take too much room', () => {
    const before = Array.from({ length: 6_000 }, (_, at) => `a${at}`)
    const after = Array.from({ length: 6_000 }, (_, at) => `b${at}`)
    expect(diffLines([...before, 'same'], [...after, 'same'])).toEqual([{ start: 0, end: 6_001, lines: [...after, 'same'], loose: true }])
  })

  it('compares long texts with few changes', () => {
    const before = Array.from({ length: 50_000 }, (_, at) => `line ${at % 997}`)
    const after = before.with(10, 'x').toSpliced(40_000, 0, 'y')
    expect(diffLines(before, after)).toEqual([
      { start: 10, end: 11, lines: ['x'], loose: false },
      { start: 40_000, end: 40_000, lines: ['y'], loose: false },
    ])
  })
})

describe('composeHunks', () => {
  it('comes to the same as one step after the other, with hunks in order that share no line', () => {
    fc.assert(
      fc.property(text, fc.array(text, { minLength: 1, maxLength: 5 }), (first, others) => {
        let now = first
        let hunks = diffLines(first, first)
        for (const next of others) {
          hunks = composeHunks(hunks, now, diffLines(now, next))
          now = next
        }
        expect(applyHunks(first, hunks)).toEqual(now)
        for (const [at, { start }] of hunks.entries()) expect(start).toBeGreaterThanOrEqual(hunks[at - 1]?.end ?? 0)
      }),
      { numRuns: 500 },
    )
  })
})

import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toPosixRegex } from './posix-regex.ts'

const grepMatches = (pattern: string, lines: readonly string[]): string[] => {
  try {
    return execFileSync('grep', ['-E', '-e', pattern], {
      input: lines.map((line) => `${line}\n`).join(''),
      env: { PATH: process.env.PATH, LC_ALL: 'C' },
    })
      .toString()
      .split('\n')
      .slice(0, -1)
  } catch {
    return []
  }
}

describe('toPosixRegex', () => {
  it('matches the same lines as the expression did, for any made of what it knows', () => {
    const atom = fc.constantFrom(
      'a',
      'b',
      '1',
      '\\d',
      '\\w',
      '\\s',
      '\\S',
      '\\D',
      '.',
      '[ab]',
      '[^a]',
      '[\\d_]',
      '[\\]a]',
      '[^\\]\\-]',
      '[a\\-b]',
      '\\.',
      '(?:ab)',
      '(a|b)',
      '[\\^]',
      '\\t',
    )
    const piece = fc
      .tuple(atom, fc.constantFrom('', '', '*', '+', '?', '*?', '+?', '??', '{2}', '{1,2}', '{1,}?'))
      .map((parts) => parts.join(''))
    const pattern = fc
      .tuple(fc.constantFrom('', '^'), fc.array(piece, { minLength: 1, maxLength: 4 }), fc.constantFrom('', '$'))
      .map(([start, pieces, end]) => start + pieces.join('') + end)
    const line = fc.string({ unit: fc.constantFrom('a', 'b', '1', ' ', ']', '-', '^', '.', '_', '\t'), maxLength: 6 })
    fc.assert(
      fc.property(pattern, fc.array(line, { minLength: 1, maxLength: 10 }), (given, lines) => {
        const posix = toPosixRegex(given)
        const expected = lines.filter((text) => new RegExp(given).test(text))
        expect('pattern' in posix ? grepMatches(posix.pattern, lines) : posix).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })

  it.each(['(?=a)', '(?!a)', '(?<=a)b', '(?i)a', '\\p{L}', '(a)\\1', '[\\p{L}]', '[a', '\\x41'])(
    'says that %s cannot be said',
    (pattern) => {
      expect(toPosixRegex(pattern)).toHaveProperty('unsupported')
    },
  )
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Contributor, FileVersion } from './attribute-lines.ts'
import { attributeLines } from './attribute-lines.ts'

const agent: Contributor = { actor: { kind: 'agent', id: 'smith' }, model: 'acme/m1' }
const human: Contributor = { actor: { kind: 'human', id: 'bob' } }
const unknown: Contributor = { actor: undefined }

/** Each range as `first-last who`. */
const told = (versions: readonly FileVersion[]): string[] =>
  attributeLines(versions).ranges.map(({ startLine, endLine, by }) => `${startLine}-${endLine} ${by.actor?.id ?? 'unknown'}`)

describe('attributeLines', () => {
  it('follows lines through what others insert, change and remove around them', () => {
    const versions = [
      { text: 'a\nb\nc\n' },
      { by: agent, text: 'a\nagent 1\nagent 2\nb\nc\n' },
      { by: human, text: 'human\na\nagent 1\nagent 2, by hand\nb\n' },
      { by: unknown, text: 'human\na\nagent 1\nagent 2, by hand\nb\nwho?\n' },
      { by: agent, text: 'human\na\nagent 1\nagent 2, by hand\nb\nwho?\nagent 3' },
    ]
    expect(told(versions)).toEqual(['1-1 bob', '3-3 smith', '4-4 bob', '6-6 unknown', '7-7 smith'])
    expect(attributeLines(versions).totals).toEqual([
      { by: agent, added: 3, removed: 0, overridden: 1 },
      { by: human, added: 2, removed: 2, overridden: 0 },
      { by: unknown, added: 1, removed: 0, overridden: 0 },
    ])
  })

  it('credits nobody for lines that were there, nor for a missing end of line', () => {
    expect(told([{ text: 'a\nb' }, { by: agent, text: 'a\nb\n' }])).toEqual([])
    expect(told([{ text: '' }, { by: agent, text: 'a' }, { text: 'merged\na' }])).toEqual(['2-2 smith'])
    expect(told([])).toEqual([])
  })

  it('keeps to a bounded effort where everything is different', () => {
    const lines = (prefix: string) => Array.from({ length: 20_000 }, (_, index) => `${prefix}${index}`).join('\n')
    expect(told([{ text: `top\n${lines('a')}\nend\n` }, { by: agent, text: `top\n${lines('b')}\nend\n` }])).toEqual(['2-20001 smith'])
  })

  it('gives each line exactly the one who could have written it', () => {
    const text = fc.array(fc.constantFrom('x', 'y', 'z', ''), { maxLength: 8 }).map((lines) => lines.map((line) => `${line}\n`).join(''))
    const step = fc.record({ by: fc.constantFrom(agent, human, unknown, undefined), text })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), (versions) => {
        const last = versions.at(-1)?.text.split('\n').slice(0, -1) ?? []
        const { ranges, totals } = attributeLines(versions)
        let end = 0
        for (const { startLine, endLine, by } of ranges) {
          expect(startLine).toBeGreaterThan(end)
          expect(endLine).toBeLessThanOrEqual(last.length)
          for (const line of last.slice(startLine - 1, endLine))
            expect(versions.some((version) => version.by === by && version.text.split('\n').includes(line))).toBe(true)
          end = endLine
        }
        for (const { by, added, removed, overridden } of totals) {
          const alive = ranges.filter((range) => range.by === by).reduce((sum, { startLine, endLine }) => sum + endLine - startLine + 1, 0)
          expect(added).toBeGreaterThanOrEqual(alive + overridden)
          expect(removed).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })
})

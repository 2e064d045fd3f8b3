import { applyPatch } from 'diff'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { diffTexts } from './file-diff.ts'

describe('diffTexts', () => {
  it('gives a difference that leads from one text to the other', () => {
    const text = fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 12 }).map((lines) => lines.join('\n'))
    fc.assert(
      fc.property(text, text, (before, after) => {
        const diff = diffTexts(before, after, 100_000)
        expect(diff.cut).toBe(false)
        if (before !== after) expect(applyPatch(before, `--- a\n+++ a\n${diff.text}`)).toBe(after)
        expect(diff.addedLines - diff.removedLines).toBe(lineCount(after) - lineCount(before))
      }),
    )
  })

  it('stays bounded in cost and in size for texts that have nothing in common', () => {
    const before = Array.from({ length: 100_000 }, (_, at) => `before ${at}`)
    const after = Array.from({ length: 100_000 }, (_, at) => `after ${at}`)
    const diff = diffTexts(['same', ...before, 'end'].join('\n'), ['same', ...after, 'end'].join('\n'), 1000)
    expect(diff).toMatchObject({ cut: true, addedLines: 100_000, removedLines: 100_000 })
    expect(Buffer.byteLength(diff.text)).toBeLessThanOrEqual(1000)
    expect(diff.text).toMatch(/^@@ -2,100000 \+2,100000 @@\n-before 0\n[\s\S]*\[… \d+ more lines of difference\]\n$/)
  })
})

function lineCount(text: string): number {
  return text === '' ? 0 : text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
}

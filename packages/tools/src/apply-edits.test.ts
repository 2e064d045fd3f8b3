import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { applyEdits } from './apply-edits.ts'

/** Few letters, so that passages repeat and overlap. */
const text = fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', 'é', '😀'), maxLength: 40 })
const edit = fc.record({
  oldText: fc.string({ unit: fc.constantFrom('a', 'b', ' ', '\n', 'é', '😀'), minLength: 1, maxLength: 4 }),
  newText: text,
  all: fc.boolean(),
})

/** As simply as it can be said: places found one by one, replaced from the back. */
function reference(original: string, edits: readonly { oldText: string; newText: string; all: boolean }[]): string | undefined {
  const spans: { start: number; end: number; newText: string }[] = []
  for (const { oldText, newText, all } of edits) {
    const starts: number[] = []
    for (let at = 0; at + oldText.length <= original.length; at++) if (original.startsWith(oldText, at)) starts.push(at)
    const used = all ? withoutOverlaps(starts, oldText.length) : starts
    if (used.length === 0 || (!all && used.length > 1) || oldText === newText) return undefined
    for (const start of used) spans.push({ start, end: start + oldText.length, newText })
  }
  for (const [at, one] of spans.entries())
    for (const other of spans.slice(at + 1)) if (one.start < other.end && other.start < one.end) return undefined
  return spans
    .sort((a, b) => b.start - a.start)
    .reduce((result, { start, end, newText }) => result.slice(0, start) + newText + result.slice(end), original)
}

function withoutOverlaps(starts: readonly number[], length: number): number[] {
  const kept: number[] = []
  for (const start of starts) if (start >= (kept.at(-1) ?? -length) + length) kept.push(start)
  return kept
}

describe('applyEdits', () => {
  it('does what a plain reference does, or nothing', () => {
    let applied = 0
    fc.assert(
      fc.property(text, fc.array(edit, { minLength: 1, maxLength: 3 }), (original, edits) => {
        const outcome = applyEdits(original, edits)
        const expected = reference(original, edits)
        expect(outcome.applied ? outcome.text : undefined).toBe(expected)
        if (outcome.applied) applied++
        else expect(outcome.reason).not.toBe('')
      }),
      { numRuns: 3000 },
    )
    // So that the property is not about refusals only.
    expect(applied).toBeGreaterThan(100)
  })

  it('undoes an edit by its opposite, for any passage of any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }), fc.nat(), fc.nat(), (original, from, length) => {
        const start = from % original.length
        const oldText = original.slice(start, start + 1 + (length % 8))
        const marked = '\u0001'
        const outcome = applyEdits(original, [{ oldText, newText: marked }])
        if (!outcome.applied || original.includes(marked)) return
        const back = applyEdits(outcome.text, [{ oldText: marked, newText: oldText }])
        expect(back.applied && back.text).toBe(original)
      }),
    )
  })

  it('keeps every line ending of a CRLF text', () => {
    const lines = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', ' '), maxLength: 3 }), { minLength: 1, maxLength: 8 })
    const lfEdit = fc.record({
      oldText: fc.string({ unit: fc.constantFrom('a', 'b', '\n'), minLength: 1, maxLength: 4 }),
      newText: fc.string({ unit: fc.constantFrom('c', '\n'), maxLength: 4 }),
      all: fc.boolean(),
    })
    fc.assert(
      fc.property(lines, lfEdit, (content, given) => {
        const outcome = applyEdits(content.join('\r\n'), [given], { crlf: true })
        const plain = applyEdits(content.join('\n'), [given])
        expect(outcome.applied).toBe(plain.applied)
        if (outcome.applied && plain.applied) expect(outcome.text).toBe(plain.text.replaceAll('\n', '\r\n'))
      }),
      { numRuns: 1000 },
    )
  })

  it('names the edits that overlap', () => {
    const outcome = applyEdits('one two three', [
      { oldText: 'two three', newText: '2 3' },
      { oldText: 'one two', newText: '1 2' },
    ])
    expect(outcome).toMatchObject({ applied: false, reason: expect.stringContaining('edits 1 and 2 overlap at line 1') })
  })

  it('gives the line of each replacement', () => {
    expect(applyEdits('x\ny\nx\n\nx', [{ oldText: 'x', newText: 'z', all: true }])).toMatchObject({ replacements: 3, lines: [1, 3, 5] })
  })

  it('refuses more replacements than make sense', () => {
    expect(applyEdits('a'.repeat(100_001), [{ oldText: 'a', newText: 'b', all: true }])).toMatchObject({ applied: false })
  })

  describe('without a match', () => {
    const reason = (content: string, oldText: string, newText = 'new') => {
      const outcome = applyEdits(content, [{ oldText, newText }])
      return outcome.applied ? 'applied' : outcome.reason
    }

    it('says that the indentation differs, and shows the line as it is', () => {
      const said = reason('function f() {\n\treturn 1\n}\n', '    return 1\n}')
      expect(said).toContain('whitespace or indentation differs')
      expect(said).toContain('lines 2 to 3:\n2\t\treturn 1\n3\t}')
      expect(said).toContain('First difference, at line 2: the file has "\\treturn 1", oldText has "    return 1"')
    })

    it('says that the line endings differ', () => {
      expect(reason('one\r\ntwo\nthree\n', 'one\ntwo')).toContain('line endings differ')
    })

    it('says that quotes differ', () => {
      expect(reason('say “hello” twice', 'say "hello" twice')).toContain('quotes, dashes or spaces are other characters')
    })

    it('says that case differs', () => {
      expect(reason('const Foo = 1', 'const foo = 1')).toContain('upper and lower case differ')
    })

    it('says that the edit was made before', () => {
      const said = reason('a\nconst renamed = 1\nb\n', 'const original = 1', 'const renamed = 1')
      expect(said).toContain('newText is there already, at line 2')
    })

    it('says that line numbers are in the way', () => {
      expect(reason('one\ntwo\nthree\n', '2\ttwo\n3\tthree')).toContain('without the line numbers that read shows, it is at line 2')
    })

    it('says that escapes are in the way', () => {
      expect(reason('print("a")\nprint("b")\n', 'print(\\"a\\")\\nprint(\\"b\\")')).toContain('backslash escapes resolved, it is at line 1')
    })

    it('shows the most similar passage', () => {
      const content = Array.from({ length: 200 }, (_, at) =>
        at === 120 ? 'const total = items.reduce((sum, item) => sum + item.price, 0)' : `line ${at}`,
      ).join('\n')
      const said = reason(content, 'const total = items.reduce((sum, entry) => sum + entry.price)')
      expect(said).toContain('The most similar passage: The file has, at line 121:\n121\tconst total = items.reduce((sum, item)')
    })

    it('says so when nothing is alike', () => {
      expect(reason('alpha\nbeta\n', 'zzz(yyy)')).toContain('nor anything like it')
    })

    it('names the lines of several matches', () => {
      expect(reason('x\nx\n\nx\n', 'x')).toBe(
        'oldText is found in 3 places (lines 1, 2, 4): add lines around it until it is unique, or set all to replace every one',
      )
    })

    it('costs about as much for long lines, long texts and repetitive ones as for others', () => {
      // Each would take hours if the cost were the product of the lengths.
      for (const content of ['ab'.repeat(240_000), 'a b\n'.repeat(120_000), `${'x '.repeat(50_000)}\n`.repeat(4), 'ab'.repeat(2_000_000)]) {
        expect(reason(content, `${'a b\n'.repeat(10_000)}q`)).not.toBe('applied')
        expect(reason(content, `${'ab'.repeat(20_000)}q`)).not.toBe('applied')
      }
    })

    it('gives an account of every mismatch whatever the texts are', () => {
      fc.assert(
        fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary', minLength: 1 }), (content, oldText) => {
          const outcome = applyEdits(content, [{ oldText, newText: `${oldText}!` }])
          if (!outcome.applied) expect(outcome.reason.length).toBeGreaterThan(10)
        }),
      )
    })
  })
})

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HunkChoice } from './text-hunks.ts'
import { assembleHunks, cutIntoHunks, decodeText, newSideOf } from './text-hunks.ts'

const run = promisify(execFile)
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'baton-hunks-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const plenty = 1024 * 1024

/** What git makes of the text with these hunks. */
async function applyWithGit(before: string, hunks: readonly string[]): Promise<string> {
  if (hunks.length === 0) return before
  const file = join(dir, 'file')
  await writeFile(file, before)
  await writeFile(join(dir, 'patch'), `--- a/file\n+++ b/file\n${hunks.join('')}`)
  await run('git', ['-c', 'core.autocrlf=false', 'apply', '--whitespace=nowarn', '--unidiff-zero', 'patch'], { cwd: dir })
  return readFile(file, 'utf8')
}

/** A text of many lines, and another that was made out of it by changes here and there. */
const twoTexts = fc
  .record({
    lines: fc.array(fc.constantFrom('a', 'b', '', ' c', '+d', '-e', '\\ f', '@@ -1,1 +1,1 @@', 'ü\u2028z'), { maxLength: 60 }),
    edits: fc.array(
      fc.record({ at: fc.nat(60), remove: fc.nat(3), add: fc.array(fc.constantFrom('x', 'y', '', '-z'), { maxLength: 3 }) }),
      { maxLength: 5 },
    ),
    eol: fc.constantFrom('\n', '\r\n'),
    ends: fc.tuple(fc.boolean(), fc.boolean()),
  })
  .map(({ lines, edits, eol, ends: [endsBefore, endsAfter] }) => {
    const changed: string[] = [...lines]
    for (const { at, remove, add } of edits) changed.splice(at, remove, ...add)
    const join = (some: string[], ends: boolean): string => some.join(eol) + (ends && some.length > 0 ? eol : '')
    return { before: join(lines, endsBefore), after: join(changed, endsAfter), eol }
  })

describe('cutIntoHunks', () => {
  it('gives hunks any of which can be accepted without the others, with the result that git has', async () => {
    await run('git', ['init', '-q'], { cwd: dir })
    await fc.assert(
      fc.asyncProperty(twoTexts, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), async ({ before, after }, wanted) => {
        const hunks = cutIntoHunks(before, after, plenty)
        if (!hunks) {
          expect(before).toBe(after)
          return
        }
        const choices = hunks.map((diff, index): HunkChoice => ({ diff, decision: wanted[index] ? 'accepted' : 'rejected' }))
        const accepted = choices.filter(({ decision }) => decision === 'accepted').map(({ diff }) => diff)
        expect(assembleHunks(before, choices)).toBe(await applyWithGit(before, accepted))
      }),
      { numRuns: 150 },
    )
  })

  it('gives all of the difference: accepting everything is the new text, rejecting everything the old one', () => {
    fc.assert(
      fc.property(twoTexts, ({ before, after }) => {
        const hunks = cutIntoHunks(before, after, plenty) ?? []
        const all = (decision: HunkChoice['decision']) =>
          assembleHunks(
            before,
            hunks.map((diff) => ({ diff, decision, text: newSideOf(diff) })),
          )
        expect(all('accepted')).toBe(after)
        expect(all('rejected')).toBe(before)
        expect(all('edited')).toBe(after)
      }),
      { numRuns: 1000 },
    )
  })

  it('gives nothing for texts that are the same, differ too much, or whose difference is too long', () => {
    expect(cutIntoHunks('a\n', 'a\n', plenty)).toBeUndefined()
    expect(cutIntoHunks('a\n', 'b\n', 10)).toBeUndefined()
    const many = (word: string) => Array.from({ length: 3000 }, (_, at) => `${word} ${at}\n`).join('')
    expect(cutIntoHunks(many('a'), many('b'), plenty)).toBeUndefined()
  })
})

describe('assembleHunks', () => {
  const lines = Array.from({ length: 30 }, (_, at) => `line ${at + 1}`)
  const before = `${lines.join('\n')}\n`
  const hunks = cutIntoHunks(before, before.replace('line 5\n', 'five\n').replace('line 25\n', 'twenty-five\n'), plenty) ?? []

  it('puts an edit in the place of the new side of its hunk, and leaves the rest', () => {
    const [first = '', second = ''] = hunks
    const text = newSideOf(first).replace('five', 'FIVE\nand a half')
    expect(newSideOf(first)).toBe('line 2\nline 3\nline 4\nfive\nline 6\nline 7\nline 8\n')
    const result = assembleHunks(before, [
      { diff: first, decision: 'edited', text },
      { diff: second, decision: 'rejected' },
    ])
    expect(result).toBe(before.replace('line 5\n', 'FIVE\nand a half\n'))
  })

  it('ends an edit with a line end where what it stands for has one', () => {
    const [first = ''] = hunks
    expect(assembleHunks(before, [{ diff: first, decision: 'edited', text: 'all of it' }])).toBe(
      before.replace(/line 2\n[\s\S]*line 8\n/, 'all of it\n'),
    )
    expect(assembleHunks(before, [{ diff: first, decision: 'edited', text: '' }])).toBe(before.replace(/line 2\n[\s\S]*line 8\n/, ''))
    const [open = ''] = cutIntoHunks('a\nb', 'a\nc', plenty) ?? []
    expect(assembleHunks('a\nb', [{ diff: open, decision: 'edited', text: 'a\nd' }])).toBe('a\nd')
  })

  it('takes LF in an edit for CRLF where the file has that', () => {
    const [hunk = ''] = cutIntoHunks('a\r\nb\r\n', 'a\r\nc\r\n', plenty) ?? []
    expect(assembleHunks('a\r\nb\r\n', [{ diff: hunk, decision: 'edited', text: 'a\nd\ne' }])).toBe('a\r\nd\r\ne\r\n')
    const [mixed = ''] = cutIntoHunks('a\r\nb\n', 'a\r\nc\n', plenty) ?? []
    expect(assembleHunks('a\r\nb\n', [{ diff: mixed, decision: 'edited', text: 'x\ny' }])).toBe('x\ny\n')
  })

  it('refuses hunks of another text', () => {
    const [first = '', second = ''] = hunks
    const choices = (...diffs: string[]) => diffs.map((diff): HunkChoice => ({ diff, decision: 'accepted' }))
    for (const [text, diffs] of [
      [before.replace('line 4', 'line four'), [first]],
      ['', [first]],
      [before, [second, first]],
    ] as const) {
      expect(() => assembleHunks(text, choices(...diffs))).toThrow(expect.objectContaining({ code: 'CORRUPT_LOG' }))
    }
  })
})

describe('decodeText', () => {
  it('gives back exactly what the bytes say, or nothing', () => {
    expect(decodeText(Buffer.from('\ufeffü\r\n'))).toBe('\ufeffü\r\n')
    expect(decodeText(new Uint8Array())).toBe('')
    expect(decodeText(Buffer.from([0x61, 0xff]))).toBeUndefined()
    expect(decodeText(Buffer.from('a\0b'))).toBeUndefined()
  })
})

import { describe, expect, it } from 'vitest'
import type { MergeFile } from './merge-files.ts'
import { mergeFiles } from './merge-files.ts'

const file = (content: string | Uint8Array, mode: MergeFile['mode'] = '100644'): MergeFile => ({ mode, content: Buffer.from(content) })
const merge = (base?: MergeFile | string, ours?: MergeFile | string, theirs?: MergeFile | string) => {
  const [b, o, t] = [base, ours, theirs].map((side) => (typeof side === 'string' ? file(side) : side))
  const merged = mergeFiles({ base: b, ours: o, theirs: t })
  return merged.conflict ?? (merged.file && { mode: merged.file.mode, text: Buffer.from(merged.file.content).toString('latin1') })
}
const text = (content: string, mode = '100644') => ({ mode, text: content })

describe('mergeFiles', () => {
  it.each([
    ['changes apart from each other', 'a\nb\nc\n', 'A\nb\nc\n', 'a\nb\nC\n', 'A\nb\nC\n'],
    ['changes of neighbouring lines', 'a\nb\n', 'A\nb\n', 'a\nB\n', 'A\nB\n'],
    ['the removal of neighbouring lines', 'a\nb\nc\n', 'b\nc\n', 'a\nc\n', 'c\n'],
    ['an insertion next to a change', 'a\nb\n', 'a\nx\nb\n', 'A\nb\n', 'A\nx\nb\n'],
    ['the same change on both sides', 'a\nb\n', 'A\nb\n', 'A\nb\n', 'A\nb\n'],
    ['line endings as each side has them', 'a\r\nb\r\nc\r\n', 'a\nb\r\nc\r\n', 'a\r\nb\r\nC\r\n', 'a\nb\r\nC\r\n'],
    ['a last line without an end', 'a\nb\nc', 'A\nb\nc', 'a\nb\nC', 'A\nb\nC'],
    ['an end that one side gives the last line', 'a\nb\nc', 'A\nb\nc', 'a\nb\nc\n', 'A\nb\nc\n'],
    ['a text with a byte order mark', '\ufeffa\nb\n', '\ufeffa\nB\n', '\ufeffx\na\nb\n', '\ufeffx\na\nB\n'],
    ['one side that is empty now', 'a\n', '', 'a\n', ''],
  ])('merges %s', (_, base, ours, theirs, merged) => {
    expect(merge(base, ours, theirs)).toEqual(text(Buffer.from(merged).toString('latin1')))
  })

  it('gives the lines that both sides changed, each as each side has them', () => {
    expect(merge('1\na\nz\n', '1\nours\nz\n', '1\ntheirs\nmore\nz\n')).toEqual({
      kind: 'text',
      hunks: [{ line: 2, base: 'a\n', ours: 'ours\n', theirs: 'theirs\nmore\n' }],
    })
  })

  it('bounds what it gives of a conflict', () => {
    const lines = Array.from({ length: 60 }, (_, at) => `${at}`)
    const side = (mark: string) => lines.map((line, at) => (at % 2 ? line : `${mark}${line}`.repeat(3_000))).join('\n')
    const found = merge(lines.join('\n'), side('o'), side('t'))
    expect(found).toMatchObject({ kind: 'text' })
    const { hunks = [] } = found as { hunks?: { ours: string }[] }
    expect(hunks).toHaveLength(20)
    expect(hunks[0]!.ours).toHaveLength(4_000)
  })

  it('does not guess among lines that read the same', () => {
    // One side took one of two equal lines out, the other put something between them.
    expect(merge('}\n}\nz\n', '}\nz\n', '}\nx\n}\nz\n')).toMatchObject({ kind: 'text' })
    expect(merge('}\n}\nz\ny\n', '}\nz\ny\n', '}\n}\nz\nY\n')).toEqual(text('}\nz\nY\n'))
  })

  it('does not let a last line without an end run into another', () => {
    expect(merge('a\nb\n', 'a\nb\nnew\n', 'a\nb')).toMatchObject({ kind: 'text' })
  })

  it('merges whether it can be run apart from its content', () => {
    expect(merge('a\n', file('a\n', '100755'), 'b\n')).toEqual(text('b\n', '100755'))
    expect(merge(file('a\n', '100755'), file('b\n', '100755'), file('a\n'))).toEqual(text('b\n'))
  })

  it('takes what is no text as a whole: binary files, invalid UTF-8, links', () => {
    for (const other of [Buffer.from('a\n\0\n'), Buffer.from('a\n\xff\n', 'latin1')]) {
      const changed = Buffer.concat([Buffer.from('x\n'), other])
      expect(merge(file(other), file(changed), file(other))).toEqual(text(changed.toString('latin1')))
      expect(merge(file(other), file(changed), file(Buffer.concat([other, other])))).toEqual({ kind: 'binary' })
    }
    expect(merge(file('a', '120000'), file('b', '120000'), file('c', '120000'))).toEqual({ kind: 'binary' })
    expect(merge(file('a', '120000'), file('b', '120000'), file('b', '120000'))).toEqual(text('b', '120000'))
  })

  it('gives a conflict where one side has no file and the other changed it, or both made another', () => {
    expect(merge('a\n', undefined, 'b\n')).toEqual({ kind: 'deleted' })
    expect(merge('a\n', 'b\n', undefined)).toEqual({ kind: 'deleted' })
    expect(merge(undefined, 'a\n', 'b\n')).toEqual({ kind: 'deleted' })
    expect(merge('a\n', undefined, 'a\n')).toBeUndefined()
    expect(merge(undefined, 'a\n', 'a\n')).toEqual(text('a\n'))
    expect(merge(undefined, undefined, 'a\n')).toEqual(text('a\n'))
  })

  it('gives a conflict where a file became a link on one side and other content on the other', () => {
    expect(merge('a\n', file('target', '120000'), 'b\n')).toEqual({ kind: 'binary' })
    expect(merge('a\n', file('target', '120000'), file('a\n', '100755'))).toEqual({ kind: 'mode' })
    expect(merge('a\n', file('target', '120000'), 'a\n')).toEqual(text('target', '120000'))
  })

  it('cannot merge what is not kept, but takes the side that changed', () => {
    const unkept = (pointer: string): MergeFile => ({ ...file(pointer), hashOnly: true })
    expect(merge(unkept('1'), unkept('2'), unkept('1'))).toEqual(text('2'))
    expect(merge(unkept('1'), unkept('2'), unkept('3'))).toEqual({ kind: 'not-kept' })
    expect(merge('1', unkept('1'), 'x')).toEqual({ kind: 'not-kept' })
  })
})

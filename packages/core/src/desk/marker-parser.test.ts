import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createMarkerParser } from './marker-parser.ts'

const prefix = '\x1b]7717;c0ffee;'

/** What comes out of the parser when a stream comes in such pieces: output and markers in their order. */
function parse(stream: Buffer, cuts: readonly number[]): { plain: Buffer; marks: { at: number; fields: readonly string[] }[] } {
  const plain: Uint8Array[] = []
  const length = (): number => plain.reduce((sum, part) => sum + part.length, 0)
  const marks: { at: number; fields: readonly string[] }[] = []
  const parser = createMarkerParser(prefix, (fields) => marks.push({ at: length(), fields }))
  let from = 0
  for (const cut of [...[...cuts].sort((a, b) => a - b), stream.length]) {
    plain.push(parser.feed(stream.subarray(from, cut)))
    from = Math.max(from, cut)
  }
  plain.push(parser.flush())
  return { plain: Buffer.concat(plain), marks }
}

describe('createMarkerParser', () => {
  it('takes out exactly the markers, wherever the stream is cut, and passes everything else byte for byte', () => {
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          '\x1b',
          '\x1b]',
          '\x1b]7717;',
          '\x1b]7717;c0ffe',
          `${prefix}cut`,
          `${prefix}bad\nend;1\x07`,
          '\x1b]7717;feedee;end;0\x07',
          '\x07',
        )
        .map((text) => Buffer.from(text)),
    )
    const mark = fc.array(fc.string({ unit: 'binary', maxLength: 12 }), { minLength: 1, maxLength: 4 })
    const item = fc.oneof(
      noise.map((bytes) => ({ bytes })),
      mark.map((fields) => ({ fields })),
    )
    fc.assert(
      fc.property(fc.array(item, { maxLength: 12 }), fc.array(fc.nat({ max: 300 }), { maxLength: 8 }), (items, cuts) => {
        const parts = items.map((one) => ('bytes' in one ? one.bytes : Buffer.from(`${prefix}${one.fields.map(encode).join(';')}\x07`)))
        const stream = Buffer.concat(parts)
        const whole = parse(stream, [])
        const pieces = parse(
          stream,
          cuts.filter((cut) => cut <= stream.length),
        )
        expect(pieces.plain.equals(whole.plain)).toBe(true)
        expect(pieces.marks.map(({ fields }) => fields)).toEqual(whole.marks.map(({ fields }) => fields))
      }),
    )
  })

  it('gives the fields of each marker, in order with the output around it', () => {
    const fields = [
      ['start', '', '/tmp/a;b', 'echo "%41"\n\x1b\x07 größe 東京'],
      ['end', '0'],
    ]
    const [first, second] = fields.map((one) => `${prefix}${one.map(encode).join(';')}\x07`)
    for (let cut = 0; cut < 60; cut++) {
      const { plain, marks } = parse(Buffer.from(`before${first}between${second}after`), [cut])
      expect(plain.toString()).toBe('beforebetweenafter')
      expect(marks.map((mark) => mark.fields)).toEqual(fields)
    }
  })

  it('passes what is no marker: another secret, a control character in it, no end, or too long', () => {
    for (const text of [
      '\x1b]7717;00ffee;end;0\x07',
      '\x1b]0;title\x07',
      `${prefix}end;\x1b0\x07`,
      `${prefix}end;0`,
      prefix.slice(0, 9),
      `${prefix}${'x'.repeat(300_000)}\x07`,
    ]) {
      const { plain, marks } = parse(Buffer.from(text), [3, 20])
      expect(plain.toString()).toBe(text)
      expect(marks).toEqual([])
    }
  })

  it('holds back no more than may be the beginning of a marker', () => {
    const parser = createMarkerParser(prefix, () => undefined)
    expect(Buffer.from(parser.feed(Buffer.from('prompt $ \x1b]77'))).toString()).toBe('prompt $ ')
    expect(Buffer.from(parser.feed(Buffer.from('8'))).toString()).toBe('\x1b]778')
  })
})

/** As the shells do it. */
function encode(text: string): string {
  const bytes = [...Buffer.from(text)]
  return bytes
    .map((byte) =>
      byte < 0x20 || byte === 0x7f || byte === 0x25 || byte === 0x3b || byte > 0x7e
        ? `%${byte.toString(16).padStart(2, '0')}`
        : String.fromCharCode(byte),
    )
    .join('')
}

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ServerSentEvent } from './server-sent-events.ts'
import { createEventParser } from './server-sent-events.ts'

function parse(pieces: readonly string[]): ServerSentEvent[] {
  const parser = createEventParser()
  const events = pieces.flatMap((piece) => parser.feed(piece))
  const last = parser.end()
  return last ? [...events, last] : events
}

describe('createEventParser', () => {
  it('reads events with types, comments, several lines of data, and either line end', () => {
    expect(parse([': hello\nevent: error\ndata: {"a":1}\n\ndata:x\r\ndata: y\r\n\r\nid: 7\nretry: 3\n\ndata: [DONE]\n\n'])).toEqual([
      { type: 'error', data: '{"a":1}' },
      { type: undefined, data: 'x\ny' },
      { type: undefined, data: '[DONE]' },
    ])
  })

  it('takes a last event that lacks its empty line, or even its line end', () => {
    expect(parse(['data: a\n\ndata: b\n'])).toEqual([
      { type: undefined, data: 'a' },
      { type: undefined, data: 'b' },
    ])
    expect(parse(['data: a\n\ndata: b'])).toHaveLength(2)
  })

  it('keeps no type for the next event', () => {
    expect(parse(['event: a\n\ndata: b\n\n'])).toEqual([{ type: undefined, data: 'b' }])
  })

  it('reads the same wherever the text is cut', () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\r\n]/g, ''))
    const event = fc.record({
      data: fc.array(line, { minLength: 1, maxLength: 3 }),
      end: fc.constantFrom('\n', '\r\n'),
      comment: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 6 }), fc.array(fc.nat(400), { maxLength: 12 }), (events, cuts) => {
        const text = events
          .map(({ data, end, comment }) => `${comment ? `: ping${end}` : ''}${data.map((part) => `data: ${part}${end}`).join('')}${end}`)
          .join('')
        const places = [...new Set([0, ...cuts.filter((cut) => cut < text.length), text.length])].sort((a, b) => a - b)
        const pieces = places.slice(1).map((place, index) => text.slice(places[index], place))
        expect(pieces.join('')).toBe(text)
        expect(parse(pieces).map(({ data }) => data)).toEqual(events.map(({ data }) => data.join('\n')))
      }),
    )
  })

  it('gives up on an event that never ends', () => {
    const parser = createEventParser()
    const megabytes = 'x'.repeat(16 * 1024 * 1024)
    expect(() => {
      parser.feed('data: ')
      for (let i = 0; i < 5; i++) parser.feed(megabytes)
    }).toThrow('longer than 64 MiB')
  })
})

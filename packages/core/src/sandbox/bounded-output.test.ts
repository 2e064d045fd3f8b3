import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boundText, createBoundedOutput } from './bounded-output.ts'

const note = /\[… [\d,]+ bytes left out …\]/

describe('boundText', () => {
  it('returns a text that fits as it is', () => {
    expect(boundText('all of it\n', 10)).toEqual({ text: 'all of it\n', droppedBytes: 0 })
    expect(boundText('', 0)).toEqual({ text: '', droppedBytes: 0 })
  })

  it('keeps head and tail and says how much is missing, on a line of its own', () => {
    const { text, droppedBytes } = boundText(`first\n${'x'.repeat(20_000)}\nlast`, 20)
    expect(text).toBe(`first\nxxxx\n[… ${droppedBytes.toLocaleString('en-US')} bytes left out …]\nxxxxx\nlast`)
    expect(droppedBytes).toBe(20_011 - 20)
  })

  it('never splits a character', () => {
    for (let maxBytes = 0; maxBytes < 40; maxBytes++) {
      const { text, droppedBytes } = boundText('äö€𝄞'.repeat(10), maxBytes)
      expect(text).not.toContain('�')
      expect(Buffer.byteLength(text.replace(note, '').replaceAll('\n', '')) + droppedBytes).toBe(110)
    }
  })
})

describe('createBoundedOutput', () => {
  it('gives the same whatever the pieces the bytes come in', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), fc.nat(120), (chunks, maxBytes) => {
        const pieces = createBoundedOutput({ maxBytes })
        for (const chunk of chunks) pieces.write(chunk)
        const whole = createBoundedOutput({ maxBytes })
        whole.write(Buffer.concat(chunks))
        expect(pieces.read()).toEqual(whole.read())
        expect(pieces.totalBytes).toBe(Buffer.concat(chunks).length)
      }),
    )
  })

  it('keeps exactly the first and the last of what was written', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 300 }), fc.integer({ min: 1, max: 100 }), (text, maxBytes) => {
        const output = createBoundedOutput({ maxBytes })
        output.write(text)
        const { text: kept, droppedBytes } = output.read()
        expect(droppedBytes).toBe(Math.max(0, text.length - maxBytes))
        expect(kept.startsWith(text.slice(0, Math.ceil(maxBytes / 2)))).toBe(true)
        expect(kept.endsWith(text.slice(Math.max(Math.ceil(maxBytes / 2), text.length - Math.floor(maxBytes / 2))))).toBe(true)
        if (droppedBytes === 0) expect(kept).toBe(text)
      }),
    )
  })

  it('holds no more memory for a flood than its limit', () => {
    const output = createBoundedOutput({ maxBytes: 1000 })
    const chunk = new Uint8Array(65_536).fill(97)
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 4000; i++) output.write(chunk)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2_000_000)
    expect(output.totalBytes).toBe(4000 * 65_536)
    expect(output.read().droppedBytes).toBe(4000 * 65_536 - 1000)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fsPath, pathFromBytes, pathToBytes } from './path-bytes.ts'

describe('pathFromBytes', () => {
  it('gives a string from which pathToBytes makes the same bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 30 }), (bytes) => {
        expect([...pathToBytes(pathFromBytes(bytes))]).toEqual([...bytes])
      }),
    )
  })

  it('leaves UTF-8 as it is, also U+FFFD itself', () => {
    for (const name of ['a', 'ü€𝄞', 'x\ufffdy', '']) expect(pathFromBytes(Buffer.from(name))).toBe(name)
    expect(pathFromBytes(Buffer.from([0x61, 0xff, 0xc3, 0x28]))).toBe('a\udcff\udcc3(')
  })
})

describe('fsPath', () => {
  it('gives bytes only for what no string can say', () => {
    expect(fsPath('/a/𝄞')).toBe('/a/𝄞')
    expect(fsPath('/a\udcff')).toEqual(Buffer.from([0x2f, 0x61, 0xff]))
  })
})

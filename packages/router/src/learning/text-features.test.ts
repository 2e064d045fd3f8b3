import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { maxNgrams, ngramBuckets, textFeatures, textKey } from './text-features.ts'

/** The share of n-grams that two texts have in common, of those in either. */
function alike(one: string, other: string): number {
  const [a, b] = [new Set(textFeatures(one).ngrams), new Set(textFeatures(other).ngrams)]
  const common = [...a].filter((ngram) => b.has(ngram)).length
  return common / (a.size + b.size - common)
}

describe('textFeatures', () => {
  it('reads bounded, ascending n-grams and finite figures from any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 500 }), fc.string({ unit: 'grapheme', maxLength: 2_000 })), (text) => {
        const { ngrams, length, numbers, density } = textFeatures(text)
        expect(ngrams.length).toBeLessThanOrEqual(maxNgrams)
        expect(ngrams.every((ngram, at) => ngram >= 0 && ngram < ngramBuckets && ngram > (ngrams[at - 1] ?? -1))).toBe(true)
        // What single precision holds comes back from a file as it was.
        for (const figure of [length, numbers, density]) expect(Math.fround(figure)).toBe(figure)
        expect([length, numbers, density].every((figure) => figure >= 0 && Number.isFinite(figure))).toBe(true)
        expect(textFeatures(text)).toEqual({ ngrams, length, numbers, density })
      }),
    )
  })

  it.each([
    ['case, width and endings', 'Rename the INTEGRALS', 'rename the ｉntegral'],
    ['the digits of a number', 'port 8080 is taken', 'port 3000 is taken'],
  ])('leaves out %s', (_, one, other) => {
    expect(alike(one, other)).toBe(1)
  })

  it('keeps the order of words and the signs between them', () => {
    expect(alike('server calls client', 'client calls server')).toBeLessThan(0.7)
    expect(alike('a + b', 'a - b')).toBeLessThan(1)
  })

  it.each([
    ['Chinese', '修复登录页面的错误', '修复登录接口的错误'],
    ['Japanese', 'ログイン画面のバグを直す', 'ログイン画面のエラーを直す'],
    ['Thai', 'แก้ไขข้อผิดพลาดในหน้าเข้าสู่ระบบ', 'แก้ไขข้อผิดพลาดในหน้าแรก'],
  ])('finds what texts without spaces have in common: %s', (_, one, other) => {
    expect(alike(one, other)).toBeGreaterThan(0.35)
    expect(alike(one, other)).toBeLessThan(1)
    expect(alike(one, 'fix the login page')).toBe(0)
  })

  it('takes the same sample of n-grams from long texts, so that those that share most of their text share most of it', () => {
    const words = Array.from({ length: 700 }, (_, at) => `word${at.toString(36)}x`)
    const text = words.join(' ')
    expect(textFeatures(text).ngrams).toHaveLength(maxNgrams)
    expect(alike(text, words.toSpliced(300, 70).join(' '))).toBeGreaterThan(0.7)
    expect(alike(text, words.map((word) => word.toUpperCase().split('').reverse().join('')).join(' '))).toBeLessThan(0.1)
  })

  it.each([
    ['no text', ''],
    ['one word again and again', 'retry '.repeat(100_000)],
    ['one endless word', 'a'.repeat(1_000_000)],
    ['a megabyte of signs', '({['.repeat(350_000)],
    ['lone surrogates', '\ud800'.repeat(1_000)],
  ])('has few n-grams for %s', (_, text) => {
    expect(textFeatures(text).ngrams.length).toBeLessThanOrEqual(8)
  })
})

describe('textKey', () => {
  it('tells parts and their borders apart', () => {
    expect(textKey('ab', 'c')).not.toBe(textKey('a', 'bc'))
    expect(textKey('\ud800')).not.toBe(textKey('\ud801'))
    expect(textKey('ab', 'c')).toBe(textKey('ab', 'c'))
    expect(textKey('')).toMatch(/^[0-9a-f]{32}$/)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { estimateTokens } from '../models/estimate-tokens.ts'
import { ableInfo } from '../testing/fake-model.ts'
import { linesOf } from '../testing/task-fixtures.ts'
import { completionFor, editFor, fitAround, sizeOf } from './suggestion-prompt.ts'

const chat = { ...ableInfo, capabilities: { ...ableInfo.capabilities, reasoning: false } }
const base = { path: 'src/a.ts', prefix: 'const a = ', suffix: '\n', changes: [], maxOutputTokens: 100, cacheKey: 't' }
const lines = (count: number, name: string): string => Array.from({ length: count }, (_, index) => `${name} ${index}\n`).join('')

describe('fitAround', () => {
  it('cuts at line borders, the text before at its start and the text after at its end', () => {
    const { prefix, suffix } = fitAround({ prefix: `${lines(500, 'before')}here`, suffix: `there\n${lines(500, 'after')}` }, 200)
    expect(prefix).toMatch(/^before \d+\n(before \d+\n)+here$/)
    expect(suffix).toMatch(/^there\n(after \d+\n)+$/)
    expect(prefix.length).toBeGreaterThan(2 * suffix.length)
  })

  it('gives the room that one side does not need to the other', () => {
    const long = lines(500, 'line')
    expect(fitAround({ prefix: '', suffix: long }, 200).suffix.length).toBeGreaterThan(400)
    expect(fitAround({ prefix: long, suffix: '' }, 200).prefix.length).toBeGreaterThan(400)
  })

  it('never takes more room than there is, tears no character, and keeps what is next to the cursor', () => {
    const text = fc
      .array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.constant('\n'), fc.constant('日本🙂')))
      .map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, text, fc.integer({ min: 1, max: 60 }), (prefix, suffix, tokens) => {
        const cut = fitAround({ prefix, suffix }, tokens)
        expect(prefix.endsWith(cut.prefix) && suffix.startsWith(cut.suffix)).toBe(true)
        expect(estimateTokens(cut.prefix) + estimateTokens(cut.suffix)).toBeLessThanOrEqual(tokens + 1)
        for (const part of [cut.prefix, cut.suffix]) expect(part.isWellFormed()).toBe(true)
      }),
    )
  })
})

describe('completionFor', () => {
  it('keeps to the window of the model, whatever is around the cursor and was changed', () => {
    const diff = `@@ -1 +1 @@\n${lines(100, '+new')}`
    const changes = Array.from({ length: 10 }, (_, index) => ({ path: `src/${index}.ts`, diff, sensitivity: undefined }))
    const prompt = { ...base, prefix: lines(9_000, 'before'), suffix: lines(9_000, 'after'), changes }
    for (const contextWindow of [1_024, 2_048, 8_192, 200_000]) {
      const sent = completionFor(prompt, { ...chat, contextWindow })
      expect(sizeOf(sent) + (sent.request.maxOutputTokens ?? 0)).toBeLessThanOrEqual(contextWindow)
      const { prefix = '', suffix = '' } = sent.completion ?? {}
      expect(estimateTokens(prefix) + estimateTokens(suffix) + 100).toBeLessThanOrEqual(Math.min(contextWindow, 4_300))
    }
  })

  it('puts changes before the text, as comments for a model that knows nothing but text', () => {
    const changes = [{ path: 'src/b.ts', diff: '@@ -1,1 +1,1 @@\n-old\n+new\n', sensitivity: undefined }]
    const { request, completion } = completionFor({ ...base, changes }, chat)
    expect(completion?.prefix).toBe('// Changed lately in src/b.ts:\n// @@ -1,1 +1,1 @@\n// -old\n// +new\n// File: src/a.ts\nconst a = ')
    expect(completionFor({ ...base, path: 'a.py', changes }, chat).completion?.prefix).toMatch(/^# Changed/)
    expect(completionFor({ ...base, path: 'a.json', changes }, chat).completion?.prefix).toBe('const a = ')
    expect(linesOf(request)[1]).toBe(
      'user: Changed lately:\n\nsrc/b.ts\n@@ -1,1 +1,1 @@\n-old\n+new\n\nFile: src/a.ts\n\n<before_cursor>const a = </before_cursor>\n<after_cursor>\n</after_cursor>',
    )
  })

  it('leaves a model that reasons room for that', () => {
    const { request } = completionFor(base, ableInfo)
    expect([request.maxOutputTokens, request.reasoningEffort]).toEqual([4_196, 'low'])
    expect(completionFor(base, chat).request).toMatchObject({ maxOutputTokens: 100 })
  })
})

describe('editFor', () => {
  it('cuts what is around the lines, and never these', () => {
    const prompt = { ...base, prefix: lines(9_000, 'before'), suffix: lines(9_000, 'after'), lines: lines(50, 'own'), instruction: 'Sort.' }
    const text = linesOf(editFor(prompt, { ...chat, contextWindow: 4_096 }).request)[1] ?? ''
    expect(text).toContain(`<lines>${lines(50, 'own')}</lines>`)
    expect(text).toContain('before 8999\n</before>')
    expect(text).toMatch(/What to do with the lines: Sort\.$/)
    expect(estimateTokens(text)).toBeLessThan(4_096)
  })
})

import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelChunk, ModelRequest } from '../models/model.ts'
import { ModelError } from '../models/model.ts'
import { collect, expectRejection } from './conformance.ts'
import { splitText } from './script.ts'
import { scriptedModel } from './scripted-model.ts'

const request: ModelRequest = { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] }

function textOf(chunks: readonly ModelChunk[], type: 'text' | 'reasoning' = 'text'): string {
  return chunks.map((chunk) => (chunk.type === type ? chunk.text : '')).join('')
}

describe('scriptedModel', () => {
  it('plays its steps in order and remembers what it was asked', async () => {
    const model = scriptedModel([
      { text: 'one' },
      ({ messages }, call) => ({ text: `${messages.length} message in call ${call}` }),
      async () => ({ text: 'later' }),
    ])
    expect(textOf(await collect(model.generate(request, {})))).toBe('one')
    expect(textOf(await collect(model.generate(request, {})))).toBe('1 message in call 2')
    expect(textOf(await collect(model.generate(request, {})))).toBe('later')
    expect(model.requests).toEqual([request, request, request])
    expect(await model.ended(3)).toBe('sent')
  })

  it('streams text in pieces, tool calls with split arguments, and ends with one finish', async () => {
    const model = scriptedModel([
      {
        reasoning: 'hm',
        text: 'a text of more than sixteen characters',
        toolCalls: [{ tool: 'read', input: { path: 'a/long/enough/path.ts' } }],
      },
    ])
    const chunks = await collect(model.generate(request, {}))
    expect(chunks.filter((chunk) => chunk.type === 'text').length).toBeGreaterThan(1)
    expect(textOf(chunks, 'reasoning')).toBe('hm')
    const pieces = chunks.filter((chunk) => chunk.type === 'tool-call')
    expect(pieces[0]).toEqual({ type: 'tool-call', index: 0, id: 'call_1_0', name: 'read', arguments: '' })
    expect(JSON.parse(pieces.map((piece) => piece.arguments).join(''))).toEqual({ path: 'a/long/enough/path.ts' })
    expect(chunks.filter((chunk) => chunk.type === 'finish')).toEqual([
      { type: 'finish', reason: 'tool-calls', usage: { inputTokens: expect.any(Number), outputTokens: expect.any(Number) } },
    ])
  })

  it('says how many steps there were when the script is at its end', async () => {
    const model = scriptedModel([{ text: 'only' }])
    await collect(model.generate(request, {}))
    const error = await expectRejection(collect(model.generate(request, {})), 'INVALID_STATE')
    expect(error.message).toBe('scriptedModel: request 2 came, and the script has 1 steps')
  })

  it('begins again with loop', async () => {
    const model = scriptedModel([{ text: 'a' }, { text: 'b' }], { loop: true })
    const texts = []
    for (let i = 0; i < 5; i++) texts.push(textOf(await collect(model.generate(request, {}))))
    expect(texts).toEqual(['a', 'b', 'a', 'b', 'a'])
  })

  it('fails as the script says', async () => {
    const model = scriptedModel([{ error: { kind: 'rate-limited', retryAfterMs: 250, status: 429 } }])
    const error = await expectRejection(collect(model.generate(request, {})), 'MODEL_FAILED')
    assert(error instanceof ModelError)
    expect([error.kind, error.retryAfterMs, error.status, error.retryable]).toEqual(['rate-limited', 250, 429, true])
  })

  it('ends a cut stream without a finish', async () => {
    const chunks = await collect(scriptedModel([{ text: 'a text of more than sixteen characters', cutAfter: 2 }]).generate(request, {}))
    expect(chunks.map((chunk) => chunk.type)).toEqual(['text', 'text'])
  })

  it('stays silent in a stall until the signal aborts', async () => {
    const model = scriptedModel([{ text: 'one', stallAfter: 1 }])
    const abort = new AbortController()
    const chunks = model.generate(request, { signal: abort.signal })[Symbol.asyncIterator]()
    await chunks.next()
    const next = chunks.next()
    abort.abort(new Error('enough'))
    expect((await expectRejection(next, 'ABORTED')).message).toContain('enough')
    expect(await model.ended(1)).toBe('gone')
  })

  it('lets a reader go that stops while it waits', async () => {
    const model = scriptedModel([{ text: 'one', stallAfter: 0 }])
    const chunks = model.generate(request, {})[Symbol.asyncIterator]()
    const next = chunks.next()
    await chunks.return?.()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(await model.ended(1)).toBe('gone')
  })

  it('names the field that is wrong', () => {
    expect(() => scriptedModel([], { pieceLength: 0 })).toThrow(/scriptedModel: pieceLength/)
    expect(() => scriptedModel('text' as never)).toThrow(/scriptedModel: script: expected a list of steps/)
    expect(() => scriptedModel([], { info: { contextWindow: -1 } })).toThrow(/info.contextWindow/)
    expect(scriptedModel([], { info: { contextWindow: 10 } }).info).toMatchObject({ contextWindow: 10, location: 'local' })
  })
})

describe('splitText', () => {
  it('loses nothing and never splits a character', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (text, length) => {
        const pieces = splitText(text, length)
        expect(pieces.join('')).toBe(text)
        for (const piece of pieces) expect(piece.isWellFormed()).toBe(true)
      }),
    )
  })
})

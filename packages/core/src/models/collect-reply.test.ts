import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createReplyCollector } from './collect-reply.ts'
import type { ModelChunk } from './model.ts'

const finish: ModelChunk = { type: 'finish', reason: 'stop' }

function collect(chunks: readonly ModelChunk[]) {
  const collector = createReplyCollector('openai/x')
  for (const chunk of chunks) collector.add(chunk)
  collector.end()
  return collector.reply((index) => `c${index}`)
}

const call = (index: number, args: string, rest: { id?: string; name?: string } = {}): ModelChunk => ({
  type: 'tool-call',
  index,
  arguments: args,
  ...rest,
})

describe('createReplyCollector', () => {
  it('joins text, reasoning and refusal, and keeps opaque parts with their producer', () => {
    const reply = collect([
      { type: 'reasoning', text: 'let me ' },
      { type: 'text', text: 'Hello' },
      { type: 'reasoning', text: 'see' },
      { type: 'text', text: ' world' },
      { type: 'refusal', text: 'no' },
      { type: 'opaque', data: { encrypted: 'abc' } },
      { type: 'finish', reason: 'refusal', usage: { inputTokens: 5, outputTokens: 2, cachedInputTokens: 1 } },
    ])
    expect(reply).toEqual({
      text: 'Hello world',
      reasoning: 'let me see',
      refusal: 'no',
      opaque: [{ producer: 'openai/x', data: { encrypted: 'abc' } }],
      toolCalls: [],
      finishReason: 'refusal',
      usage: { inputTokens: 5, outputTokens: 2, cachedInputTokens: 1 },
    })
  })

  it('leaves out what did not come', () => {
    expect(collect([finish])).toEqual({ text: '', toolCalls: [], finishReason: 'stop' })
  })

  it('puts interleaved calls together by index, in the order of their indexes', () => {
    const { toolCalls } = collect([
      call(1, '{"b":', { id: 'p1', name: 'write' }),
      call(0, '', { id: 'p0', name: 'read' }),
      call(0, '{"a":1'),
      call(1, '2}'),
      call(0, '}'),
      finish,
    ])
    expect(toolCalls).toEqual([
      { callId: 'c0', tool: 'read', input: { a: 1 }, providerCallId: 'p0' },
      { callId: 'c1', tool: 'write', input: { b: 2 }, providerCallId: 'p1' },
    ])
  })

  it('takes empty arguments for none', () => {
    expect(collect([call(0, '', { name: 'a' }), call(1, ' \n', { name: 'b' }), finish]).toolCalls.map(({ input }) => input)).toEqual([
      {},
      {},
    ])
  })

  it('keeps ids that a provider gave twice, as data', () => {
    const { toolCalls } = collect([call(0, '{}', { id: 'same', name: 'a' }), call(1, '{}', { id: 'same', name: 'b' }), finish])
    expect(toolCalls.map(({ callId, providerCallId }) => [callId, providerCallId])).toEqual([
      ['c0', 'same'],
      ['c1', 'same'],
    ])
  })

  it('gives malformed arguments as the text they are, with what was wrong', () => {
    const [broken] = collect([call(0, '{"path": "a', { name: 'read' }), finish]).toolCalls
    expect(broken).toMatchObject({
      tool: 'read',
      input: '{"path": "a',
      malformed: expect.stringMatching(/no valid JSON: Unterminated string/),
    })
  })

  it('says so where the limit of output tokens cut them', () => {
    const [cut] = collect([call(0, '{"path": "a', { name: 'read' }), { type: 'finish', reason: 'length' }]).toolCalls
    expect(cut?.malformed).toMatch(/because the reply reached its limit of output tokens/)
  })

  it('calls a call without a name malformed', () => {
    expect(collect([call(0, '{"a":1}'), finish]).toolCalls).toEqual([
      { callId: 'c0', tool: '', input: '{"a":1}', malformed: 'the call names no tool' },
    ])
  })

  it('takes usage that makes no sense for none, and an unknown reason for other', () => {
    const odd = { type: 'finish', reason: 'tired', usage: { inputTokens: -1, outputTokens: 2 } } as never
    expect(collect([odd])).toEqual({ text: '', toolCalls: [], finishReason: 'other' })
  })

  it('fails with cut-stream without a finish, never returning a short reply', () => {
    expect(() => collect([{ type: 'text', text: 'half an ans' }])).toThrow(expect.objectContaining({ kind: 'cut-stream' }))
  })

  it('is the same however a stream is cut into pieces', () => {
    const args = fc.oneof(fc.json(), fc.string())
    fc.assert(
      fc.property(fc.string(), fc.array(args, { maxLength: 4 }), fc.nat({ max: 7 }), (text, calls, size) => {
        const pieces = (whole: string) => whole.match(new RegExp(`[^]{1,${size + 1}}`, 'g')) ?? []
        const whole = collect([{ type: 'text', text }, ...calls.map((each, index) => call(index, each, { name: 't' })), finish])
        const split = collect([
          ...pieces(text).map((piece): ModelChunk => ({ type: 'text', text: piece })),
          ...calls.flatMap((each, index) => [call(index, '', { name: 't' }), ...pieces(each).map((piece) => call(index, piece))]),
          finish,
        ])
        expect(split).toEqual(whole)
      }),
    )
  })
})

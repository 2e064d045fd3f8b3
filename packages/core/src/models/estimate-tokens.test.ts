import { describe, expect, it } from 'vitest'
import { estimateMessageTokens, estimateRequestTokens, estimateTokens, estimateToolTokens } from './estimate-tokens.ts'
import type { ModelMessage } from './model.ts'

describe('estimateTokens', () => {
  it('is about characters / 2.6 for code and English', () => {
    expect(estimateTokens('')).toBe(0)
    expect(estimateTokens('x'.repeat(2_600))).toBe(1_000)
  })

  it('counts a character of Chinese or Japanese as about a token', () => {
    expect(estimateTokens('永和九年歲在癸丑')).toBe(10)
  })
})

describe('estimateRequestTokens', () => {
  const messages: ModelMessage[] = [
    { role: 'system', text: 'You are terse.' },
    { role: 'user', parts: [{ type: 'text', text: 'Look:' }, { type: 'image', mediaType: 'image/png', data: new Uint8Array(3) }] }, // biome-ignore format: one line
    {
      role: 'assistant',
      text: '',
      reasoning: 'a b c',
      toolCalls: [{ callId: 'c', tool: 'read', arguments: '{"path":"x"}' }],
      opaque: [{ producer: 'p', data: { secret: 'x'.repeat(100) } }],
    },
    { role: 'tool', callId: 'c', tool: 'read', text: 'content', failed: false },
  ]
  const tools = [{ name: 'read', description: 'Reads', parameters: { type: 'object' } }]

  it('is the sum over messages and tools, so a projection can add up', () => {
    const sum = messages.reduce((tokens, message) => tokens + estimateMessageTokens(message), 0)
    expect(estimateRequestTokens({ messages, tools })).toBe(sum + estimateToolTokens(tools))
    expect(estimateToolTokens(tools)).toBe(estimateToolTokens(tools))
  })

  it('counts every part of a message', () => {
    const [system, user, assistant, result] = messages.map(estimateMessageTokens)
    expect(system).toBe(4 + 6)
    expect(user).toBe(4 + 2 + 1_100)
    expect(assistant).toBeGreaterThan(4 + 38)
    expect(result).toBe(4 + 3)
    const responseSchema = { name: 'x', schema: { type: 'object' } }
    expect(estimateRequestTokens({ messages, responseSchema })).toBeGreaterThan(estimateRequestTokens({ messages }))
  })
})

import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type {
  LanguageModelV2,
  LanguageModelV2StreamPart,
  LanguageModelV3,
  LanguageModelV4,
  LanguageModelV4StreamPart,
} from '@ai-sdk/provider'
import { BatonError } from '@baton-sdk/core'
import type { ModelChunk, ModelRequest } from '@baton-sdk/core/plugin'
import { startScriptedServer, testModel } from '@baton-sdk/core/testing'
import { MockLanguageModelV3, MockLanguageModelV4, simulateReadableStream } from 'ai/test'
import { describe, expect, expectTypeOf, it } from 'vitest'
import type { AiSdkLanguageModel } from './from-ai-sdk.ts'
import { fromAiSdk } from './from-ai-sdk.ts'

const key = 'sk-the-key-of-these-tests'

const hello: ModelRequest = { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] }

async function collect(chunks: AsyncIterable<ModelChunk>): Promise<ModelChunk[]> {
  const all: ModelChunk[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

const v4Usage = {
  inputTokens: { total: 10, noCache: 3, cacheRead: 6, cacheWrite: 1 },
  outputTokens: { total: 5, text: 3, reasoning: 2 },
}

function mockV4(parts: readonly LanguageModelV4StreamPart[]) {
  return new MockLanguageModelV4({
    provider: 'anthropic.messages',
    modelId: 'claude-sonnet-4-5',
    doStream: async () => ({ stream: simulateReadableStream({ chunks: [...parts], initialDelayInMs: null, chunkDelayInMs: null }) }),
  })
}

const finish: LanguageModelV4StreamPart = { type: 'finish', usage: v4Usage, finishReason: { unified: 'stop', raw: 'end_turn' } }

describe('fromAiSdk over HTTP, on @ai-sdk/openai-compatible', () => {
  testModel(it, {
    secrets: [key],
    // The interface has no part for them: this provider passes them as text.
    refusals: false,
    async create(script) {
      const server = await startScriptedServer(script)
      const provider = createOpenAICompatible({ name: 'scripted', baseURL: server.url, apiKey: key, includeUsage: true })
      return {
        model: fromAiSdk(provider.chatModel('scripted'), { secrets: [key] }),
        ended: async (call) => server.requests[call - 1]?.ended ?? 'gone',
        close: () => server.close(),
      }
    },
  })
})

describe('fromAiSdk', () => {
  it('takes the models of all three versions by their types', () => {
    expectTypeOf<LanguageModelV4>().toExtend<AiSdkLanguageModel>()
    expectTypeOf<LanguageModelV3>().toExtend<AiSdkLanguageModel>()
    expectTypeOf<LanguageModelV2>().toExtend<AiSdkLanguageModel>()
  })

  it('is named after provider and model, and knows what the catalogue knows', () => {
    const model = fromAiSdk(mockV4([]))
    expect(model.id).toBe('anthropic/claude-sonnet-4-5')
    expect(model.info).toMatchObject({ location: 'public', price: { input: 3, output: 15, cachedInput: 0.3, cacheWrite: 3.75 } })
    expect(fromAiSdk(mockV4([]), { id: 'mine/m', info: { location: 'private' } }).info).toMatchObject({
      contextWindow: 128_000,
      location: 'private',
    })
  })

  it('maps messages, tools, choice and format', async () => {
    const source = mockV4([finish])
    await collect(
      fromAiSdk(source, { providerOptions: { anthropic: { effort: 'low' } } }).generate(
        {
          messages: [
            { role: 'system', text: 'Be brief.' },
            {
              role: 'user',
              parts: [
                { type: 'text', text: 'Look.' },
                { type: 'image', mediaType: 'image/png', data: new Uint8Array([7]) },
              ],
            },
            {
              role: 'assistant',
              text: 'Reading.',
              reasoning: 'First.',
              toolCalls: [
                { callId: 'a', tool: 'read', arguments: '{"path":"x"}' },
                { callId: 'b', tool: 'read', arguments: 'never JSON' },
              ],
            },
            { role: 'tool', callId: 'a', tool: 'read', text: 'a line', failed: false },
            { role: 'tool', callId: 'b', tool: 'read', text: 'bad input', failed: true },
          ],
          tools: [{ name: 'read', description: 'Reads.', parameters: { type: 'object' } }],
          toolChoice: { tool: 'read' },
          responseSchema: { name: 'answer', schema: { type: 'object' } },
          maxOutputTokens: 9,
          temperature: 0.1,
          reasoningEffort: 'low',
        },
        {},
      ),
    )
    const { abortSignal, ...call } = source.doStreamCalls[0] ?? {}
    expect(abortSignal).toBeInstanceOf(AbortSignal)
    expect(call).toEqual({
      prompt: [
        { role: 'system', content: 'Be brief.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'Look.' },
            { type: 'file', mediaType: 'image/png', data: { type: 'data', data: new Uint8Array([7]) } },
          ],
        },
        {
          role: 'assistant',
          content: [
            { type: 'reasoning', text: 'First.' },
            { type: 'text', text: 'Reading.' },
            { type: 'tool-call', toolCallId: 'a', toolName: 'read', input: { path: 'x' } },
            { type: 'tool-call', toolCallId: 'b', toolName: 'read', input: { malformed: 'never JSON' } },
          ],
        },
        {
          role: 'tool',
          content: [
            { type: 'tool-result', toolCallId: 'a', toolName: 'read', output: { type: 'text', value: 'a line' } },
            { type: 'tool-result', toolCallId: 'b', toolName: 'read', output: { type: 'error-text', value: 'bad input' } },
          ],
        },
      ],
      tools: [{ type: 'function', name: 'read', description: 'Reads.', inputSchema: { type: 'object' } }],
      toolChoice: { type: 'tool', toolName: 'read' },
      responseFormat: { type: 'json', name: 'answer', schema: { type: 'object' } },
      maxOutputTokens: 9,
      temperature: 0.1,
      reasoning: 'low',
      providerOptions: { anthropic: { effort: 'low' } },
    })
  })

  it('reads text, reasoning, streamed and whole calls, and usage with what was cached', async () => {
    const chunks = await collect(
      fromAiSdk(
        mockV4([
          { type: 'stream-start', warnings: [] },
          { type: 'reasoning-start', id: 'r' },
          { type: 'reasoning-delta', id: 'r', delta: 'Hm.' },
          { type: 'reasoning-end', id: 'r', providerMetadata: { anthropic: { signature: 'signed' } } },
          { type: 'text-delta', id: 't', delta: 'Reading.' },
          { type: 'tool-input-start', id: 'a', toolName: 'read' },
          { type: 'tool-input-delta', id: 'a', delta: '{"pa' },
          { type: 'tool-input-delta', id: 'a', delta: 'th":1}' },
          { type: 'tool-call', toolCallId: 'a', toolName: 'read', input: '{"path":1}' },
          { type: 'tool-call', toolCallId: 's', toolName: 'web_search', input: '{}', providerExecuted: true },
          { type: 'tool-call', toolCallId: 'b', toolName: 'list', input: '{}' },
          { ...finish, finishReason: { unified: 'tool-calls', raw: 'tool_use' } },
        ]),
      ).generate(hello, {}),
    )
    expect(chunks).toEqual([
      { type: 'reasoning', text: 'Hm.' },
      { type: 'opaque', data: { type: 'ai-sdk-reasoning', text: 'Hm.', providerOptions: { anthropic: { signature: 'signed' } } } },
      { type: 'text', text: 'Reading.' },
      { type: 'tool-call', index: 0, id: 'a', name: 'read', arguments: '' },
      { type: 'tool-call', index: 0, arguments: '{"pa' },
      { type: 'tool-call', index: 0, arguments: 'th":1}' },
      { type: 'tool-call', index: 1, id: 'b', name: 'list', arguments: '' },
      { type: 'tool-call', index: 1, arguments: '{}' },
      {
        type: 'finish',
        reason: 'tool-calls',
        usage: { inputTokens: 10, outputTokens: 5, cachedInputTokens: 6, cacheWriteTokens: 1, reasoningTokens: 2 },
      },
    ])
  })

  it('gives signed reasoning back to the model that wrote it, and to no other', async () => {
    const data = { type: 'ai-sdk-reasoning', text: 'Hm.', providerOptions: { anthropic: { signature: 'signed' } } }
    const sent = async (producer: string) => {
      const source = mockV4([finish])
      const opaque = [{ producer, data }]
      const messages = [{ role: 'assistant', text: 'Yes.', reasoning: 'Hm.', toolCalls: [], opaque } as const, ...hello.messages]
      await collect(fromAiSdk(source).generate({ messages }, {}))
      return source.doStreamCalls[0]?.prompt[0]?.content
    }
    const text = { type: 'text', text: 'Yes.' }
    expect(await sent('anthropic/claude-sonnet-4-5')).toEqual([
      { type: 'reasoning', text: 'Hm.', providerOptions: data.providerOptions },
      text,
    ])
    expect(await sent('openai/other')).toEqual([{ type: 'reasoning', text: 'Hm.' }, text])
  })

  it('speaks to V3', async () => {
    const stream = simulateReadableStream({ chunks: [{ type: 'text-delta' as const, id: '1', delta: 'hi' }, finish as never] })
    const source = new MockLanguageModelV3({ provider: 'p', modelId: 'm', doStream: async () => ({ stream }) })
    const image: ModelRequest = {
      messages: [{ role: 'user', parts: [{ type: 'image', mediaType: 'image/png', data: new Uint8Array([7]) }] }],
    }
    expect(await collect(fromAiSdk(source).generate({ ...image, reasoningEffort: 'low' }, {}))).toMatchObject([
      { text: 'hi' },
      { reason: 'stop' },
    ])
    expect(source.doStreamCalls[0]).not.toHaveProperty('reasoning')
    expect(source.doStreamCalls[0]?.prompt).toEqual([
      { role: 'user', content: [{ type: 'file', mediaType: 'image/png', data: new Uint8Array([7]) }] },
    ])
  })

  it('speaks to V2', async () => {
    const parts: LanguageModelV2StreamPart[] = [
      { type: 'text-delta', id: '1', delta: 'hi' },
      {
        type: 'finish',
        finishReason: 'length',
        usage: { inputTokens: 4, outputTokens: 2, totalTokens: 6, cachedInputTokens: 3, reasoningTokens: 1 },
      },
    ]
    const source: LanguageModelV2 = {
      specificationVersion: 'v2',
      provider: 'old.chat',
      modelId: 'm',
      supportedUrls: {},
      doGenerate: () => expect.fail('only streams are read'),
      doStream: async () => ({ stream: simulateReadableStream({ chunks: parts }) }),
    }
    expect(await collect(fromAiSdk(source).generate(hello, {}))).toEqual([
      { type: 'text', text: 'hi' },
      { type: 'finish', reason: 'length', usage: { inputTokens: 4, outputTokens: 2, cachedInputTokens: 3, reasoningTokens: 1 } },
    ])
  })

  it('refuses a model of a version that it does not know', () => {
    const source = { ...mockV4([]), specificationVersion: 'v9', provider: 'p', modelId: 'm', doStream: () => expect.fail('not called') }
    expect(() => fromAiSdk(source)).toThrow(BatonError)
    expect(() => fromAiSdk(source)).toThrow('specificationVersion')
  })
})

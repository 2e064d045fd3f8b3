import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelChunk, ModelRequest } from '@baton-sdk/core/plugin'
import type { ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it } from 'vitest'
import { createOpenAIModel } from './openai-model.ts'

// `BATON_REQUIRE=data` runs what needs the recorded data even where it is missing, and so fails.
const streams = join(process.env.BATON_DATA ?? 'BATON_DATA is not set', 'openai', 'streams')
const lacksStreams = !existsSync(streams) && !process.env.BATON_REQUIRE?.split(',').includes('data')

const ask: ModelRequest = { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] }

interface Reply {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly { readonly name: string; readonly id: string | undefined; readonly arguments: string }[]
  readonly finish: Extract<ModelChunk, { type: 'finish' }>
}

/** What a model makes of one answer of a server. */
async function replyTo(step: ServerStep): Promise<Reply> {
  const server = await startScriptedServer([step])
  try {
    const model = createOpenAIModel({ model: 'm', baseUrl: server.url })
    const calls: { name: string; id: string | undefined; arguments: string }[] = []
    let text = ''
    let reasoning = ''
    let finish: Reply['finish'] | undefined
    for await (const chunk of model.generate(ask, {})) {
      if (chunk.type === 'text') text += chunk.text
      else if (chunk.type === 'reasoning') reasoning += chunk.text
      else if (chunk.type === 'finish') finish = chunk
      else if (chunk.type === 'tool-call') {
        const call = calls[chunk.index]
        if (call) call.arguments += chunk.arguments
        else calls[chunk.index] = { name: chunk.name ?? '?', id: chunk.id, arguments: chunk.arguments }
      }
    }
    return { text, reasoning, calls, finish: finish! }
  } finally {
    await server.close()
  }
}

const deltas = (...items: readonly unknown[]): ServerStep => ({
  chunks: [
    ...items.map((delta) => JSON.stringify({ choices: [{ index: 0, delta, finish_reason: null }] })),
    '{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}',
  ],
})
const callsOf = async (...items: readonly unknown[]) => (await replyTo(deltas(...items))).calls
const piece = (fields: object, name?: string, args?: unknown) => ({
  tool_calls: [{ ...fields, function: { ...(name !== undefined && { name }), ...(args !== undefined && { arguments: args }) } }],
})
const a = { name: 'read', id: 'a', arguments: '{"x":1}' }
const b = { name: 'read', id: 'b', arguments: '{"y":2}' }

describe('chat completions: tool calls of providers that differ', () => {
  it.each<[string, readonly unknown[]]>([
    [
      'go by index, with arguments between each other',
      [
        piece({ index: 0, id: 'a' }, 'read', ''),
        piece({ index: 1, id: 'b' }, 'read', ''),
        piece({ index: 0 }, undefined, '{"x"'),
        piece({ index: 1 }, undefined, '{"y"'),
        piece({ index: 0 }, undefined, ':1}'),
        piece({ index: 1 }, undefined, ':2}'),
      ],
    ],
    [
      'come whole in one chunk',
      [
        {
          tool_calls: [
            { index: 0, id: 'a', function: { name: 'read', arguments: '{"x":1}' } },
            { index: 1, id: 'b', function: { name: 'read', arguments: '{"y":2}' } },
          ],
        },
      ],
    ],
    [
      'have no index',
      [piece({ id: 'a' }, 'read', '{"x"'), piece({}, undefined, ':1}'), piece({ id: 'b' }, 'read', '{"y"'), piece({}, undefined, ':2}')],
    ],
    [
      'have no index, and the id in each piece',
      [
        piece({ id: 'a' }, 'read', '{"x"'),
        piece({ id: 'a' }, undefined, ':1}'),
        piece({ id: 'b' }, 'read', '{"y"'),
        piece({ id: 'b' }, undefined, ':2}'),
      ],
    ],
    ['all have the index 0', [piece({ index: 0, id: 'a' }, 'read', '{"x":1}'), piece({ index: 0, id: 'b' }, 'read', '{"y":2}')]],
    [
      'repeat id and name in each piece',
      [
        piece({ index: 0, id: 'a' }, 'read', '{"x"'),
        piece({ index: 0, id: 'a' }, 'read', ':1}'),
        piece({ index: 1, id: 'b' }, 'read', '{"y"'),
        piece({ index: 1, id: 'b' }, 'read', ':2}'),
      ],
    ],
    [
      'have an empty id and name in later pieces',
      [
        piece({ index: 0, id: 'a' }, 'read', '{"x"'),
        piece({ index: 0, id: '' }, '', ':1}'),
        piece({ index: 1, id: 'b' }, 'read', '{"y":2}'),
      ],
    ],
    [
      'have null in place of absent fields',
      [
        piece({ index: 0, id: 'a' }, 'read', null),
        { tool_calls: [{ index: 0, id: null, type: null, function: { name: null, arguments: '{"x":1}' } }] },
        piece({ index: 1, id: 'b' }, 'read', '{"y":2}'),
      ],
    ],
    ['have parsed arguments', [piece({ index: 0, id: 'a' }, 'read', { x: 1 }), piece({ index: 1, id: 'b' }, 'read', { y: 2 })]],
    [
      'are named after their id',
      [piece({ index: 0, id: 'a' }), piece({ index: 0 }, 'read', '{"x":1}'), piece({ index: 1, id: 'b' }, 'read', '{"y":2}')],
    ],
    ['begin at another index', [piece({ index: 1, id: 'a' }, 'read', '{"x":1}'), piece({ index: 5, id: 'b' }, 'read', '{"y":2}')]],
  ])('%s', async (_name, items) => {
    expect(await callsOf(...items)).toEqual([a, b])
  })

  it('have neither index nor id', async () => {
    const items = [piece({}, 'read', '{"x":1}'), piece({}, 'read', '{"y":2}')]
    expect(await callsOf(...items)).toEqual([
      { ...a, id: undefined },
      { ...b, id: undefined },
    ])
  })

  it('are the legacy function_call', async () => {
    expect(await callsOf({ function_call: { name: 'read', arguments: '{"x"' } }, { function_call: { arguments: ':1}' } })).toEqual([
      { ...a, id: undefined },
    ])
  })

  it('never get a name', async () => {
    expect(await callsOf(piece({ index: 0, id: 'a' }, undefined, '{}'))).toEqual([{ name: '', id: 'a', arguments: '{}' }])
  })
})

describe('chat completions: what providers call things', () => {
  const finishing = async (finish_reason: string, delta: object = { content: 'x' }) =>
    (await replyTo({ chunks: [JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })] })).finish.reason
  const call = { tool_calls: [{ index: 0, id: 'a', function: { name: 'read', arguments: '{}' } }] }

  it('maps the reasons of an ending', async () => {
    expect(await finishing('stop')).toBe('stop')
    expect(await finishing('length')).toBe('length')
    expect(await finishing('content_filter')).toBe('content-filter')
    expect(await finishing('function_call', call)).toBe('tool-calls')
    expect(await finishing('stop', call)).toBe('tool-calls')
    expect(await finishing('stop', { refusal: 'no' })).toBe('refusal')
    expect(await finishing('constructor')).toBe('other')
    await expect(finishing('error')).rejects.toMatchObject({ kind: 'server' })
    await expect(finishing('insufficient_system_resource')).rejects.toMatchObject({ kind: 'overloaded' })
  })

  it('finds reasoning in any of its places', async () => {
    expect(await replyTo(deltas({ reasoning_content: 'a' }, { reasoning: 'b', content: '' }, { content: 'c' }))).toMatchObject({
      reasoning: 'ab',
      text: 'c',
    })
    expect(await replyTo(deltas({ reasoning_content: 'a', reasoning: 'a' }))).toMatchObject({ reasoning: 'a' })
    const parts = [
      { type: 'thinking', thinking: [{ type: 'text', text: 'hm' }] },
      { type: 'text', text: 'hi' },
    ]
    expect(await replyTo(deltas({ content: parts }))).toMatchObject({ reasoning: 'hm', text: 'hi' })
  })

  const using = async (usage: unknown, extra: object = {}) =>
    (
      await replyTo({
        chunks: ['{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}', JSON.stringify({ choices: [], usage, ...extra })],
      })
    ).finish.usage

  it('reads usage as each provider gives it', async () => {
    expect(await using({ prompt_tokens: 9, completion_tokens: 3, total_tokens: 12, prompt_tokens_details: { cached_tokens: 4 } })).toEqual({
      inputTokens: 9,
      outputTokens: 3,
      cachedInputTokens: 4,
    })
    expect(await using({ prompt_tokens: 9, completion_tokens: 3, prompt_cache_hit_tokens: 5 })).toEqual({
      inputTokens: 9,
      outputTokens: 3,
      cachedInputTokens: 5,
    })
    expect(await using(undefined, { x_groq: { usage: { prompt_tokens: 9, completion_tokens: 3 } } })).toEqual({
      inputTokens: 9,
      outputTokens: 3,
    })
    // xAI: reasoning is in the total only.
    expect(
      await using({ prompt_tokens: 9, completion_tokens: 3, total_tokens: 20, completion_tokens_details: { reasoning_tokens: 8 } }),
    ).toEqual({ inputTokens: 9, outputTokens: 11, reasoningTokens: 8 })
    expect(await using(null)).toBeUndefined()
    expect(await using({ prompt_tokens: '9', completion_tokens: -1 })).toBeUndefined()
  })

  it('takes a reply that came whole from a server that does not stream', async () => {
    const message = {
      role: 'assistant',
      content: 'hi',
      tool_calls: [{ id: 'a', type: 'function', function: { name: 'read', arguments: '{"x":1}' } }],
    }
    const body = {
      object: 'chat.completion',
      choices: [{ index: 0, message, finish_reason: 'tool_calls' }],
      usage: { prompt_tokens: 1, completion_tokens: 2 },
    }
    expect(await replyTo({ status: 200, body })).toMatchObject({
      text: 'hi',
      calls: [a],
      finish: { reason: 'tool-calls', usage: { inputTokens: 1, outputTokens: 2 } },
    })
  })

  it('ignores other choices, empty events and unknown fields', async () => {
    const chunks = [
      '',
      '{"choices":[]}',
      '{"choices":[{"index":1,"delta":{"content":"no"},"finish_reason":"length"}]}',
      '{"choices":[{"index":0,"delta":{"content":"yes","new":1},"finish_reason":"stop"}]}',
      '{"choices":null}',
      '{"choices":[null]}',
    ]
    expect(await replyTo({ chunks })).toMatchObject({ text: 'yes', finish: { reason: 'stop' } })
  })
})

describe.skipIf(lacksStreams)('chat completions: recorded streams', () => {
  const recorded = (name: string): Promise<Reply> =>
    replyTo({
      chunks: readFileSync(join(streams, `${name}.chunks.txt`), 'utf8')
        .split('\n')
        .filter((line) => line !== ''),
    })
  const unstreamed = (name: string): Promise<Reply> =>
    replyTo({ status: 200, body: JSON.parse(readFileSync(join(streams, `${name}.json`), 'utf8')) })
  const parsed = ({ calls }: Reply) => calls.map(({ name, arguments: text }) => [name, JSON.parse(text) as unknown])

  // Each twin is a recording of its own: the same question, another answer. So ids, words and counts differ, and what must agree is
  // which tool was called with what, how the reply ended, which kinds of content it has, and which figures the usage has.
  it.each(['deepseek-tool-call', 'groq-tool-call'])('%s comes out like its twin that was not streamed', async (name) => {
    const [stream, whole] = await Promise.all([recorded(name), unstreamed(name)])
    expect(parsed(stream)).toEqual(parsed(whole))
    expect(stream.finish.reason).toBe(whole.finish.reason)
    expect(stream.reasoning === '').toBe(whole.reasoning === '')
    expect(stream.text).toBe(whole.text)
    expect(Object.keys(stream.finish.usage ?? {})).toEqual(Object.keys(whole.finish.usage ?? {}))
    expect(stream.calls.every(({ id }) => id !== undefined)).toBe(true)
  })

  it('deepseek-tool-call', async () => {
    const reply = await recorded('deepseek-tool-call')
    expect(parsed(reply)).toEqual([['weather', { location: 'San Francisco' }]])
    expect(reply.finish).toEqual({
      type: 'finish',
      reason: 'tool-calls',
      usage: { inputTokens: 339, outputTokens: 83, cachedInputTokens: 320, reasoningTokens: 39 },
    })
  })

  it('groq-tool-call', async () => {
    expect((await recorded('groq-tool-call')).finish).toEqual({
      type: 'finish',
      reason: 'tool-calls',
      usage: { inputTokens: 210, outputTokens: 15 },
    })
  })

  it('deepseek-reasoning', async () => {
    const reply = await recorded('deepseek-reasoning')
    expect(reply.reasoning).toMatch(/^We need to/)
    expect(reply.text.length).toBeGreaterThan(10)
    expect(reply.finish).toEqual({
      type: 'finish',
      reason: 'stop',
      usage: { inputTokens: 18, outputTokens: 219, cachedInputTokens: 0, reasoningTokens: 205 },
    })
  })

  it('azure-model-router', async () => {
    const reply = await recorded('azure-model-router')
    expect(reply.text).toMatch(/^Capital of .*\.$/)
    expect(reply.finish).toEqual({
      type: 'finish',
      reason: 'stop',
      usage: { inputTokens: 15, outputTokens: 78, cachedInputTokens: 0, reasoningTokens: 64 },
    })
  })
})

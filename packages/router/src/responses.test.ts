import type { ModelChunk, ModelRequest } from '@baton-sdk/core/plugin'
import type { ScriptedServer, ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { afterEach, describe, expect, it } from 'vitest'
import type { OpenAIModelOptions } from './openai-model.ts'
import { createOpenAIModel } from './openai-model.ts'

const ask: ModelRequest = { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] }

let server: ScriptedServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function serve(...script: readonly ServerStep[]) {
  server = await startScriptedServer(script)
  return server
}

function modelOn({ url }: ScriptedServer, options: Partial<OpenAIModelOptions> = {}) {
  return createOpenAIModel({ model: 'm', baseUrl: url, api: 'responses', info: { capabilities: { reasoning: true } }, ...options })
}

async function collect(chunks: AsyncIterable<ModelChunk>): Promise<ModelChunk[]> {
  const all: ModelChunk[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

const events = (...items: readonly object[]): ServerStep => ({ chunks: items.map((item) => JSON.stringify(item)) })
const item = (output_index: number, fields: object) => ({ type: 'response.output_item.done', output_index, item: fields })
const completed = {
  type: 'response.completed',
  response: { status: 'completed', output: [], usage: { input_tokens: 3, output_tokens: 2 } },
}
const thought = (id: string) => ({ type: 'reasoning', id, summary: [], encrypted_content: `encrypted ${id}` })

describe('the responses API', () => {
  it('stores nothing at the provider and asks for its reasoning encrypted', async () => {
    const own = await serve({ text: 'x' }, { text: 'x' })
    await collect(modelOn(own).generate({ ...ask, maxOutputTokens: 4, reasoningEffort: 'low' }, {}))
    expect(own.requests[0]?.body).toMatchObject({
      store: false,
      include: ['reasoning.encrypted_content'],
      reasoning: { effort: 'low' },
      max_output_tokens: 16,
    })
    await collect(modelOn(own, { info: {} }).generate(ask, {}))
    expect(own.requests[1]?.body).not.toHaveProperty('include')
    expect(own.requests[1]?.body).not.toHaveProperty('reasoning')
  })

  it('gives reasoning back at its place, and only to the model that it came from', async () => {
    const own = await serve(
      events(
        item(0, thought('rs_1')),
        item(1, { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'First a.' }] }),
        item(2, { type: 'function_call', call_id: 'c1', name: 'a', arguments: '{}' }),
        item(3, thought('rs_2')),
        item(4, { type: 'function_call', call_id: 'c2', name: 'b', arguments: '{}' }),
        completed,
      ),
      { text: 'x' },
      { text: 'x' },
      { text: 'x' },
    )
    const model = modelOn(own)
    const chunks = await collect(model.generate(ask, {}))
    const opaque = chunks.flatMap((chunk) => (chunk.type === 'opaque' ? [{ producer: model.id, data: chunk.data }] : []))
    expect(opaque).toHaveLength(2)
    const history: ModelRequest = {
      messages: [
        ...ask.messages,
        {
          role: 'assistant',
          text: 'First a.',
          // As it comes back from a log.
          opaque: JSON.parse(JSON.stringify(opaque)) as typeof opaque,
          toolCalls: [
            { callId: '1', tool: 'a', arguments: '{}' },
            { callId: '2', tool: 'b', arguments: '{"x":' },
          ],
        },
        { role: 'tool', callId: '1', tool: 'a', text: 'A', failed: false },
        { role: 'tool', callId: '2', tool: 'b', text: 'no JSON', failed: true },
      ],
    }
    await collect(model.generate(history, {}))
    expect(own.requests[1]?.body.input).toEqual([
      { role: 'user', content: 'hello' },
      thought('rs_1'),
      { role: 'assistant', content: 'First a.' },
      { type: 'function_call', call_id: '1', name: 'a', arguments: '{}' },
      thought('rs_2'),
      { type: 'function_call', call_id: '2', name: 'b', arguments: '{"malformed":"{\\"x\\":"}' },
      { type: 'function_call_output', call_id: '1', output: 'A' },
      { type: 'function_call_output', call_id: '2', output: 'no JSON' },
    ])
    await collect(modelOn(own, { id: 'other/model' }).generate(history, {}))
    expect(JSON.stringify(own.requests[2]?.body)).not.toContain('encrypted rs_')
    await collect(modelOn(own, { api: 'chat' }).generate(history, {}))
    expect(JSON.stringify(own.requests[3]?.body)).not.toContain('encrypted rs_')
  })

  it('keeps no reasoning that could not be given back', async () => {
    const own = await serve(events(item(0, { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'hm' }] }), completed))
    expect(await collect(modelOn(own).generate(ask, {}))).toEqual([
      { type: 'reasoning', text: 'hm' },
      { type: 'finish', reason: 'stop', usage: { inputTokens: 3, outputTokens: 2 } },
    ])
  })

  it('puts an empty line between parts of a summary', async () => {
    const delta = (summary_index: number, text: string) => [
      { type: 'response.reasoning_summary_part.added', output_index: 0, summary_index },
      { type: 'response.reasoning_summary_text.delta', output_index: 0, summary_index, delta: text },
    ]
    const own = await serve(events(...delta(0, 'one'), ...delta(1, 'two'), item(0, thought('r')), completed))
    const [first] = await collect(modelOn(own).generate(ask, {}))
    expect(first).toEqual({ type: 'reasoning', text: 'one\n\ntwo' })
  })

  it.each<[string, ServerStep]>([
    [
      'no deltas',
      events(
        item(0, { type: 'message', content: [{ type: 'output_text', text: 'hi' }] }),
        item(1, { type: 'function_call', call_id: 'c', name: 'a', arguments: '{"x":1}' }),
        completed,
      ),
    ],
    [
      'calls that begin before their arguments come whole',
      events(
        { type: 'response.output_text.delta', output_index: 0, delta: 'hi' },
        { type: 'response.output_item.added', output_index: 1, item: { type: 'function_call', call_id: 'c', name: 'a', arguments: '' } },
        item(1, { type: 'function_call', call_id: 'c', name: 'a', arguments: '{"x":1}' }),
        completed,
      ),
    ],
    [
      'another id in each event',
      events(
        { type: 'response.output_text.delta', output_index: 0, item_id: '1', delta: 'h' },
        { type: 'response.output_text.delta', output_index: 0, item_id: '2', delta: 'i' },
        { type: 'response.output_item.added', output_index: 1, item: { type: 'function_call', id: '3', call_id: 'c', name: 'a' } },
        { type: 'response.function_call_arguments.delta', output_index: 1, item_id: '4', delta: '{"x":1}' },
        item(1, { type: 'function_call', id: '5', call_id: 'c', name: 'a', arguments: '{"x":1}' }),
        completed,
      ),
    ],
    [
      'the whole reply in its last event',
      events({
        type: 'response.completed',
        response: {
          status: 'completed',
          output: [
            { type: 'message', content: [{ type: 'output_text', text: 'hi' }] },
            { type: 'function_call', call_id: 'c', name: 'a', arguments: '{"x":1}' },
          ],
        },
      }),
    ],
    [
      'no stream',
      {
        status: 200,
        body: {
          object: 'response',
          status: 'completed',
          output: [
            { type: 'message', content: [{ type: 'output_text', text: 'hi' }] },
            { type: 'function_call', call_id: 'c', name: 'a', arguments: '{"x":1}' },
          ],
        },
      },
    ],
  ])('understands servers that send %s', async (_name, step) => {
    const chunks = await collect(modelOn(await serve(step)).generate(ask, {}))
    expect(chunks.map((chunk) => (chunk.type === 'text' ? chunk.text : '')).join('')).toBe('hi')
    const pieces = chunks.filter((chunk) => chunk.type === 'tool-call')
    expect(pieces[0]).toMatchObject({ index: 0, id: 'c', name: 'a' })
    expect(pieces.map((piece) => piece.arguments).join('')).toBe('{"x":1}')
    expect(chunks.at(-1)).toMatchObject({ type: 'finish', reason: 'tool-calls' })
  })

  it.each<[string, object, string]>([
    [
      'response.failed',
      { type: 'response.failed', response: { status: 'failed', error: { code: 'server_error', message: 'It broke.' } } },
      'server',
    ],
    [
      'response.failed by a limit',
      { type: 'response.failed', response: { error: { code: 'rate_limit_exceeded', message: 'Too fast.' } } },
      'rate-limited',
    ],
    ['an error event', { type: 'error', code: 'context_length_exceeded', message: 'Too long.' }, 'context-too-long'],
    ['an error event with a nested error', { type: 'error', error: { type: 'server_error', message: 'It broke.' } }, 'server'],
  ])('fails on %s', async (_name, event, kind) => {
    await expect(collect(modelOn(await serve(events(event))).generate(ask, {}))).rejects.toMatchObject({ code: 'MODEL_FAILED', kind })
  })

  it('fails on a failed response that was not streamed', async () => {
    const own = await serve({
      status: 200,
      body: { object: 'response', status: 'failed', error: { code: 'server_error', message: 'It broke.' }, output: [] },
    })
    await expect(collect(modelOn(own).generate(ask, {}))).rejects.toMatchObject({ kind: 'server', message: 'local/m: server: It broke.' })
  })

  it('tells an incomplete reply of unknown reason from a whole one', async () => {
    const own = await serve(
      events({ type: 'response.incomplete', response: { status: 'incomplete', incomplete_details: { reason: 'new' } } }),
    )
    expect(await collect(modelOn(own).generate(ask, {}))).toEqual([{ type: 'finish', reason: 'other' }])
  })
})

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { OpenAISchema } from './openai-schemas.ts'
import { loadOpenAISchema } from './openai-schemas.ts'
import type { ScriptedReply } from './script.ts'
import type { ScriptedServer } from './scripted-server.ts'
import { startScriptedServer } from './scripted-server.ts'

// `BATON_REQUIRE=data` runs what needs the recorded data even where it is missing, and so fails.
const schemaDir = join(process.env.BATON_DATA ?? 'BATON_DATA is not set', 'openai')
const lacksSchemas = !existsSync(schemaDir) && !process.env.BATON_REQUIRE?.split(',').includes('data')

let server: ScriptedServer
afterEach(() => server?.close())

function post(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    headers: { authorization: 'Bearer key' },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  })
}

const chat = { model: 'm', messages: [{ role: 'user', content: 'hi' }] }
const streamed = { ...chat, stream: true, stream_options: { include_usage: true } }
const responses = { model: 'm', input: 'hi' }

/** The events of a stream, without `[DONE]`. */
async function eventsOf(response: Response): Promise<Record<string, unknown>[]> {
  expect(response.headers.get('content-type')).toContain('text/event-stream')
  const data = (await response.text()).match(/^data: .*$/gm) ?? []
  return data.filter((line) => line !== 'data: [DONE]').map((line) => JSON.parse(line.slice(6)) as Record<string, unknown>)
}

const everything: ScriptedReply = {
  reasoning: 'let me think about this for a while',
  text: 'a text of more than sixteen characters 🙂',
  toolCalls: [
    { tool: 'read', input: { path: 'a.ts' } },
    { tool: 'write', arguments: '{"path": "b.ts"' },
  ],
  usage: { inputTokens: 100, outputTokens: 20, cachedInputTokens: 60, reasoningTokens: 5 },
}
const replies: Record<string, ScriptedReply> = {
  everything,
  'text only': { text: 'hello' },
  'nothing at all': {},
  'a refusal': { refusal: 'I would rather not.' },
  'cut short by length': { text: 'on and on', finishReason: 'length' },
  'stopped by a filter': { text: 'oh', finishReason: 'content-filter' },
}

describe('startScriptedServer', () => {
  it('answers text completions and fills in the middle, streamed and not, and checks what it is asked', async () => {
    server = await startScriptedServer(() => ({ text: 'a text of more than sixteen characters' }))
    const asked = { model: 'm', prompt: 'const a = ', suffix: ';', max_tokens: 10 }
    const text = await eventsOf(await post('/completions', { ...asked, stream: true, stream_options: { include_usage: true } }))
    const pieces = text.flatMap(({ choices }) => choices as { text: string; finish_reason: string | null }[])
    expect(pieces.map((piece) => piece.text).join('')).toBe('a text of more than sixteen characters')
    expect([pieces.at(-1)?.finish_reason, text.at(-1)?.usage]).toEqual(['stop', expect.objectContaining({ completion_tokens: 10 })])
    expect(await (await post('/completions', asked)).json()).toMatchObject({
      object: 'text_completion',
      choices: [{ text: 'a text of more than sixteen characters', finish_reason: 'stop' }],
    })
    const filled = await eventsOf(await post('/fim/completions', { ...asked, stream: true }))
    expect(filled.at(-1)).toMatchObject({ usage: { completion_tokens: 10 } })
    expect((await post('/completions', { ...asked, stop: ['a', 'b', 'c', 'd', 'e'] })).status).toBe(400)
    expect((await post('/fim/completions', { ...asked, stream_options: {} })).status).toBe(400)
    expect(server.problems.map(({ request, path }) => [request, path])).toEqual([
      [4, '/v1/completions'],
      [5, '/v1/fim/completions'],
    ])
    expect(server.requests.map(({ api }) => api)).toEqual(['completions', 'completions', 'fim', 'completions', 'fim'])
  })

  it('answers streamed chat completions', async () => {
    server = await startScriptedServer([{ text: 'a text of more than sixteen characters' }], { schemaDir: false })
    const events = await eventsOf(await post('/chat/completions', streamed))
    const deltas = events.flatMap(({ choices }) => choices as { delta: { content?: string }; finish_reason: string | null }[])
    expect(deltas.map(({ delta }) => delta.content ?? '').join('')).toBe('a text of more than sixteen characters')
    expect(deltas.at(-1)?.finish_reason).toBe('stop')
    expect(events.at(-1)?.usage).toMatchObject({ prompt_tokens: expect.any(Number) })
    expect(await server.requests[0]?.ended).toBe('sent')
    expect(server.requests[0]).toMatchObject({ path: '/v1/chat/completions', api: 'chat', body: streamed, turn: 0 })
    expect(server.requests[0]?.headers.authorization).toBe('Bearer key')
  })

  it('answers chat completions and responses that are not streamed, and lists its models', async () => {
    server = await startScriptedServer([everything, everything], { schemaDir: false, models: ['one', 'two'] })
    const completion = (await (await post('/chat/completions', chat)).json()) as { choices: { message: { tool_calls: unknown[] } }[] }
    expect(completion.choices[0]?.message.tool_calls).toHaveLength(2)
    const response = (await (await post('/responses', responses)).json()) as { output: { type: string }[] }
    expect(response.output.map(({ type }) => type)).toEqual(['reasoning', 'message', 'function_call', 'function_call'])
    const models = (await (await fetch(`${server.url}/models`)).json()) as { data: { id: string }[] }
    expect(models.data.map(({ id }) => id)).toEqual(['one', 'two'])
  })

  it.skipIf(lacksSchemas)('sends what the published schemas describe', async () => {
    const check = async (name: OpenAISchema) => loadOpenAISchema(schemaDir, name)
    const [chunk, completion, event] = await Promise.all([
      check('chat-completions-chunk'),
      check('chat-completions-response'),
      check('responses-event'),
    ])
    for (const [name, reply] of Object.entries(replies)) {
      server = await startScriptedServer([reply, reply, reply], { schemaDir })
      expect(server.validated).toBe(true)
      const problems = [
        ...(await eventsOf(await post('/chat/completions', streamed))).flatMap(chunk),
        ...completion(await (await post('/chat/completions', chat)).json()),
        ...(await eventsOf(await post('/responses', { ...responses, stream: true }))).flatMap(event),
      ]
      expect(problems, name).toEqual([])
      await server.close()
    }
  })

  it.skipIf(lacksSchemas)('refuses a request that breaks the schema, and remembers it', async () => {
    server = await startScriptedServer([{ text: 'for the first that is right' }], { schemaDir })
    const refused = await post('/chat/completions', { model: 'm', messages: [{ role: 'user', content: 7 }] })
    expect(refused.status).toBe(400)
    expect(((await refused.json()) as { error: { message: string } }).error.message).toContain('/messages/0/content')
    expect(server.problems).toMatchObject([{ request: 1, path: '/v1/chat/completions' }])
    const alsoRefused = await post('/responses', { ...responses, tools: [{ type: 'function', name: 'lacks parameters and strict' }] })
    expect(alsoRefused.status).toBe(400)
    expect(server.problems).toHaveLength(2)
    const overlapping = { ...responses, input: [{ role: 'user', content: [{ type: 'input_text', text: 'hi' }] }] }
    expect((await post('/responses', overlapping)).status).toBe(200)
    expect(server.requests).toHaveLength(3)
  })

  it('says that it does not check where there are no schemas, and fails where they were asked for', async () => {
    server = await startScriptedServer([], { schemaDir: false })
    expect(server.validated).toBe(false)
    await expect(startScriptedServer([], { schemaDir: '/nowhere' })).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(/^schemaDir: cannot read \/nowhere\/[\w-]+-request\.schema\.json$/),
    })
  })

  it('lets many conversations share it by the turn of each', async () => {
    server = await startScriptedServer(({ turn, body }) => ({ text: `${body.user} ${turn}` }), { schemaDir: false })
    const ask = async (user: string, turns: number) => {
      const messages = Array.from({ length: turns }, () => ({ role: 'assistant', content: 'x' }))
      const answer = (await (await post('/chat/completions', { ...chat, user, messages })).json()) as {
        choices: { message: { content: string } }[]
      }
      return answer.choices[0]?.message.content
    }
    expect(await Promise.all([ask('a', 0), ask('b', 3), ask('a', 1)])).toEqual(['a 0', 'b 3', 'a 1'])
    const input = [
      { role: 'user', content: 'a' },
      { type: 'reasoning', id: 'r', summary: [] },
      { type: 'function_call', call_id: '1', name: 'x', arguments: '{}' },
      { type: 'function_call_output', call_id: '1', output: 'y' },
      { type: 'function_call', call_id: '2', name: 'x', arguments: '{}' },
      { type: 'function_call_output', call_id: '2', output: 'y' },
    ]
    await post('/responses', { ...responses, input })
    expect(server.requests.at(-1)?.turn).toBe(2)
  })

  it('plays faults: statuses with headers, kinds of failure, recorded chunks, broken connections', async () => {
    server = await startScriptedServer(
      [
        { status: 429, headers: { 'retry-after': '7' }, body: { error: { message: 'slow down' } } },
        { error: { kind: 'context-too-long' } },
        { chunks: ['{"a":1}', 'not json'] },
        { text: 'a text of more than sixteen characters', cutAfter: 2 },
        { error: { kind: 'network' } },
      ],
      { schemaDir: false },
    )
    const limited = await post('/chat/completions', streamed)
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '7'])
    expect(await (await post('/chat/completions', streamed)).json()).toMatchObject({ error: { code: 'context_length_exceeded' } })
    expect(await (await post('/chat/completions', streamed)).text()).toBe('data: {"a":1}\n\ndata: not json\n\ndata: [DONE]\n\n')
    const cut = await post('/chat/completions', streamed)
    const reader = cut.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value).match(/^data/gm)).toHaveLength(2)
    await expect(reader.read()).rejects.toThrow()
    await expect(post('/chat/completions', streamed)).rejects.toThrow('fetch failed')
    expect(await server.requests[3]?.ended).toBe('gone')
    expect(await server.requests[4]?.ended).toBe('gone')
    const over = await post('/chat/completions', streamed)
    expect([over.status, await over.text()]).toEqual([400, expect.stringContaining('request 6 came, and the script has 5 steps')])
  })

  it('stalls until the client goes away', async () => {
    server = await startScriptedServer([{ text: 'hello', stallAfter: 1 }], { schemaDir: false })
    const abort = new AbortController()
    const response = await post('/chat/completions', streamed, abort.signal)
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toContain('"role":"assistant"')
    abort.abort()
    expect(await server.requests[0]?.ended).toBe('gone')
  })

  it('closes while replies are open, more than once', async () => {
    server = await startScriptedServer([{ text: 'hello', stallAfter: 0 }], { schemaDir: false })
    await post('/chat/completions', streamed)
    await Promise.all([server.close(), server.close()])
    expect(await server.requests[0]?.ended).toBe('gone')
    await expect(post('/chat/completions', chat)).rejects.toThrow()
  })
})

import { inspect } from 'node:util'
import type { ModelChunk, ModelRequest } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import type { ScriptedServer, ScriptedStep, ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer, testModel } from '@baton-sdk/core/testing'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { OpenAIModelOptions } from './openai-model.ts'
import { createOpenAIModel } from './openai-model.ts'

const key = 'sk-the-key-of-these-tests'
const ask: ModelRequest = {
  messages: [
    { role: 'system', text: 'Be brief.' },
    { role: 'user', parts: [{ type: 'text', text: 'hello' }] },
  ],
}

let server: ScriptedServer | undefined
afterEach(async () => {
  vi.unstubAllEnvs()
  await server?.close()
  server = undefined
})

async function serve(...script: readonly ServerStep[]): Promise<ScriptedServer> {
  server = await startScriptedServer(script, { models: ['scripted-large', 'scripted-small', 'unrelated'] })
  return server
}

function modelOn({ url }: ScriptedServer, options: Partial<OpenAIModelOptions> = {}) {
  return createOpenAIModel({ model: 'scripted', baseUrl: url, apiKey: key, ...options })
}

/** A model on a provider's own host name, whose requests arrive at the scripted server. */
function modelAt(baseUrl: string, { url }: ScriptedServer, options: Partial<OpenAIModelOptions> = {}) {
  const redirect: typeof fetch = (target, init) => fetch(String(target).replace(baseUrl, url), init)
  return createOpenAIModel({ model: 'scripted', baseUrl, apiKey: key, fetch: redirect, ...options })
}

async function collect(chunks: AsyncIterable<ModelChunk>): Promise<ModelChunk[]> {
  const all: ModelChunk[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

async function failureOf(chunks: AsyncIterable<ModelChunk>): Promise<ModelError> {
  const error = await collect(chunks).then(
    () => expect.fail('expected a failure'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ModelError)
  return error as ModelError
}

function textOf(chunks: readonly ModelChunk[]): string {
  return chunks.map((chunk) => (chunk.type === 'text' ? chunk.text : '')).join('')
}

const secretHeader = 'a-secret-in-a-header'

for (const api of ['chat', 'responses'] as const)
  describe(`createOpenAIModel on ${api}`, () => {
    testModel(it, {
      secrets: [key, secretHeader],
      async create(script: readonly ScriptedStep[]) {
        const own = await startScriptedServer(script, { models: [`${key}-model`, secretHeader] })
        const model = createOpenAIModel({ model: 'scripted', baseUrl: own.url, apiKey: key, api, headers: { 'x-api-token': secretHeader } })
        return {
          model,
          ended: async (call) => own.requests[call - 1]?.ended ?? 'gone',
          close: async () => {
            await own.close()
            expect(own.problems).toEqual([])
          },
        }
      },
    })

    it('keeps connections for the next request', async () => {
      const own = await serve(...Array.from({ length: 10 }, () => ({ text: 'a' })))
      const model = modelOn(own, { api })
      for (let i = 0; i < 10; i++) expect(textOf(await collect(model.generate(ask, {})))).toBe('a')
      // Two, since a request may leave while the end of the reply before it is still under way.
      expect(new Set(own.requests.map(({ remotePort }) => remotePort)).size).toBeLessThanOrEqual(2)
    })
  })

describe('createOpenAIModel', () => {
  it('sends key and headers, and asks a function for the key before each request', async () => {
    const { requests, ...rest } = await serve({ text: 'a' }, { text: 'b' }, { text: 'c' })
    await collect(modelOn({ requests, ...rest }, { headers: { 'x-team': 'blue' } }).generate(ask, {}))
    let count = 0
    const rotating = modelOn({ requests, ...rest }, { apiKey: async () => `rotating-key-${++count}` })
    await collect(rotating.generate(ask, {}))
    await collect(rotating.generate(ask, {}))
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([
      `Bearer ${key}`,
      'Bearer rotating-key-1',
      'Bearer rotating-key-2',
    ])
    expect(requests[0]?.headers['x-team']).toBe('blue')
  })

  it('fails as unauthorized where the function for the key fails or gives none', async () => {
    const own = await serve()
    const none = await failureOf(modelOn(own, { apiKey: () => '' }).generate(ask, {}))
    expect([none.kind, none.message]).toEqual(['unauthorized', expect.stringContaining('is empty')])
    const broken = modelOn(own, {
      apiKey: () => {
        throw new Error('the vault is closed')
      },
    })
    expect((await failureOf(broken.generate(ask, {}))).message).toContain('the vault is closed')
    expect(own.requests).toHaveLength(0)
  })

  it('sends no key to a host that the environment does not name', async () => {
    vi.stubEnv('OPENAI_API_KEY', 'sk-of-the-environment')
    vi.stubEnv('OPENAI_ORG_ID', 'org-1')
    vi.stubEnv('OPENAI_CUSTOM_HEADERS', 'x-gateway: secret\nx-other: 1')
    vi.stubEnv('OPENAI_BASE_URL', '')
    const own = await serve({ text: 'a' }, { text: 'b' })
    await collect(createOpenAIModel({ model: 'm', baseUrl: own.url }).generate(ask, {}))
    expect(own.requests[0]?.headers).not.toHaveProperty('authorization')
    expect(Object.keys(own.requests[0]?.headers ?? {})).not.toEqual(expect.arrayContaining(['x-gateway']))
    expect(own.requests[0]?.headers).not.toHaveProperty('openai-organization')
    expect(() => createOpenAIModel({ model: 'm', baseUrl: 'https://api.example.com/v1' })).toThrow(/apiKey: api.example.com needs a key/)

    vi.stubEnv('OPENAI_BASE_URL', own.url)
    await collect(createOpenAIModel({ model: 'm' }).generate(ask, {}))
    expect(own.requests[1]?.headers).toMatchObject({ authorization: 'Bearer sk-of-the-environment', 'x-gateway': 'secret' })
  })

  it('says which option is wrong', () => {
    const wrong = (options: unknown) => {
      try {
        createOpenAIModel(options as OpenAIModelOptions)
      } catch (error) {
        expect(error).toMatchObject({ code: 'INVALID_OPTIONS' })
        return (error as Error).message
      }
      return 'accepted'
    }
    vi.stubEnv('OPENAI_API_KEY', '')
    vi.stubEnv('OPENAI_BASE_URL', '')
    expect(wrong({ model: '' })).toMatch(/^createOpenAIModel: model: /)
    expect(wrong({ model: 'm' })).toBe(
      'createOpenAIModel: apiKey: api.openai.com needs a key: pass it or set OPENAI_API_KEY; `false` sends none',
    )
    expect(wrong({ model: 'm', apiKey: 'a key\n' })).toMatch(/apiKey: holds a space, a line end/)
    expect(wrong({ model: 'm', apiKey: 'a key\n' })).not.toContain('a key\n')
    expect(wrong({ model: 'm', apiKey: '' })).toMatch(/apiKey: is empty/)
    expect(wrong({ model: 'm', apiKey: 7 })).toMatch(/apiKey: expected a string, a function that returns one, or false/)
    expect(wrong({ model: 'm', baseUrl: 'localhost:8080' })).toMatch(/baseUrl: expected an http or https URL/)
    expect(wrong({ model: 'm', baseUrl: 'https://user:secret@host/v1' })).toMatch(/baseUrl: holds a user name or password/)
    expect(wrong({ model: 'm', baseUrl: 'https://user:secret@host/v1' })).not.toContain('secret')
    expect(wrong({ model: 'm', apiKey: key, headers: { 'x-a': 'b\r\nc: d' } })).toMatch(/headers.x-a: holds a character/)
    expect(wrong({ model: 'm', apiKey: key, headers: { 'x a': 'b' } })).toMatch(/headers.x a: is no name of a header/)
    expect(wrong({ model: 'm', apiKey: key, info: { contextWindow: 0 } })).toMatch(/info.contextWindow/)
    expect(wrong({ model: 'm', apiKey: key, quirks: { maxTokensField: 'tokens' } })).toMatch(/quirks.maxTokensField/)
    expect(wrong({ model: 'm', apiKey: key, baseURL: 'https://x' })).toMatch(/baseURL/)
    expect(wrong({ model: 'm', apiKey: false, baseUrl: 'https://vllm.internal/v1' })).toBe('accepted')
    expect(wrong({ model: 'm', headers: { 'api-key': key }, baseUrl: 'https://x.openai.azure.com/openai/v1' })).toBe('accepted')
  })

  it('knows where a model runs only for this host, and takes nothing for free', () => {
    const at = (baseUrl: string) => createOpenAIModel({ model: 'm', baseUrl, apiKey: key })
    const isLocal = (baseUrl: string) => at(baseUrl).info.location === 'local'
    expect(
      ['http://localhost:1/v1', 'http://127.0.0.1/v1', 'http://127.9.9.9/v1', 'http://[::1]:8/v1', 'http://a.localhost/v1'].map(isLocal),
    ).toEqual(Array(5).fill(true))
    expect(
      [
        'http://10.0.0.1/v1',
        'http://192.168.1.1/v1',
        'https://localhost.example.com/v1',
        'https://127.0.0.1.example.com/v1',
        'http://0.0.0.0/v1',
      ].map(isLocal),
    ).toEqual(Array(5).fill(false))
    expect(at('https://api.openai.com/v1')).toMatchObject({ id: 'openai/m', info: { contextWindow: 128_000, location: 'public' } })
    expect(at('https://api.openai.com/v1').info.price).toBeUndefined()
    expect(at('http://localhost:1/v1').id).toBe('local/m')
    expect(at('https://api.groq.com/openai/v1').id).toBe('api.groq.com/m')
    const given = createOpenAIModel({
      model: 'm',
      id: 'house/m',
      apiKey: key,
      info: { location: 'private', capabilities: { images: false } },
    })
    expect(given).toMatchObject({ id: 'house/m', info: { location: 'private', capabilities: { images: false, tools: true } } })
  })

  it('names the models that come nearest to an unknown one', async () => {
    const own = await serve(
      { error: { kind: 'unknown-model', message: 'The model `scriptet-large` does not exist' } },
      { error: { kind: 'unknown-model' } },
    )
    const error = await failureOf(modelOn(own, { model: 'scriptet-large' }).generate(ask, {}))
    expect(error).toMatchObject({
      code: 'UNKNOWN_MODEL',
      kind: 'unknown-model',
      status: 404,
      details: { nearest: ['scripted-large', 'scripted-small'] },
    })
    expect(error.message).toBe(
      'local/scriptet-large: unknown-model (404): The model `scriptet-large` does not exist. Nearest there: scripted-large, scripted-small.',
    )
    expect((await failureOf(modelOn(own, { model: 'zzzzzz' }).generate(ask, {}))).details.nearest).toBeUndefined()
  })

  it('says what stands in the way when nothing answers', async () => {
    const own = await serve()
    await own.close()
    const error = await failureOf(modelOn(own).generate(ask, {}))
    expect([error.kind, error.retryable]).toEqual(['network', true])
    expect(error.message).toContain('ECONNREFUSED')
    expect(error.message).toContain(`127.0.0.1:${own.port}`)
  })

  it.each<[string, ServerStep, string, RegExp]>([
    ['a page', { status: 502, body: '<html><body><h1>Bad Gateway</h1></body></html>' }, 'server', /\(502\): Bad Gateway$/],
    ['nothing', { status: 500 }, 'server', /the provider did not say why/],
    ['a long text', { status: 400, body: 'x'.repeat(10_000) }, 'bad-request', /x{600} …$/],
    ['an event that is no JSON', { chunks: ['{"choices":['] }, 'server', /an event of the stream is no JSON object: {"choices":\[$/],
    ['an event that is no object', { chunks: ['[]'] }, 'server', /is no JSON object: \[\]/],
    [
      'a failure in mid-stream',
      { chunks: ['{"choices":[{"delta":{"content":"a"}}]}', '{"error":{"message":"Overloaded","type":"overloaded_error"}}'] },
      'overloaded',
      /Overloaded/,
    ],
    [
      'an event of the type error',
      { status: 200, headers: { 'content-type': 'text/event-stream' }, body: 'event: error\ndata: {"message":"out of memory"}\n\n' },
      'server',
      /out of memory/,
    ],
    ['the end and no reply', { chunks: [] }, 'cut-stream', /ended before it was complete/],
    [
      'a page in place of a stream',
      { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' },
      'cut-stream',
      /ended before/,
    ],
    [
      'a failure with the status 200',
      { status: 200, body: { error: { message: 'no such model', code: 'model_not_found' } } },
      'unknown-model',
      /no such model/,
    ],
  ])('makes sense of %s', async (_name, step, kind, message) => {
    for (const api of ['chat', 'responses'] as const) {
      const error = await failureOf(modelOn(await serve(step), { api }).generate(ask, {}))
      expect([error.kind, error.message]).toEqual([kind, expect.stringMatching(message)])
      await server?.close()
    }
  })

  it('keeps what came whole although the connection broke before its formal end', async () => {
    const own = await serve({ text: 'all of it', cutAfter: 4 })
    const chunks = await collect(modelOn(own, { quirks: { streamUsage: false } }).generate(ask, {}))
    expect(textOf(chunks)).toBe('all of it')
    expect(chunks.at(-1)).toEqual({ type: 'finish', reason: 'stop' })
  })

  it('never shows a key that a server quotes, in whatever shape', async () => {
    const quoting: ServerStep[] = [
      { status: 401, body: { error: { message: `bad key ${key}`, code: `bad-${key}`, type: key } }, headers: { 'x-request-id': key } },
      { status: 500, body: `<p>Authorization: Bearer ${key}</p>` },
      { chunks: [`not json ${key}`] },
      { chunks: [`{"error":{"message":"quota of ${key}"}}`] },
      { status: 404, body: { error: { message: `no model for ${key}`, code: 'model_not_found' } } },
      { status: 400, body: { detail: [{ msg: key }] } },
      { chunks: [`{"type":"response.failed","response":{"error":{"code":"x","message":"${key}"}}}`] },
    ]
    for (const api of ['chat', 'responses'] as const)
      for (const step of quoting) {
        const error = await failureOf(modelOn(await serve(step), { api }).generate(ask, {}))
        const shown = [inspect(error, { depth: 12, showHidden: true }), JSON.stringify(error), error.message, String(error.stack)].join(
          '\n',
        )
        expect(shown).not.toContain(key)
        await server?.close()
      }
  })

  it('fits its requests to the host', async () => {
    const own = await serve(...Array.from({ length: 5 }, () => ({ text: 'x' })))
    const request: ModelRequest = {
      ...ask,
      maxOutputTokens: 100,
      cacheKey: 'task-1',
      messages: [
        ...ask.messages,
        { role: 'assistant', text: '', reasoning: 'hm', toolCalls: [{ callId: '0198-a', tool: 't', arguments: '{"a":' }] },
        { role: 'tool', callId: '0198-a', tool: 't', text: 'malformed', failed: true },
      ],
    }
    const bodyAt = async (baseUrl: string, options: Partial<OpenAIModelOptions> = {}) => {
      await collect(modelAt(baseUrl, own, options).generate(request, {}))
      return own.requests.at(-1)?.body as { messages: Record<string, unknown>[] } & Record<string, unknown>
    }
    const openai = await bodyAt('https://api.openai.com/v1')
    expect(openai).toMatchObject({ max_completion_tokens: 100, prompt_cache_key: 'task-1', stream_options: { include_usage: true } })
    expect(openai.messages[2]).toEqual({
      role: 'assistant',
      content: null,
      tool_calls: [{ id: '0198-a', type: 'function', function: { name: 't', arguments: '{"malformed":"{\\"a\\":"}' } }],
    })
    const groq = await bodyAt('https://api.groq.com/openai/v1', { quirks: { systemRole: 'developer', streamUsage: false } })
    expect(groq).toMatchObject({ max_tokens: 100, messages: [{ role: 'developer' }, {}, {}, {}] })
    for (const absent of ['prompt_cache_key', 'stream_options', 'max_completion_tokens']) expect(groq).not.toHaveProperty(absent)
    expect((await bodyAt('https://api.deepseek.com')).messages[2]).toHaveProperty('reasoning_content', 'hm')
    expect((await bodyAt('https://openrouter.ai/api/v1')).messages[2]).toHaveProperty('reasoning', 'hm')
    const mistral = await bodyAt('https://api.mistral.ai/v1')
    expect(mistral.messages.slice(2)).toMatchObject([{ tool_calls: [{ id: 'c00000000' }] }, { tool_call_id: 'c00000000' }])
  })

  it('does not wait for a server that keeps the connection open after a whole reply', async () => {
    const own = await serve({ text: 'done', stallAfter: 5 })
    const chunks = await collect(modelOn(own).generate(ask, {}))
    expect(textOf(chunks)).toBe('done')
    expect(await own.requests[0]?.ended).toBe('gone')
  })
})

import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { discoverModels } from './discover-models.ts'

const key = 'sk-the-key-of-these-tests'
type Answer = { status?: number; body: unknown } | 'never'

let close: (() => Promise<void>) | undefined
afterEach(async () => {
  await close?.()
  close = undefined
})

/** A server that answers by `METHOD path body`, and with 404 to everything else. */
async function serve(answers: Readonly<Record<string, Answer>>): Promise<{ url: string; requests: IncomingMessage[] }> {
  const requests: IncomingMessage[] = []
  const server = createServer(async (request, response) => {
    requests.push(request)
    let body = ''
    for await (const piece of request) body += piece
    const answer = answers[`${request.method} ${request.url} ${body}`.trim()] ?? { status: 404, body: '404 page not found' }
    if (answer === 'never') return
    response.writeHead(answer.status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  close = () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`, requests }
}

describe('discoverModels', () => {
  it('lists what is served, with the windows that vLLM, Groq, OpenRouter and Mistral tell', async () => {
    const data = [
      { id: 'vllm', max_model_len: 40_960 },
      { id: 'groq', context_window: 131_072 },
      { id: 'openrouter', context_length: 200_000 },
      { id: 'mistral', max_context_length: 32_768 },
      { id: 'openai' },
      { id: '' },
    ]
    const { url, requests } = await serve({ 'GET /v1/models': { body: { object: 'list', data } } })
    expect(await discoverModels({ baseUrl: url, apiKey: key })).toEqual([
      { model: 'vllm', contextWindow: 40_960 },
      { model: 'groq', contextWindow: 131_072 },
      { model: 'openrouter', contextWindow: 200_000 },
      { model: 'mistral', contextWindow: 32_768 },
      { model: 'openai' },
    ])
    expect(requests.map(({ headers }) => headers.authorization)).toEqual([`Bearer ${key}`])
  })

  it('asks Ollama for the window that a model has, beside the one that it could have', async () => {
    const { url } = await serve({
      'GET /v1/models': { body: { data: [{ id: 'loaded' }, { id: 'set' }, { id: 'neither' }, { id: 'gone' }] } },
      'GET /api/ps': { body: { models: [{ name: 'loaded', context_length: 8_192 }] } },
      'POST /api/show {"model":"loaded"}': { body: { model_info: { 'qwen3.context_length': 40_960 } } },
      'POST /api/show {"model":"set"}': {
        body: { parameters: 'stop "x"\nnum_ctx    16384', model_info: { 'llama.context_length': 131_072 } },
      },
      'POST /api/show {"model":"neither"}': { body: { model_info: { 'llama.context_length': 131_072 } } },
    })
    expect(await discoverModels({ preset: 'ollama', baseUrl: url })).toEqual([
      { model: 'loaded', contextWindow: 8_192, maxContextWindow: 40_960 },
      { model: 'set', contextWindow: 16_384, maxContextWindow: 131_072 },
      { model: 'neither', maxContextWindow: 131_072 },
      { model: 'gone' },
    ])
  })

  it('asks LM Studio and llama.cpp in their own ways', async () => {
    const lmstudio = await serve({
      'GET /v1/models': { body: { data: [{ id: 'a' }, { id: 'b' }] } },
      'GET /api/v0/models': {
        body: {
          data: [
            { id: 'a', max_context_length: 9_000, loaded_context_length: 4_096 },
            { id: 'b', max_context_length: 9_000 },
          ],
        },
      },
    })
    expect(await discoverModels({ preset: 'lmstudio', baseUrl: lmstudio.url })).toEqual([
      { model: 'a', contextWindow: 4_096, maxContextWindow: 9_000 },
      { model: 'b', maxContextWindow: 9_000 },
    ])
    await close?.()
    const llama = await serve({
      'GET /v1/models': { body: { data: [{ id: 'm.gguf', meta: { n_ctx_train: 32_768 } }] } },
      'GET /props': { body: { default_generation_settings: { n_ctx: 4_096 } } },
    })
    expect(await discoverModels({ preset: 'llamacpp', baseUrl: llama.url })).toEqual([
      { model: 'm.gguf', contextWindow: 4_096, maxContextWindow: 32_768 },
    ])
  })

  it('says that the key is refused, without the key', async () => {
    const { url } = await serve({ 'GET /v1/models': { status: 401, body: { error: { message: `Incorrect API key provided: ${key}` } } } })
    const error = await discoverModels({ baseUrl: url, apiKey: key }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ kind: 'unauthorized', status: 401 })
    expect(inspect(error, { depth: 9 })).not.toContain(key)
  })

  it('says that an endpoint is down', async () => {
    const { url } = await serve({})
    await close?.()
    close = undefined
    await expect(discoverModels({ preset: 'vllm', baseUrl: url })).rejects.toMatchObject({ kind: 'network' })
  })

  it('waits no longer than it is told, and stops when the signal aborts', async () => {
    const { url } = await serve({ 'GET /v1/models': 'never' })
    await expect(discoverModels({ baseUrl: url, timeoutMs: 20 })).rejects.toMatchObject({ kind: 'timeout' })
    const abort = new AbortController()
    const waiting = discoverModels({ baseUrl: url, signal: abort.signal })
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'ABORTED' })
  })

  it('refuses an answer that is no list, and options that name no endpoint', async () => {
    const { url } = await serve({ 'GET /v1/models': { body: 'hello' } })
    await expect(discoverModels({ baseUrl: url })).rejects.toMatchObject({ kind: 'server' })
    await expect(discoverModels({})).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    // @ts-expect-error: a name that a host read from its settings
    await expect(discoverModels({ preset: 'olama' })).rejects.toThrow('ollama')
  })
})

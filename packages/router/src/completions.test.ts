import type { Model } from '@baton-sdk/core'
import type { CompletionRequest, ModelChunk } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import type { ScriptedServer, ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { FimFormat } from './fim-formats.ts'
import { fimTemplates } from './fim-formats.ts'
import type { OpenAIModelOptions } from './openai-model.ts'
import { createOpenAIModel } from './openai-model.ts'
import { createPresetModel } from './preset-model.ts'

const ask: CompletionRequest = { prefix: 'const a = ', suffix: '\nexport { a }\n', maxOutputTokens: 32 }

async function serve(steps: readonly ServerStep[] | (() => ServerStep)): Promise<ScriptedServer> {
  const server = await startScriptedServer(steps)
  onTestFinished(async () => {
    await server.close()
    expect(server.problems).toEqual([])
  })
  return server
}

function modelOn({ url }: ScriptedServer, options: Partial<OpenAIModelOptions> = {}): Model {
  return createOpenAIModel({ model: 'qwen2.5-coder-7b', baseUrl: url, ...options })
}

/** A model on a provider's own host name, whose requests arrive at the scripted server; with the URLs that it asked for. */
function modelAt(baseUrl: string, { url }: ScriptedServer, model: string, api: string) {
  const urls: string[] = []
  const redirect: typeof fetch = (target, init) => {
    urls.push(String(target))
    return fetch(`${url}${api}`, init)
  }
  return { urls, model: createOpenAIModel({ model, baseUrl, apiKey: 'test-key', fetch: redirect }) }
}

async function completion(model: Model, request = ask): Promise<ModelChunk[]> {
  const chunks: ModelChunk[] = []
  for await (const chunk of model.complete?.(request, {}) ?? []) chunks.push(chunk)
  return chunks
}

function textOf(chunks: readonly ModelChunk[]): string {
  return chunks.map((chunk) => (chunk.type === 'text' ? chunk.text : '')).join('')
}

describe('createOpenAIModel().complete', () => {
  it('streams the middle of a text, with usage', async () => {
    const server = await serve([{ text: '1 + 1, in more than sixteen characters', usage: { inputTokens: 30, outputTokens: 4 } }])
    const chunks = await completion(modelOn(server))
    expect(textOf(chunks)).toBe('1 + 1, in more than sixteen characters')
    expect(chunks.at(-1)).toEqual({ type: 'finish', reason: 'stop', usage: { inputTokens: 30, outputTokens: 4 } })
    expect(server.requests.map(({ path, body }) => [path, body])).toEqual([
      [
        '/v1/completions',
        {
          model: 'qwen2.5-coder-7b',
          prompt: '<|fim_prefix|>const a = <|fim_suffix|>\nexport { a }\n<|fim_middle|>',
          max_tokens: 32,
          temperature: 0,
          stop: ['<|endoftext|>', '<|file_sep|>', '<|repo_name|>', '<|im_end|>'],
          stream: true,
          stream_options: { include_usage: true },
        },
      ],
    ])
  })

  it.each([
    ['Qwen/Qwen2.5-Coder-7B', '<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>'],
    ['qwen3-coder:30b', '<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>'],
    ['codeqwen:7b', '<fim_prefix>P<fim_suffix>S<fim_middle>'],
    ['bigcode/starcoder', '<fim_prefix>P<fim_suffix>S<fim_middle>'],
    ['starcoder2:3b', '<fim_prefix>P<fim_suffix>S<fim_middle>'],
    ['codellama/CodeLlama-7b-hf', '<PRE> P <SUF>S <MID>'],
    ['deepseek-ai/deepseek-coder-6.7b-base', '<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>'],
    ['DeepSeek-Coder-V2-Lite-Base', '<｜fim▁begin｜>P<｜fim▁hole｜>S<｜fim▁end｜>'],
    ['mistralai/Codestral-22B-v0.1', '[SUFFIX]S[PREFIX]P'],
    ['google/codegemma-2b', '<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>'],
    ['ibm-granite/granite-8b-code-base-4k', '<fim_prefix>P<fim_suffix>S<fim_middle>'],
    ['granite-3.3-8b-instruct', '<fim_prefix>P<fim_suffix>S<fim_middle>'],
    ['ibm-granite/granite-4.0-h-tiny', '<|fim_prefix|>P<|fim_suffix|>S<|fim_middle|>'],
  ])('asks %s in the tokens that its family was trained with', async (model, prompt) => {
    const server = await serve([{ text: 'M' }])
    const asked = modelOn(server, { model })
    expect(asked.info.capabilities.fim).toBe(true)
    expect(textOf(await completion(asked, { prefix: 'P', suffix: 'S' }))).toBe('M')
    expect(server.requests[0]?.body).toMatchObject({ prompt, max_tokens: 256 })
  })

  it.each([
    'gpt-5.4',
    'qwen2.5-7b-instruct',
    'CodeLlama-7b-Python-hf',
    'CodeLlama-34b-hf',
    'codegemma-7b-it',
    'mamba-codestral-mamba-7b',
    'granite-3.1-8b',
  ])('is not there for %s, of which nothing is known', async (name) => {
    const model = modelOn(await serve([]), { model: name })
    expect([model.complete, model.info.capabilities.fim]).toEqual([undefined, false])
  })

  it('can be set by hand, and switched off', async () => {
    const server = await serve(() => ({ text: 'M' }))
    const request = { prefix: 'P', suffix: 'S' }
    for (const fim of ['codellama', 'suffix', 'mistral'] as const) await completion(modelOn(server, { model: 'own', fim }), request)
    expect(server.requests.map(({ path, body }) => [path, body.prompt, body.suffix])).toEqual([
      ['/v1/completions', '<PRE> P <SUF>S <MID>', undefined],
      ['/v1/completions', 'P', 'S'],
      ['/v1/fim/completions', 'P', 'S'],
    ])
    expect(modelOn(server, { fim: false }).complete).toBeUndefined()
    expect(() => modelOn(server, { fim: 'best' as FimFormat })).toThrow(/createOpenAIModel: fim:/)
  })

  it('goes by what providers document', async () => {
    const server = await serve(() => ({ text: 'M', usage: { inputTokens: 1, outputTokens: 2 } }))
    const asked = [
      modelAt('https://api.mistral.ai/v1', server, 'codestral-latest', '/fim/completions'),
      modelAt('https://codestral.mistral.ai/v1', server, 'codestral-2508', '/fim/completions'),
      modelAt('https://api.deepseek.com', server, 'deepseek-chat', '/completions'),
      modelAt('https://api.deepseek.com/beta', server, 'deepseek-chat', '/completions'),
      modelAt('https://api.openai.com/v1', server, 'gpt-3.5-turbo-instruct', '/completions'),
    ]
    for (const { model } of asked) {
      const chunks = await completion(model)
      expect([textOf(chunks), chunks.at(-1)]).toEqual(['M', { type: 'finish', reason: 'stop', usage: { inputTokens: 1, outputTokens: 2 } }])
    }
    expect(asked.flatMap(({ urls }) => urls)).toEqual([
      'https://api.mistral.ai/v1/fim/completions',
      'https://codestral.mistral.ai/v1/fim/completions',
      'https://api.deepseek.com/beta/completions',
      'https://api.deepseek.com/beta/completions',
      'https://api.openai.com/v1/completions',
    ])
    for (const [url, name] of [
      ['https://api.mistral.ai/v1', 'mistral-large-latest'],
      ['https://api.deepseek.com', 'deepseek-reasoner'],
      ['https://api.openai.com/v1', 'gpt-5.4'],
      ['https://openrouter.ai/api/v1', 'qwen/qwen3-coder'],
    ] as const) {
      expect(modelAt(url, server, name, '').model.complete).toBeUndefined()
    }
  })

  it('lets Ollama put the suffix where it belongs', async () => {
    const server = await serve([{ text: 'M' }])
    await completion(createPresetModel('ollama', { model: 'qwen2.5-coder:1.5b', baseUrl: server.url }))
    expect(server.requests[0]?.body).toMatchObject({ prompt: ask.prefix, suffix: ask.suffix })
    expect(createPresetModel('ollama', { model: 'llama3.3' }).complete).toBeUndefined()
    expect(createPresetModel('vllm', { model: 'Qwen/Qwen2.5-Coder-7B' }).complete).toBeDefined()
  })

  it('ends at a token of the family, also where the server lets it through in pieces', async () => {
    const server = await startScriptedServer(
      [{ text: 'return a <EOT> and more', finishReason: 'length' }, { text: 'if (a < b) return <' }, { text: 'a STOP b' }],
      { pieceLength: 3 },
    )
    onTestFinished(() => server.close())
    const model = modelOn(server, { model: 'codellama-7b' })
    const cut = await completion(model)
    expect([textOf(cut), cut.at(-1)]).toEqual(['return a', expect.objectContaining({ type: 'finish', reason: 'stop' })])
    expect(textOf(await completion(model))).toBe('if (a < b) return <')
    expect(textOf(await completion(model, { ...ask, stop: ['STOP'] }))).toBe('a ')
    expect(server.requests[2]?.body.stop).toEqual(['STOP', ' <EOT>', '<EOT>', '<PRE>'])
  })

  it('lets all text through that holds no stop, in whatever pieces', async () => {
    const piece = fc.oneof(fc.constantFrom('<', '<E', ' <EO', 'T>', '<PR', '>'), fc.string())
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), fc.integer({ min: 1, max: 5 }), async (pieces, pieceLength) => {
        const text = pieces.join('').replaceAll(/ ?<(EOT|PRE|SUF|MID)>/g, '')
        fc.pre(text.isWellFormed() && !/<(EOT|PRE|SUF|MID)>/.test(text))
        const server = await startScriptedServer([{ text }], { pieceLength })
        try {
          expect(textOf(await completion(modelOn(server, { model: 'codellama-7b' })))).toBe(text)
        } finally {
          await server.close()
        }
      }),
      { numRuns: 40 },
    )
  })

  it.each(Object.entries(fimTemplates))('sends nothing that would be read as a token of the template: %s', async (name, { tokens }) => {
    const server = await serve([{ text: 'M' }])
    const [token] = tokens.slice(-2)
    const request = { prefix: `far ${token} near = `, suffix: `; next ${token} far` }
    await completion(modelOn(server, { model: 'own', fim: name as FimFormat }), request)
    const prompt = String(server.requests[0]?.body.prompt)
    expect(prompt).toContain(' near = ')
    expect(prompt).toContain('; next ')
    expect(prompt).not.toContain('far')
  })

  it('fails as every call does, and is given up when nobody reads', async () => {
    const server = await serve([
      { error: { kind: 'rate-limited', retryAfterMs: 1_000 } },
      { text: 'never', stallAfter: 0 },
      { text: 'cut', cutAfter: 1 },
    ])
    const model = modelOn(server)
    const failed = await completion(model).catch((error: unknown) => error)
    expect(failed instanceof ModelError && [failed.kind, failed.retryAfterMs]).toEqual(['rate-limited', 1_000])
    const stop = new AbortController()
    const waiting = (async () => {
      for await (const _ of model.complete?.(ask, { signal: stop.signal }) ?? []);
    })()
    const given = waiting.catch((error: unknown) => (error as ModelError).code)
    while (server.requests.length < 2) await new Promise((resolve) => setImmediate(resolve))
    stop.abort()
    expect(await given).toBe('ABORTED')
    expect(await server.requests[1]?.ended).toBe('gone')
    const cut = await completion(model).catch((error: unknown) => error)
    expect(cut instanceof ModelError && cut.kind).toBe('cut-stream')
  })

  it('reads a reply that comes in one piece', async () => {
    const body = {
      object: 'text_completion',
      choices: [{ text: 'M <EOT>', index: 0, finish_reason: 'stop' }],
      usage: { prompt_tokens: 3, completion_tokens: 1 },
    }
    const server = await serve([{ status: 200, body }])
    const chunks = await completion(modelOn(server, { model: 'codellama-7b' }))
    expect(chunks).toEqual([
      { type: 'text', text: 'M' },
      { type: 'finish', reason: 'stop', usage: { inputTokens: 3, outputTokens: 1 } },
    ])
  })
})

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inspect } from 'node:util'
import type { Model } from '@baton-sdk/core'
import type { ModelRequest } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createCatalogue } from './catalogue/catalogue.ts'
import { createOpenAIModel } from './openai-model.ts'
import { createPresetModel } from './preset-model.ts'
import type { Preset, PresetName } from './presets.ts'
import { presets } from './presets.ts'

const data = process.env.BATON_DATA ?? 'BATON_DATA is not set'
const isRequired = process.env.BATON_REQUIRE?.split(',').includes('data')
const schemaDir = join(data, 'openai')
const lacksSchemas = !existsSync(schemaDir) && !isRequired
const catalogueFile = join(data, 'models/catalogue.json')
const lacksCatalogue = !existsSync(catalogueFile) && !isRequired
const names = Object.keys(presets) as PresetName[]
const presetOf = (name: PresetName): Preset => presets[name]

/** Whatever a request can hold. */
const full: ModelRequest = {
  messages: [
    { role: 'system', text: 'Be brief.' },
    {
      role: 'user',
      parts: [
        { type: 'text', text: 'Look.' },
        { type: 'image', mediaType: 'image/png', data: new Uint8Array([1, 2]) },
      ],
    },
    {
      role: 'assistant',
      text: '',
      reasoning: 'First read.',
      toolCalls: [{ callId: 'call_12345', tool: 'read', arguments: '{"path":"a"}' }],
    },
    { role: 'tool', callId: 'call_12345', tool: 'read', text: 'a line', failed: false },
    { role: 'user', parts: [{ type: 'text', text: 'And now?' }] },
  ],
  tools: [
    { name: 'read', description: 'Reads.', parameters: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] } },
  ],
  toolChoice: 'auto',
  responseSchema: { name: 'answer', schema: { type: 'object', properties: {}, required: [], additionalProperties: false } },
  maxOutputTokens: 100,
  temperature: 0.5,
  reasoningEffort: 'low',
  cacheKey: 'task-1',
}

async function drain(model: Model, request: ModelRequest): Promise<string | undefined> {
  let reason: string | undefined
  for await (const chunk of model.generate(request, {})) if (chunk.type === 'finish') reason = chunk.reason
  return reason
}

const requests = names.flatMap((name) =>
  (['chat', 'responses'] as const).filter((api) => api === 'chat' || presetOf(name).responses).map((api) => [name, api] as const),
)

afterEach(() => {
  vi.unstubAllEnvs()
})

describe.skipIf(lacksSchemas)('presets against the published schemas', () => {
  it.each(requests)('%s on %s sends what the schema allows, to its own URL', async (name, api) => {
    const { baseUrl } = presetOf(name)
    const server = await startScriptedServer(() => ({ text: 'ok' }), { schemaDir })
    const sentTo: string[] = []
    const redirect: typeof fetch = (target, init) => {
      sentTo.push(String(target))
      return fetch(String(target).replace(baseUrl, server.url), init)
    }
    try {
      const info = { contextWindow: 9_000, capabilities: { reasoning: true } }
      const model = createPresetModel(name, { model: 'm', apiKey: 'a-key-of-the-tests', api, fetch: redirect, info })
      expect(await drain(model, full)).toBe('stop')
      expect(await drain(model, { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] })).toBe('stop')
      expect(server.problems).toEqual([])
      expect(server.validated).toBe(true)
      expect(server.requests).toHaveLength(2)
      expect(sentTo[0]).toBe(`${baseUrl}/${api === 'chat' ? 'chat/completions' : 'responses'}`)
    } finally {
      await server.close()
    }
  })
})

describe('createPresetModel', () => {
  it('takes window, capabilities and price from the catalogue', () => {
    const model = createPresetModel('openai', { model: 'gpt-5.4', apiKey: 'a-key-of-the-tests' })
    expect(model).toMatchObject({
      id: 'openai/gpt-5.4',
      info: {
        contextWindow: 1_050_000,
        maxOutputTokens: 128_000,
        location: 'public',
        capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: false },
        price: { input: 2.5, cachedInput: 0.25, tiers: [{ aboveInputTokens: 272_000, input: 5 }] },
      },
    })
  })

  it('leaves createOpenAIModel the same limits and price on api.openai.com', () => {
    const { info } = createOpenAIModel({ model: 'gpt-5.4', apiKey: 'a-key-of-the-tests', baseUrl: 'https://api.openai.com/v1' })
    expect(info).toMatchObject({ contextWindow: 1_050_000, maxOutputTokens: 128_000, price: { input: 2.5 } })
  })

  it('lets info and the catalogue of the host go first', () => {
    const catalogue = createCatalogue({ override: { 'openai/gpt-5.4': { price: { input: 1, output: 2 } } } })
    const info = { contextWindow: 5_000, capabilities: { images: false } }
    const model = createPresetModel('openai', { model: 'gpt-5.4', apiKey: 'a-key-of-the-tests', catalogue, info })
    expect(model.info).toMatchObject({ contextWindow: 5_000, price: { input: 1, output: 2 }, capabilities: { images: false, tools: true } })
  })

  it.each(names.filter((name) => presetOf(name).isLocal))('%s is local, wants no key and takes any model', (name) => {
    expect(createPresetModel(name, { model: 'whatever' })).toMatchObject({ id: `${name}/whatever`, info: { location: 'local' } })
  })

  it("takes the key of the environment, for the preset's own URL alone", async () => {
    vi.stubEnv('GROQ_API_KEY', 'a-key-of-the-environment')
    const model = 'openai/gpt-oss-120b'
    const sent: (string | null)[] = []
    const record: typeof fetch = async (_, init) => {
      sent.push(new Headers(init?.headers).get('authorization'))
      return Response.json({ error: { message: 'no a-key-of-the-environment' } }, { status: 401 })
    }
    const error = await drain(createPresetModel('groq', { model, fetch: record }), full).catch((reason: unknown) => reason)
    expect(sent).toEqual(['Bearer a-key-of-the-environment'])
    expect(error).toMatchObject({ kind: 'unauthorized' })
    expect(inspect(error, { depth: 9 })).not.toContain('a-key-of-the-environment')
    expect(() => createPresetModel('groq', { model, baseUrl: 'https://another.example/v1' })).toThrow('needs a key')
  })

  it('names the variable of a key that is missing', () => {
    vi.stubEnv('GROQ_API_KEY', '')
    expect(() => createPresetModel('groq', { model: 'openai/gpt-oss-120b' })).toThrow('GROQ_API_KEY')
  })

  it('names the nearest of an unknown preset or model', () => {
    // @ts-expect-error: a name that a host read from its settings
    expect(() => createPresetModel('grok', { model: 'm' })).toThrow(/INVALID_OPTIONS|groq/)
    const create = () => createPresetModel('openai', { model: 'gpt5.4', apiKey: 'a-key-of-the-tests' })
    expect(create).toThrow(ModelError)
    expect(create).toThrow('openai/gpt-5.4')
    expect(
      createPresetModel('openai', { model: 'gpt-99', apiKey: 'a-key-of-the-tests', info: { contextWindow: 9 } }).info.price,
    ).toBeUndefined()
  })

  it.each(names)('%s is in the guide as it is', (name) => {
    const { baseUrl, keyVariable, responses } = presetOf(name)
    const guide = readFileSync(join(import.meta.dirname, '../../../docs/guide/models-and-providers.md'), 'utf8')
    const key = keyVariable === undefined ? 'none' : `\`${keyVariable}\``
    expect(guide).toContain(`| \`${name}\` | ${key} | \`${baseUrl}\` | chat${responses ? ', responses' : ''} |`)
  })

  it.skipIf(lacksCatalogue)("has the catalogue's URLs, keys and every provider of the protocol", () => {
    const source = JSON.parse(readFileSync(catalogueFile, 'utf8')) as Record<string, { api: string | null; env: string[]; npm: string }>
    for (const [name, { api, env, npm }] of Object.entries(source)) {
      const preset = (presets as Readonly<Record<string, Preset>>)[name]
      if (npm === '@ai-sdk/openai-compatible' || npm === '@ai-sdk/openai') expect(preset, name).toBeDefined()
      if (!preset || preset.isLocal) continue
      expect(env, name).toContain(preset.keyVariable)
      if (api !== null && !npm.includes('anthropic')) expect(preset.baseUrl, name).toBe(api.replace(/\/$/, ''))
    }
  })
})

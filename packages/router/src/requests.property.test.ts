import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelMessage, ModelRequest } from '@baton-sdk/core/plugin'
import { startScriptedServer } from '@baton-sdk/core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { OpenAIModelOptions } from './openai-model.ts'
import { createOpenAIModel } from './openai-model.ts'

// `BATON_REQUIRE=data` runs what needs the published schemas even where they are missing, and so fails.
const schemaDir = join(process.env.BATON_DATA ?? 'BATON_DATA is not set', 'openai')
const lacksSchemas = !existsSync(schemaDir) && !process.env.BATON_REQUIRE?.split(',').includes('data')

const text = fc.string({ unit: 'grapheme', maxLength: 40 })
const name = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/)
const callId = fc.stringMatching(/^[a-zA-Z0-9_-]{1,40}$/)
const part = fc.oneof(
  text.map((value) => ({ type: 'text' as const, text: value })),
  fc.uint8Array({ maxLength: 20 }).map((data) => ({ type: 'image' as const, mediaType: 'image/png', data })),
)
const args = fc.oneof(fc.json(), text, fc.constant(''), fc.constant('{"path":"a.ts"}'))
const opaqueItem = fc.record({
  callsBefore: fc.nat(3),
  item: fc.record({
    type: fc.constant('reasoning'),
    id: name,
    summary: fc.array(text.map((value) => ({ type: 'summary_text', text: value }))),
    encrypted_content: text,
  }),
})
const opaque = fc.record({
  producer: fc.constantFrom('local/m', 'another/model'),
  data: fc.oneof({ weight: 3, arbitrary: opaqueItem }, fc.jsonValue()),
})
const assistant = fc.record(
  {
    role: fc.constant('assistant' as const),
    text,
    toolCalls: fc.array(fc.record({ callId, tool: name, arguments: args }), { maxLength: 3 }),
    reasoning: text,
    opaque: fc.array(opaque, { maxLength: 3 }),
  },
  { requiredKeys: ['role', 'text', 'toolCalls'] },
)
const message: fc.Arbitrary<ModelMessage> = fc.oneof(
  fc.record({ role: fc.constant('system' as const), text }),
  fc.record({ role: fc.constant('user' as const), parts: fc.array(part, { maxLength: 4 }) }),
  assistant,
  fc.record({ role: fc.constant('tool' as const), callId, tool: name, text, failed: fc.boolean() }),
)
const jsonSchema = fc.record({
  type: fc.constant('object'),
  properties: fc.dictionary(name, fc.record({ type: fc.constantFrom('string', 'number', 'boolean') })),
  required: fc.array(name, { maxLength: 2 }),
  additionalProperties: fc.boolean(),
})
const request: fc.Arbitrary<ModelRequest> = fc.record(
  {
    messages: fc.array(message, { minLength: 1, maxLength: 8 }),
    tools: fc.array(fc.record({ name, description: text, parameters: jsonSchema }), { maxLength: 3 }),
    toolChoice: fc.oneof(fc.constantFrom('auto' as const, 'none' as const, 'required' as const), fc.record({ tool: name })),
    responseSchema: fc.record({ name, schema: jsonSchema }),
    maxOutputTokens: fc.integer({ min: 1, max: 100_000 }),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    reasoningEffort: fc.constantFrom('minimal' as const, 'low' as const, 'medium' as const, 'high' as const),
    cacheKey: name,
  },
  { requiredKeys: ['messages'] },
)
const quirks: fc.Arbitrary<NonNullable<OpenAIModelOptions['quirks']>> = fc.record(
  {
    maxTokensField: fc.constantFrom('max_tokens' as const, 'max_completion_tokens' as const),
    systemRole: fc.constantFrom('system' as const, 'developer' as const),
    streamUsage: fc.boolean(),
    promptCacheKey: fc.boolean(),
    reasoningField: fc.constantFrom('reasoning_content' as const, 'reasoning' as const, 'none' as const),
    shortCallIds: fc.boolean(),
    reasoningSummary: fc.constantFrom('auto' as const, 'concise' as const, 'detailed' as const),
  },
  { requiredKeys: [] },
)

describe.skipIf(lacksSchemas).each(['chat', 'responses'] as const)('requests on %s', (api) => {
  it('keep to the published schema, whatever is asked', async () => {
    const server = await startScriptedServer(() => ({ text: 'ok' }), { schemaDir })
    try {
      await fc.assert(
        fc.asyncProperty(request, quirks, fc.boolean(), async (asked, given, reasoning) => {
          const model = createOpenAIModel({ model: 'm', baseUrl: server.url, api, quirks: given, info: { capabilities: { reasoning } } })
          for await (const chunk of model.generate(asked, {})) if (chunk.type === 'finish') expect(chunk.reason).toBe('stop')
          expect(server.problems).toEqual([])
        }),
        { numRuns: 300 },
      )
      expect(server.requests.length).toBeGreaterThanOrEqual(300)
      expect(server.validated).toBe(true)
    } finally {
      await server.close()
    }
  })

  it('would be refused if they did not', async () => {
    const server = await startScriptedServer(() => ({ text: 'ok' }), { schemaDir })
    try {
      const model = createOpenAIModel({ model: 'm', baseUrl: server.url, api })
      const broken = { messages: [{ role: 'user', parts: [] }], temperature: 9 } as const
      const read = async () => {
        for await (const _ of model.generate(broken, {}));
      }
      await expect(read()).rejects.toMatchObject({ kind: 'bad-request', status: 400 })
      expect(server.problems).toHaveLength(1)
    } finally {
      await server.close()
    }
  })
})

import type { Model } from '@baton-sdk/core'
import { createBaton, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import type { ModelChunk, ModelRequest } from '@baton-sdk/core/plugin'
import type { ServerStep } from '@baton-sdk/core/testing'
import { scriptedModel, startScriptedServer, testModel } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { createOpenAIModel } from '../openai-model.ts'
import { createClassifier } from './classifier.ts'
import { createRandom } from './corpus/random.ts'
import type { RedactedOptions } from './redacted.ts'
import { redacted } from './redacted.ts'

const classifier = createClassifier({ secretlint: false })
const random = createRandom(21)
const token = `${'gh'}p_${random.base62(36)}`
const password = random.password()
const user = (text: string): ModelRequest['messages'][number] => ({ role: 'user', parts: [{ type: 'text', text }] })
const cloud = (script: Parameters<typeof scriptedModel>[0], more: { pieceLength?: number } = {}) =>
  scriptedModel(script, { id: 'cloud/model', info: { location: 'public' }, ...more })

async function collect(chunks: AsyncIterable<ModelChunk>): Promise<ModelChunk[]> {
  const all: ModelChunk[] = []
  for await (const chunk of chunks) all.push(chunk)
  return all
}

const textOf = (chunks: readonly ModelChunk[], type: 'text' | 'reasoning' = 'text'): string =>
  chunks.map((chunk) => (chunk.type === type ? chunk.text : '')).join('')
const argumentsOf = (chunks: readonly ModelChunk[], index: number): unknown =>
  JSON.parse(chunks.map((chunk) => (chunk.type === 'tool-call' && chunk.index === index ? chunk.arguments : '')).join(''))

describe('redacted', () => {
  describe('is a model', () => {
    testModel(it, {
      async create(script) {
        const server = await startScriptedServer(script)
        const model = createOpenAIModel({ model: 'scripted', baseUrl: server.url, info: { location: 'public' } })
        return {
          model: redacted(model, { classifier, clearance: 'restricted' }),
          ended: async (call) => server.requests[call - 1]?.ended ?? 'gone',
          close: () => server.close(),
        }
      },
      reasoning: false,
    })
  })

  it('shows the model placeholders, and puts the values back in text, reasoning and the arguments of calls, one character at a time', async () => {
    const inner = cloud(
      [
        {
          text: 'The password is [[secret:1]]; keep [[it]] [[safe:1]].',
          reasoning: 'So [[github-token:2]] it is.',
          toolCalls: [
            { tool: 'write', input: { content: 'p="[[secret:1]]"', n: 1 } },
            { tool: 'push', input: { token: '[[github-token:2]]' } },
          ],
        },
      ],
      { pieceLength: 1 },
    )
    const model = redacted(inner, { classifier, clearance: 'restricted' })
    const messages = [
      { role: 'system' as const, text: 'Be brief.' },
      user(`password="${password}"`),
      {
        role: 'assistant' as const,
        text: `I push with ${token}.`,
        toolCalls: [{ callId: 'c1', tool: 'push', arguments: JSON.stringify({ token, note: `a "quoted" ${password}` }) }],
      },
      { role: 'tool' as const, callId: 'c1', tool: 'push', text: `pushed with ${token}`, failed: false },
    ]
    const chunks = await collect(model.generate({ messages, cacheKey: 'k' }, {}))
    const [request] = inner.requests
    expect(JSON.stringify(request)).not.toContain(password)
    expect(JSON.stringify(request)).not.toContain(token)
    expect(request?.cacheKey).toBe('k')
    expect(request?.messages.slice(1)).toEqual([
      user('password="[[secret:1]]"'),
      {
        role: 'assistant',
        text: 'I push with [[github-token:2]].',
        toolCalls: [{ callId: 'c1', tool: 'push', arguments: '{"token":"[[github-token:2]]","note":"a \\"quoted\\" [[secret:1]]"}' }],
      },
      { role: 'tool', callId: 'c1', tool: 'push', text: 'pushed with [[github-token:2]]', failed: false },
    ])
    expect(request?.messages[0]).toEqual({
      role: 'system',
      text: expect.stringMatching(/^Be brief\.\n\nSome values were replaced by placeholders/),
    })
    expect(textOf(chunks)).toBe(`The password is ${password}; keep [[it]] [[safe:1]].`)
    expect(textOf(chunks, 'reasoning')).toBe(`So ${token} it is.`)
    expect(argumentsOf(chunks, 0)).toEqual({ content: `p="${password}"`, n: 1 })
    expect(argumentsOf(chunks, 1)).toEqual({ token })
    expect(chunks.at(-1)?.type).toBe('finish')
  })

  it('escapes values that it puts into arguments', async () => {
    const key = random.pem('PRIVATE KEY', 3)
    const inner = cloud([{ toolCalls: [{ tool: 'write', input: { content: 'key: [[private-key:1]]' } }] }])
    const chunks = await collect(redacted(inner, { classifier, clearance: 'restricted' }).generate({ messages: [user(key)] }, {}))
    expect(argumentsOf(chunks, 0)).toEqual({ content: `key: ${key}` })
  })

  it('sends requests without findings as they are, and the same conversation with the same placeholders', async () => {
    const inner = cloud([{ text: 'a' }, { text: 'b' }, { text: 'c' }])
    const model = redacted(inner, { classifier, clearance: 'restricted' })
    const plain = { messages: [user('Hello.')] }
    await collect(model.generate(plain, {}))
    expect(inner.requests[0]).toEqual(plain)
    const first = [user(`token ${token}`)]
    await collect(model.generate({ messages: first }, {}))
    await collect(model.generate({ messages: [...first, user(`password="${password}"`)] }, {}))
    const [, second, third] = inner.requests
    expect(third?.messages.slice(0, 2)).toEqual(second?.messages)
  })

  it('puts no value of another conversation back', async () => {
    const inner = cloud([{ text: 'ok' }, { text: 'It was [[github-token:1]].' }])
    const model = redacted(inner, { classifier, clearance: 'restricted' })
    await collect(model.generate({ messages: [user(`token ${token}`)] }, {}))
    const chunks = await collect(model.generate({ messages: [user('What is [[github-token:1]]?')] }, {}))
    expect(textOf(chunks)).toBe('It was [[github-token:1]].')
  })

  it('takes up what was held back when the reply ends in the middle of a placeholder', async () => {
    const inner = cloud([{ text: 'see [[github-tok' }])
    const chunks = await collect(redacted(inner, { classifier, clearance: 'restricted' }).generate({ messages: [user('Hi.')] }, {}))
    expect(textOf(chunks)).toBe('see [[github-tok')
  })

  it('replaces only what the model is not cleared for', async () => {
    const inner = scriptedModel([{ text: 'ok' }], { info: { location: 'private' } })
    const text = `card ${random.card()} token ${token}`
    await collect(redacted(inner, { classifier, clearance: 'restricted' }).generate({ messages: [user(text)] }, {}))
    expect(inner.requests[0]?.messages.at(-1)).toEqual(user(text.replace(token, '[[github-token:1]]')))
  })

  it('refuses images, which it cannot look into, and says that it takes none', async () => {
    const inner = cloud([])
    const model = redacted(inner, { classifier, clearance: 'restricted' })
    expect(model.info.capabilities.images).toBe(false)
    const image = { type: 'image' as const, mediaType: 'image/png', data: new Uint8Array(1) }
    await expect(collect(model.generate({ messages: [{ role: 'user', parts: [image] }] }, {}))).rejects.toMatchObject({
      kind: 'bad-request',
    })
    expect(inner.requests).toEqual([])
  })

  it('sends nothing when the redacted request is still not clean', async () => {
    const inner = cloud([])
    // Finds another piece each time it looks, as two rules that disagree might.
    let calls = 0
    const restless = {
      ...classifier,
      find: async () => [{ kind: 'secret' as const, offset: calls++, length: 3, label: 'restricted' as const }],
    }
    const model = redacted(inner, { classifier: restless, clearance: 'restricted' })
    await expect(collect(model.generate({ messages: [user('a long enough text')] }, {}))).rejects.toThrow(
      'redacted/cloud/model: after redaction the request still holds secret. It was not sent.',
    )
    expect(inner.requests).toEqual([])
  })

  it('fills in the middle where the model can', async () => {
    const seen: unknown[] = []
    const inner: Model = {
      ...cloud([]),
      async *complete(request) {
        seen.push(request)
        yield { type: 'text', text: 'use([[github-' }
        yield { type: 'text', text: 'token:1]])' }
        yield { type: 'finish', reason: 'stop' }
      },
    }
    const model = redacted(inner, { classifier, clearance: 'restricted' })
    const chunks = await collect(
      model.complete?.({ prefix: `const t = '${token}'\n`, suffix: `// ${token}` }, {}) as AsyncIterable<ModelChunk>,
    )
    expect(seen).toEqual([{ prefix: "const t = '[[github-token:1]]'\n", suffix: '// [[github-token:1]]' }])
    expect(textOf(chunks)).toBe(`use(${token})`)
    expect(redacted(cloud([]), { classifier, clearance: 'restricted' }).complete).toBeUndefined()
  })

  it.each([
    [{ classifier }, /clearance/],
    [{ classifier, clearance: 'all' }, /clearance/],
    [{ clearance: 'restricted' }, /classifier/],
  ])('refuses %o', (options, message) => {
    expect(() => redacted(cloud([]), options as RedactedOptions)).toThrow(message)
  })

  it('lets a task go on with a model in the cloud that never receives the secret, while tools get it', async () => {
    const steps: ServerStep[] = [
      { toolCalls: [{ tool: 'read', input: {} }] },
      { toolCalls: [{ tool: 'sign_in', input: { password: '[[secret:1]]' } }] },
      { text: 'Signed in with [[secret:1]].' },
    ]
    const server = await startScriptedServer(steps)
    onTestFinished(() => server.close())
    const received: string[] = []
    const tool = (name: string, run: (input: { password?: string | undefined }) => string) =>
      defineTool({
        name,
        description: name,
        input: z.object({ password: z.string().optional() }),
        effect: 'read',
        run: async (input) => run(input),
      })
    const tools = [
      tool('read', () => `DB_PASSWORD=${password}\n`),
      tool('sign_in', (input) => {
        received.push(input.password ?? '')
        return 'welcome'
      }),
    ]
    const model = createOpenAIModel({ model: 'scripted', baseUrl: server.url, info: { location: 'public' } })
    const router = createSingleModelRouter(redacted(model, { classifier, clearance: 'restricted' }))
    const baton = createBaton({ router, tools, classifier })
    const task = await baton.createTask({ goal: 'Sign in.' })
    const result = await task.start().result
    expect(result).toMatchObject({ outcome: 'done', text: `Signed in with ${password}.` })
    expect(received).toEqual([password])
    expect(task.summary.sensitivity).toBe('restricted')
    expect(server.requests).toHaveLength(3)
    expect(JSON.stringify(server.requests.map(({ body }) => body))).not.toContain(password)
    await baton.close()
  })
})

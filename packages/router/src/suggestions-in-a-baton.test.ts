import type { BatonOptions, Model, Router } from '@baton-sdk/core'
import { BatonError, createBaton } from '@baton-sdk/core'
import type { ScriptedServer, ServerStep } from '@baton-sdk/core/testing'
import { createMemorySandboxProvider, startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { OpenAIModelOptions } from './openai-model.ts'
import { createOpenAIModel } from './openai-model.ts'
import type { RouterOptions } from './routing/router.ts'
import { createRouter } from './routing/router.ts'
import { createClassifier } from './sensitivity/classifier.ts'
import { redacted } from './sensitivity/redacted.ts'

const here = { path: 'src/a.ts', prefix: 'const a = ', suffix: '\n' }

async function serve(
  steps: readonly ServerStep[] | ((request: Pick<ScriptedServer['requests'][number], 'body'>) => ServerStep),
): Promise<ScriptedServer> {
  const server = await startScriptedServer(steps)
  onTestFinished(async () => {
    await server.close()
    expect(server.problems).toEqual([])
  })
  return server
}

function modelOn({ url }: ScriptedServer, model: string, info: OpenAIModelOptions['info'] = {}): Model {
  return createOpenAIModel({ model, id: model, baseUrl: url, info })
}

async function taskOf(options: RouterOptions | Router, more: Partial<BatonOptions> = {}) {
  const router = 'route' in options ? options : createRouter(options)
  const baton = createBaton({ router, sandboxes: [createMemorySandboxProvider()], ...more })
  onTestFinished(() => baton.close())
  return baton.createTask({ goal: 'x' })
}

describe('Task.complete over HTTP', () => {
  it('asks the model of its role by text completions, and the one of the other role in a chat', async () => {
    const fim = await serve([{ text: '1 + 1', usage: { inputTokens: 1_000, outputTokens: 100 } }])
    const chat = await serve([{ text: '```ts\nconst a = 2\n```', usage: { inputTokens: 1_000, outputTokens: 100 } }])
    const price = { price: { input: 1, output: 10 } }
    const models = [modelOn(chat, 'chat', price), modelOn(fim, 'qwen2.5-coder', price)]
    const task = await taskOf({ models, roles: { complete: ['qwen2.5-coder', 'chat'], edit: ['chat'] } })
    expect(await task.complete(here)).toMatchObject({ text: '1 + 1', model: 'qwen2.5-coder' })
    expect(task.summary.spent).toMatchObject({ costUsd: 0.002, inputTokens: 1_000, outputTokens: 100 })
    const edit = await task.suggestEdit({ path: 'src/a.ts', content: 'const a = 1\n', range: { start: 1, end: 1 }, instruction: 'Two.' })
    expect(edit).toMatchObject({ text: 'const a = 2\n', diff: '@@ -1,1 +1,1 @@\n-const a = 1\n+const a = 2\n', model: 'chat' })
    expect(fim.requests.map(({ path, body }) => [path, body.prompt])).toEqual([
      ['/v1/completions', '<|fim_prefix|>const a = <|fim_suffix|>\n<|fim_middle|>'],
    ])
    expect(chat.requests.map(({ path }) => path)).toEqual(['/v1/chat/completions'])
  })

  it('goes on with a chat model where the first one fails', async () => {
    const fim = await serve([{ error: { kind: 'unknown-model' } }])
    const chat = await serve([{ text: 'const a = 1 + 1\n' }])
    const task = await taskOf({ models: [modelOn(fim, 'starcoder2'), modelOn(chat, 'chat')] })
    expect(await task.complete(here)).toMatchObject({ text: '1 + 1', model: 'chat' })
  })

  it('sends each model what its window takes', async () => {
    const small = await serve([{ error: { kind: 'unknown-model' } }])
    const large = await serve([{ text: '1' }])
    const models = [modelOn(small, 'granite-3b-code', { contextWindow: 2_048 }), modelOn(large, 'qwen2.5-coder', { contextWindow: 32_768 })]
    const task = await taskOf({ models })
    const prefix = `${'let x = 1\n'.repeat(5_000)}const a = `
    expect((await task.complete({ ...here, prefix }))?.text).toBe('1')
    const sizes = [small, large].map(({ requests }) => String(requests[0]?.body.prompt).length)
    expect(sizes[0]).toBeGreaterThan(2_000)
    expect(sizes[0]).toBeLessThan(5_000)
    expect(sizes[1]).toBeGreaterThan(9_000)
    expect(sizes[1]).toBeLessThan(11_000)
  })

  it('leaves the connection when somebody types on', async () => {
    const server = await serve([{ text: 'never', stallAfter: 0 }, { text: '2' }])
    const task = await taskOf({ models: [modelOn(server, 'qwen2.5-coder')] })
    const old = task.complete(here).catch((error: unknown) => BatonError.isInstance(error) && error.code)
    while (server.requests.length < 1) await new Promise((resolve) => setImmediate(resolve))
    expect((await task.complete({ ...here, prefix: 'const a = 1 +' }))?.text).toBe('2')
    expect(await old).toBe('ABORTED')
    expect(await server.requests[0]?.ended).toBe('gone')
  })

  it('lets nothing out to a model that is not cleared, also through a router that leaks', async () => {
    const cloud = await serve(() => ({ text: '2' }))
    const model = modelOn(cloud, 'codestral', { location: 'public' })
    const leaky: Router = {
      models: [model],
      route: async () => ({ attempts: [{ model, hedgeAfterMs: 0 }, { model }], considered: [] }),
    }
    const task = await taskOf(leaky, { classifier: createClassifier() })
    const secret = { ...here, prefix: `const key = '${'AKIA'}${'Q3EGRIXWHT7VBZLN'}'\nconst a = ` }
    await expect(task.complete(secret)).rejects.toMatchObject({ code: 'NO_ELIGIBLE_MODEL' })
    expect(cloud.requests).toEqual([])
    expect((await task.complete(here))?.text).toBe('2')
  })

  it('goes out redacted where a model is wrapped for that, and comes back whole', async () => {
    const key = `${'AKIA'}${'Q3EGRIXWHT7VBZLN'}`
    const cloud = await serve(({ body }) => ({ text: `use('${/\[\[[^\]]+\]\]/.exec(String(body.prompt))?.[0]}')` }))
    const classifier = createClassifier()
    const model = redacted(modelOn(cloud, 'codestral', { location: 'public' }), { classifier, clearance: 'restricted' })
    const task = await taskOf({ models: [model] }, { classifier })
    const suggestion = await task.complete({ ...here, prefix: `const key = '${key}'\nconst a = ` })
    expect(suggestion?.text).toBe(`use('${key}')`)
    expect(JSON.stringify(cloud.requests.map(({ body }) => body))).not.toContain(key)
    expect(cloud.requests).toHaveLength(1)
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Agent, BatonOptions, EventTypes, Task } from '@baton-sdk/core'
import { createBaton, createFileEventStore, createModelAgent, defineTool, isKnown } from '@baton-sdk/core'
import type { ModelInfo } from '@baton-sdk/core/plugin'
import type { ScriptedServer, ServerStep } from '@baton-sdk/core/testing'
import { createMemorySandboxProvider, startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { createAnswerVerifier } from '../learning/answer-verifier.ts'
import { createOutcomeIndex } from '../learning/outcome-index.ts'
import { madeUpOutcomes, madeUpTask } from '../learning/trial/made-up-outcomes.ts'
import { createOpenAIModel } from '../openai-model.ts'
import { createClassifier } from '../sensitivity/classifier.ts'
import { explainRoute } from './explain-route.ts'
import { cascade } from './policies/cascade.ts'
import { cheapest } from './policies/cheapest.ts'
import { learned } from './policies/learned.ts'
import { localFirst } from './policies/local-first.ts'
import { sticky } from './policies/sticky.ts'
import type { RoutingPolicy } from './policy.ts'
import type { RouterOptions } from './router.ts'
import { createRouter } from './router.ts'
import { acceptIf } from './verifiers/accept-if.ts'
import { acceptJudge } from './verifiers/accept-judge.ts'
import { acceptSchema } from './verifiers/accept-schema.ts'

/** A tool that reads one file; it takes what is in `secrets` for restricted. */
const read = defineTool({
  name: 'read',
  description: 'Reads a file.',
  input: z.object({ path: z.string() }),
  effect: 'read',
  sources: ({ path }) => [`file:${path}`],
  run: async ({ path }) => (path.startsWith('secrets/') ? 'the key is 7355608' : 'nothing of note'),
})
const classifier: BatonOptions['classifier'] = {
  classify: (_, sources) => (sources.some((source) => source.startsWith('file:secrets/')) ? 'restricted' : 'public'),
}
const reading = (path: string): ServerStep => ({ toolCalls: [{ tool: 'read', input: { path } }] })

interface Endpoint {
  readonly steps: readonly ServerStep[]
  readonly info?: Partial<ModelInfo>
}

/** A server for each model. */
async function startFleet<Name extends string>(endpoints: Record<Name, Endpoint>) {
  const servers = {} as Record<Name, ScriptedServer>
  const models = []
  for (const [name, { steps, info }] of Object.entries<Endpoint>(endpoints)) {
    const server = await startScriptedServer(steps)
    onTestFinished(() => server.close())
    servers[name as Name] = server
    models.push(
      createOpenAIModel({
        id: name,
        model: name,
        baseUrl: server.url,
        info: { location: 'public', price: { input: 1, output: 1 }, ...info },
      }),
    )
  }
  const calls = () => Object.fromEntries(Object.entries<ScriptedServer>(servers).map(([name, { requests }]) => [name, requests.length]))
  return { servers, models, calls }
}

function open(router: RouterOptions, options: Partial<BatonOptions> = {}) {
  const baton = createBaton({
    router: createRouter(router),
    tools: [read],
    classifier,
    timing: { backoffBaseMs: 1, triesPerAttempt: 2 },
    ...options,
  })
  onTestFinished(() => baton.close())
  return baton
}

async function dataOf<T extends keyof EventTypes>(task: Task, type: T): Promise<EventTypes[T][]> {
  const found: EventTypes[T][] = []
  const { seq } = task.summary
  for await (const event of task.events()) {
    if (isKnown(event) && event.type === type) found.push(event.data as EventTypes[T])
    if (event.seq >= seq) break
  }
  return found
}

/** Waits until so many runs of a task are over. */
async function ended(task: Task, runs: number): Promise<void> {
  let over = 0
  for await (const event of task.events()) if (event.type === 'run.finished' && ++over === runs) return
}

describe('createRouter in a Baton, with a server for each model', () => {
  it('sends each role where it belongs', async () => {
    const { models, calls, servers } = await startFleet({
      planner: { steps: [{ text: 'First this, then that.' }] },
      coder: { steps: [{ text: 'Done.' }] },
    })
    const agents = [createModelAgent({ name: 'planner', role: 'plan' }), createModelAgent({ name: 'coder', role: 'code' })]
    const baton = open({ models, roles: { plan: ['planner'], code: ['coder'] } }, { agents })
    for (const agent of ['planner', 'coder']) {
      const task = await baton.createTask({ goal: 'Write it.', agent })
      expect((await task.start().result).outcome).toBe('done')
      const [called] = await dataOf(task, 'model.called')
      expect(called).toMatchObject({ model: agent, why: [{ model: agent, rank: 1, reason: 'role' }, { reason: 'left-out' }] })
    }
    expect(calls()).toEqual({ planner: 1, coder: 1 })
    expect(Object.values(servers).flatMap(({ problems }) => problems)).toEqual([])
  })

  it('keeps a task to cleared models from the moment it has read a restricted file', async () => {
    const { models, calls, servers } = await startFleet({
      cloud: { steps: [reading('readme.md'), reading('secrets/key.txt')] },
      local: { steps: [{ text: 'It opens the door.' }], info: { location: 'local', price: { input: 9, output: 9 } } },
    })
    const task = await open({ models, policy: cheapest() }).createTask({ goal: 'What does the key open?' })
    expect(await task.start().result).toMatchObject({ outcome: 'done', text: 'It opens the door.' })
    expect(calls()).toEqual({ cloud: 2, local: 1 })
    expect(JSON.stringify(servers.cloud.requests.map(({ body }) => body))).not.toContain('7355608')
    expect(JSON.stringify(servers.local.requests[0]?.body)).toContain('7355608')
    const called = await dataOf(task, 'model.called')
    expect(called.map(({ model, sensitivity }) => [model, sensitivity])).toEqual([
      ['cloud', 'internal'],
      ['cloud', 'internal'],
      ['local', 'restricted'],
    ])
    expect(explainRoute(called[2] as EventTypes['model.called'])).toMatch(
      /^code: local \(1 of 2 models; restricted content, about \d+ tokens\)\n {2}1\. local {2}cheapest: about \$[\d.]+\n {2}- {2}cloud {2}not-cleared: /,
    )
  })

  it('keeps to cleared models after the task was closed and opened again, and in what it delegates', async () => {
    const { models, calls, servers } = await startFleet({
      cloud: { steps: [reading('secrets/key.txt')] },
      local: {
        steps: [{ text: 'It opens the door.' }, { text: 'The back door.' }, { text: 'Still 7355608.' }],
        info: { location: 'local' },
      },
    })
    const dir = mkdtempSync(join(tmpdir(), 'routing-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const delegator: Agent = {
      name: 'delegator',
      run: async (context) => ({ text: (await context.delegate({ goal: 'Which door?', agent: 'coder' }, { key: 'door' })).text }),
    }
    const agents = [createModelAgent({ name: 'coder', role: 'code' }), delegator]
    const first = open({ models, policy: cheapest() }, { store: createFileEventStore({ dir }), agents })
    const { id } = await first.createTask({ goal: 'What does the key open?' })
    const task = await first.openTask(id)
    expect((await task.start().result).text).toBe('It opens the door.')
    await first.close()
    const second = open({ models, policy: cheapest() }, { store: createFileEventStore({ dir }), agents })
    const again = await second.openTask(id)
    expect(again.summary.sensitivity).toBe('restricted')
    await again.send('Which of them?')
    await ended(again, 2)
    expect(await dataOf(again, 'run.finished')).toMatchObject([{}, { outcome: 'done', text: 'The back door.' }])
    const above = await second.createTask({ goal: 'Is the key still 7355608?', agent: 'delegator', sensitivity: 'restricted' })
    expect((await above.start().result).text).toBe('Still 7355608.')
    expect(calls()).toEqual({ cloud: 1, local: 3 })
    expect(JSON.stringify(servers.cloud.requests.map(({ body }) => body))).not.toContain('7355608')
  })

  it('keeps what a person answers to a tool from models that are not cleared for it', async () => {
    const { models, calls, servers } = await startFleet({
      cloud: { steps: [{ toolCalls: [{ tool: 'ask', input: {} }] }] },
      local: { steps: [{ text: 'Connected.' }], info: { location: 'local', price: { input: 9, output: 9 } } },
    })
    const ask = defineTool({
      name: 'ask',
      description: 'Asks a person for the password.',
      input: z.object({}),
      effect: 'read',
      run: (_, context) => context.ask('Which password?'),
    })
    const task = await open(
      { models, policy: cheapest() },
      { tools: [ask], classifier: createClassifier({ secretlint: false }) },
    ).createTask({
      goal: 'Connect.',
    })
    const person = task.as({ kind: 'human', id: 'ann' })
    task.on('question.asked', ({ data }) => void person.answer(data.questionId, 'DB_PASSWORD=Falcon12!harbor'))
    expect((await task.start().result).text).toBe('Connected.')
    expect(calls()).toEqual({ cloud: 1, local: 1 })
    expect(JSON.stringify(servers.cloud.requests.map(({ body }) => body))).not.toContain('Falcon12')
  })

  it('goes to no cloud when the local model is down, and says what would help', async () => {
    const down: ServerStep = { error: { kind: 'server' } }
    const { models, calls } = await startFleet({
      local: { steps: [reading('secrets/key.txt'), down, down], info: { location: 'local' } },
      cloud: { steps: [] },
    })
    const task = await open({ models, policy: localFirst() }).createTask({ goal: 'x' })
    expect(await task.start().result).toMatchObject({ outcome: 'failed', error: { code: 'MODEL_FAILED' } })
    expect(calls()).toEqual({ local: 3, cloud: 0 })
    const none = await open({ models: models.slice(1) }).createTask({ goal: 'x', sensitivity: 'restricted' })
    expect(await none.start().result).toMatchObject({
      outcome: 'failed',
      error: { code: 'NO_ELIGIBLE_MODEL', message: expect.stringContaining('cloud: not-cleared') },
    })
  })

  it('goes on with the next model where an endpoint refuses the key, which is never printed', async () => {
    const { models, servers } = await startFleet({
      first: { steps: [{ error: { kind: 'unauthorized', message: 'Incorrect API key provided: sk-very-secret-key-123' } }] },
      second: { steps: [{ text: 'Done.' }] },
    })
    const keyed = createOpenAIModel({ id: 'first', model: 'first', baseUrl: servers.first.url, apiKey: 'sk-very-secret-key-123' })
    const task = await open({ models: [keyed, ...models.slice(1)] }).createTask({ goal: 'x' })
    expect((await task.start().result).text).toBe('Done.')
    const failed = await dataOf(task, 'model.failed')
    expect(failed).toMatchObject([{ model: 'first', error: { code: 'MODEL_FAILED' } }])
    expect(JSON.stringify(failed)).not.toContain('very-secret')
  })

  it('names what the endpoint has where it does not have the model', async () => {
    const server = await startScriptedServer([{ error: { kind: 'unknown-model' } }], { models: ['qwen3-coder:30b', 'llama4'] })
    onTestFinished(() => server.close())
    const model = createOpenAIModel({ model: 'qwen3-coder', baseUrl: server.url })
    const task = await open({ models: [model] }).createTask({ goal: 'x' })
    expect(await task.start().result).toMatchObject({
      error: { code: 'UNKNOWN_MODEL', message: expect.stringContaining('qwen3-coder:30b') },
    })
  })

  it('escalates a reply that the verifier refuses: nothing of it is used, and all of it is paid', async () => {
    const usage = { inputTokens: 1_000, outputTokens: 100 }
    const { models, calls } = await startFleet({
      cheap: { steps: [{ text: 'I think it is fine.', toolCalls: [{ tool: 'read', input: { path: 'never' } }], usage }] },
      strong: { steps: [{ text: '{"ok": true}', usage }], info: { price: { input: 10, output: 10 } } },
    })
    const verify = acceptSchema(z.object({ ok: z.boolean() }))
    const onlyText = acceptIf(async (reply, context) => verify.verify({ ...reply, toolCalls: [] }, context), { name: 'json' })
    const policy = cascade({ cheap: ['cheap'], strong: ['strong'], verify: onlyText })
    const task = await open({ models, policy }).createTask({ goal: 'Is it fine?' })
    const result = await task.start().result
    expect(result).toMatchObject({ outcome: 'done', text: '{"ok": true}' })
    expect(calls()).toEqual({ cheap: 1, strong: 1 })
    expect(await dataOf(task, 'tool.called')).toEqual([])
    expect(await dataOf(task, 'model.failed')).toMatchObject([{ model: 'cheap', error: { code: 'NOT_ACCEPTED' }, final: false }])
    expect(result.spent.costUsd).toBeCloseTo((1_100 + 11_000) / 1e6, 9)
  })

  it('has a local judge judge confidential replies, and no judge in the cloud', async () => {
    const verdict: ServerStep = { text: '{"accepted": true, "reason": "good"}', usage: { inputTokens: 10, outputTokens: 1 } }
    const local = { location: 'local' as const }
    const { models, calls } = await startFleet({
      cheap: { steps: [{ text: 'Fine.' }, { text: 'Fine too.' }], info: local },
      strong: { steps: [{ text: 'Better.' }], info: { ...local, price: { input: 10, output: 10 } } },
      cloudJudge: { steps: [verdict] },
      localJudge: { steps: [verdict], info: { ...local, price: { input: 0, output: 0 } } },
    })
    const [cheap, strong, cloudJudge, localJudge] = models as [
      (typeof models)[0],
      (typeof models)[0],
      (typeof models)[0],
      (typeof models)[0],
    ]
    const both = open({
      models: [cheap, strong],
      policy: cascade({ cheap: ['cheap'], strong: ['strong'], verify: acceptJudge({ model: [cloudJudge, localJudge] }) }),
    })
    const secret = await both.createTask({ goal: 'x', sensitivity: 'confidential' })
    expect((await secret.start().result).text).toBe('Fine.')
    expect(calls()).toEqual({ cheap: 1, strong: 0, cloudJudge: 0, localJudge: 1 })
    expect(await dataOf(secret, 'model.finished')).toMatchObject([{ model: 'cheap', judge: { model: 'localJudge', costUsd: 0 } }])
    const plain = await both.createTask({ goal: 'x' })
    expect((await plain.start().result).text).toBe('Fine too.')
    expect(calls()).toEqual({ cheap: 2, strong: 0, cloudJudge: 1, localJudge: 1 })
    // With a judge in the cloud alone there is no verdict to be had: the strong model answers at once.
    const cloudOnly = open({
      models: [cheap, strong],
      policy: cascade({ cheap: ['cheap'], strong: ['strong'], verify: acceptJudge({ model: cloudJudge }) }),
    })
    const third = await cloudOnly.createTask({ goal: 'x', sensitivity: 'restricted' })
    expect((await third.start().result).text).toBe('Better.')
    expect(calls()).toEqual({ cheap: 2, strong: 1, cloudJudge: 1, localJudge: 1 })
  })

  it('escalates a reply that is like those that were wrong before', async () => {
    const { models, calls } = await startFleet({
      cheap: { steps: [{ text: 'I am not sure; probably 12 or so.' }, { text: 'The sum is 5 + 7 = 12.\n#### 12' }] },
      strong: { steps: [{ text: '5 + 8 = 13.' }], info: { price: { input: 10, output: 10 } } },
    })
    const verifier = createAnswerVerifier()
    for (let at = 0; at < 60; at++) {
      const [one, two] = [1 + (at % 9), 2 + (at % 7)]
      const text = `What is ${one} plus ${two}?`
      const success = at % 2 === 0
      const sum = one + two
      const answer = success ? `The sum is ${one} + ${two} = ${sum}.\n#### ${sum}` : `I am not sure; probably ${sum} or so.`
      verifier.add({ text, answer, success })
    }
    const baton = open({ models, policy: cascade({ cheap: ['cheap'], strong: ['strong'], verify: verifier }) })
    const first = await baton.createTask({ goal: 'What is 5 plus 8?' })
    expect((await first.start().result).text).toBe('5 + 8 = 13.')
    expect(await dataOf(first, 'model.failed')).toMatchObject([
      { model: 'cheap', error: { code: 'NOT_ACCEPTED', message: expect.stringMatching(/\d+% likely to be right, and 70% are asked for/) } },
    ])
    const second = await baton.createTask({ goal: 'What is 5 plus 7?' })
    expect((await second.start().result).text).toContain('#### 12')
    expect(calls()).toEqual({ cheap: 2, strong: 1 })
  })

  it('calls what earlier tasks say is worth its cost, and says so', async () => {
    const { models, calls } = await startFleet({
      cheap: { steps: [{ text: 'Renamed.' }], info: { price: { input: 0.1, output: 0.1 } } },
      strong: { steps: [{ text: 'No deadlock any more.' }], info: { price: { input: 3, output: 3 } } },
    })
    const index = createOutcomeIndex()
    await index.add(...madeUpOutcomes(200).map((outcome) => ({ ...outcome, model: outcome.model === 'small' ? 'cheap' : 'strong' })))
    const baton = open({ models, policy: learned({ index, worthUsd: 0.01 }) })
    for (const kind of [0, 1] as const) {
      const task = await baton.createTask({ goal: madeUpTask(kind, 777) })
      await task.start().result
      expect((await dataOf(task, 'model.called'))[0]?.why[0]).toMatchObject({
        model: ['cheap', 'strong'][kind],
        reason: 'expected-gain',
        detail: expect.stringMatching(/^right \d+% of the time on tasks like this one/),
      })
    }
    expect(calls()).toEqual({ cheap: 1, strong: 1 })
  })

  it('escalates after checks that fail, and stays there', async () => {
    const { models, calls } = await startFleet({
      cheap: { steps: [reading('a'), { text: 'Done, I hope.' }] },
      strong: { steps: [reading('b'), { text: 'Done.' }], info: { price: { input: 10, output: 10 } } },
    })
    let round = 0
    const sandboxes = [createMemorySandboxProvider({ commands: { test: () => (++round === 1 ? 1 : 0) } })]
    const policy = sticky(cascade({ cheap: ['cheap'], strong: ['strong'] }))
    const task = await open({ models, policy }, { sandboxes }).createTask({ goal: 'Fix it.', checks: ['test'] })
    expect(await task.start().result).toMatchObject({ outcome: 'done', text: 'Done.' })
    expect(calls()).toEqual({ cheap: 2, strong: 2 })
    const called = await dataOf(task, 'model.called')
    expect(called.map(({ model }) => model)).toEqual(['cheap', 'cheap', 'strong', 'strong'])
    expect(called[2]?.why[0]).toMatchObject({
      reason: 'escalated',
      detail: expect.stringContaining('cheap was tried before: The check "test" failed after its work'),
    })
  })

  it('stays with the model whose cache is warm', async () => {
    const long = 'All of it matters. '.repeat(2_000)
    const price = { input: 2, output: 2, cachedInput: 0.2 }
    const { models, calls } = await startFleet({
      first: { steps: [reading('a'), { text: 'Done.' }], info: { price } },
      other: { steps: [], info: { price: { ...price, input: 1.9 } } },
    })
    // Prefers one model for the first call and the other from then on.
    const fickle: RoutingPolicy = {
      name: 'fickle',
      rank: (candidates, { lastModel }) =>
        (lastModel === undefined ? candidates : candidates.toReversed()).map((candidate) => ({ candidate, reason: 'fickle' })),
    }
    const task = await open({ models, policy: sticky(fickle) }).createTask({ goal: long })
    expect((await task.start().result).text).toBe('Done.')
    expect(calls()).toEqual({ first: 2, other: 0 })
    expect((await dataOf(task, 'model.called'))[1]?.why[0]).toMatchObject({ model: 'first', reason: 'sticky' })
  })

  it('hedges to the next model where the first is silent', async () => {
    const { models, calls, servers } = await startFleet({
      slow: { steps: [{ text: 'Here at last.', stallAfter: 0 }] },
      quick: { steps: [{ text: 'Done.' }] },
    })
    const task = await open({ models, hedgeAfterMs: 20 }).createTask({ goal: 'x' })
    expect((await task.start().result).text).toBe('Done.')
    expect(calls()).toEqual({ slow: 1, quick: 1 })
    expect(await servers.slow.requests[0]?.ended).toBe('gone')
    expect(await dataOf(task, 'model.failed')).toMatchObject([{ model: 'slow', error: { code: 'HEDGED' } }])
  })
})

import assert from 'node:assert/strict'
import { BatonError } from '../errors.ts'
import type { Consideration } from '../events/model-events.ts'
import { checkEligibility } from '../models/eligibility.ts'
import { estimateRequestTokens } from '../models/estimate-tokens.ts'
import type { Model, ModelInfo, ModelMessage } from '../models/model.ts'
import type { CallOutcome, ModelHealth, Route, RouteRequest, Router } from '../models/router.ts'
import { isCleared } from '../models/sensitivity.ts'
import type { TestFunction } from './conformance.ts'
import { expectRejection } from './conformance.ts'

/** Options of {@link testRouter}. */
export interface TestRouterOptions {
  /** Builds the router under test on these models, which it may not call. */
  create(models: Model[]): Router | Promise<Router>
  /** The most models that it takes. Default: no limit. */
  readonly maxModels?: number | undefined
}

type HealthyRequest = RouteRequest & { readonly health: ReadonlyMap<string, ModelHealth> }

/**
 * The conformance suite of {@link Router}: what every router owes to whoever trusts it with a call. Which of the eligible models it prefers is its own.
 *
 * @param it - `it` of vitest, `test` of node:test, or anything of their shape
 */
export function testRouter(it: TestFunction, options: TestRouterOptions): void {
  /** Runs a check on routers that hold all of these models between them. */
  const withRouters = async (models: Model[], check: (router: Router, models: readonly Model[]) => Promise<void>) => {
    const size = options.maxModels ?? models.length
    for (let at = 0; at < models.length; at += size) {
      const group = models.slice(at, at + size)
      await check(await options.create(group), group)
    }
  }

  const each = (name: string, run: () => { models: Model[]; requests: readonly HealthyRequest[] }) =>
    it(name, async () => {
      const { models, requests } = run()
      await withRouters(models, async (router, group) => {
        for (const request of requests) await checkAnswer(router, group, request)
      })
    })

  it('knows the models that it was created with', () =>
    withRouters(fleet(), async (router, models) => {
      assert.deepEqual(router.models.map(({ id }) => id).sort(), models.map(({ id }) => id).sort())
    }))

  it('offers a model that may and can take the call', async () => {
    const router = await options.create([modelOf('able')])
    for (const request of [requestOf(), requestOf({ budgetUsd: 1 }), requestOf({ sensitivity: 'restricted' })])
      assert.deepEqual(offered(await router.route(request)), ['able'])
  })

  each('never offers a model that is not cleared, whatever the label', () => ({
    models: fleet(),
    requests: labels.map((sensitivity) => requestOf({ sensitivity })),
  }))

  it('rejects with NO_ELIGIBLE_MODEL where no model is cleared, and gives each one a reason', async () => {
    const models = (['public', 'private'] as const).map((location) => modelOf(location, { location }))
    await withRouters(models, async (router, group) => {
      const error = await expectRejection(router.route(requestOf({ sensitivity: 'restricted' })), 'NO_ELIGIBLE_MODEL')
      checkReasons(error.details.considered as readonly Consideration[] | undefined, group)
      for (const { id } of group) assert.ok(error.message.includes(id), `the message names "${id}"`)
    })
  })

  each('offers only models with tool calls where the request has tools', () => ({
    models: [modelOf('able'), modelOf('no-tools', { capabilities: { ...able.capabilities, tools: false } })],
    requests: [requestOf({ request: { messages: [hello], tools: [tool] } })],
  }))

  each('offers only models that read images where the request has one', () => ({
    models: [modelOf('able'), modelOf('no-images', { capabilities: { ...able.capabilities, images: false } })],
    requests: [requestOf({ request: { messages: [hello, picture] } })],
  }))

  each('offers only models that keep to a schema where the request asks for it', () => ({
    models: [modelOf('able'), modelOf('no-schema', { capabilities: { ...able.capabilities, jsonSchema: false } })],
    requests: [requestOf({ request: { messages: [hello], responseSchema: { name: 'x', schema: { type: 'object' } } } })],
  }))

  each('offers only models whose window holds the prompt and the answer', () => ({
    models: [modelOf('small', { contextWindow: 8_000 }), modelOf('large', { contextWindow: 100_000 })],
    requests: [
      requestOf({ estimatedTokens: 20_000 }),
      requestOf({ estimatedTokens: 7_000, request: { messages: [hello], maxOutputTokens: 4_000 } }),
    ],
  }))

  each('under a cost limit never offers a model of unknown price', () => ({
    models: [modelOf('unknown', { price: undefined }), modelOf('known')],
    requests: [requestOf({ budgetUsd: 1_000 }), requestOf({ budgetUsd: 0 })],
  }))

  each('never offers a model whose prompt alone costs more than is left', () => ({
    models: [modelOf('dear', { price: { input: 1_000, output: 1 } }), modelOf('free', { price: { input: 0, output: 0 } })],
    requests: [requestOf({ estimatedTokens: 10_000, budgetUsd: 0.5 }), requestOf({ estimatedTokens: 10_000, budgetUsd: 0 })],
  }))

  each('considers every model exactly once, and ranks those that it offers', () => ({
    models: fleet(),
    requests: labels.map((sensitivity) => requestOf({ sensitivity })),
  }))

  each('answers right in generated cases', () => ({ models: fleet(), requests: generated(200) }))

  it('still offers its models when all of them are down: the executor waits', () =>
    withRouters([modelOf('a'), modelOf('b')], async (router) => {
      for (const breaker of ['open', 'half-open', 'probing'] as const) {
        const down = { breaker, failuresInARow: 9, retryAt: 4e12 }
        const route = await router.route(requestOf({ health: new Map(router.models.map(({ id }) => [id, down])) }))
        assert.ok(route.attempts.length > 0, `offers a model whose breaker is ${breaker}`)
      }
    }))

  it('calls no model', async () => {
    const calls: string[] = []
    const models = fleet(calls)
    await withRouters(models, async (router) => {
      for (const request of generated(50)) await router.route(request).catch(() => {})
    })
    // One that calls without waiting for it would do so by now.
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(calls, [])
  })

  it('answers the same to the same question', () =>
    withRouters(fleet(), async (router) => {
      for (const request of generated(30)) {
        const [first, second] = [await answer(router, request), await answer(router, structuredClone(request))]
        assert.deepEqual(second, first)
      }
    }))

  it('changes nothing of the question', () =>
    withRouters(fleet(), async (router) => {
      for (const request of generated(30)) {
        const before = structuredClone(request)
        await router.route(request).catch(() => {})
        assert.deepEqual(request, before)
        await answer(router, deepFreeze(request))
      }
    }))

  it('keeps questions that are asked at the same time apart', () =>
    withRouters(fleet(), async (router) => {
      const requests = generated(30)
      const alone: unknown[] = []
      for (const request of requests) alone.push(await answer(router, request))
      assert.deepEqual(await Promise.all(requests.map((request) => answer(router, request))), alone)
    }))

  it('stays right after it was told outcomes, of models that it does not know too', () =>
    withRouters(fleet(), async (router, models) => {
      for (const model of [...models.map(({ id }) => id), 'nobody/knows'])
        for (const result of ['ok', 'failed', 'not-accepted'] as const) router.observe?.(outcomeOf(model, result))
      for (const request of generated(50)) await checkAnswer(router, models, request)
    }))
}

/** Whatever a router prefers: a route of eligible models with every model considered, or an error that says why of each. */
async function checkAnswer(router: Router, models: readonly Model[], request: HealthyRequest): Promise<void> {
  const eligible = models.filter((model) => !checkEligibility(model, request))
  if (eligible.length === 0) {
    const error = await expectRejection(router.route(request), 'NO_ELIGIBLE_MODEL')
    checkReasons(error.details.considered as readonly Consideration[] | undefined, models)
    return
  }
  const route = await router.route(request)
  const ids = offered(route)
  for (const { model } of route.attempts) {
    assert.ok(isCleared(model.info, request.sensitivity), `${model.id} is not cleared for ${request.sensitivity}, and was offered`)
    const refusal = checkEligibility(model, request)
    assert.equal(refusal, undefined, `${model.id} was offered, though it is ${refusal?.reason}: ${refusal?.detail}`)
    assert.ok(models.includes(model), `${model.id} is none of the router's models`)
  }
  assert.ok(ids.length > 0, 'a route has at least one attempt; without one, route rejects with NO_ELIGIBLE_MODEL')
  checkReasons(route.considered, models)
  const ranked = route.considered.filter(({ rank }) => rank !== undefined).sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0))
  assert.deepEqual(
    ranked.map(({ rank }) => rank),
    ranked.map((_, index) => index + 1),
    'ranks are 1, 2, 3 …',
  )
  assert.deepEqual(
    ranked.map(({ model }) => model).filter((id) => ids.includes(id)),
    ids,
    'attempts are in the order of their ranks',
  )
  for (const { model } of ranked)
    assert.ok(
      eligible.some(({ id }) => id === model),
      `${model} has a rank, though it is not eligible`,
    )
}

function checkReasons(considered: readonly Consideration[] | undefined, models: readonly Model[]): void {
  assert.ok(Array.isArray(considered), 'tells what it considered')
  assert.deepEqual(considered.map(({ model }) => model).sort(), models.map(({ id }) => id).sort(), 'considers every model exactly once')
  for (const { model, reason } of considered) assert.match(reason ?? '', /^[a-z][a-z0-9-]*$/, `gives ${model} a reason, a stable word`)
}

function offered(route: Route): string[] {
  return [...new Set(route.attempts.map(({ model }) => model.id))]
}

/** What a router said, in plain values. */
async function answer(router: Router, request: HealthyRequest): Promise<unknown> {
  try {
    const route = await router.route(request)
    return { attempts: route.attempts.map(({ model }) => model.id), considered: route.considered }
  } catch (error) {
    if (!BatonError.isInstance(error, 'NO_ELIGIBLE_MODEL')) throw error
    return { code: error.code, considered: error.details.considered }
  }
}

const labels = ['public', 'internal', 'confidential', 'restricted'] as const
const hello: ModelMessage = { role: 'user', parts: [{ type: 'text', text: 'hello' }] }
const picture: ModelMessage = { role: 'user', parts: [{ type: 'image', mediaType: 'image/png', data: new Uint8Array([1, 2, 3]) }] }
const tool = { name: 'read', description: 'Reads a file.', parameters: { type: 'object' } }
const able: ModelInfo = {
  contextWindow: 100_000,
  capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: false },
  price: { input: 1, output: 5 },
  location: 'local',
}

function modelOf(id: string, info: { [K in keyof ModelInfo]?: ModelInfo[K] | undefined } = {}, calls: string[] = []): Model {
  const { price, ...rest } = { ...able, ...info }
  return {
    id,
    info: { ...rest, ...(price && { price }) } as ModelInfo,
    generate() {
      calls.push(id)
      throw new Error(`the router called ${id}`)
    },
  }
}

/** Models that differ in everything that decides on eligibility. */
function fleet(calls: string[] = []): Model[] {
  const { capabilities } = able
  return [
    modelOf('local/able', {}, calls),
    modelOf('local/held-back', { clearance: 'public' }, calls),
    modelOf('private/able', { location: 'private' }, calls),
    modelOf('cloud/able', { location: 'public' }, calls),
    modelOf('cloud/trusted', { location: 'public', clearance: 'restricted' }, calls),
    modelOf('cloud/plain', { location: 'public', capabilities: { ...capabilities, tools: false, images: false } }, calls),
    modelOf('cloud/dear', { location: 'public', price: { input: 500, output: 2_000 }, contextWindow: 1_000_000 }, calls),
    modelOf('local/unpriced', { price: undefined, contextWindow: 16_000 }, calls),
  ]
}

function requestOf(changes: Partial<HealthyRequest> = {}): HealthyRequest {
  const request = changes.request ?? { messages: [hello] }
  return {
    taskId: 'task',
    role: 'code',
    request,
    sensitivity: 'internal',
    estimatedTokens: estimateRequestTokens(request),
    health: new Map(),
    ...changes,
  }
}

/** The same cases in every run, spread over everything that a router can be asked. */
function generated(count: number): HealthyRequest[] {
  let state = 42
  const pick = <T>(...from: readonly T[]): T => {
    // Numerical Recipes' linear congruential generator: enough to spread cases, and the same everywhere.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return from[Math.floor((state / 2 ** 32) * from.length)] as T
  }
  return Array.from({ length: count }, () => {
    const request = {
      messages: pick([hello], [hello, picture], [{ role: 'system' as const, text: 'Be brief.' }, hello]),
      ...pick({}, { tools: [tool] }),
      ...pick({}, { maxOutputTokens: 8_000 }),
    }
    const health = new Map<string, ModelHealth>(
      fleet()
        .filter(() => pick(true, false))
        .map(({ id }) => [
          id,
          { breaker: pick('closed', 'open', 'half-open', 'probing'), failuresInARow: pick(0, 3), firstChunkMs: pick(10, 900) },
        ]),
    )
    return requestOf({
      request,
      health,
      role: pick('code', 'plan', 'summarize'),
      sensitivity: pick(...labels),
      estimatedTokens: pick(10, 12_000, 90_000, 400_000),
      ...pick<Partial<RouteRequest>>({}, { budgetUsd: 0 }, { budgetUsd: 0.05 }, { budgetUsd: 100 }),
      ...pick<Partial<RouteRequest>>({}, { lastModel: 'cloud/able' }, { previous: [outcomeOf('local/able', 'not-accepted')] }),
    })
  })
}

function outcomeOf(model: string, result: CallOutcome['result']): CallOutcome {
  return {
    taskId: 'task',
    role: 'code',
    model,
    result,
    ms: 100,
    ...(result !== 'ok' && { error: { code: 'MODEL_FAILED', message: 'no' } }),
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  for (const each of Object.values(value)) deepFreeze(each)
  return Object.freeze(value)
}

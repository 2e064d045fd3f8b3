import { describe, expect, it } from 'vitest'
import { checkEligibility, noEligibleModel } from '../models/eligibility.ts'
import type { Model } from '../models/model.ts'
import type { ModelHealth, Route, RouteRequest, Router } from '../models/router.ts'
import { testRouter } from './test-router.ts'

type Asked = RouteRequest & { health: ReadonlyMap<string, ModelHealth> }

/** A plain ranking: eligible models in the order given. */
function rank(models: readonly Model[], request: RouteRequest, eligible = (model: Model) => !checkEligibility(model, request)): Route {
  let place = 0
  const considered = models.map((model) =>
    eligible(model)
      ? { model: model.id, rank: ++place, reason: 'in-order' }
      : (checkEligibility(model, request) ?? { model: model.id, reason: 'out' }),
  )
  if (place === 0) throw noEligibleModel(considered)
  return { attempts: models.filter(eligible).map((model) => ({ model })), considered }
}

/** A router that answers by a function. */
function routing(route: (models: readonly Model[], request: Asked) => Route | Promise<Route>): (models: Model[]) => Router {
  return (models) => ({ models, route: async (request) => route(models, request) })
}

/** Names of the suite's tests that fail. */
async function failing(create: (models: Model[]) => Router): Promise<string[]> {
  const tests: [string, () => Promise<void>][] = []
  testRouter((name, run) => tests.push([name, run]), { create })
  const failed: string[] = []
  for (const [name, run] of tests)
    await run().catch(() => {
      failed.push(name)
    })
  return failed
}

/** Eligible but for one of the filters. */
const careless = (reason: string) =>
  routing((models, request) => rank(models, request, (model) => [undefined, reason].includes(checkEligibility(model, request)?.reason)))

describe('testRouter', () => {
  it('passes a right router of many models', async () => {
    expect(await failing(routing((models, request) => rank(models, request)))).toEqual([])
  })

  const broken: Record<string, [(models: Model[]) => Router, string]> = {
    'offers models that are not cleared': [careless('not-cleared'), 'never offers a model that is not cleared, whatever the label'],
    'falls back to the cloud where nothing is cleared': [
      routing((models, request) => {
        try {
          return rank(models, request)
        } catch {
          return {
            attempts: models.map((model) => ({ model })),
            considered: models.map(({ id }, at) => ({ model: id, rank: at + 1, reason: 'fallback' })),
          }
        }
      }),
      'rejects with NO_ELIGIBLE_MODEL where no model is cleared, and gives each one a reason',
    ],
    'ignores tools': [careless('lacks-tools'), 'offers only models with tool calls where the request has tools'],
    'ignores images': [careless('lacks-images'), 'offers only models that read images where the request has one'],
    'ignores schemas': [careless('lacks-json-schema'), 'offers only models that keep to a schema where the request asks for it'],
    'ignores windows': [careless('window-too-small'), 'offers only models whose window holds the prompt and the answer'],
    'takes an unknown price for free': [careless('price-unknown'), 'under a cost limit never offers a model of unknown price'],
    'ignores the budget': [careless('over-budget'), 'never offers a model whose prompt alone costs more than is left'],
    'offers nothing': [
      routing((models) => {
        throw noEligibleModel(models.map(({ id }) => ({ model: id, reason: 'no' })))
      }),
      'offers a model that may and can take the call',
    ],
    'rejects without reasons': [
      routing((models, request) => {
        try {
          return rank(models, request)
        } catch {
          throw noEligibleModel([])
        }
      }),
      'rejects with NO_ELIGIBLE_MODEL where no model is cleared, and gives each one a reason',
    ],
    'rejects with an error of its own': [
      routing((models, request) => {
        try {
          return rank(models, request)
        } catch {
          throw new Error('nothing')
        }
      }),
      'rejects with NO_ELIGIBLE_MODEL where no model is cleared, and gives each one a reason',
    ],
    'answers with an empty route': [
      routing((models, request) => {
        try {
          return rank(models, request)
        } catch {
          return { attempts: [], considered: models.map(({ id }) => ({ model: id, reason: 'no' })) }
        }
      }),
      'rejects with NO_ELIGIBLE_MODEL where no model is cleared, and gives each one a reason',
    ],
    'considers only what it offers': [
      routing((models, request) => {
        const route = rank(models, request)
        return { ...route, considered: route.considered.filter((each) => each.rank !== undefined) }
      }),
      'considers every model exactly once, and ranks those that it offers',
    ],
    'considers a model twice': [
      routing((models, request) => {
        const route = rank(models, request)
        return { ...route, considered: [...route.considered, ...route.considered.slice(0, 1)] }
      }),
      'considers every model exactly once, and ranks those that it offers',
    ],
    'offers in another order than it ranks': [
      routing((models, request) => {
        const route = rank(models, request)
        return { ...route, attempts: route.attempts.toReversed() }
      }),
      'considers every model exactly once, and ranks those that it offers',
    ],
    'hides a model': [
      (models) => ({ ...routing((all, request) => rank(all, request))(models), models: models.slice(1) }),
      'knows the models that it was created with',
    ],
    'asks a model': [
      routing((models, request) => {
        try {
          models[0]?.generate(request.request, {})
        } catch {
          // Its answer does not matter here.
        }
        return rank(models, request)
      }),
      'calls no model',
    ],
    'takes turns': [
      (models) => {
        let turn = 0
        return routing((all, request) => rank(turn++ % 2 ? all.toReversed() : all, request))(models)
      },
      'answers the same to the same question',
    ],
    'changes the request': [
      routing((models, request) => {
        ;(request.request.messages as unknown[]).push({ role: 'system', text: 'Be brief.' })
        return rank(models, request)
      }),
      'changes nothing of the question',
    ],
    'gives up on models that are down': [
      routing((models, request) =>
        rank(models, request, (model) => !checkEligibility(model, request) && request.health.get(model.id)?.breaker !== 'open'),
      ),
      'still offers its models when all of them are down: the executor waits',
    ],
    'mixes up questions': [
      (models) => {
        let last: RouteRequest
        return routing(async (all, request) => {
          last = request
          await new Promise((resolve) => setImmediate(resolve))
          return rank(all, last)
        })(models)
      },
      'keeps questions that are asked at the same time apart',
    ],
    'trusts a model more once it did well': [
      (models) => {
        const good = new Set<string>()
        const route = routing((all, request) => rank(all, request, (model) => good.has(model.id) || !checkEligibility(model, request)))(
          models,
        )
        return { ...route, observe: ({ model, result }) => void (result === 'ok' && good.add(model)) }
      },
      'stays right after it was told outcomes, of models that it does not know too',
    ],
  }

  it.each(Object.entries(broken))('fails a router that %s', async (_, [create, name]) => {
    expect(await failing(create)).toContain(name)
  })
})

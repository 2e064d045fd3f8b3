import type { Model } from '@baton-sdk/core'
import type { ModelErrorKind } from '@baton-sdk/core/plugin'
import type { ScriptedServer } from '@baton-sdk/core/testing'
import { startScriptedServer, testRouter } from '@baton-sdk/core/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createOpenAIModel } from '../openai-model.ts'
import { byRole } from './policies/by-role.ts'
import { cascade } from './policies/cascade.ts'
import { cheapest } from './policies/cheapest.ts'
import { localFirst } from './policies/local-first.ts'
import { sticky } from './policies/sticky.ts'
import { createRouter } from './router.ts'
import type { PlayOptions, Schedule } from './testing/play-schedule.ts'
import { playSchedule } from './testing/play-schedule.ts'
import { modelOf } from './testing/routing-fixtures.ts'
import type { PolicyOf } from './testing/sample-policies.ts'
import { leaves } from './testing/sample-policies.ts'
import type { Act, Actor, World } from './testing/world.ts'
import { infoOf, inProcess } from './testing/world.ts'
import { acceptJudge } from './verifiers/accept-judge.ts'
import type { Verifier } from './verifiers/verifier.ts'

/** Policies made of policies, to some depth. */
const anyPolicy: fc.Arbitrary<PolicyOf> = fc.letrec<{ policy: PolicyOf }>((tie) => {
  const inner = tie('policy')
  const pair = fc.tuple(inner, inner)
  const rate = fc.double({ min: 0, max: 1, noNaN: true })
  return {
    policy: fc.oneof(
      { depthSize: 'small', maxDepth: 4 },
      fc.constantFrom(...Object.values(leaves)),
      inner.map(
        (of): PolicyOf =>
          (...given) =>
            localFirst(of(...given)),
      ),
      fc.tuple(inner, fc.integer({ min: 1, max: 20 })).map(
        ([of, expectedCalls]): PolicyOf =>
          (...given) =>
            sticky(of(...given) ?? cheapest(), { expectedCalls }),
      ),
      pair.map(
        ([a, b]): PolicyOf =>
          (ids, verify) =>
            byRole({ code: a(ids, verify) ?? ids, summarize: ids.slice(-1) }, b(ids, verify)),
      ),
      fc.tuple(pair, rate, fc.boolean()).map(
        ([[a, b], truePositiveRate, verified]): PolicyOf =>
          (ids, verify) =>
            cascade({ cheap: a(ids, verify) ?? ids, strong: b(ids, verify) ?? ids, truePositiveRate, ...(verified && { verify }) }),
      ),
    ),
  }
}).policy

const verify = acceptJudge({ model: modelOf('judge') })

describe('createRouter with any composition of policies', () => {
  it('keeps to the conformance suite', async () => {
    await fc.assert(
      fc.asyncProperty(anyPolicy, async (policyOf) => {
        const checks: Promise<unknown>[] = []
        testRouter((_, run) => checks.push(Promise.resolve().then(run)), {
          create: (models) =>
            createRouter({
              models,
              policy: policyOf(
                models.map(({ id }) => id),
                verify,
              ),
            }),
        })
        await Promise.all(checks)
      }),
      { numRuns: 60 },
    )
  })
})

const kinds: readonly ModelErrorKind[] = [
  'rate-limited',
  'server',
  'network',
  'unauthorized',
  'context-too-long',
  'bad-request',
  'cut-stream',
]
const secrecy = fc.constantFrom('public' as const, 'internal' as const, 'confidential' as const, 'restricted' as const)
const anySecrecy = fc.oneof({ weight: 8, arbitrary: secrecy }, { weight: 1, arbitrary: fc.constant('unknowable' as const) })
const few = fc.integer({ min: 0, max: 3 })

/** In one of so many cases. */
function seldom<T>(cases: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.oneof({ weight: cases - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary })
}

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<Act>({ do: 'say' }, { do: 'echo' }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('fetch' as const), secrecy: anySecrecy, padding: fc.constantFrom(0, 0, 3_000, 9_000) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('deploy' as const), count: fc.integer({ min: 1, max: 2 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('fail' as const), kind: fc.constantFrom(...kinds) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('cut' as const, 'stall' as const), after: few }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('slow' as const), ms: fc.constantFrom(5, 15) }) },
  { weight: 1, arbitrary: fc.constant<Act>({ do: 'malformed' }) },
)
const info = fc.record(
  {
    location: fc.constantFrom('local' as const, 'private' as const, 'public' as const),
    contextWindow: fc.constantFrom(4_000, 200_000),
    clearance: secrecy,
    price: fc.constantFrom({ input: 0, output: 0 }, { input: 5, output: 20 }, { input: 50, output: 200, cachedInput: 5 }),
  },
  { requiredKeys: ['location', 'contextWindow'] },
)
/** One in six is down from the beginning to the end, so that its breaker opens. */
const acts = fc.oneof(
  { weight: 5, arbitrary: fc.array(act, { minLength: 1, maxLength: 5 }) },
  { weight: 1, arbitrary: fc.constant<Act[]>([{ do: 'fail', kind: 'server' }]) },
)
const actors: fc.Arbitrary<Actor[]> = fc
  .array(fc.record({ info, acts }), { minLength: 2, maxLength: 5 })
  .map((all) => all.map((each, at) => ({ id: `model-${at}`, rulings: [], ...each })))
const judges: fc.Arbitrary<Actor[]> = fc
  .array(
    fc.record({
      info: info.map((given) => ({ ...given, contextWindow: 200_000 })),
      rulings: fc.array(
        fc.constantFrom(
          'yes' as const,
          'yes' as const,
          'no' as const,
          'no' as const,
          'nonsense' as const,
          'fail' as const,
          'stall' as const,
        ),
        { minLength: 1, maxLength: 4 },
      ),
    }),
    { minLength: 1, maxLength: 2 },
  )
  .map((all) => all.map((each, at) => ({ id: `judge-${at}`, acts: [], ...each })))

/** What most of a schedule's surprises come from. */
const anyCascade: fc.Arbitrary<PolicyOf> = fc.record({ verified: fc.boolean(), sticks: fc.boolean(), swapped: fc.boolean() }).map(
  ({ verified, sticks, swapped }): PolicyOf =>
    (ids, verify) => {
      const [cheap, strong] = swapped ? [ids.slice(1), ids.slice(0, 1)] : [ids.slice(0, 1), ids.slice(1)]
      const policy = cascade({ cheap, strong, falsePositiveRate: 0, ...(verified && { verify }) })
      return sticks ? sticky(policy) : policy
    },
)

const schedule: fc.Arbitrary<Schedule> = fc.record({
  actors,
  judges,
  policyOf: fc.oneof({ weight: 2, arbitrary: anyPolicy }, { weight: 2, arbitrary: anyCascade }),
  leaky: seldom(4, fc.nat({ max: 6 })),
  hedgeAfterMs: fc.constantFrom(undefined, 1, 4),
  sensitivity: fc.constantFrom('public' as const, 'internal' as const, 'internal' as const, 'confidential' as const, 'restricted' as const),
  budgetUsd: fc.constantFrom(undefined, undefined, 0, 0.01, 0.05, 0.2),
  check: seldom(2, fc.record({ failures: few, prints: secrecy })),
  messages: fc.array(fc.record({ at: fc.integer({ min: 1, max: 10 }), secrecy: anySecrecy }), { maxLength: 2 }),
  cancelAt: seldom(8, fc.integer({ min: 1, max: 8 })),
  runs: fc.integer({ min: 1, max: 2 }),
})

/** Plays many schedules, so many at once, and counts in how many each thing happened. */
async function playMany(batches: number, atOnce: number, options: PlayOptions): Promise<(word: string) => number> {
  const happened = new Map<string, number>()
  await fc.assert(
    fc.asyncProperty(fc.array(schedule, { minLength: atOnce, maxLength: atOnce }), async (schedules) => {
      const played = await Promise.all(schedules.map((each) => playSchedule(each, options)))
      expect(played.flatMap(({ violations }) => violations)).toEqual([])
      for (const { happened: words } of played) for (const word of new Set(words)) happened.set(word, (happened.get(word) ?? 0) + 1)
    }),
    { numRuns: batches, endOnFailure: true },
  )
  return (word) => happened.get(word) ?? 0
}

/** The violations in so many schedules, which are the same in every run. */
async function violationsIn(count: number, options: Partial<PlayOptions>): Promise<string[]> {
  const schedules = fc.sample(schedule, { numRuns: count, seed: 7 })
  const played = await Promise.all(schedules.map((each) => playSchedule(each, { modelOf: inProcess, timing, ...options })))
  return played.flatMap(({ violations }) => violations)
}

const timing = {
  triesPerAttempt: 2,
  backoffBaseMs: 1,
  backoffCapMs: 2,
  maxWaitMs: 5,
  firstChunkMs: 100,
  betweenChunksMs: 100,
  verdictMs: 300,
}

/** What has to have happened in many of the schedules, or they show nothing. */
const wanted = [
  ...['done', 'limit', 'failed', 'cancelled', 'NO_ELIGIBLE_MODEL', 'context.compacted', 'tool.finished', 'message.sent'],
  ...['NOT_CLEARED', 'OVER_BUDGET', 'PRICE_UNKNOWN', 'NOT_ACCEPTED', 'HEDGED', 'MODEL_FAILED', 'OPEN'],
  ...['judged', 'escalated', 'cheap-first', 'verifier-unavailable', 'cascade-not-worth-it', 'sticky', 'unhealthy', 'not-cleared'],
]

describe('tasks under random schedules of secrets, failures, escalations, hedges and budget ends', { timeout: 900_000 }, () => {
  it('send nothing to a model that is not cleared, do nothing twice, come to an end and keep to their budget: 2,000 in this process', async () => {
    const count = await playMany(80, 25, { modelOf: inProcess, timing })
    expect(wanted.map((word) => [word, count(word)]).filter(([, times]) => (times as number) < 5)).toEqual([])
  })

  describe('over HTTP, with a server for each model', () => {
    const worlds = new Map<string, { readonly world: World; readonly actors: Map<string, Actor> }>()
    const ids = ['model-0', 'model-1', 'model-2', 'model-3', 'model-4', 'judge-0', 'judge-1']
    const servers = new Map<string, ScriptedServer>()
    let worldIds = 0

    beforeAll(async () => {
      for (const id of ids) {
        const server = await startScriptedServer(
          ({ body }) => {
            const [worldId = ''] = String(body.model).split('/')
            const { world, actors } = worlds.get(worldId) as { world: World; actors: Map<string, Actor> }
            return world.receive(actors.get(id) as Actor, JSON.stringify(body))
          },
          { record: false },
        )
        servers.set(id, server)
      }
    })
    afterAll(() => Promise.all([...servers.values()].map((server) => server.close())))

    /** The name of the model at the endpoint says whose world it is. */
    function overHttp(world: World, actor: Actor) {
      let [entry] = [...worlds].filter(([, each]) => each.world === world)
      if (!entry) {
        entry = [`w${++worldIds}`, { world, actors: new Map() }]
        worlds.set(...entry)
      }
      entry[1].actors.set(actor.id, actor)
      const baseUrl = servers.get(actor.id)?.url as string
      return createOpenAIModel({ id: actor.id, model: `${entry[0]}/${actor.id}`, baseUrl, info: infoOf(actor) })
    }

    // Three minutes for all 2,000: BATON_SCHEDULES=2000.
    const schedules = Number(process.env.BATON_SCHEDULES ?? 250)

    it(`keep to the same: ${schedules}`, async () => {
      const patient = { ...timing, firstChunkMs: 1_000, betweenChunksMs: 300 }
      const count = await playMany(schedules / 10, 10, { modelOf: overHttp, timing: patient })
      const seen = ['done', 'limit', 'failed', 'NO_ELIGIBLE_MODEL', 'NOT_CLEARED', 'NOT_ACCEPTED', 'MODEL_FAILED', 'judged', 'not-cleared']
      expect(seen.map((word) => [word, count(word)]).filter(([, times]) => (times as number) < 3)).toEqual([])
      expect([...servers.values()].flatMap(({ problems }) => problems)).toEqual([])
    })
  })

  it('would tell of a classifier that sees nothing', async () => {
    expect(await violationsIn(40, { classify: () => 'public' })).toContainEqual(expect.stringMatching(/cleared up to \w+, was sent <</))
  })

  it('would tell of a judge that looks at no clearance', async () => {
    const blabbing = ([judge]: readonly Model[]): Verifier => ({
      name: 'blabbing',
      async verify(_, { request }) {
        for await (const chunk of (judge as Model).generate(request, {})) if (chunk.type === 'finish') break
        return { accepted: true }
      },
    })
    expect(await violationsIn(80, { verifierOf: blabbing })).toContainEqual(expect.stringMatching(/^judge-0, cleared up to/))
  })
})

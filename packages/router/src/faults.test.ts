import type { Event, Tool } from '@baton-sdk/core'
import { createBaton, createMemoryEventStore, createPolicy, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import type { ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createOpenAIModel } from './openai-model.ts'

/** Schedules in one go of fast-check, at the same time. */
const together = 10
const goes = 40
/** After so long a schedule counts as hung. */
const watchdogMs = 60_000

const timing = { triesPerAttempt: 3, backoffBaseMs: 2, backoffCapMs: 8, maxWaitMs: 200, firstChunkMs: 400, betweenChunksMs: 300 }

/** Ways in which a send fails, and how that may be told; a busy machine may find each of them too slow. */
const faults = {
  'rate limit': { step: { error: { kind: 'rate-limited', retryAfterMs: 8 } }, kinds: ['rate-limited'] },
  'rate limit without a time': {
    step: { status: 429, headers: { 'retry-after': '0' }, body: { error: { message: 'Slow down.' } } },
    kinds: ['rate-limited'],
  },
  'rate limit for an hour': { step: { error: { kind: 'rate-limited', retryAfterMs: 3_600_000 } }, kinds: ['rate-limited'] },
  'server error': { step: { error: { kind: 'server' } }, kinds: ['server'] },
  'gateway page': { step: { status: 502, body: '<html>Bad gateway</html>' }, kinds: ['server', 'overloaded'] },
  overload: { step: { error: { kind: 'overloaded' } }, kinds: ['overloaded'] },
  reset: { step: { error: { kind: 'network' } }, kinds: ['network'] },
  'malformed stream': { step: { chunks: ['{"id":"x","object":"chat.completion.chunk","cho'] }, kinds: ['server'] },
  'stream of nonsense': { step: { chunks: ['[1,2]', '"text"', 'null'] }, kinds: ['server', 'cut-stream'] },
  cut: { step: 'cut', kinds: ['cut-stream', 'network'] },
  stall: { step: 'stall', kinds: ['timeout'] },
  unauthorized: { step: { error: { kind: 'unauthorized' } }, kinds: ['unauthorized'] },
  'bad request': { step: { error: { kind: 'bad-request' } }, kinds: ['bad-request'] },
} as const satisfies Record<string, { step: ServerStep | 'cut' | 'stall'; kinds: readonly string[] }>

interface Fault {
  readonly name: keyof typeof faults
  /** Of a reply that is cut or stalls: after how many events. */
  readonly after: number
}

interface Turn {
  readonly calls: readonly { readonly tool: 'look' | 'change' | 'command'; readonly how: 'right' | 'fails' | 'malformed' | 'wrong' }[]
  /** What happens to the sends before one succeeds. */
  readonly faults: readonly Fault[]
}

interface Schedule {
  readonly api: 'chat' | 'responses'
  readonly turns: readonly Turn[]
  /** Of the sends of the last words. */
  readonly lastFaults: readonly Fault[]
}

const fault = fc.record<Fault>({
  name: fc.oneof(
    {
      weight: 20,
      arbitrary: fc.constantFrom(...(Object.keys(faults) as Fault['name'][]).filter((name) => !/hour|unauth|bad|stall/.test(name))),
    },
    { weight: 2, arbitrary: fc.constant<Fault['name']>('stall') },
    { weight: 1, arbitrary: fc.constantFrom<Fault['name']>('rate limit for an hour', 'unauthorized', 'bad request') },
  ),
  after: fc.integer({ min: 0, max: 2 }),
})
const severalFaults = fc.oneof(
  { weight: 5, arbitrary: fc.constant([]) },
  { weight: 6, arbitrary: fc.array(fault, { minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.array(fault, { minLength: 3, maxLength: 4 }) },
)
const schedule = fc.record<Schedule>({
  api: fc.constantFrom('chat', 'responses'),
  turns: fc.array(
    fc.record<Turn>({
      calls: fc.array(
        fc.record<Turn['calls'][number]>({
          tool: fc.constantFrom('look', 'change', 'command'),
          how: fc.oneof(
            { weight: 6, arbitrary: fc.constant('right' as const) },
            { weight: 1, arbitrary: fc.constantFrom('fails' as const, 'malformed' as const, 'wrong' as const) },
          ),
        }),
        { minLength: 1, maxLength: 4 },
      ),
      faults: severalFaults,
    }),
    { minLength: 1, maxLength: 4 },
  ),
  lastFaults: severalFaults,
})

/** How often a step ran. */
type Runs = Map<string, number>

function createTools(runs: Runs): Tool[] {
  const tool = (name: Turn['calls'][number]['tool'], effect: Tool['effect']): Tool =>
    defineTool({
      name,
      description: `Does ${name}.`,
      effect,
      input: z.object({ step: z.string(), fails: z.boolean().optional() }),
      async run({ step, fails }) {
        runs.set(step, (runs.get(step) ?? 0) + 1)
        // Lets calls that run together overlap.
        await new Promise((resolve) => setImmediate(resolve))
        if (fails) throw new Error(`${name} failed`)
        return `${name} did ${step}`
      },
    })
  return [tool('look', 'read'), tool('change', 'write'), tool('command', 'execute')]
}

function replyOf({ turns }: Schedule, turn: number): Extract<ServerStep, { text?: unknown }> {
  const { calls } = turns[turn] ?? {}
  if (!calls) return { text: 'All is done.' }
  return {
    text: 'Next.',
    toolCalls: calls.map(({ tool, how }, index) => {
      const step = `${turn}-${index}`
      if (how === 'malformed') return { tool, arguments: `{"step": "${step}` }
      return { tool, input: how === 'wrong' ? { steps: [step] } : { step, ...(how === 'fails' && { fails: true }) } }
    }),
  }
}

function stepOf({ name, after }: Fault, reply: Extract<ServerStep, { text?: unknown }>): ServerStep {
  const { step } = faults[name]
  if (step === 'cut') return { ...reply, cutAfter: after }
  if (step === 'stall') return { ...reply, stallAfter: after }
  return step
}

interface Played {
  readonly log: readonly Event[]
  readonly runs: Runs
  readonly served: readonly Fault['name'][]
  readonly requests: number
  readonly problems: readonly unknown[]
}

/** Plays a schedule; a run that failed is started once more, as a person would. */
async function play(plan: Schedule): Promise<Played> {
  const served: Fault['name'][] = []
  const sends: number[] = []
  const server = await startScriptedServer(({ turn }) => {
    const nth = sends[turn] ?? 0
    sends[turn] = nth + 1
    const planned = (plan.turns[turn]?.faults ?? plan.lastFaults)[nth]
    if (!planned) return replyOf(plan, turn)
    served.push(planned.name)
    return stepOf(planned, replyOf(plan, turn))
  })
  const store = createMemoryEventStore()
  const runs: Runs = new Map()
  const baton = createBaton({
    store,
    router: createSingleModelRouter(createOpenAIModel({ model: 'scripted', baseUrl: server.url, apiKey: false, api: plan.api })),
    tools: createTools(runs),
    policy: createPolicy({ rules: [{ decision: 'allow' }] }),
    timing,
  })
  try {
    const task = await baton.createTask({ goal: 'Do all steps.' })
    for (let run = 0; run < 2; run++) {
      const { outcome } = await task.start().result
      if (outcome === 'done') break
    }
    const log: Event[] = []
    for await (const event of store.read(task.id)) log.push(event as Event)
    return { log, runs, served, requests: server.requests.length, problems: server.problems }
  } finally {
    await baton.close()
    await server.close()
  }
}

async function watched<T>(playing: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const hung = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`hung: no end after ${watchdogMs} ms`)), watchdogMs)
  })
  return Promise.race([playing, hung]).finally(() => clearTimeout(timer))
}

function of<T extends Event['type']>(log: readonly Event[], type: T): readonly Event<T>[] {
  return log.filter((event) => event.type === type) as unknown as readonly Event<T>[]
}

function checkPlayed(plan: Schedule, played: Played): void {
  try {
    check(plan, played)
  } catch (error) {
    throw new Error(`a schedule did not go right: ${JSON.stringify(plan)}, where the server played ${played.served.join(', ')}`, {
      cause: error,
    })
  }
}

function check(plan: Schedule, { log, runs, served, requests, problems }: Played): void {
  expect(problems).toEqual([])
  checkRuns(plan, log)
  checkAttempts(log, served, requests)
  for (const [step, count] of runs) expect({ step, count }).toEqual({ step, count: 1 })
  checkCalls(log)
  if (of(log, 'run.finished').at(-1)?.data.outcome !== 'done') return
  const expected = plan.turns.flatMap(({ calls }, turn) =>
    calls.flatMap(({ how }, index) => (how === 'right' || how === 'fails' ? [`${turn}-${index}`] : [])),
  )
  expect([...runs.keys()].sort()).toEqual(expected.sort())
}

/** Each run ends once: done, or failed with a typed error when and only when a model call failed for good. */
function checkRuns({ turns }: Schedule, log: readonly Event[]): void {
  const started = of(log, 'run.started')
  const finished = of(log, 'run.finished')
  expect(finished.map(({ data }) => data.runId)).toEqual(started.map(({ data }) => data.runId))
  for (const [index, { data, seq }] of finished.entries()) {
    const inside = of(log, 'model.failed').filter((event) => event.seq < seq && event.seq > (started[index]?.seq ?? 0))
    if (data.outcome === 'done') {
      expect(data.text).toBe('All is done.')
      expect(inside.filter(({ data: { final } }) => final)).toEqual([])
      expect(of(log, 'model.finished').length).toBe(turns.length + 1)
    } else {
      expect(data).toMatchObject({ outcome: 'failed', error: { code: 'MODEL_FAILED', message: expect.stringMatching(/./) } })
      expect(inside.filter(({ data: { final } }) => final).length).toBe(1)
    }
  }
}

/** Every send has one event, and every failure that the server played is in the log under its kind. */
function checkAttempts(log: readonly Event[], served: readonly Fault['name'][], requests: number): void {
  const failed = of(log, 'model.failed')
  const finished = of(log, 'model.finished')
  const sent = failed.filter(({ data }) => data.error.code === 'MODEL_FAILED')
  expect(finished.length + sent.length).toBe(requests)
  const attempts = [...failed, ...finished].map(({ data: { modelCallId, attempt } }) => `${modelCallId} ${attempt}`)
  expect(new Set(attempts).size).toBe(attempts.length)
  const left = sent.map(({ data }) => String(data.error.details?.kind))
  const take = (kinds: readonly string[]): boolean => {
    const at = left.findIndex((kind) => kinds.includes(kind))
    if (at >= 0) left.splice(at, 1)
    return at >= 0
  }
  const slow = served.filter((name) => !take(faults[name].kinds))
  for (const name of slow) expect({ name, inLog: take(['timeout']), left }).toEqual({ name, inLog: true, left: expect.anything() })
  // What is left are replies that came too slowly.
  for (const kind of left) expect(kind).toBe('timeout')
}

/** Each call that was taken from a reply has one outcome. */
function checkCalls(log: readonly Event[]): void {
  const proposed = of(log, 'model.finished').flatMap(({ data }) => data.toolCalls.map(({ callId }) => callId))
  expect(
    of(log, 'tool.finished')
      .map(({ data }) => data.callId)
      .sort(),
  ).toEqual(proposed.sort())
}

describe('a task whose provider fails in every way', () => {
  it(`ends right or with a typed error in ${goes * together} schedules, and does nothing twice`, { timeout: 600_000 }, async () => {
    const tally = { schedules: 0, done: 0, failed: 0, recovered: 0, sends: 0 }
    const seen = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.array(schedule, { minLength: together, maxLength: together }), async (plans) => {
        const all = await Promise.all(plans.map(async (plan) => ({ plan, played: await watched(play(plan)) })))
        for (const { plan, played } of all) {
          checkPlayed(plan, played)
          const outcomes = of(played.log, 'run.finished').map(({ data }) => data.outcome)
          tally.schedules++
          tally.sends += played.requests
          if (outcomes.at(-1) === 'done') tally.done++
          else tally.failed++
          if (outcomes.length > 1 && outcomes.at(-1) === 'done') tally.recovered++
          for (const name of played.served) seen.set(name, (seen.get(name) ?? 0) + 1)
        }
      }),
      // A smaller plan takes too long to find, and the faults of one that failed are in its message.
      { numRuns: goes, endOnFailure: true },
    )
    console.info(tally, Object.fromEntries(seen))
    // The schedules are worth something only where all of this came up.
    expect(tally.schedules).toBeGreaterThanOrEqual(300)
    for (const name of Object.keys(faults)) expect(seen.get(name) ?? 0, name).toBeGreaterThan(0)
    for (const count of [tally.done, tally.failed, tally.recovered]) expect(count).toBeGreaterThan(0)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BatonError } from '../errors.ts'
import type { ModelFailed } from '../events/model-events.ts'
import { ableInfo } from '../testing/fake-model.ts'
import type { VirtualClock } from '../testing/virtual-clock.ts'
import { createVirtualClock } from '../testing/virtual-clock.ts'
import { executeRoute } from './executor.ts'
import { createModelHealthBook } from './health.ts'
import type { Model, ModelChunk, ModelErrorKind } from './model.ts'
import { ModelError } from './model.ts'
import type { CallOutcome } from './router.ts'
import { isCleared } from './sensitivity.ts'

const kinds: readonly ModelErrorKind[] = [
  'rate-limited',
  'overloaded',
  'server',
  'network',
  'timeout',
  'unauthorized',
  'unknown-model',
  'context-too-long',
  'bad-request',
  'quota',
  'content-filter',
]

/** What a model does with one request. */
const fault = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ do: 'answer' as const }) },
  fc.record({
    do: fc.constant('fail' as const),
    kind: fc.constantFrom(...kinds),
    retryAfterMs: fc.option(fc.integer({ min: 0, max: 90_000 })),
  }),
  fc.record({
    do: fc.constantFrom(
      'cut' as const,
      'hang' as const,
      'hang-deaf' as const,
      'stall' as const,
      'malformed' as const,
      'finish-twice' as const,
      'talk-on' as const,
      'throw-odd' as const,
      'throw-at-once' as const,
      'no-stream' as const,
      'slow' as const,
      'no-end' as const,
    ),
  }),
)
type Fault = typeof fault extends fc.Arbitrary<infer T> ? T : never

const model = fc.record({
  faults: fc.array(fault, { minLength: 1, maxLength: 8 }),
  location: fc.constantFrom('local' as const, 'private' as const, 'public' as const),
  priced: fc.boolean(),
  accepts: fc.constantFrom(undefined, true, false, 'throws' as const, 'deaf' as const),
  hedgeAfterMs: fc.constantFrom(undefined, undefined, 0, 1_000, 30_000, 99_999, 200_000),
  requestsPerMinute: fc.constantFrom(undefined, undefined, undefined, 1, 3),
  tokensPerMinute: fc.constantFrom(undefined, undefined, undefined, 500, 4_000),
})

const schedule = fc.record({
  models: fc.array(model, { minLength: 1, maxLength: 4 }),
  sensitivity: fc.constantFrom('public' as const, 'internal' as const, 'confidential' as const, 'restricted' as const),
  budgetUsd: fc.option(fc.constantFrom(0, 0.001, 0.01, 5), { nil: undefined }),
  abortAfterMs: fc.option(fc.integer({ min: 0, max: 300_000 }), { nil: undefined }),
  calls: fc.integer({ min: 1, max: 4 }),
  dice: fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 10 }),
  failuresToOpen: fc.integer({ min: 1, max: 6 }),
  tries: fc.integer({ min: 1, max: 4 }),
})

const usage = { inputTokens: 1_000, outputTokens: 100 }
/** Of each model that has one. */
const promptUsd = 0.001

async function* play(step: Fault, clock: VirtualClock, signal: AbortSignal | undefined): AsyncGenerator<ModelChunk> {
  const finish: ModelChunk = { type: 'finish', reason: 'stop', usage }
  const wait = (ms: number) => new Promise<void>((resolve) => clock.setTimer(resolve, ms))
  const untilAborted = () => new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  if (step.do === 'fail') throw new ModelError(step.kind, 'scheduled', { retryAfterMs: step.retryAfterMs ?? undefined })
  if (step.do === 'hang') await untilAborted()
  if (step.do === 'hang-deaf') await new Promise(() => {})
  if (step.do === 'throw-odd') throw 'a string'
  if (step.do === 'slow') await wait(100_000)
  yield { type: 'text', text: 'half' }
  if (step.do === 'cut') return
  if (step.do === 'stall') await untilAborted()
  if (step.do === 'slow') await wait(50_000)
  if (step.do === 'malformed') yield { type: 'tool-call', index: 0, name: 'x', arguments: '{"' }
  yield { type: 'text', text: ' whole' }
  yield finish
  if (step.do === 'finish-twice') yield finish
  if (step.do === 'talk-on') yield { type: 'text', text: 'more' }
  if (step.do === 'no-end') await untilAborted()
}

type Schedule = typeof schedule extends fc.Arbitrary<infer T> ? T : never

/** Runs the calls of one schedule at the same time, over one health book, with a router that offers everything. */
async function runSchedule({ models, sensitivity, budgetUsd, abortAfterMs, calls, dice, failuresToOpen, tries }: Schedule): Promise<void> {
  const clock = createVirtualClock()
  let thrown = 0
  const random = () => dice[thrown++ % dice.length] ?? 0
  const health = createModelHealthBook({ failuresToOpen }, { clock, random })
  const controller = new AbortController()
  const uncleared: string[] = []
  /** For each call, the streams of it that have said something and are not over. */
  const speaking = new Map<string, Set<AbortSignal>>()
  async function* hear(call: string, signal: AbortSignal, stream: AsyncIterable<ModelChunk>): AsyncGenerator<ModelChunk> {
    const streams = speaking.get(call) ?? new Set()
    speaking.set(call, streams)
    try {
      for await (const chunk of stream) {
        streams.add(signal)
        yield chunk
      }
    } finally {
      streams.delete(signal)
    }
  }
  const sendTimes = models.map((): number[] => [])
  const made = models.map(({ faults, location, priced, requestsPerMinute, tokensPerMinute }, place): Model => {
    const { price, ...rest } = ableInfo
    let asked = 0
    const built: Model = {
      id: `m${place}`,
      info: { ...rest, location, ...(priced && price && { price }), limits: { requestsPerMinute, tokensPerMinute } },
      generate({ cacheKey = '' }, { signal }) {
        sendTimes[place]?.push(clock.now())
        const others = [...(speaking.get(cacheKey) ?? [])].filter((other) => !other.aborted)
        expect(others, 'a send beside a stream that has said something').toEqual([])
        if (!isCleared(built.info, sensitivity) || (budgetUsd !== undefined && !priced)) uncleared.push(built.id)
        const step = faults[asked++ % faults.length] as Fault
        if (step.do === 'throw-at-once') throw new RangeError('at once')
        if (step.do === 'no-stream') return null as never
        return hear(cacheKey, signal as AbortSignal, play(step, clock, signal))
      },
    }
    return built
  })
  const attempts = made.map((each, place) => {
    const { accepts, hedgeAfterMs } = models[place] ?? {}
    if (accepts === undefined) return { model: each, hedgeAfterMs }
    const accept = async () => {
      if (accepts === 'throws') throw new Error('judge')
      if (accepts === 'deaf' && abortAfterMs !== undefined) await new Promise(() => {})
      return { accepted: accepts === true }
    }
    return { model: each, hedgeAfterMs, accept }
  })

  const one = async (call: number) => {
    const failures: ModelFailed[] = []
    const outcomes: CallOutcome[] = []
    const sends: number[] = []
    const spoke = new Set<number>()
    let over = false
    let recording = false
    const promise = executeRoute({
      route: { attempts, considered: [] },
      request: { messages: [], cacheKey: `mc${call}` },
      taskId: 't',
      role: 'code',
      modelCallId: `mc${call}`,
      sensitivity,
      estimatedTokens: 1_000,
      budgetUsd,
      health,
      timing: { triesPerAttempt: tries },
      mintCallId: (index) => `c${index}`,
      onSend: (_, attempt) => {
        expect(over, 'a send after the end').toBe(false)
        expect(recording, 'a send before the failure was durable').toBe(false)
        sends.push(attempt)
        const told = new Set(failures.map((failure) => failure.attempt))
        const flying = sends.filter((number) => !told.has(number)).length
        expect(flying, 'sends at once').toBeLessThanOrEqual(2)
        const spentUsd = failures.reduce((sum, { costUsd = 0 }) => sum + costUsd, 0)
        if (budgetUsd !== undefined) expect(spentUsd + flying * promptUsd).toBeLessThanOrEqual(budgetUsd + 1e-9)
      },
      onDelta: (_, __, attempt) => spoke.add(attempt),
      onFailed: async (failure) => {
        expect(over, 'a record after the end').toBe(false)
        recording = true
        failures.push(failure)
        for (let turn = 0; turn < 5; turn++) await Promise.resolve()
        recording = false
      },
      onOutcome: (outcome) => outcomes.push(outcome),
      signal: controller.signal,
      random,
      clock,
    })
    const result = await promise.then(
      (reply) => ({ reply, error: undefined }),
      (error: unknown) => ({ reply: undefined, error }),
    )
    over = true

    const hedged = failures.filter(({ error }) => error.code === 'HEDGED')
    expect(sends.length - hedged.length).toBeLessThanOrEqual(models.length * tries)
    expect(hedged.length).toBeLessThanOrEqual(models.length * tries)
    for (const { attempt } of hedged) expect(spoke.has(attempt), 'a word of a send that was cut short').toBe(false)
    const numbers = [...failures.map(({ attempt }) => attempt), ...(result.reply ? [result.reply.attempt] : [])]
    // Each send and each model passed over is told exactly once.
    expect(numbers.toSorted((a, b) => a - b)).toEqual(numbers.map((_, index) => index + 1))
    for (const attempt of sends) expect(numbers).toContain(attempt)
    const finals = failures.filter(({ final }) => final)
    if (result.reply) {
      expect(result.reply.text).toBe('half whole')
      expect(finals).toEqual([])
      expect(sends).toContain(result.reply.attempt)
      expect(outcomes.at(-1)?.result).toBe('ok')
      return
    }
    expect(BatonError.isInstance(result.error), String(result.error)).toBe(true)
    const { code } = result.error as BatonError
    expect(['MODEL_FAILED', 'UNKNOWN_MODEL', 'NO_ELIGIBLE_MODEL', 'ABORTED']).toContain(code)
    if (code === 'ABORTED') expect(controller.signal.aborted).toBe(true)
    expect(finals).toEqual([failures.at(-1)])
    if (code === 'ABORTED') expect(finals[0]?.error.code).toBe('ABORTED')
    // Failed and refused replies are told to the router, and nothing else is.
    const told = failures.filter(({ error }) => ['MODEL_FAILED', 'UNKNOWN_MODEL', 'NOT_ACCEPTED'].includes(error.code)).length
    expect(outcomes).toHaveLength(told)
  }

  if (abortAfterMs !== undefined) clock.setTimer(() => controller.abort(new Error('enough')), abortAfterMs)
  await clock.run(Promise.all(Array.from({ length: calls }, (_, call) => one(call))))
  expect(uncleared).toEqual([])
  for (const each of made) expect(health.get(each.id).breaker).not.toBe('probing')
  for (const [place, { requestsPerMinute = Number.POSITIVE_INFINITY }] of models.entries()) {
    const times = sendTimes[place] ?? []
    for (const [from, at] of times.entries())
      for (const [more, later] of times.slice(from).entries())
        expect(more + 1).toBeLessThanOrEqual(requestsPerMinute * (1 + (later - at) / 60_000) + 1e-3)
  }
}

describe('executeRoute under any schedule of faults', () => {
  it('ends with a reply or a typed error, in bounded calls, with each failure told once, and never calls a model that is not cleared', async () => {
    await fc.assert(fc.asyncProperty(schedule, runSchedule), { numRuns: 600 })
  })

  it('ends with ABORTED or what came before, wherever the abort falls', async () => {
    const everyMs = fc.record({ schedule, abortAfterMs: fc.integer({ min: 0, max: 2_000 }) })
    const run = ({ schedule: base, abortAfterMs }: { schedule: Schedule; abortAfterMs: number }) => runSchedule({ ...base, abortAfterMs })
    await fc.assert(fc.asyncProperty(everyMs, run), { numRuns: 300 })
  })
})

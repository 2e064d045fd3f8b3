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
  const made = models.map(({ faults, location, priced }, place): Model => {
    const { price, ...rest } = ableInfo
    let asked = 0
    const built: Model = {
      id: `m${place}`,
      info: { ...rest, location, ...(priced && price && { price }) },
      generate(_, { signal }) {
        if (!isCleared(built.info, sensitivity) || (budgetUsd !== undefined && !priced)) uncleared.push(built.id)
        const step = faults[asked++ % faults.length] as Fault
        if (step.do === 'throw-at-once') throw new RangeError('at once')
        if (step.do === 'no-stream') return null as never
        return play(step, clock, signal)
      },
    }
    return built
  })
  const attempts = made.map((each, place) => {
    const accepts = models[place]?.accepts
    if (accepts === undefined) return { model: each }
    const accept = async () => {
      if (accepts === 'throws') throw new Error('judge')
      if (accepts === 'deaf' && abortAfterMs !== undefined) await new Promise(() => {})
      return { accepted: accepts === true }
    }
    return { model: each, accept }
  })

  const one = async (call: number) => {
    const failures: ModelFailed[] = []
    const outcomes: CallOutcome[] = []
    const sends: number[] = []
    let over = false
    let recording = false
    const promise = executeRoute({
      route: { attempts, considered: [] },
      request: { messages: [] },
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
      },
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

    expect(sends.length).toBeLessThanOrEqual(models.length * tries)
    const numbers = [...failures.map(({ attempt }) => attempt), ...(result.reply ? [result.reply.attempt] : [])]
    // Each send and each model passed over is told exactly once, in order.
    expect(numbers).toEqual(numbers.map((_, index) => index + 1))
    for (const attempt of sends) expect(numbers).toContain(attempt)
    const finals = failures.filter(({ final }) => final)
    if (result.reply) {
      expect(result.reply.text).toBe('half whole')
      expect(finals).toEqual([])
      expect(sends.at(-1)).toBe(result.reply.attempt)
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

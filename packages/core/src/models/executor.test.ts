import { getEventListeners } from 'node:events'
import { describe, expect, it, vi } from 'vitest'
import { BatonError } from '../errors.ts'
import type { ModelFailed } from '../events/model-events.ts'
import type { FakeStep } from '../testing/fake-model.ts'
import { failing, fakeModel, saying } from '../testing/fake-model.ts'
import { createVirtualClock } from '../testing/virtual-clock.ts'
import type { ExecutorOptions } from './executor.ts'
import { executeRoute } from './executor.ts'
import { createModelHealthBook } from './health.ts'
import type { Model, ModelChunk } from './model.ts'
import { ModelError } from './model.ts'
import type { Attempt, CallOutcome } from './router.ts'

function setUp(
  attempts: (clock: ReturnType<typeof createVirtualClock>) => readonly (Model | Attempt)[],
  options: Partial<ExecutorOptions> = {},
) {
  const clock = createVirtualClock()
  const failures: ModelFailed[] = []
  const outcomes: CallOutcome[] = []
  const sends: string[] = []
  const health = options.health ?? createModelHealthBook({}, { clock, random: () => 0 })
  const route = { attempts: attempts(clock).map((each) => ('model' in each ? each : { model: each })), considered: [] }
  const start = () =>
    executeRoute({
      route,
      request: { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] },
      taskId: 't',
      role: 'code',
      modelCallId: 'mc1',
      sensitivity: 'internal',
      estimatedTokens: 100,
      health,
      mintCallId: (index) => `mc1-${index}`,
      onSend: (model, attempt) => sends.push(`${attempt}:${model.id}`),
      onFailed: async (failure) => {
        failures.push(failure)
      },
      onOutcome: (outcome) => outcomes.push(outcome),
      random: () => 0.5,
      clock,
      ...options,
    })
  return { clock, failures, outcomes, sends, health, start, run: () => clock.run(start()) }
}

const codes = (failures: readonly ModelFailed[]) => failures.map(({ model, attempt, error, final }) => [model, attempt, error.code, final])

async function rejection(promise: Promise<unknown>): Promise<BatonError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (BatonError.isInstance(error)) return error
  throw new Error(`expected a Baton error, got ${String(error)}`)
}

describe('executeRoute', () => {
  it('returns the collected reply with its cost and times', async () => {
    const steps: FakeStep[] = [
      30,
      { type: 'reasoning', text: 'hm' },
      { type: 'text', text: 'a' },
      20,
      { type: 'text', text: 'b' },
      { type: 'tool-call', index: 0, id: 'p0', name: 'read', arguments: '{"path":' },
      { type: 'tool-call', index: 0, arguments: '"x"}' },
      { type: 'finish', reason: 'tool-calls', usage: { inputTokens: 1000, outputTokens: 100 } },
    ]
    const deltas: string[] = []
    const { run, failures, outcomes, sends } = setUp((clock) => [fakeModel('m', [steps], { clock })], {
      onDelta: (kind, text, attempt) => deltas.push(`${attempt} ${kind} ${text}`),
    })
    expect(await run()).toEqual({
      modelCallId: 'mc1',
      model: 'm',
      attempt: 1,
      text: 'ab',
      reasoning: 'hm',
      toolCalls: [{ callId: 'mc1-0', tool: 'read', input: { path: 'x' }, providerCallId: 'p0' }],
      finishReason: 'tool-calls',
      usage: { inputTokens: 1000, outputTokens: 100 },
      costUsd: 0.002,
      ms: 50,
      firstChunkMs: 30,
    })
    expect(failures).toEqual([])
    expect(outcomes).toMatchObject([{ taskId: 't', role: 'code', model: 'm', result: 'ok', costUsd: 0.002 }])
    expect(sends).toEqual(['1:m'])
    expect(deltas).toEqual(['1 reasoning hm', '1 text a', '1 text b'])
  })

  it('retries what may pass with growing waits, and tells each failure once, before the next send', async () => {
    const log: string[] = []
    const { run, clock } = setUp((clock) => [fakeModel('m', [failing('server'), failing('network'), saying('ok')], { clock })], {
      onSend: (_, attempt) => log.push(`send ${attempt} at ${clock.now()}`),
      onFailed: async ({ attempt, final }) => {
        log.push(`failing ${attempt} ${final}`)
        for (let turn = 0; turn < 20; turn++) await Promise.resolve()
        log.push(`failed ${attempt}`)
      },
    })
    const start = clock.now()
    expect((await run()).attempt).toBe(3)
    expect(log).toEqual([
      `send 1 at ${start}`,
      'failing 1 false',
      'failed 1',
      `send 2 at ${start + 250}`,
      'failing 2 false',
      'failed 2',
      `send 3 at ${start + 750}`,
    ])
  })

  it('gives up after the tries of the last attempt, with an error that tells all attempts and what to do', async () => {
    const { run, failures } = setUp((clock) => [
      fakeModel('a', [failing('unauthorized')], { clock }),
      fakeModel('b', [failing('overloaded')], { clock }),
    ])
    const error = await rejection(run())
    expect(error).toBeInstanceOf(ModelError)
    expect(error).toMatchObject({ code: 'MODEL_FAILED', kind: 'overloaded' })
    expect(error.details.attempts).toMatchObject([
      { model: 'a', attempt: 1, kind: 'unauthorized', message: 'fake unauthorized' },
      { model: 'b', attempt: 2, kind: 'overloaded' },
      { model: 'b', attempt: 3 },
      { model: 'b', attempt: 4 },
      { model: 'b', attempt: 5 },
    ])
    expect(error.message).toMatch(/after 5 attempts \(a, b\): fake overloaded .*second model/)
    expect(failures.map(({ final }) => final)).toEqual([false, false, false, false, true])
  })

  it.each(['unauthorized', 'unknown-model', 'context-too-long', 'bad-request', 'quota', 'content-filter'] as const)(
    'goes to the next attempt at once on %s',
    async (kind) => {
      const { run, sends } = setUp((clock) => [fakeModel('a', [failing(kind)], { clock }), fakeModel('b', [saying('ok')], { clock })])
      expect((await run()).model).toBe('b')
      expect(sends).toEqual(['1:a', '2:b'])
    },
  )

  describe('clearance', () => {
    it('passes over a model that is not cleared, whatever the router said, and never calls it', async () => {
      const cloud = fakeModel('cloud', [saying('leak')], { info: { location: 'public' } })
      const { run, failures } = setUp((clock) => [cloud, fakeModel('own', [saying('ok')], { clock })], { sensitivity: 'confidential' })
      expect((await run()).model).toBe('own')
      expect(cloud.requests).toEqual([])
      expect(codes(failures)).toEqual([['cloud', 1, 'NOT_CLEARED', false]])
    })

    it('rejects with NO_ELIGIBLE_MODEL where none is left', async () => {
      const cloud = fakeModel('cloud', [saying('leak')], { info: { location: 'public' } })
      const { run, failures } = setUp(() => [cloud], { sensitivity: 'restricted' })
      const error = await rejection(run())
      expect(error).toMatchObject({ code: 'NO_ELIGIBLE_MODEL', details: { considered: [{ model: 'cloud', reason: 'not-cleared' }] } })
      expect(error.message).toMatch(/cloud: not-cleared .*restricted.*internal.*clearance/)
      expect(codes(failures)).toEqual([['cloud', 1, 'NOT_CLEARED', true]])
      expect(cloud.requests).toEqual([])
    })

    it('is checked again before each retry', async () => {
      const model = fakeModel('m', [failing('server'), saying('leak')])
      const { run, failures } = setUp(() => [model], {
        sensitivity: 'confidential',
        onSend: () => Object.assign(model.info, { clearance: 'internal' }),
      })
      expect(await rejection(run())).toMatchObject({ code: 'MODEL_FAILED', kind: 'server' })
      expect(model.requests).toHaveLength(1)
      expect(codes(failures)).toEqual([
        ['m', 1, 'MODEL_FAILED', false],
        ['m', 2, 'NOT_CLEARED', true],
      ])
    })
  })

  describe('cost limit', () => {
    it('passes over a model of unknown price and one that the rest does not pay for', async () => {
      const unknown = fakeModel('unknown', [saying('x')], { info: { price: undefined } as never })
      const dear = fakeModel('dear', [saying('x')], { info: { price: { input: 1e6, output: 1e6 } } })
      const { run, failures } = setUp(() => [unknown, dear, fakeModel('cheap', [saying('ok')])], { budgetUsd: 1 })
      expect((await run()).model).toBe('cheap')
      expect(codes(failures)).toEqual([
        ['unknown', 1, 'PRICE_UNKNOWN', false],
        ['dear', 2, 'OVER_BUDGET', false],
      ])
      expect([...unknown.requests, ...dear.requests]).toEqual([])
    })

    it('counts what an unaccepted reply cost, and takes it where nothing else can be paid for', async () => {
      const first = fakeModel('first', [saying('meh', { inputTokens: 0, outputTokens: 90_000 })])
      const { run, sends } = setUp(
        () => [{ model: first, accept: async () => ({ accepted: false }) }, fakeModel('second', [saying('ok')])],
        {
          budgetUsd: 0.90005,
        },
      )
      expect((await run()).text).toBe('meh')
      expect(sends).toEqual(['1:first'])
    })
  })

  it('counts all that was spent in the call against the cost limit', async () => {
    const half = () => fakeModel('m', [saying('meh', { inputTokens: 0, outputTokens: 50_000 })])
    const accept = async () => ({ accepted: false })
    const { run, sends } = setUp(() => [{ model: half(), accept }, { model: half(), accept }, half()], { budgetUsd: 1.00005 })
    expect((await run()).attempt).toBe(2)
    expect(sends).toEqual(['1:m', '2:m'])
  })

  describe('Retry-After', () => {
    it('waits at least that long, without opening the breaker', async () => {
      const { run, clock, health } = setUp((clock) => [fakeModel('m', [failing('rate-limited', 7_000), saying('ok')], { clock })])
      const start = clock.now()
      await run()
      expect(clock.now() - start).toBe(7_250)
      expect(health.get('m')).toMatchObject({ breaker: 'closed', failuresInARow: 0 })
    })

    it('goes to another model instead, where there is one', async () => {
      const { run, clock } = setUp((clock) => [
        fakeModel('a', [failing('rate-limited', 7_000)], { clock }),
        fakeModel('b', [saying('ok')], { clock }),
      ])
      const start = clock.now()
      expect((await run()).model).toBe('b')
      expect(clock.now()).toBe(start)
    })

    it('waits where the other model may not be called', async () => {
      const { run } = setUp(
        (clock) => [
          fakeModel('a', [failing('rate-limited', 7_000), saying('ok')], { clock }),
          fakeModel('b', [saying('x')], { info: { location: 'public' } }),
        ],
        { sensitivity: 'restricted' },
      )
      expect((await run()).model).toBe('a')
    })

    it('fails at once where it is longer than the longest wait', async () => {
      const { run, clock, failures } = setUp((clock) => [fakeModel('m', [failing('rate-limited', 60_001)], { clock })])
      const start = clock.now()
      expect(await rejection(run())).toMatchObject({ kind: 'rate-limited', retryAfterMs: 60_001 })
      expect(clock.now()).toBe(start)
      expect(codes(failures)).toEqual([['m', 1, 'MODEL_FAILED', true]])
    })

    it('holds for the calls that come after', async () => {
      const one = setUp((clock) => [fakeModel('m', [failing('rate-limited', 100_000), saying('ok')], { clock })])
      await rejection(one.run())
      expect(await rejection(one.run())).toMatchObject({ kind: 'rate-limited' })
      expect(codes(one.failures).at(-1)).toEqual(['m', 1, 'RATE_LIMITED', true])
      expect(one.sends).toHaveLength(1)
    })
  })

  describe('an open breaker', () => {
    function openBreaker(reply: readonly FakeStep[]) {
      const made = setUp((clock) => [fakeModel('m', [...Array(5).fill(failing('server')), reply], { clock })], {
        timing: { triesPerAttempt: 5 },
      })
      return { ...made, opened: made.run().catch(() => {}) }
    }

    it('makes the call wait for its probe where there is no other model', async () => {
      const { opened, run, health, clock } = openBreaker(saying('back'))
      await opened
      const { breaker, retryAt = 0 } = health.get('m')
      expect(breaker).toBe('open')
      expect((await run()).text).toBe('back')
      expect(clock.now()).toBeGreaterThanOrEqual(retryAt)
      expect(health.get('m').breaker).toBe('closed')
    })

    it('lets one call probe; the others wait for what it comes to', async () => {
      const { opened, start, clock, sends } = openBreaker([1_000, ...saying('back')])
      await opened
      const before = sends.length
      const start0 = clock.now()
      const calls = [start(), start(), start()]
      let whileProbing = 0
      clock.setTimer(() => {
        whileProbing = sends.length - before
      }, 3_000)
      await clock.run(Promise.all(calls))
      expect(whileProbing).toBe(1)
      expect(sends.length - before).toBe(3)
      // Two waits for the breaker at most, not the longest wait of a minute.
      expect(clock.now() - start0).toBeLessThan(10_000)
    })

    it('makes the call fail with a clear error where the wait would be too long', async () => {
      const clock = createVirtualClock()
      const health = createModelHealthBook({ failuresToOpen: 1, openMs: 200_000, maxOpenMs: 200_000 }, { clock, random: () => 1 })
      const { start, failures, sends } = setUp(() => [fakeModel('m', [failing('server')])], {
        health,
        clock,
        timing: { triesPerAttempt: 1 },
      })
      await rejection(clock.run(start()))
      const error = await rejection(clock.run(start()))
      expect(error.message).toMatch(/m was not called, because its last calls failed; it can be tried again at 2030-/)
      expect(sends).toHaveLength(1)
      expect(codes(failures).at(-1)).toEqual(['m', 1, 'OPEN', true])
    })

    it('makes the call go on with another model, where there is one', async () => {
      const clock = createVirtualClock()
      const health = createModelHealthBook({ failuresToOpen: 1 }, { clock })
      const { start, failures } = setUp(() => [fakeModel('a', [failing('server')]), fakeModel('b', [saying('ok')])], { health, clock })
      await clock.run(start())
      failures.length = 0
      expect((await clock.run(start())).model).toBe('b')
      expect(codes(failures)).toEqual([['a', 1, 'OPEN', false]])
    })
  })

  describe('time limits', () => {
    const once = { timing: { triesPerAttempt: 1 } }

    it('gives up on a model that says nothing, ends the transfer and closes the stream', async () => {
      const model = fakeModel('m', [['hang']])
      const { run, clock } = setUp(() => [model], once)
      const start = clock.now()
      expect(await rejection(run())).toMatchObject({ kind: 'timeout', message: expect.stringMatching(/sent nothing for 120 s/) })
      expect(clock.now() - start).toBe(120_000)
      expect(model.signals[0]?.aborted).toBe(true)
      expect(model.open).toBe(0)
    })

    it('gives up on one that stops in the middle, but not on a slow one', async () => {
      const slow: FakeStep[] = [119_000, { type: 'text', text: 'a' }, 59_000, { type: 'text', text: 'b' }, 59_000]
      const { run, clock } = setUp(
        (clock) => [
          fakeModel(
            'm',
            [
              [...slow, ...saying('c')],
              [...slow, 'hang'],
            ],
            { clock },
          ),
        ],
        once,
      )
      expect((await run()).text).toBe('abc')
      const start = clock.now()
      expect(await rejection(run())).toMatchObject({ kind: 'timeout', message: expect.stringMatching(/stopped in the middle .* 60 s/) })
      expect(clock.now() - start).toBe(119_000 + 59_000 + 60_000)
    })

    it('also holds where the limit between chunks is the longer one', async () => {
      const timing = { triesPerAttempt: 1, firstChunkMs: 10, betweenChunksMs: 1_000 }
      const { run, clock } = setUp((clock) => [fakeModel('m', [[5, { type: 'text', text: 'a' }, 'hang']], { clock })], { timing })
      const start = clock.now()
      expect(await rejection(run())).toMatchObject({ kind: 'timeout' })
      expect(clock.now() - start).toBe(1_005)
    })

    it('takes a whole reply whose stream does not end', async () => {
      const model = fakeModel('m', [[...saying('whole'), 'hang']])
      const { run } = setUp(() => [model])
      expect((await run()).text).toBe('whole')
      expect(model.open).toBe(0)
    })

    it('leaves no timer behind', async () => {
      const { run, clock } = setUp((clock) => [fakeModel('m', [failing('server'), saying('ok')], { clock })])
      await run()
      expect(clock.timers).toBe(0)
    })
  })

  describe('a stream that breaks its contract is a failed attempt', () => {
    const finish = { type: 'finish', reason: 'stop', usage: { inputTokens: 5, outputTokens: 5 } } as const
    it.each<[string, FakeStep[], string]>([
      ['no finish', [{ type: 'text', text: 'short ans' }], 'cut-stream'],
      ['nothing at all', [], 'cut-stream'],
      ['two finishes', [finish, finish], 'server'],
      ['something after finish', [finish, { type: 'text', text: 'more' }], 'server'],
      ['an unknown piece', [{ type: 'sound' } as never], 'server'],
      ['a piece that is none', [null as never], 'server'],
      ['a text that is none', [{ type: 'text' } as never], 'server'],
      ['a throw that is no model error', [new TypeError('x is not a function')], 'server'],
    ])('%s', async (_, steps, kind) => {
      const model = fakeModel('m', [steps, saying('ok')])
      const { run, failures } = setUp(() => [model])
      expect((await run()).text).toBe('ok')
      expect(failures).toMatchObject([{ attempt: 1, error: { code: 'MODEL_FAILED', details: { kind } } }])
      expect(model.open).toBe(0)
    })

    it('reports what it used, where that came', async () => {
      const { run, failures } = setUp(() => [fakeModel('m', [[finish, finish], saying('ok')])])
      await run()
      expect(failures).toMatchObject([{ usage: finish.usage, costUsd: 0.000055 }])
    })

    it('generate that throws, or returns no stream', async () => {
      const throws: Model = { ...fakeModel('a', []), generate: () => { throw new Error('no') } } // biome-ignore format: one line
      const nothing: Model = { ...fakeModel('b', []), generate: () => undefined as never }
      const { run, failures } = setUp(() => [throws, nothing, fakeModel('c', [saying('ok')])], { timing: { triesPerAttempt: 1 } })
      expect((await run()).model).toBe('c')
      expect(failures.map(({ error }) => error.code)).toEqual(['MODEL_FAILED', 'MODEL_FAILED'])
    })

    it('keeps a model error of another copy of the package', async () => {
      const foreign = Object.assign(new Error('no key'), {
        [Symbol.for('baton.error')]: true,
        code: 'MODEL_FAILED',
        kind: 'unauthorized',
        retryable: false,
        details: {},
      })
      const { run, sends } = setUp(() => [fakeModel('m', [[foreign]])])
      expect(await rejection(run())).toMatchObject({ kind: 'unauthorized' })
      expect(sends).toHaveLength(1)
    })

    it('does not send again what ended in another error of Baton', async () => {
      const { run, sends } = setUp(() => [fakeModel('m', [[new BatonError('INVALID_STATE', 'the script is at its end')]])])
      expect(await rejection(run())).toMatchObject({ kind: 'bad-request', message: expect.stringMatching(/the script is at its end/) })
      expect(sends).toHaveLength(1)
    })

    it('keeps what was thrown as the cause', async () => {
      const thrown = new TypeError('odd')
      const { run } = setUp(() => [fakeModel('m', [[thrown]])])
      const error = await rejection(run())
      expect((error.cause as Error).cause).toBe(thrown)
    })
  })

  describe('accept', () => {
    it('judges a reply before it is returned; a refused one is recorded with what it cost', async () => {
      const first = fakeModel('a', [saying('meh')])
      const seen: string[] = []
      const { run, failures, outcomes } = setUp(() => [
        {
          model: first,
          accept: async (reply) => {
            seen.push(reply.text)
            return { accepted: false, reason: 'too short' }
          },
        },
        fakeModel('b', [saying('good')]),
      ])
      expect((await run()).text).toBe('good')
      expect(seen).toEqual(['meh'])
      expect(failures).toMatchObject([
        { attempt: 1, final: false, error: { code: 'NOT_ACCEPTED', message: 'too short' }, usage: { inputTokens: 100 }, costUsd: 0.0002 },
      ])
      expect(outcomes.map(({ result }) => result)).toEqual(['not-accepted', 'ok'])
    })

    it('does not judge the last reply that can be had', async () => {
      const accept = vi.fn(async () => ({ accepted: false }))
      const cloud = fakeModel('cloud', [saying('x')], { info: { location: 'public' } })
      const { run } = setUp(() => [{ model: fakeModel('a', [saying('all there is')]), accept }, { model: cloud }], {
        sensitivity: 'restricted',
      })
      expect((await run()).text).toBe('all there is')
      expect(accept).not.toHaveBeenCalled()
    })

    it('tells the judge how secret the reply is and what may still be spent', async () => {
      const accept = vi.fn<NonNullable<Attempt['accept']>>(async () => ({ accepted: true }))
      const attempts = () => [{ model: fakeModel('a', [saying('x')]), accept }, fakeModel('b', [saying('ok')])]
      await setUp(attempts, { sensitivity: 'confidential', budgetUsd: 1 }).run()
      await setUp(attempts).run()
      const contexts = accept.mock.calls.map(([, { sensitivity, budgetUsd }]) => ({ sensitivity, budgetUsd }))
      expect(contexts).toEqual([
        { sensitivity: 'confidential', budgetUsd: 1 - 0.0002 },
        { sensitivity: 'internal', budgetUsd: undefined },
      ])
    })

    it('counts a verdict that does not come as a no, and tells the judge to stop', async () => {
      const signals: (AbortSignal | undefined)[] = []
      const accept: Attempt['accept'] = (_, { signal }) => {
        signals.push(signal)
        return new Promise(() => {})
      }
      const attempts = () => [
        { model: fakeModel('a', [saying('x')]), accept: accept as NonNullable<typeof accept> },
        fakeModel('b', [saying('ok')]),
      ]
      const { run, failures } = setUp(attempts, { timing: { verdictMs: 2_000 } })
      expect((await run()).model).toBe('b')
      expect(failures[0]?.error.message).toBe('the reply could not be judged: there was no verdict within 2 s')
      expect(signals.map((signal) => signal?.aborted)).toEqual([true])
    })

    it('adds what the verdict took to the call, accepted or not', async () => {
      const judge = { model: 'judge', usage: { inputTokens: 7, outputTokens: 1 }, costUsd: 0.5 }
      const judged = (accepted: boolean) => vi.fn(async () => ({ accepted, judge }))
      const { run, failures } = setUp(
        () => [
          { model: fakeModel('a', [saying('meh')]), accept: judged(false) },
          { model: fakeModel('b', [saying('good')]), accept: judged(true) },
          fakeModel('c', [saying('unused')]),
        ],
        { budgetUsd: 2 },
      )
      expect(await run()).toMatchObject({ model: 'b', judge, costUsd: 0.0002 })
      expect(failures).toMatchObject([{ model: 'a', judge, costUsd: 0.0002 }])
    })

    it('takes a refused reply where the verdict used up what another would cost', async () => {
      const judge = { model: 'judge', costUsd: 0.9999 }
      const { run, failures, outcomes } = setUp(
        () => [
          { model: fakeModel('a', [saying('meh')]), accept: async () => ({ accepted: false, judge }) },
          fakeModel('b', [saying('better')]),
        ],
        { budgetUsd: 1 },
      )
      expect(await run()).toMatchObject({ model: 'a', text: 'meh', judge })
      expect(failures).toEqual([])
      expect(outcomes.map(({ result }) => result)).toEqual(['not-accepted'])
    })

    it('counts a judge that throws as a no', async () => {
      const accept = async () => {
        throw new Error('no compiler')
      }
      const { run, failures } = setUp(() => [{ model: fakeModel('a', [saying('x')]), accept }, fakeModel('b', [saying('ok')])])
      expect((await run()).model).toBe('b')
      expect(failures[0]?.error.message).toBe('the reply could not be judged: no compiler')
    })
  })

  describe("a limit of the model's own", () => {
    const limits = { requestsPerMinute: 2 }

    it('makes a call wait until there is room, where there is no other model', async () => {
      const { start, clock, failures, health } = setUp((clock) => [fakeModel('m', [saying('ok')], { clock, info: { limits } })])
      const begun = clock.now()
      const ends: number[] = []
      const calls = Array.from({ length: 4 }, () => start().then(() => ends.push(clock.now() - begun)))
      await clock.run(Promise.all(calls))
      expect(ends).toEqual([0, 0, 30_000, 60_000])
      expect(failures).toEqual([])
      expect(health.get('m')).toMatchObject({ limit: 'requests', retryAt: begun + 90_000 })
      expect(clock.timers).toBe(0)
    })

    it('makes it go on with another model, where there is one', async () => {
      const own = fakeModel('m', [saying('ok')], { info: { limits: { tokensPerMinute: 150 } } })
      const { run, failures, sends } = setUp(() => [own, fakeModel('n', [saying('ok')])])
      await run()
      await run()
      expect(sends).toEqual(['1:m', '2:n'])
      expect(codes(failures)).toEqual([['m', 1, 'RATE_LIMITED', false]])
      expect(failures[0]?.error.message).toMatch(
        /^m was not called, because its limit of 150 tokens per minute is used up; it can be tried/,
      )
    })

    it('is no other model where that is at its own', async () => {
      const both = ['m', 'n'].map((id) => fakeModel(id, [saying('ok')], { info: { limits: { requestsPerMinute: 1 } } }))
      const { run, sends, clock } = setUp(() => both)
      await run()
      await run()
      const begun = clock.now()
      await run()
      expect(sends).toEqual(['1:m', '2:n', '1:m'])
      expect(clock.now() - begun).toBe(60_000)
    })

    it('counts every send, so that retries keep to it', async () => {
      const model = fakeModel('m', [failing('server'), failing('server'), saying('ok')], { info: { limits } })
      const { run, clock } = setUp(() => [model])
      const begun = clock.now()
      expect((await run()).attempt).toBe(3)
      expect(clock.now() - begun).toBe(30_000)
    })

    it('fails at once where the queue is longer than the longest wait, and takes no place in it', async () => {
      const { start, clock } = setUp(() => [fakeModel('m', [saying('ok')], { info: { limits } })])
      const results = await clock.run(Promise.allSettled(Array.from({ length: 9 }, start)))
      expect(results.map(({ status }) => status).join()).toBe(`${'fulfilled,'.repeat(4)}${'rejected,'.repeat(4)}rejected`)
      expect(results[8]).toMatchObject({
        reason: { kind: 'rate-limited', message: expect.stringMatching(/limit of 2 requests per minute/) },
      })
    })

    it('gives back the room of a call that is aborted while it waits', async () => {
      const controller = new AbortController()
      const { start, clock, health } = setUp((clock) => [fakeModel('m', [saying('ok')], { clock, info: { limits } })])
      const other = setUp(() => [fakeModel('m', [saying('ok')], { info: { limits } })], { clock, health, signal: controller.signal })
      const begun = clock.now()
      const ends: number[] = []
      const calls = [start(), start(), other.start(), start().then(() => ends.push(clock.now() - begun))]
      clock.setTimer(() => controller.abort(), 1_000)
      await clock.run(Promise.allSettled(calls))
      expect(ends).toEqual([60_000])
      expect(health.get('m').retryAt).toBeUndefined()
    })
  })

  describe('a hedged attempt', () => {
    const slow = (ms: number, text = 'slow') => [ms, ...saying(text)]
    const hedged = (model: Model, hedgeAfterMs = 1_000): Attempt => ({ model, hedgeAfterMs })

    it('starts no second send where the first one speaks in time', async () => {
      const second = fakeModel('b', [saying('x')])
      const { run, clock } = setUp((clock) => [hedged(fakeModel('a', [[900, ...saying('a')]], { clock })), second])
      expect((await run()).model).toBe('a')
      expect(second.requests).toEqual([])
      expect(clock.timers).toBe(0)
    })

    it('takes the second where that speaks first, and cuts the first one short', async () => {
      const first = (clock: ReturnType<typeof createVirtualClock>) => fakeModel('a', [slow(10_000)], { clock })
      let a: ReturnType<typeof first> | undefined
      const { run, clock, failures, outcomes, sends, health } = setUp((clock) => {
        a = first(clock)
        return [hedged(a), fakeModel('b', [slow(500, 'b')], { clock })]
      })
      const begun = clock.now()
      expect(await run()).toMatchObject({ model: 'b', attempt: 2, text: 'b', ms: 500, firstChunkMs: 500 })
      expect(clock.now() - begun).toBe(1_500)
      expect(sends).toEqual(['1:a', '2:b'])
      expect(codes(failures)).toEqual([['a', 1, 'HEDGED', false]])
      expect(failures[0]).toMatchObject({ ms: 1_500, error: { message: 'b answered first, so this send was cut short.' } })
      expect(a?.signals[0]?.aborted).toBe(true)
      expect(a?.open).toBe(0)
      expect(outcomes).toMatchObject([{ model: 'b', result: 'ok' }])
      expect(health.get('a')).toEqual({ breaker: 'closed', failuresInARow: 0, firstChunkMs: 1_500 })
      expect(health.get('b').firstChunkMs).toBe(500)
    })

    it('takes the first where that speaks first, and cuts the second one short', async () => {
      const { run, failures, outcomes } = setUp((clock) => [
        hedged(fakeModel('a', [[1_200, { type: 'text', text: 'a' }, 5_000, ...saying('bc')]], { clock })),
        fakeModel('b', [slow(1_000)], { clock }),
      ])
      expect(await run()).toMatchObject({ model: 'a', attempt: 1, text: 'abc' })
      expect(codes(failures)).toEqual([['b', 2, 'HEDGED', false]])
      expect(outcomes.map(({ model }) => model)).toEqual(['a'])
    })

    it('takes one where both speak in the same moment', async () => {
      const deltas: string[] = []
      const { run, failures } = setUp(
        (clock) => {
          const gate = new Promise<void>((resolve) => clock.setTimer(resolve, 2_000))
          const gated = (id: string): Model => ({
            ...fakeModel(id, []),
            async *generate() {
              await gate
              for (const chunk of saying(id)) yield chunk as ModelChunk
            },
          })
          return [hedged(gated('a')), gated('b')]
        },
        { onDelta: (_, text) => deltas.push(text) },
      )
      expect((await run()).text).toBe('a')
      expect(deltas).toEqual(['a'])
      expect(codes(failures)).toEqual([['b', 2, 'HEDGED', false]])
    })

    it.each<[string, FakeStep]>([
      ['a piece of a tool call', { type: 'tool-call', index: 0, id: 'p', name: 'x', arguments: '' }],
      ['a word', { type: 'text', text: '' }],
      ['what only its producer understands', { type: 'opaque', data: 1 }],
    ])('starts no second send once %s has come', async (_, chunk) => {
      const second = fakeModel('b', [saying('x')])
      const { run } = setUp((clock) => [hedged(fakeModel('a', [[chunk, 50_000, ...saying('a')]], { clock })), second])
      expect((await run()).model).toBe('a')
      expect(second.requests).toEqual([])
    })

    it('goes on with the second where the first one fails, and tells both', async () => {
      const { run, failures, outcomes, health } = setUp((clock) => [
        hedged(fakeModel('a', [[2_000, ...failing('server')]], { clock })),
        fakeModel('b', [slow(5_000, 'b')], { clock }),
      ])
      expect(await run()).toMatchObject({ model: 'b', attempt: 2 })
      expect(codes(failures)).toEqual([['a', 1, 'MODEL_FAILED', false]])
      expect(outcomes.map(({ model, result }) => `${model} ${result}`)).toEqual(['a failed', 'b ok'])
      expect(health.get('a').failuresInARow).toBe(1)
    })

    it('goes on with the first where the second one fails', async () => {
      const { run, failures, sends } = setUp((clock) => [
        hedged(fakeModel('a', [slow(5_000, 'a')], { clock })),
        fakeModel('b', [failing('unauthorized')], { clock }),
      ])
      expect(await run()).toMatchObject({ model: 'a', attempt: 1 })
      expect(codes(failures)).toEqual([['b', 2, 'MODEL_FAILED', false]])
      expect(sends).toEqual(['1:a', '2:b'])
    })

    it('fails where both have failed and may not be tried again, with one final record', async () => {
      const { run, failures } = setUp((clock) => [
        hedged(fakeModel('a', [[2_000, ...failing('unauthorized')]], { clock })),
        fakeModel('b', [[3_000, ...failing('quota')]], { clock }),
      ])
      const error = await rejection(run())
      expect(error.details.attempts).toMatchObject([{ model: 'b' }, { model: 'a' }])
      expect(codes(failures)).toEqual([
        ['b', 2, 'MODEL_FAILED', false],
        ['a', 1, 'MODEL_FAILED', true],
      ])
    })

    it('tries each of them as often as without', async () => {
      const { run, failures, sends } = setUp(
        (clock) => [
          hedged(fakeModel('a', [[2_000, ...failing('server')]], { clock })),
          hedged(fakeModel('b', [[3_000, ...failing('server')]], { clock })),
        ],
        { timing: { triesPerAttempt: 3 } },
      )
      await rejection(run())
      expect(sends.map((send) => send.split(':')[1]).sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'b'])
      expect(failures.map(({ final }) => final)).toEqual([false, false, false, false, false, true])
    })

    it('comes back to the one that was cut short where the other fails in the middle', async () => {
      const { run, sends, failures } = setUp(
        (clock) => [
          hedged(fakeModel('a', [slow(10_000), saying('a')], { clock })),
          fakeModel('b', [[{ type: 'text', text: 'half' }]], { clock }),
          fakeModel('c', [saying('c')]),
        ],
        { timing: { triesPerAttempt: 1 } },
      )
      expect(await run()).toMatchObject({ model: 'a', attempt: 3, text: 'a' })
      expect(sends).toEqual(['1:a', '2:b', '3:a'])
      expect(codes(failures)).toEqual([
        ['a', 1, 'HEDGED', false],
        ['b', 2, 'MODEL_FAILED', false],
      ])
    })

    it('does not count a send that was cut short as a try', async () => {
      const { run, sends } = setUp(
        (clock) => [
          hedged(fakeModel('a', [slow(10_000), failing('server'), saying('a')], { clock })),
          fakeModel('b', [slow(1, 'b').slice(0, 2)], { clock }),
        ],
        { timing: { triesPerAttempt: 2 } },
      )
      expect((await run()).text).toBe('a')
      expect(sends).toEqual(['1:a', '2:b', '3:b', '4:a', '5:a'])
    })

    it('judges the reply that came first, and escalates', async () => {
      const accept = async () => ({ accepted: false })
      const { run, sends } = setUp((clock) => [
        { ...hedged(fakeModel('a', [slow(1_500, 'a')], { clock })), accept },
        fakeModel('b', [slow(9_000), saying('b')], { clock }),
      ])
      expect((await run()).text).toBe('b')
      expect(sends).toEqual(['1:a', '2:b', '3:b'])
    })

    it.each<[string, Partial<ExecutorOptions>]>([
      ['is not cleared', { sensitivity: 'confidential' }],
      ['cannot be paid for beside the first', { budgetUsd: 0.00015 }],
      ['could not be paid for with the output that is asked for', { budgetUsd: 0.01, request: { messages: [], maxOutputTokens: 900 } }],
      ['cannot be paid for from what is shared', { leftUsd: () => 0.00015 }],
    ])('starts no second send to a model that %s', async (_, options) => {
      const second = fakeModel('b', [saying('x')], { info: { location: 'public' } })
      const { run } = setUp((clock) => [hedged(fakeModel('a', [slow(5_000, 'a')], { clock })), second], options)
      expect((await run()).model).toBe('a')
      expect(second.requests).toEqual([])
    })

    it('passes over a later attempt that cannot be made right now', async () => {
      const clock = createVirtualClock()
      const health = createModelHealthBook({ failuresToOpen: 1 }, { clock })
      const limited = fakeModel('c', [saying('x')], { info: { limits: { requestsPerMinute: 1 } } })
      health.begin('b').call?.failed({ kind: 'server', retryAfterMs: undefined })
      health.begin('c', { limits: { requestsPerMinute: 1 } })
      const { start, sends } = setUp(
        () => [hedged(fakeModel('a', [slow(2_000)], { clock })), fakeModel('b', []), limited, fakeModel('d', [saying('d')])],
        { clock, health },
      )
      expect((await clock.run(start())).model).toBe('d')
      expect(sends).toEqual(['1:a', '2:d'])
    })

    it.each([
      [0.0002, 'c', ['1:a', '2:c', '3:c']],
      [0.00031, 'a', ['1:a', '2:c', '3:c', '4:a']],
    ])('keeps what a send that was cut short may have cost back from a budget of %d', async (budgetUsd, model, all) => {
      const { run, sends } = setUp(
        (clock) => [
          hedged(fakeModel('a', [slow(9_000), saying('a')], { clock })),
          hedged(fakeModel('c', [[{ type: 'text', text: 'half' }], slow(3_000)], { clock })),
        ],
        { budgetUsd },
      )
      expect((await run()).model).toBe(model)
      expect(sends).toEqual(all)
    })

    it('does nothing where there is no other attempt, or the limit to the first chunk is sooner', async () => {
      const alone = setUp((clock) => [hedged(fakeModel('a', [slow(5_000, 'a')], { clock }))])
      expect((await alone.run()).text).toBe('a')
      const late = setUp((clock) => [hedged(fakeModel('a', [slow(5_000, 'a')], { clock }), 1e12), fakeModel('b', [saying('b')])])
      expect((await late.run()).text).toBe('a')
    })

    it('may be a second send to the same model', async () => {
      const { run, sends } = setUp((clock) => {
        const model = fakeModel('m', [slow(60_000), saying('second')], { clock })
        return [hedged(model), { model }]
      })
      expect((await run()).text).toBe('second')
      expect(sends).toEqual(['1:m', '2:m'])
    })

    it('ends both on the abort of the caller, each with a record', async () => {
      const controller = new AbortController()
      const models = [fakeModel('a', [['hang']]), fakeModel('b', [['hang']])] as const
      const { run, clock, failures, outcomes } = setUp(() => [hedged(models[0]), models[1], fakeModel('c', [saying('x')])], {
        signal: controller.signal,
      })
      clock.setTimer(() => controller.abort(new Error('enough')), 1_500)
      const begun = clock.now()
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(clock.now() - begun).toBe(1_500)
      expect(codes(failures)).toEqual([
        ['b', 2, 'ABORTED', false],
        ['a', 1, 'ABORTED', true],
      ])
      expect(failures.map(({ ms }) => ms)).toEqual([500, 1_500])
      expect(outcomes).toEqual([])
      expect(models.map(({ open }) => open)).toEqual([0, 0])
      expect(getEventListeners(controller.signal, 'abort')).toEqual([])
    })

    it('ends both with what a listener throws', async () => {
      const odd = new Error('odd')
      for (const at of [1, 2]) {
        const models = [fakeModel('a', [['hang']]), fakeModel('b', [['hang']])] as const
        const { run, clock } = setUp(() => [hedged(models[0]), models[1]], {
          onSend: (_, attempt) => {
            if (attempt === at) throw odd
          },
        })
        await expect(run()).rejects.toBe(odd)
        expect(models.map(({ open }) => open)).toEqual([0, 0])
        expect(clock.timers).toBe(0)
      }
    })
  })

  it('looks at what is shared right before each send', async () => {
    let left = 1
    const model = fakeModel('m', [failing('server'), saying('ok')])
    const { run, failures } = setUp(() => [model], {
      leftUsd: () => left,
      onFailed: async (failure) => {
        failures.push(failure)
        left = 0
      },
    })
    expect(await rejection(run())).toMatchObject({ kind: 'server' })
    expect(model.requests).toHaveLength(1)
    expect(codes(failures).at(-1)).toEqual(['m', 2, 'OVER_BUDGET', true])
  })

  describe('abort', () => {
    const aborting = (
      at: (abort: () => void) => { attempts: (Model | Attempt)[]; options?: Partial<ExecutorOptions>; abortAtMs?: number },
    ) => {
      const controller = new AbortController()
      const clock = createVirtualClock()
      const { attempts, options, abortAtMs } = at(() => controller.abort(new Error('enough')))
      const made = setUp(() => attempts, {
        clock,
        health: createModelHealthBook({ failuresToOpen: 1 }, { clock, random: () => 1 }),
        ...options,
        signal: controller.signal,
      })
      if (abortAtMs !== undefined) clock.setTimer(() => controller.abort(new Error('enough')), abortAtMs)
      return { ...made, clock, run: () => clock.run(made.start()) }
    }

    it('before the call sends nothing', async () => {
      const model = fakeModel('m', [saying('x')])
      const { run, failures } = aborting((abort) => {
        abort()
        return { attempts: [model] }
      })
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED', message: 'The model call was aborted: enough' })
      expect(model.requests).toEqual([])
      expect(codes(failures)).toEqual([['m', 1, 'ABORTED', true]])
    })

    it.each<[string, FakeStep[]]>([
      ['before the first chunk', ['hang']],
      ['between chunks', [{ type: 'text', text: 'a' }, 'hang']],
      ['after finish', [...saying('a'), 'hang']],
    ])('%s is prompt, even where the provider ignores its signal, and closes the stream', async (_, steps) => {
      const model = fakeModel('m', [steps])
      const { run, failures, clock, outcomes, health } = aborting(() => ({
        attempts: [model, fakeModel('n', [saying('x')])],
        abortAtMs: 10,
      }))
      const start = clock.now()
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(clock.now() - start).toBe(10)
      expect(model.signals[0]?.reason).toMatchObject({ code: 'ABORTED' })
      expect(model.open).toBe(0)
      expect(codes(failures)).toEqual([['m', 1, 'ABORTED', true]])
      expect(failures[0]?.ms).toBe(10)
      expect(outcomes).toEqual([])
      expect(health.get('m')).toEqual({ breaker: 'closed', failuresInARow: 0 })
      expect(clock.timers).toBe(0)
    })

    it('during a back-off', async () => {
      const model = fakeModel('m', [failing('rate-limited', 50_000)])
      const { run, failures, clock } = aborting(() => ({ attempts: [model], abortAtMs: 10 }))
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(model.requests).toHaveLength(1)
      expect(clock.timers).toBe(0)
      expect(codes(failures)).toEqual([
        ['m', 1, 'MODEL_FAILED', false],
        ['m', 2, 'ABORTED', true],
      ])
    })

    it('of a probe leaves the next probe to another call', async () => {
      const { start, clock, health, failures } = aborting(() => ({
        attempts: [fakeModel('m', [failing('server'), ['hang']])],
        abortAtMs: 30_000,
      }))
      expect(await rejection(clock.run(start()))).toMatchObject({ code: 'ABORTED' })
      expect(codes(failures)).toEqual([
        ['m', 1, 'MODEL_FAILED', false],
        ['m', 2, 'ABORTED', true],
      ])
      expect(health.get('m').breaker).toBe('half-open')
    })

    it('while it waits for a breaker', async () => {
      const model = fakeModel('m', [failing('server')])
      const { run, failures } = aborting(() => ({ attempts: [model], abortAtMs: 1_000 }))
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(model.requests).toHaveLength(1)
      expect(codes(failures).at(-1)).toEqual(['m', 2, 'ABORTED', true])
    })

    it('while a failure is being recorded', async () => {
      const other = fakeModel('n', [saying('x')])
      const recorded: ModelFailed[] = []
      const { run } = aborting((abort) => ({
        attempts: [fakeModel('m', [failing('unauthorized')]), other],
        options: {
          onFailed: async (failure) => {
            recorded.push(failure)
            abort()
          },
        },
      }))
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(other.requests).toEqual([])
      expect(codes(recorded)).toEqual([
        ['m', 1, 'MODEL_FAILED', false],
        ['n', 2, 'ABORTED', true],
      ])
    })

    it('is the last word, also where what is left may not be called', async () => {
      const recorded: ModelFailed[] = []
      const { run } = aborting((abort) => ({
        attempts: [fakeModel('m', [failing('unauthorized')]), fakeModel('n', [], { info: { location: 'public' } })],
        options: {
          sensitivity: 'restricted',
          onFailed: async (failure) => {
            recorded.push(failure)
            abort()
          },
        },
      }))
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(codes(recorded).at(-1)).toEqual(['n', 2, 'ABORTED', true])
    })

    it('while the last failure is being recorded: the failure stands', async () => {
      const recorded: ModelFailed[] = []
      const { run } = aborting((abort) => ({
        attempts: [fakeModel('m', [failing('unauthorized')])],
        options: {
          onFailed: async (failure) => {
            recorded.push(failure)
            abort()
          },
        },
      }))
      expect(await rejection(run())).toMatchObject({ kind: 'unauthorized' })
      expect(recorded).toHaveLength(1)
    })

    it('while a reply is judged', async () => {
      const other = fakeModel('n', [saying('x')])
      const { run, failures } = aborting(() => ({
        attempts: [{ model: fakeModel('m', [saying('x')]), accept: () => new Promise(() => {}) }, other],
        abortAtMs: 10,
      }))
      expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      expect(other.requests).toEqual([])
      expect(codes(failures)).toEqual([['m', 1, 'ABORTED', true]])
    })

    it('out of a listener', async () => {
      const model = fakeModel('m', [saying('x')])
      for (const name of ['onSend', 'onDelta'] as const) {
        const { run } = aborting((abort) => ({ attempts: [model], options: { [name]: abort } }))
        expect(await rejection(run())).toMatchObject({ code: 'ABORTED' })
      }
      expect(model.open).toBe(0)
    })

    it('by an error of Baton keeps that error', async () => {
      const reason = new BatonError('LOST_OWNERSHIP', 'somebody else drives')
      const { run } = setUp(() => [fakeModel('m', [['hang']])], { signal: AbortSignal.abort(reason) })
      expect(await rejection(run())).toBe(reason)
    })
  })

  it('leaves no listener behind', async () => {
    const { signal } = new AbortController()
    const clock = createVirtualClock()
    const book = createModelHealthBook({ failuresToOpen: 1 }, { clock })
    let listening = 0
    const health: typeof book = {
      ...book,
      onProbed(modelId, listener) {
        const stop = book.onProbed(modelId, listener)
        listening += 1
        return () => {
          listening -= 1
          stop()
        }
      },
    }
    const { start } = setUp(() => [fakeModel('m', [failing('server'), saying('ok')])], { clock, health, signal })
    await clock.run(start())
    expect(getEventListeners(signal, 'abort')).toEqual([])
    expect(listening).toBe(0)
  })

  it('ends with the error of a record that could not be made, and sends nothing more', async () => {
    const full = new BatonError('STORE_FULL', 'no room')
    const model = fakeModel('m', [failing('server')])
    const { run } = setUp(() => [model], { onFailed: () => Promise.reject(full) })
    expect(await rejection(run())).toBe(full)
    expect(model.requests).toHaveLength(1)
  })

  it('ends with what a listener throws, and closes the stream', async () => {
    const model = fakeModel('m', [saying('x')])
    for (const name of ['onSend', 'onDelta', 'mintCallId'] as const) {
      const odd = new BatonError('INVALID_STATE', name)
      const calls = fakeModel('m', [
        [{ type: 'text', text: 'a' }, { type: 'tool-call', index: 0, name: 'x', arguments: '' }, ...saying('b')],
      ])
      const { run, health } = setUp(() => [name === 'mintCallId' ? calls : model], {
        [name]: () => {
          throw odd
        },
      })
      expect(await rejection(run())).toBe(odd)
      expect(health.get('m').failuresInARow).toBe(0)
    }
    expect(model.open).toBe(0)
  })

  it('does not lose a reply to a router that fails to learn', async () => {
    const onOutcome = () => {
      throw new Error('bug')
    }
    expect((await setUp(() => [fakeModel('m', [saying('ok')])], { onOutcome }).run()).text).toBe('ok')
  })

  it('rejects an empty route with NO_ELIGIBLE_MODEL', async () => {
    expect(await rejection(setUp(() => []).run())).toMatchObject({ code: 'NO_ELIGIBLE_MODEL' })
  })

  it('checks its timing', async () => {
    for (const timing of [
      { triesPerAttempt: 0 },
      { backoffBaseMs: -1 },
      { firstChunkMs: Number.NaN },
      { maxWaitMs: 1e9 },
      { tries: 3 } as never,
    ]) {
      const error = await rejection(setUp(() => [fakeModel('m', [saying('x')])], { timing }).run())
      expect(error.code).toBe('INVALID_OPTIONS')
      expect(error.message).toContain(Object.keys(timing)[0])
    }
  })
})

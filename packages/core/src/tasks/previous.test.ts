import { describe, expect, it } from 'vitest'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import type { CallOutcome, RouteRequest, Router, Verdict } from '../models/router.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import { calling, eventsOfType, happens, instantTool } from '../testing/task-fixtures.ts'
import type { BatonOptions } from './baton.ts'
import { createBaton } from './baton.ts'

const sandboxes = [createLocalSandboxProvider({ isolation: 'none' })]

/** A Baton whose router notes what it is asked; `pick` names the model for each call, from 0. */
function noting(script: Parameters<typeof scriptedModel>[0], pick: (call: number) => 'a' | 'b', options: Partial<BatonOptions> = {}) {
  const asked: RouteRequest[] = []
  const models = { a: scriptedModel(script, { id: 'a' }), b: scriptedModel(script, { id: 'b' }) }
  const router: Router = {
    models: [models.a, models.b],
    async route(request) {
      const model = models[pick(asked.push(request) - 1)]
      return { attempts: [{ model }], considered: [] }
    },
  }
  return { asked, baton: createBaton({ router, sandboxes, ...options }) }
}

const said = (previous: readonly CallOutcome[] | undefined) => previous?.map(({ model, result, error }) => [model, result, error?.message])

describe('what failing checks tell the router', () => {
  it('names in `previous` each model that answered before them, once for each round', async () => {
    const look = instantTool('look')
    const script = [calling(['look']), { text: 'done' }, { text: 'done' }, { text: 'done' }]
    const models = ['a', 'b', 'b', 'a'] as const
    // Both play the same script, each from its start.
    const { asked, baton } = noting(
      (_, call) => script[call === 1 ? 0 : 1] as (typeof script)[0],
      (call) => models[call] ?? 'a',
      {
        tools: [look],
      },
    )
    const task = await baton.createTask({ goal: 'x', checks: [{ name: 'tests', command: 'false' }], checkRounds: 2 })
    expect((await task.start().result).outcome).toBe('checks-failed')
    const message = 'The check "tests" failed after its work.'
    const round1 = [
      ['a', 'not-accepted', message],
      ['b', 'not-accepted', message],
    ]
    expect(asked.map(({ previous }) => said(previous))).toEqual([
      undefined,
      undefined,
      undefined,
      round1,
      [...round1, ['a', 'not-accepted', message]],
    ])
    expect(asked.at(-1)?.previous?.[0]).toMatchObject({ taskId: task.id, role: 'code', usage: { inputTokens: expect.any(Number) } })
    await baton.close()
  })

  it('is over with the run', async () => {
    const { asked, baton } = noting(
      () => ({ text: 'done' }),
      () => 'a',
    )
    const task = await baton.createTask({ goal: 'x', checks: ['false'], checkRounds: 1 })
    await task.start().result
    await task.start().result
    expect(asked.map(({ previous }) => previous?.length)).toEqual([undefined, 1, undefined, 1])
    await baton.close()
  })

  it('is the same after the task was opened again', async () => {
    const store = { ...createMemoryEventStore(), close: async () => {} }
    let answered = 0
    const never = () => new Promise<never>(() => {})
    const first = noting(
      () => (answered++ === 0 ? { text: 'done' } : never()),
      () => 'b',
      { store },
    )
    const task = await first.baton.createTask({ goal: 'x', checks: ['false'], checkRounds: 1 })
    const run = task.start()
    await happens(task, 'model.called', ({ modelCallId }) => modelCallId === 'm2')
    await Promise.all([first.baton.close(), run.result.catch(() => {})])
    const second = noting(
      () => ({ text: 'done' }),
      () => 'a',
      { store },
    )
    const same = await second.baton.openTask(task.id)
    await happens(same, 'run.finished')
    const [before, after] = [first.asked.at(-1), second.asked[0]]
    expect(after?.previous).toEqual(before?.previous)
    expect(after?.previous).toEqual([
      expect.objectContaining({
        taskId: task.id,
        model: 'b',
        error: { code: 'CHECK_FAILED', message: expect.stringContaining('"false"') },
      }),
    ])
    await second.baton.close()
  })

  it('is silent about checks that could not be started', async () => {
    const { asked, baton } = noting(
      () => ({ text: 'done' }),
      () => 'a',
    )
    const task = await baton.createTask({ goal: 'x', checks: ['no-such-command-here'], checkRounds: 1 })
    await task.start().result
    expect(asked.every(({ previous }) => previous === undefined)).toBe(true)
    await baton.close()
  })
})

describe('what judging a reply takes', () => {
  it('is spent by the task and stands in the log, whether the reply was accepted or not', async () => {
    const price = { input: 1, output: 1 }
    const usage = { inputTokens: 10, outputTokens: 10 }
    const info = { ...scriptedModel([]).info, price }
    const judge = { model: 'judge', usage: { inputTokens: 100, outputTokens: 1 }, costUsd: 0.25 }
    const judged = (accepted: boolean) => async (): Promise<Verdict> => ({ accepted, judge })
    const models = ['a', 'b', 'c'].map((id) => scriptedModel([{ text: id, usage }], { id, info }))
    const [a, b, c] = models as [(typeof models)[0], (typeof models)[0], (typeof models)[0]]
    const attempts = [{ model: a, accept: judged(false) }, { model: b, accept: judged(true) }, { model: c }]
    const baton = createBaton({ router: { models, route: async () => ({ attempts, considered: [] }) } })
    const task = await baton.createTask({ goal: 'x', limits: { costUsd: 5 } })
    const result = await task.start().result
    expect(result).toMatchObject({ outcome: 'done', text: 'b' })
    expect((await eventsOfType(task, 'model.failed')).map(({ data }) => [data.model, data.judge])).toEqual([['a', judge]])
    expect((await eventsOfType(task, 'model.finished')).map(({ data }) => [data.model, data.judge])).toEqual([['b', judge]])
    expect(result.spent).toMatchObject({ steps: 1, inputTokens: 220, outputTokens: 22 })
    expect(result.spent.costUsd).toBeCloseTo(0.50004, 9)
    await baton.close()
  })
})

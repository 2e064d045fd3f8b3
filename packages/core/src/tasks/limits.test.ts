import { describe, expect, it, vi } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { calling, eventsOfType, happens, instantTool, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

const info = { price: { input: 1_000, output: 1_000 } }
const usage = { inputTokens: 600, outputTokens: 400 }
const look = calling(['look'])

describe('limits', () => {
  it('of steps ends the run, and holds for one run', async () => {
    const { model, baton } = scriptedBaton([look, look, look, { text: 'Done.' }], { tools: [instantTool('look')] })
    const task = await baton.createTask({ goal: 'x', limits: { steps: 2 } })
    const result = await task.start().result
    expect(result).toMatchObject({ outcome: 'limit', limit: 'steps', spent: { steps: 2 } })
    expect(result.text).toMatch(/limit of 2 steps.*setLimits/)
    expect(model.requests).toHaveLength(2)
    expect(task.summary).toMatchObject({ status: 'idle', outcome: 'limit' })
    expect(await task.start().result).toMatchObject({ outcome: 'done', spent: { steps: 2 } })
    expect(task.summary.spent.steps).toBe(4)
  })

  it('of cost ends the run before the next call; with a higher one it goes on', async () => {
    const { model, baton } = scriptedBaton(
      [
        { ...look, usage },
        { ...look, usage },
        { text: 'Done.', usage },
      ],
      {
        tools: [instantTool('look')],
        model: { info },
      },
    )
    const task = await baton.createTask({ goal: 'x', limits: { costUsd: 2 } })
    expect(await task.start().result).toMatchObject({ outcome: 'limit', limit: 'costUsd', spent: { costUsd: 2 } })
    expect(model.requests).toHaveLength(2)
    await task.setLimits({ costUsd: 10 })
    expect(await task.start().result).toMatchObject({ outcome: 'done', spent: { costUsd: 1 } })
    expect(task.summary.spent).toMatchObject({ costUsd: 3, inputTokens: 1800, outputTokens: 1200 })
  })

  it('of cost ends the run when the next prompt alone would cost more than is left', async () => {
    const { model, baton } = scriptedBaton([], { model: { info } })
    const task = await baton.createTask({ goal: 'x'.repeat(10_000), limits: { costUsd: 0.5 } })
    expect(await task.start().result).toMatchObject({ outcome: 'limit', limit: 'costUsd' })
    expect(model.requests).toEqual([])
  })

  it('of cost leaves out models of unknown price, and says so', async () => {
    const { baton } = scriptedBaton([], { model: { info: { price: undefined } } })
    const task = await baton.createTask({ goal: 'x', limits: { costUsd: 5 } })
    const { outcome, error } = await task.start().result
    expect([outcome, error?.code]).toEqual(['failed', 'NO_ELIGIBLE_MODEL'])
    expect(error?.message).toMatch(/price-unknown/)
  })

  it('of no cost at all still allows a model that costs nothing', async () => {
    const { baton } = scriptedBaton([{ text: 'Free.' }])
    const task = await baton.createTask({ goal: 'x', limits: { costUsd: 0 } })
    expect((await task.start().result).text).toBe('Free.')
    const paid = await scriptedBaton([], { model: { info } }).baton.createTask({ goal: 'x', limits: { costUsd: 0 } })
    expect((await paid.start().result).outcome).toBe('limit')
  })

  it('of tokens holds over all runs', async () => {
    const { baton } = scriptedBaton([
      { text: 'One.', usage },
      { text: 'Two.', usage },
      { text: 'Three.', usage },
    ])
    const task = await baton.createTask({ goal: 'x', limits: { tokens: 2_000 } })
    expect((await task.start().result).outcome).toBe('done')
    expect((await task.start().result).outcome).toBe('done')
    expect(await task.start().result).toMatchObject({ outcome: 'limit', limit: 'tokens' })
  })

  it('of time stops what runs', async () => {
    const { model, baton } = scriptedBaton([{ text: 'never', stallAfter: 0 }])
    const task = await baton.createTask({ goal: 'x', limits: { timeMs: 30 } })
    expect(await task.start().result).toMatchObject({ outcome: 'limit', limit: 'timeMs' })
    expect(await model.ended(1)).toBe('gone')
    const probe = probeTool('work', 'write')
    const other = scriptedBaton([calling(['work'])], { tools: [probe.tool] }).baton
    const second = await other.createTask({ goal: 'x', limits: { timeMs: 30 } })
    expect((await second.start().result).outcome).toBe('limit')
    expect((await eventsOfType(second, 'tool.finished'))[0]?.data.outcome).toBe('cancelled')
  })

  it('of time that is longer than a timer can be is no reason to stop at once', async () => {
    const probe = probeTool('look', 'read')
    const { baton } = scriptedBaton([look, { text: 'Done.' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'x', limits: { timeMs: 2 ** 40 } })
    const run = task.start()
    const call = await probe.called(1)
    await new Promise(setImmediate)
    call.finish('x')
    expect((await run.result).outcome).toBe('done')
  })

  it('of time goes by what it is now', async () => {
    const probe = probeTool('look', 'read')
    const { baton } = scriptedBaton([look, { text: 'Done.' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'x', limits: { timeMs: 60_000 } })
    const run = task.start()
    await probe.called(1)
    await task.setLimits({ timeMs: 1 })
    expect(await run.result).toMatchObject({ outcome: 'limit', limit: 'timeMs' })
  })

  it('of time does not count the time that a person takes', async () => {
    const asker: Agent = { name: 'asker', run: async (context) => ({ text: await context.ask('Which?', { key: 'q' }) }) }
    const task = await createBaton({ agents: [asker] }).createTask({ goal: 'x', limits: { timeMs: 60_000 } })
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
    try {
      const run = task.start()
      const { data } = await happens(task, 'question.asked')
      vi.advanceTimersByTime(3_600_000)
      await task.answer(data.questionId, 'blue')
      expect(await run.result).toMatchObject({ outcome: 'done', text: 'blue', ms: 0 })
    } finally {
      vi.useRealTimers()
    }
  })

  it('counts what failed attempts used', async () => {
    const { baton } = scriptedBaton(
      [
        { text: 'cut', cutAfter: 1 },
        { text: 'Done.', usage },
      ],
      {
        model: { info },
        timing: { backoffBaseMs: 0 },
      },
    )
    const task = await baton.createTask({ goal: 'x' })
    const { spent } = await task.start().result
    expect(spent).toMatchObject({ steps: 1, costUsd: 1 })
    expect(await typesOf(task, /^model/)).toEqual(['model.called', 'model.failed', 'model.finished'])
  })
})

import { describe, expect, it } from 'vitest'
import type { Agent, AgentContext, SubTask, SubTaskResult } from '../agents/agent.ts'
import { createModelAgent } from '../agents/model-agent.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { eventsOfType, happens, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { BatonOptions } from './baton.ts'
import { createBaton } from './baton.ts'

const boss = (run: (context: AgentContext) => Promise<string>): Agent => ({
  name: 'boss',
  run: async (context) => ({ text: await run(context) }),
})
const info = { price: { input: 1_000, output: 1_000 } }
const usage = { inputTokens: 600, outputTokens: 400 }

/** An agent that gives out work by these specs, and tells how each ended. */
const delegating = (...specs: readonly SubTask[]): Agent =>
  boss(async (context) => {
    const results: SubTaskResult[] = []
    for (const [index, spec] of specs.entries()) results.push(await context.delegate(spec, { key: `${index}` }))
    return results.map(({ outcome, text }) => `${outcome}: ${text}`).join(', ')
  })

async function start(
  script: Parameters<typeof scriptedBaton>[0],
  agent: Agent,
  options: BatonOptions & { goal?: string; limits?: object } = {},
) {
  const { goal = 'x', limits = {}, ...rest } = options
  const { model, baton } = scriptedBaton(script, { agents: [agent, createModelAgent()], model: { info }, ...rest })
  const task = await baton.createTask({ goal, limits })
  return { model, baton, task, run: task.start() }
}

describe('AgentContext.delegate', () => {
  it('has another task do the work, and settles what it used', async () => {
    const { baton, task, run } = await start([{ text: 'Found.', usage }], delegating({ goal: 'Find it.', agent: 'coder' }), {
      concurrency: 1,
    })
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'done: Found.', spent: { costUsd: 0 } })
    expect(task.summary.spent).toEqual({ costUsd: 1, steps: 1, inputTokens: 600, outputTokens: 400 })
    const [delegated] = await eventsOfType(task, 'task.delegated')
    const children = []
    for await (const summary of baton.tasks({ parentId: task.id })) children.push(summary)
    expect(children).toMatchObject([{ taskId: delegated?.data.childId, goal: 'Find it.', status: 'idle', outcome: 'done' }])
  })

  it('returns the same result for the same key, in later runs and at the same time', async () => {
    const agent = boss(async (context) => {
      const spec = { goal: 'Find it.', agent: 'coder' }
      const both = await Promise.all([context.delegate(spec, { key: 'a' }), context.delegate(spec, { key: 'a' })])
      return both.map(({ text }) => text).join()
    })
    const { model, task, run } = await start([{ text: 'Found.' }], agent)
    expect((await run.result).text).toBe('Found.,Found.')
    expect((await task.start().result).text).toBe('Found.,Found.')
    expect(model.requests).toHaveLength(1)
  })

  it('reserves a slice of the budget while the sub-task works, and gives back what it did not use', async () => {
    const seen: unknown[] = []
    const agent = boss(async (context) => {
      const spec = { goal: 'Find it.', agent: 'coder', limits: { costUsd: 6 } }
      const first = context.delegate(spec, { key: 'a' })
      await first.then((result) => seen.push(result.spent.costUsd))
      const [second, third] = await Promise.allSettled([context.delegate(spec, { key: 'b' }), context.delegate(spec, { key: 'c' })])
      seen.push(second.status, third.status === 'rejected' && third.reason.code)
      return 'ok'
    })
    const { task, run } = await start(
      [
        { text: '1', usage },
        { text: '2', usage },
      ],
      agent,
      { limits: { costUsd: 10 } },
    )
    expect((await run.result).outcome).toBe('done')
    // 10 − 1 used = 9: enough for 6, and not for 6 more while those are reserved.
    expect(seen).toEqual([1, 'fulfilled', 'LIMIT_REACHED'])
    expect((await eventsOfType(task, 'task.delegated')).map(({ data }) => data.reserved)).toEqual([{ costUsd: 6 }, { costUsd: 6 }])
    expect(task.summary.spent.costUsd).toBe(2)
  })

  it('gives what is left where no limit is asked for, and holds the sub-task to it', async () => {
    const asks = { toolCalls: [{ tool: 'nothing', input: {} }], usage }
    const { run, task } = await start([asks, asks, asks, asks], delegating({ goal: 'a', agent: 'coder' }), { limits: { costUsd: 3 } })
    expect((await run.result).text).toMatch(/^limit: .*limit of 3 costUsd/)
    expect(task.summary.spent.costUsd).toBe(3)
  })

  it('cancels the sub-task with the run above, whenever that comes', async () => {
    const { baton, task, run } = await start([{ text: 'never', stallAfter: 0 }], delegating({ goal: 'a', agent: 'coder' }))
    const { data } = await happens(task, 'task.delegated')
    // Before the sub-task has begun.
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    expect((await eventsOfType(task, 'task.settled')).map((event) => event.data.outcome)).toEqual(['cancelled'])

    const second = await start([{ text: 'never', stallAfter: 0 }], delegating({ goal: 'a', agent: 'coder' }))
    const childId = (await happens(second.task, 'task.delegated')).data.childId
    let child = await second.baton.openTask(childId, { as: 'observer' }).catch(() => undefined)
    while (!child) child = await second.baton.openTask(childId, { as: 'observer' }).catch(() => undefined)
    await happens(child, 'model.called')
    await second.task.cancel()
    expect((await second.run.result).outcome).toBe('cancelled')
    expect((await eventsOfType(child, 'run.finished')).map((event) => event.data.outcome)).toEqual(['cancelled'])
    const left = []
    for await (const { status } of baton.tasks()) left.push(status)
    expect(left).not.toContain('running')
    expect(data.key).toBe('0')
  })

  it('lets go of the sub-task with the one above, and goes on with it later', async () => {
    const store = createMemoryEventStore()
    const asked = Promise.withResolvers<void>()
    const script = [
      () => {
        asked.resolve()
        return { text: 'never', stallAfter: 0 }
      },
    ]
    const { task, run } = await start(script, delegating({ goal: 'a', agent: 'coder' }), { store })
    await asked.promise
    await task.close()
    await expect(run.result).rejects.toThrow(expect.objectContaining({ code: 'CLOSED' }))
    const agents = [delegating({ goal: 'a', agent: 'coder' }), createModelAgent()]
    const { baton } = scriptedBaton([{ text: 'At last.' }], { store, agents })
    const again = await baton.openTask(task.id)
    expect((await again.start().result).text).toBe('done: At last.')
    expect(await typesOf(again, /^task\.delegated|^run/)).toEqual(['run.started', 'task.delegated', 'run.finished'])
  })

  it('fails, and gives its slice back, when the sub-task cannot begin', async () => {
    const bad = {
      goal: 'a',
      checks: [
        { name: 'a', command: 'x' },
        { name: 'a', command: 'y' },
      ],
    }
    const { task, run } = await start([], delegating(bad), { limits: { costUsd: 5 } })
    expect((await run.result).text).toMatch(/^failed: .*two checks are named "a"/)
    expect(await eventsOfType(task, 'task.settled')).toHaveLength(1)
  })

  it('refuses what makes no sense before anything is reserved', async () => {
    for (const [spec, code] of [
      [{ goal: '' }, 'INVALID_OPTIONS'],
      [{ goal: 'a', limit: {} }, 'INVALID_OPTIONS'],
      [{ goal: 'a', agent: 'nobody' }, 'UNKNOWN_AGENT'],
    ] as const) {
      const { task, run } = await start([], delegating(spec as SubTask))
      expect((await run.result).error?.code).toBe(code)
      expect(await eventsOfType(task, 'task.delegated')).toEqual([])
    }
  })

  it('raises the label of the task above to that of the sub-task', async () => {
    const classifier = { classify: (content: string) => (content.includes('secret') ? 'restricted' : 'public') as 'restricted' }
    const { task, run } = await start([{ text: 'Found.' }], delegating({ goal: 'Find the secret.', agent: 'coder' }), { classifier })
    await run.result
    expect(task.summary.sensitivity).toBe('restricted')
  })

  it('works in the sandbox of the task above where asked, else in one of its own; the end closes them all', async () => {
    const provider = createLocalSandboxProvider({ isolation: 'none' })
    const before = new Set<string>()
    for await (const { id } of provider.list()) before.add(id)
    const places: string[] = []
    const worker: Agent = { name: 'worker', run: async () => ({ text: '' }) }
    const pwd = { name: 'where', command: 'pwd' }
    const agent = boss(async (context) => {
      for (const shareSandbox of [true, false])
        await context.delegate({ goal: 'a', agent: 'worker', shareSandbox, checks: [pwd] }, { key: `${shareSandbox}` })
      return ''
    })
    const baton = createBaton({ agents: [agent, worker], sandboxes: [provider] })
    const task = await baton.createTask({ goal: 'x', checks: [pwd] })
    await task.start().result
    for await (const { taskId } of baton.tasks()) {
      const one = await baton.openTask(taskId, { as: 'observer' })
      places.push(...(await eventsOfType(one, 'check.finished')).map(({ data }) => data.output))
    }
    expect(places[0]).toBe(places[1])
    expect(places[2]).not.toBe(places[0])
    await task.end()
    const left: string[] = []
    for await (const { id } of provider.list()) if (!before.has(id)) left.push(id)
    expect(left).toEqual([])
    const status = []
    for await (const summary of baton.tasks()) status.push(summary.status)
    expect(status).toEqual(['closed', 'closed', 'closed'])
    await baton.close()
  })
})

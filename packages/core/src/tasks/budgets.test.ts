import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { createModelAgent } from '../agents/model-agent.ts'
import type { EventStore } from '../events/event-store.ts'
import { createFileEventStore } from '../events/file-event-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import type { RouteRequest } from '../models/router.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import { scriptedBaton } from '../testing/task-fixtures.ts'
import type { Baton, BatonOptions } from './baton.ts'
import { createBaton } from './baton.ts'
import type { TaskSpec } from './task-options.ts'

/** Each reply costs a dollar. */
const reply = { text: 'Done.', usage: { inputTokens: 600, outputTokens: 400 } }
const model = { info: { price: { input: 1_000, output: 1_000 } } }

function batonWith(budgets: BatonOptions['budgets'], options: Partial<BatonOptions> & { model?: object } = {}) {
  return scriptedBaton(() => reply, { model, budgets, ...options })
}

async function run(baton: Baton, spec: Partial<TaskSpec> = {}) {
  const task = await baton.createTask({ goal: 'x', ...spec })
  return { task, ...(await task.start().result) }
}

const outcomes = async (baton: Baton, ...specs: Partial<TaskSpec>[]) => {
  const seen: string[] = []
  for (const spec of specs) {
    const { outcome, limitScope } = await run(baton, spec)
    seen.push(limitScope === undefined ? outcome : `${outcome} ${limitScope}`)
  }
  return seen
}

function temporaryFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'budgets-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return dir
}

/** Stops the calendar, which timers do not go by. */
function stopDate(at: string) {
  vi.useFakeTimers({ toFake: ['Date'], now: new Date(at) })
  onTestFinished(() => void vi.useRealTimers())
  return (ms: number) => vi.setSystemTime(Date.now() + ms)
}

describe('budgets', () => {
  it('of a day hold over all tasks, and end runs with the outcome limit', async () => {
    const { baton, model: asked } = batonWith({ perDayUsd: 2 })
    expect(await outcomes(baton, {}, { tenant: 'acme' }, {}, { tenant: 'acme' })).toEqual(['done', 'done', 'limit day', 'limit day'])
    expect(asked.requests).toHaveLength(2)
    const { task, text } = await run(baton)
    expect(text).toBe(
      'What all tasks may cost in a day ($2) is spent. Raise budgets.perDayUsd of createBaton(), or start again after midnight UTC.',
    )
    const finished: unknown[] = []
    for await (const event of task.events()) {
      if (event.type !== 'run.finished') continue
      finished.push(event.data)
      break
    }
    expect(finished).toMatchObject([{ outcome: 'limit', limit: 'costUsd', limitScope: 'day' }])
  })

  it('of each tenant hold for that tenant', async () => {
    const { baton } = batonWith({ perTenantPerDayUsd: 1 })
    const tenants = ['acme', 'acme', 'globex', undefined, undefined]
    const specs = tenants.map((tenant) => (tenant === undefined ? {} : { tenant }))
    expect(await outcomes(baton, ...specs)).toEqual(['done', 'limit tenant', 'done', 'done', 'done'])
    expect((await run(baton, { tenant: 'acme' })).text).toMatch(
      /^What the tasks of "acme" may cost in a day \(\$1\) is spent\. Raise budgets\.per/,
    )
  })

  it('of tenants by name leave the others to that of the day', async () => {
    const { baton } = batonWith({ perDayUsd: 4, perTenantPerDayUsd: { acme: 1 } })
    const specs = ['acme', 'acme', 'toString', 'toString', 'toString', 'toString'].map((tenant) => ({ tenant }))
    expect(await outcomes(baton, ...specs)).toEqual(['done', 'limit tenant', 'done', 'done', 'done', 'limit day'])
  })

  it('tell a limit of the task from the others', async () => {
    const { baton } = batonWith({ perDayUsd: 5 })
    const { task } = await run(baton, { limits: { costUsd: 1 } })
    expect(await task.start().result).toMatchObject({ outcome: 'limit', limit: 'costUsd', limitScope: 'task' })
    const steps = await run(baton, { limits: { steps: 1 } })
    expect(steps.limitScope).toBeUndefined()
  })

  it('are kept with the task', async () => {
    const move = stopDate('2030-05-05T12:00:00Z')
    const { baton } = batonWith(undefined)
    const { task } = await run(baton, { tenant: 'acme' })
    expect(task.summary).toMatchObject({ tenant: 'acme', today: { day: '2030-05-05', costUsd: 1 } })
    await task.start().result
    expect(task.summary.today).toEqual({ day: '2030-05-05', costUsd: 2 })
    move(24 * 3_600_000)
    await task.start().result
    expect(task.summary).toMatchObject({ today: { day: '2030-05-06', costUsd: 1 }, spent: { costUsd: 3 } })
    move(-24 * 3_600_000)
    await task.start().result
    expect(task.summary.today).toEqual({ day: '2030-05-06', costUsd: 2 })
  })

  it('begin again with each day of UTC', async () => {
    const move = stopDate('2030-05-05T23:59:00Z')
    const { baton } = batonWith({ perDayUsd: 1, perTenantPerDayUsd: 1 })
    expect(await outcomes(baton, { tenant: 'acme' }, {})).toEqual(['done', 'limit day'])
    move(60_000)
    expect(await outcomes(baton, { tenant: 'acme' }, {})).toEqual(['done', 'limit day'])
  })

  it('show routers the least that is left, and keep models of unknown price out', async () => {
    const asked: (number | undefined)[] = []
    const priced = scriptedModel(() => reply, model)
    const inner = createSingleModelRouter(priced)
    const route = (request: RouteRequest & { health: never }) => {
      asked.push(request.budgetUsd)
      return inner.route(request)
    }
    const baton = createBaton({ router: { ...inner, route } as typeof inner, budgets: { perDayUsd: 9, perTenantPerDayUsd: 7.5 } })
    await run(baton)
    await run(baton, { tenant: 'acme' })
    await run(baton, { tenant: 'acme' })
    await run(baton, { tenant: 'acme', limits: { costUsd: 3 } })
    expect(asked).toEqual([9, 7.5, 6.5, 3])

    const unknown = batonWith({ perDayUsd: 5 }, { model: {} })
    const priceless = scriptedBaton(() => reply, { model: { info: { price: undefined } }, budgets: { perTenantPerDayUsd: 5 } })
    expect(await outcomes(unknown.baton, {})).toEqual(['done'])
    expect((await run(priceless.baton, { tenant: 'acme' })).error?.message).toMatch(/price-unknown/)
    expect(await outcomes(priceless.baton, {})).toEqual(['done'])
  })

  it('of nothing still allow a model that costs nothing', async () => {
    const free = batonWith({ perDayUsd: 0 }, { model: { info: { price: { input: 0, output: 0 } } } })
    expect(await outcomes(free.baton, {}, {})).toEqual(['done', 'done'])
    expect(await outcomes(batonWith({ perDayUsd: 0 }).baton, {})).toEqual(['limit day'])
  })

  it('end a run where the next prompt alone would cost more than is left', async () => {
    const { baton } = batonWith({ perDayUsd: 1.5, perTenantPerDayUsd: 50 })
    expect(await outcomes(baton, {}, { goal: 'x'.repeat(10_000), tenant: 'acme' })).toEqual(['done', 'limit day'])
  })

  it('count sub-tasks once, for the tenant of the task above', async () => {
    const parent: Agent = {
      name: 'parent',
      async run(context) {
        await context.model()
        const child = await context.delegate({ goal: 'part', agent: 'coder' }, { key: 'k' })
        return { text: child.outcome }
      },
    }
    const { baton } = batonWith({ perTenantPerDayUsd: 3 }, { agents: [parent, createModelAgent({ name: 'coder' })] })
    const { task, text } = await run(baton, { tenant: 'acme' })
    expect(text).toBe('done')
    expect(task.summary).toMatchObject({ spent: { costUsd: 2 }, today: { costUsd: 1 } })
    expect(await outcomes(baton, { agent: 'coder', tenant: 'acme' }, { agent: 'coder', tenant: 'acme' })).toEqual(['done', 'limit tenant'])
  })

  it('survive a restart without a log being read', async () => {
    const dir = temporaryFolder()
    const first = batonWith({ perDayUsd: 2 }, { store: createFileEventStore({ dir }) }).baton
    expect(await outcomes(first, { tenant: 'acme' }, {})).toEqual(['done', 'done'])
    await first.close()
    const store = createFileEventStore({ dir })
    const read = vi.spyOn(store, 'read')
    const second = batonWith({ perDayUsd: 3, perTenantPerDayUsd: 1 }, { store }).baton
    onTestFinished(() => second.close())
    expect(await outcomes(second, { tenant: 'acme' }, {}, {})).toEqual(['limit tenant', 'done', 'limit day'])
    expect(read).not.toHaveBeenCalled()
  })

  it('still count what a deleted task cost', async () => {
    const { baton } = batonWith({ perDayUsd: 1 })
    const { task } = await run(baton)
    await baton.deleteTask(task.id)
    expect(await outcomes(baton, {})).toEqual(['limit day'])
  })

  it('see what other processes spend some seconds later, and do not look more often', async () => {
    const move = stopDate('2030-05-05T12:00:00Z')
    const dir = temporaryFolder()
    const stores = [createFileEventStore({ dir }), createFileEventStore({ dir })] as const
    const listed = vi.spyOn(stores[0], 'tasks')
    const [here, there] = stores.map((store) => batonWith({ perDayUsd: 3 }, { store }).baton) as [Baton, Baton]
    onTestFinished(async () => void (await Promise.all([here.close(), there.close()])))
    expect(await outcomes(here, {})).toEqual(['done'])
    expect(await outcomes(there, {})).toEqual(['done'])
    move(4_999)
    expect(await outcomes(here, {})).toEqual(['done'])
    expect(listed).toHaveBeenCalledTimes(1)
    move(1)
    expect(await outcomes(here, {})).toEqual(['limit day'])
    expect(listed).toHaveBeenCalledTimes(2)
    move(-3_600_000)
    expect(await outcomes(here, {})).toEqual(['limit day'])
    expect(listed).toHaveBeenCalledTimes(3)
  })

  it('look less often where looking takes long', async () => {
    const move = stopDate('2030-05-05T12:00:00Z')
    const memory = createMemoryEventStore()
    let listed = 0
    const store: EventStore = {
      ...memory,
      async *tasks(filter) {
        listed += 1
        move(1_000)
        yield* memory.tasks(filter)
      },
    }
    const { baton } = batonWith({ perDayUsd: 100 }, { store })
    await run(baton)
    move(49_999)
    await run(baton)
    expect(listed).toBe(1)
    move(1)
    await run(baton)
    expect(listed).toBe(2)
  })

  it('fail a call where what was spent cannot be known', async () => {
    const store = createMemoryEventStore()
    const broken: EventStore = {
      ...store,
      // biome-ignore lint/correctness/useYield: it fails before there is anything.
      async *tasks() {
        throw new Error('no such table')
      },
    }
    const { baton, model: asked } = batonWith({ perDayUsd: 1 }, { store: broken })
    const { outcome, error } = await run(baton)
    expect([outcome, error?.message]).toEqual(['failed', 'no such table'])
    expect(asked.requests).toEqual([])
  })

  it('are exceeded by the calls under way at most, whatever runs at once', async () => {
    const plan = fc.record({
      perDayUsd: fc.integer({ min: 0, max: 12 }),
      perTenant: fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined }),
      concurrency: fc.integer({ min: 1, max: 4 }),
      tasks: fc.array(fc.constantFrom('acme', 'globex', undefined), { minLength: 1, maxLength: 16 }),
    })
    await fc.assert(
      fc.asyncProperty(plan, async ({ perDayUsd, perTenant, concurrency, tasks }) => {
        let [flying, most] = [0, 0]
        const spent = new Map<string | undefined, number>()
        const asked = scriptedModel(async () => {
          most = Math.max(most, ++flying)
          await new Promise(setImmediate)
          flying--
          return reply
        }, model)
        const budgets = { perDayUsd, ...(perTenant !== undefined && { perTenantPerDayUsd: perTenant }) }
        const baton = createBaton({ router: createSingleModelRouter(asked), budgets, concurrency })
        const results = await Promise.all(tasks.map((tenant) => run(baton, tenant === undefined ? {} : { tenant })))
        for (const [place, { outcome }] of results.entries()) {
          if (outcome === 'done') spent.set(tasks[place], (spent.get(tasks[place]) ?? 0) + 1)
          else expect(outcome).toBe('limit')
        }
        const all = [...spent.values()].reduce((sum, usd) => sum + usd, 0)
        expect(asked.requests).toHaveLength(all)
        expect(most).toBeLessThanOrEqual(concurrency)
        expect(all).toBeLessThan(perDayUsd + Math.max(1, concurrency))
        for (const tenant of ['acme', 'globex'])
          if (perTenant !== undefined) expect(spent.get(tenant) ?? 0).toBeLessThan(perTenant + Math.max(1, concurrency))
        const wanted = tasks.length
        if (perTenant === undefined) expect(all).toBeGreaterThanOrEqual(Math.min(wanted, perDayUsd))
        await baton.close()
      }),
      { numRuns: 60 },
    )
  })
})

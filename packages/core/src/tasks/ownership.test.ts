import { existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, eventsOfType, happens, instantTool, linesOf, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { ToolContext } from '../tools/tool.ts'
import { createBaton } from './baton.ts'

const lost = expect.objectContaining({ code: 'LOST_OWNERSHIP' })

describe('a second driver', () => {
  it('takes the task over: the first stops before its next side effect, and the run goes on here', async () => {
    const store = createMemoryEventStore()
    const look = probeTool('look', 'read')
    const write = instantTool('write', 'write')
    const first = scriptedBaton([calling(['look'], ['write'])], { tools: [look.tool, write], store }).baton
    const task = await first.createTask({ goal: 'x' })
    const run = task.start()
    const call = await look.called(1)
    const instant = [instantTool('look'), instantTool('write', 'write')] as const
    const second = scriptedBaton([{ text: 'Done here.' }], { tools: [...instant], store }).baton
    const mine = await second.openTask(task.id)
    call.finish('too late')
    await expect(run.result).rejects.toThrow(lost)
    expect(write.inputs).toEqual([])
    expect(await mine.start().result).toMatchObject({ outcome: 'done', text: 'Done here.' })
    expect([instant[0].inputs.length, instant[1].inputs.length]).toEqual([1, 1])
    expect((await eventsOfType(mine, 'driver.claimed')).map(({ data }) => data.epoch)).toEqual([1, 2])
    expect(await typesOf(mine, /^run/)).toEqual(['run.started', 'run.finished'])
  })

  it('is noticed at the next append, where nothing else tells', async () => {
    const store = createMemoryEventStore()
    const look = probeTool('look', 'read')
    const write = instantTool('write', 'write')
    // The first process hears nothing of the other's events by itself.
    const deaf = {
      ...store,
      async *follow() {
        await new Promise(() => {})
        yield* []
      },
    }
    const first = scriptedBaton([calling(['look'], ['write'])], { tools: [look.tool, write], store: deaf }).baton
    const task = await first.createTask({ goal: 'x' })
    const run = task.start()
    const call = await look.called(1)
    await scriptedBaton([{ text: 'never', stallAfter: 0 }], { store }).baton.openTask(task.id)
    call.finish('too late')
    await expect(run.result).rejects.toThrow(lost)
    expect(write.inputs).toEqual([])
    expect(() => task.start()).toThrow(expect.objectContaining({ code: 'INVALID_STATE', message: expect.stringMatching(/observer/) }))
  })

  it('is noticed before a check, which would be run twice otherwise', async () => {
    const store = createMemoryEventStore()
    const deaf = {
      ...store,
      async *follow() {
        await new Promise(() => {})
        yield* []
      },
    }
    const ready = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const open = { ...instantTool('open'), run: async (_: unknown, { sandbox }: ToolContext) => (await sandbox()).workdir }
    const agent: Agent = {
      name: 'own',
      async run(context) {
        await context.tool({ callId: 'open', tool: 'open', input: {} })
        ready.resolve()
        await goOn.promise
        return { text: '' }
      },
    }
    const silent: Agent = { name: 'own', run: () => new Promise(() => {}) }
    const trace = join(tmpdir(), `baton-trace-${process.pid}`)
    onTestFinished(() => rmSync(trace, { force: true }))
    const sandboxes = [createLocalSandboxProvider({ isolation: 'none' })]
    const first = createBaton({ agents: [agent], tools: [open], store: deaf, sandboxes })
    const task = await first.createTask({ goal: 'x', checks: [`echo ran >> ${trace}`] })
    const run = task.start()
    await ready.promise
    const second = createBaton({ agents: [silent], tools: [open], store, sandboxes })
    const mine = await second.openTask(task.id)
    goOn.resolve()
    await expect(run.result).rejects.toThrow(lost)
    expect(existsSync(trace)).toBe(false)
    await mine.end()
  })

  it('may take a task back and forth', async () => {
    const store = createMemoryEventStore()
    const stalled = { text: 'never', stallAfter: 0 }
    const one = scriptedBaton([stalled, { text: 'Done.' }], { store }).baton
    const two = scriptedBaton([stalled], { store }).baton
    const task = await one.createTask({ goal: 'x' })
    const first = task.start()
    await happens(task, 'model.called')
    const theirs = await two.openTask(task.id)
    await expect(first.result).rejects.toThrow(lost)
    const second = theirs.start()
    await happens(theirs, 'model.called', ({ modelCallId }) => modelCallId !== 'm1')
    const again = await one.openTask(task.id)
    await expect(second.result).rejects.toThrow(lost)
    expect((await again.start().result).text).toBe('Done.')
    expect(again.summary.driver?.epoch).toBe(3)
  })

  it('is one of many that come at the same moment, in this process too', async () => {
    const store = createMemoryEventStore()
    const { baton } = scriptedBaton([{ text: 'Done.' }], { store })
    const { id } = await baton.createTask({ goal: 'x' })
    const batons = [0, 1, 2].map(() => scriptedBaton([{ text: 'Done.' }], { store }).baton)
    const opened = await Promise.allSettled(batons.flatMap((one) => [one.openTask(id), one.openTask(id), one.openTask(id)]))
    for (const result of opened) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'LOST_OWNERSHIP' })
    const drivers = opened.filter((result) => result.status === 'fulfilled')
    expect(drivers.length).toBeGreaterThan(0)
    const observer = await createBaton({ store }).openTask(id, { as: 'observer' })
    const epochs = (await eventsOfType(observer, 'driver.claimed')).map(({ data }) => data.epoch)
    // One claim for each process, each above the one before.
    expect(epochs).toEqual([1, 2, 3, 4])
  })
})

describe('an observer', () => {
  it('sees what the driver does, and its messages, decisions and cancels reach the driver', async () => {
    const store = createMemoryEventStore()
    const deploy = instantTool('deploy', 'external')
    const script = [calling(['deploy']), { text: 'Deployed.' }, { text: 'Heard.' }, { text: 'never', stallAfter: 0 }]
    const { model, baton } = scriptedBaton(script, { tools: [deploy], store })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const watcher = (await createBaton({ store }).openTask(task.id, { as: 'observer' })).as({ kind: 'human', id: 'bob' })
    const { data } = await happens(watcher, 'approval.requested')
    await watcher.approve(data.approvalId)
    expect((await run.result).text).toBe('Deployed.')
    await watcher.send('Hello from afar.')
    await happens(watcher, 'run.finished', ({ text }) => text === 'Heard.')
    expect(linesOf(model.requests[2]).at(-1)).toBe('user: bob: Hello from afar.')
    await watcher.send('Again.')
    await happens(watcher, 'model.called', ({ modelCallId }) => modelCallId === 'm4')
    await watcher.pause()
    expect(watcher.summary.status).toBe('paused')
    await watcher.resume()
    await watcher.cancel('enough')
    const finished = await happens(watcher, 'run.finished', ({ outcome }) => outcome === 'cancelled')
    expect(finished.data.text).toBe('enough')
    const cancelled = (await eventsOfType(task, 'run.cancelled'))[0]
    expect([cancelled?.actor.id, cancelled?.epoch]).toEqual(['bob', undefined])
    expect(() => watcher.start()).toThrow(expect.objectContaining({ code: 'INVALID_STATE' }))
    const open = await baton.openTask(task.id)
    expect(open.summary.seq).toBe(watcher.summary.seq)
  })

  it('may become the driver, and a message that came while nobody drove starts a run then', async () => {
    const store = createMemoryEventStore()
    const { baton } = scriptedBaton([{ text: 'One.' }], { store })
    const task = await baton.createTask({ goal: 'x' })
    await task.start().result
    await task.close()
    const other = scriptedBaton([{ text: 'Two.' }], { store }).baton
    const watcher = await other.openTask(task.id, { as: 'observer' })
    await watcher.send('And?')
    expect(watcher.summary.status).toBe('idle')
    const driver = await other.openTask(task.id)
    expect((await happens(driver, 'run.finished', ({ text }) => text === 'Two.')).data.outcome).toBe('done')
  })
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createFileEventStore } from '../events/file-event-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { SandboxProvider } from '../sandbox/sandbox.ts'
import { calling, eventsOf, eventsOfType, happens, instantTool, linesOf, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

const code = (expected: string, message = /./) => expect.objectContaining({ code: expected, message: expect.stringMatching(message) })

/** A folder that is gone after the test. */
function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'baton-lifecycle-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A provider of its own, and the ids of its sandboxes. */
function localProvider(): { provider: SandboxProvider; ids(): Promise<string[]> } {
  const provider = createLocalSandboxProvider({ isolation: 'none', root: folder() })
  return {
    provider,
    async ids() {
      const ids: string[] = []
      for await (const { id } of provider.list()) ids.push(id)
      return ids
    },
  }
}

describe('Baton.openTask', () => {
  it('rejects with UNKNOWN_TASK for a task that is not in the store', async () => {
    const files = createFileEventStore({ dir: folder() })
    for (const store of [createMemoryEventStore(), files]) {
      const baton = createBaton({ store })
      await expect(baton.openTask('nobody')).rejects.toThrow(code('UNKNOWN_TASK', /nobody/))
      await expect(baton.openTask('nobody', { as: 'observer' })).rejects.toThrow(code('UNKNOWN_TASK'))
      await baton.close()
    }
  })

  it('gives the same task to all who open it in this process', async () => {
    const { model, baton } = scriptedBaton([{ text: 'Done.' }])
    const task = await baton.createTask({ goal: 'x' })
    const [again, observer] = await Promise.all([baton.openTask(task.id), baton.openTask(task.id, { as: 'observer' })])
    const [first, second] = [task.start(), again.start()]
    expect(second.id).toBe(first.id)
    expect(await second.result).toEqual(await first.result)
    expect(observer.summary).toEqual(task.summary)
    expect(model.requests).toHaveLength(1)
    expect(await eventsOfType(task, 'driver.claimed')).toHaveLength(1)
  })

  it('waits for a task that is just being closed', async () => {
    const { baton } = scriptedBaton([{ text: 'never', stallAfter: 0 }, { text: 'Done.' }], { store: createMemoryEventStore() })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'model.called')
    const closing = task.close()
    const again = await baton.openTask(task.id)
    await closing
    await expect(run.result).rejects.toThrow(code('CLOSED'))
    expect((await again.start().result).text).toBe('Done.')
    await task.close()
    expect((await baton.openTask(task.id)).summary).toEqual(again.summary)
    expect(() => task.start()).toThrow(code('CLOSED'))
  })
})

describe('Task.close', () => {
  it('lets go and ends nothing: the run goes on where it is opened again', async () => {
    const dir = folder()
    const first = scriptedBaton([calling(['look']), { text: 'never', stallAfter: 0 }], {
      store: createFileEventStore({ dir }),
      tools: [instantTool('look')],
    }).baton
    const task = await first.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'model.called', ({ modelCallId }) => modelCallId === 'm2')
    const before = await eventsOf(task)
    await first.close()
    await expect(run.result).rejects.toThrow(code('CLOSED'))
    const second = scriptedBaton([{ text: 'Done.' }], { store: createFileEventStore({ dir }), tools: [instantTool('look')] })
    const again = await second.baton.openTask(task.id)
    expect(await again.start().result).toMatchObject({ outcome: 'done', text: 'Done.', spent: { steps: 2 } })
    const after = await eventsOf(again)
    expect(after.slice(0, before.length).map(({ id }) => id)).toEqual(before.map(({ id }) => id))
    expect(after.map(({ type }) => type).filter((type) => /^run/.test(type))).toEqual(['run.started', 'run.finished'])
    expect(linesOf(second.model.requests[0]).slice(1)).toEqual(['user: x', 'assistant: ', 'tool: look did it'])
    await second.baton.close()
  })

  it('keeps a paused run paused, and what waits for a person waiting', async () => {
    const store = createMemoryEventStore()
    const deploy = instantTool('deploy', 'external')
    const task = await scriptedBaton([calling(['deploy'])], { store, tools: [deploy] }).baton.createTask({ goal: 'x' })
    task.start()
    const { data } = await happens(task, 'approval.requested')
    await task.pause()
    await task.close()
    const { baton } = scriptedBaton([{ text: 'Done.' }], { store, tools: [deploy] })
    const again = await baton.openTask(task.id)
    expect(again.summary).toMatchObject({ status: 'paused', waiting: [{ id: data.approvalId }] })
    await again.approve(data.approvalId)
    expect(deploy.inputs).toEqual([])
    await again.resume()
    expect((await again.start().result).text).toBe('Done.')
    expect(deploy.inputs).toHaveLength(1)
    expect(await eventsOfType(again, 'approval.requested')).toHaveLength(1)
  })
})

describe('Task.end', () => {
  it('ends the task for good with its sandbox, and refuses what comes after', async () => {
    const { provider, ids } = localProvider()
    const { baton } = scriptedBaton([{ text: 'Done.' }], { sandboxes: [provider], store: createMemoryEventStore() })
    const task = await baton.createTask({ goal: 'x', checks: ['true'] })
    await task.start().result
    expect(await ids()).toHaveLength(1)
    await task.end({ reason: 'merged' })
    expect(await ids()).toEqual([])
    const observer = await baton.openTask(task.id, { as: 'observer' })
    expect(observer.summary.status).toBe('closed')
    expect(await typesOf(observer, /closed/)).toEqual(['sandbox.closed', 'task.closed'])
    for (const act of [observer.send('x'), observer.setAutonomy('assist'), observer.end()])
      await expect(act).rejects.toThrow(code('INVALID_STATE', /closed for good/))
    const driver = await baton.openTask(task.id)
    await expect(driver.start().result).rejects.toThrow(code('INVALID_STATE', /closed for good/))
    await baton.close()
  })

  it('cancels an open run', async () => {
    const { baton } = scriptedBaton([{ text: 'never', stallAfter: 0 }])
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'model.called')
    const { end } = task
    await end({ reason: 'no more' })
    expect(await run.result).toMatchObject({ outcome: 'cancelled', text: 'no more' })
  })

  it('is refused while another process runs the task', async () => {
    const store = createMemoryEventStore()
    const task = await scriptedBaton([{ text: 'never', stallAfter: 0 }], { store }).baton.createTask({ goal: 'x' })
    task.start()
    await happens(task, 'model.called')
    const observer = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    await expect(observer.end()).rejects.toThrow(code('INVALID_STATE', /another process/))
  })
})

describe('Baton.deleteTask', () => {
  it('ends the task without waking its agent, and removes it', async () => {
    const store = createMemoryEventStore()
    const first = scriptedBaton([{ text: 'never', stallAfter: 0 }], { store }).baton
    const task = await first.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'model.called')
    const { model, baton } = scriptedBaton([], { store })
    await baton.deleteTask(task.id)
    await expect(run.result).rejects.toThrow(code('LOST_OWNERSHIP'))
    expect(model.requests).toEqual([])
    await expect(baton.openTask(task.id)).rejects.toThrow(code('UNKNOWN_TASK'))
    await expect(baton.deleteTask(task.id)).rejects.toThrow(code('UNKNOWN_TASK'))
  })

  it('removes one that has ended', async () => {
    const { baton } = scriptedBaton([])
    const task = await baton.createTask({ goal: 'x' })
    await task.end()
    await baton.deleteTask(task.id)
    const left = []
    for await (const { taskId } of baton.tasks()) left.push(taskId)
    expect(left).toEqual([])
  })
})

describe('Baton.close', () => {
  it('leaves no sandbox behind where nothing could ever find it again', async () => {
    const { provider, ids } = localProvider()
    const { baton } = scriptedBaton(() => ({ text: 'Done.' }), { sandboxes: [provider] })
    const tasks = [await baton.createTask({ goal: 'x', checks: ['true'] }), await baton.createTask({ goal: 'y', checks: ['true'] })]
    for (const task of tasks) await task.start().result
    await tasks[0]?.close()
    expect(await ids()).toHaveLength(2)
    await Promise.all([baton.close(), baton.close()])
    expect(await ids()).toEqual([])
  })

  it('keeps sandboxes where a store keeps the tasks', async () => {
    const { provider, ids } = localProvider()
    const dir = folder()
    const options = { sandboxes: [provider] }
    const { baton } = scriptedBaton([{ text: 'Done.' }], { ...options, store: createFileEventStore({ dir }) })
    const task = await baton.createTask({ goal: 'x', checks: ['true'] })
    await task.start().result
    await baton.close()
    expect(await ids()).toHaveLength(1)
    const again = createBaton({ ...options, store: createFileEventStore({ dir }) })
    await (await again.openTask(task.id)).end()
    expect(await ids()).toEqual([])
    await again.close()
  })

  it('refuses everything after that', async () => {
    const { baton } = scriptedBaton([])
    const task = await baton.createTask({ goal: 'x' })
    await baton.close()
    await expect(baton.createTask({ goal: 'x' })).rejects.toThrow(code('CLOSED'))
    await expect(baton.openTask('x')).rejects.toThrow(code('CLOSED'))
    await expect(task.send('x')).rejects.toThrow(code('CLOSED'))
  })
})

describe('Baton.inbox', () => {
  it('lists what waits for a person over all tasks, also of other processes', async () => {
    const store = createMemoryEventStore()
    const { baton } = scriptedBaton(() => calling(['deploy'], ['deploy']), { tools: [instantTool('deploy', 'external')], store })
    const one = await baton.createTask({ goal: 'one' })
    const two = await baton.createTask({ goal: 'two' })
    await baton.createTask({ goal: 'idle' })
    one.start()
    two.start()
    const requests = [await happens(one, 'approval.requested'), await happens(two, 'approval.requested')]
    const items = []
    for await (const item of createBaton({ store }).inbox()) items.push(item)
    expect(items).toMatchObject([
      { taskId: one.id, goal: 'one', kind: 'approval', id: requests[0]?.data.approvalId },
      { taskId: two.id, goal: 'two', kind: 'approval', id: requests[1]?.data.approvalId },
    ])
    expect(items[0]?.text).toMatch(/^deploy: this task is supervised/)
    await one.cancel()
    await happens(one, 'run.finished')
    const left = []
    for await (const { goal } of baton.inbox()) left.push(goal)
    expect(left).toEqual(['two'])
  })
})

describe('a sandbox without isolation', () => {
  it('is warned of where an agent runs unasked in it, from the beginning or later', async () => {
    const { provider } = localProvider()
    const { baton } = scriptedBaton(() => ({ text: 'Done.' }), { sandboxes: [provider] })
    const bold = await baton.createTask({ goal: 'x', checks: ['true'], autonomy: 'autonomous' })
    await bold.start().result
    expect((await eventsOfType(bold, 'warning.raised')).map(({ data }) => data.code)).toEqual(['no-isolation'])
    const careful = await baton.createTask({ goal: 'x', checks: ['true'] })
    await careful.start().result
    expect(await eventsOfType(careful, 'warning.raised')).toEqual([])
    await careful.setAutonomy('autonomous')
    expect((await eventsOfType(careful, 'warning.raised')).map(({ data }) => data.code)).toEqual(['no-isolation'])
    await baton.close()
  })
})

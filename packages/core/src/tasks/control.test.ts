import { describe, expect, it } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, eventsOfType, happens, instantTool, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

const stall = { text: 'never', stallAfter: 0 }

describe('Task.pause and Task.resume', () => {
  it('holds the run at its next safe point while a model answers', async () => {
    const asked = Promise.withResolvers<void>()
    const answer = Promise.withResolvers<void>()
    const look = instantTool('look')
    const { model, baton } = scriptedBaton(
      [
        async () => {
          asked.resolve()
          await answer.promise
          return calling(['look'])
        },
        { text: 'Done.' },
      ],
      { tools: [look] },
    )
    const task = await baton.createTask({ goal: 'Look.' })
    const run = task.start()
    await asked.promise
    await task.pause()
    expect(task.summary.status).toBe('paused')
    answer.resolve()
    await happens(task, 'model.finished')
    await task.pause()
    expect(look.inputs).toEqual([])
    await task.resume()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Done.' })
    expect(await typesOf(task, /^run\.|^tool\./)).toEqual([
      ...['run.started', 'run.paused', 'run.resumed', 'tool.called', 'tool.started', 'tool.finished', 'run.finished'],
    ])
    expect(model.requests).toHaveLength(2)
  })

  it('lets a tool end, and asks no model before it is resumed', async () => {
    const probe = probeTool('look', 'read')
    const { model, baton } = scriptedBaton([calling(['look']), { text: 'Done.' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'Look.' })
    const run = task.start()
    const call = await probe.called(1)
    await task.pause()
    call.finish('a tree')
    await happens(task, 'tool.finished')
    await task.send('Take your time.')
    expect(model.requests).toHaveLength(1)
    await task.resume()
    expect((await run.result).outcome).toBe('done')
    expect(JSON.stringify(model.requests[1])).toContain('Take your time.')
  })

  it('pauses a run that waits for its turn', async () => {
    const probe = probeTool('look', 'read')
    const { baton } = scriptedBaton([calling(['look']), { text: 'A' }, { text: 'B' }], { tools: [probe.tool], concurrency: 1 })
    const first = await baton.createTask({ goal: 'A' })
    const second = await baton.createTask({ goal: 'B' })
    const runs = [first.start(), second.start()]
    const call = await probe.called(1)
    await happens(second, 'run.started')
    await second.pause()
    call.finish('x')
    await runs[0]?.result
    expect(await typesOf(second, /^model/)).toEqual([])
    await second.resume()
    expect((await runs[1]?.result)?.text).toBe('B')
  })

  it('pauses before the checks, and between them', async () => {
    const { baton } = scriptedBaton([{ text: 'Done.' }], { sandboxes: [createLocalSandboxProvider({ isolation: 'none' })] })
    const task = await baton.createTask({ goal: 'x', checks: ['true', 'test 1 = 1'] })
    task.on('check.finished', () => void task.pause())
    const run = task.start()
    await happens(task, 'run.paused')
    expect(await eventsOfType(task, 'check.finished')).toHaveLength(1)
    await task.resume()
    expect((await run.result).checks).toHaveLength(2)
    await baton.close()
  })

  it('refuses what makes no sense, and says what would', async () => {
    const { baton } = scriptedBaton([{ text: 'Done.' }])
    const task = await baton.createTask({ goal: 'x' })
    const invalid = (message: RegExp) => expect.objectContaining({ code: 'INVALID_STATE', message: expect.stringMatching(message) })
    await expect(task.pause()).rejects.toThrow(invalid(/no open run/))
    await expect(task.resume()).rejects.toThrow(invalid(/no open run/))
    await expect(task.cancel()).rejects.toThrow(invalid(/no open run/))
    const run = task.start()
    await happens(task, 'run.started')
    await expect(task.resume()).rejects.toThrow(invalid(/not paused/))
    await run.result
  })
})

describe('Task.cancel', () => {
  it('ends a run that waits for its turn', async () => {
    const probe = probeTool('look', 'read')
    const { baton } = scriptedBaton([calling(['look']), { text: 'A' }], { tools: [probe.tool], concurrency: 1 })
    const first = (await baton.createTask({ goal: 'A' })).start()
    await probe.called(1)
    const second = await baton.createTask({ goal: 'B' })
    const run = second.start()
    await happens(second, 'run.started')
    await second.cancel('not needed')
    expect(await run.result).toMatchObject({ outcome: 'cancelled', text: 'not needed' })
    probe.calls[0]?.finish('x')
    expect((await first.result).outcome).toBe('done')
  })

  it('ends a run in a model call, and stops the transfer', async () => {
    const { model, baton } = scriptedBaton([stall])
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'model.called')
    await task.cancel()
    expect(await run.result).toMatchObject({ outcome: 'cancelled', text: '' })
    expect(await model.ended(1)).toBe('gone')
    expect(await typesOf(task, /failed|finished/)).toEqual(['model.failed', 'run.finished'])
  })

  it('stops a tool that listens, and says that part of its work may be done', async () => {
    const probe = probeTool('work', 'write')
    const { baton } = scriptedBaton([calling(['work'])], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    await probe.called(1)
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    const [finished] = await eventsOfType(task, 'tool.finished')
    expect(finished?.data).toMatchObject({ outcome: 'cancelled', output: expect.stringMatching(/part of its work/) })
  })

  it('does not wait for ever for a tool that does not listen', async () => {
    const probe = probeTool('work', 'write', { heeds: false })
    const { baton } = scriptedBaton([calling(['work'])], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const call = await probe.called(1)
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    call.finish('at last')
    await Promise.resolve()
    expect(await typesOf(task, /^tool\.finished|^run\.finished/)).toEqual(['tool.finished', 'run.finished'])
  })

  it('does not wait for ever for an agent, or for a policy, that does not listen', async () => {
    const silent: Agent = { name: 'silent', run: () => new Promise(() => {}) }
    const baton = createBaton({ agents: [silent] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'run.started')
    const deciding = Promise.withResolvers<void>()
    const policy = {
      decide: () => {
        deciding.resolve()
        return new Promise<never>(() => {})
      },
    }
    const other = scriptedBaton([calling(['look'])], { tools: [instantTool('look')], policy }).baton
    const waiting = await other.createTask({ goal: 'x' })
    const second = waiting.start()
    await deciding.promise
    await Promise.all([task.cancel(), waiting.cancel()])
    expect((await run.result).outcome).toBe('cancelled')
    expect((await second.result).outcome).toBe('cancelled')
    expect(await typesOf(waiting, /^tool\.finished/)).toEqual([])
  })

  it('ends a run that waits for approval, for an answer, or is paused', async () => {
    const deploy = instantTool('deploy', 'external')
    const { baton } = scriptedBaton([calling(['deploy'])], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    await happens(task, 'approval.requested')
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    expect(task.summary).toMatchObject({ status: 'idle', waiting: [] })
    expect(deploy.inputs).toEqual([])
    expect((await eventsOfType(task, 'tool.finished'))[0]?.data.outcome).toBe('cancelled')

    const asker: Agent = { name: 'asker', run: async (context) => ({ text: await context.ask('Which?', { key: 'q' }) }) }
    const second = await createBaton({ agents: [asker] }).createTask({ goal: 'x' })
    const asking = second.start()
    await happens(second, 'question.asked')
    await second.cancel()
    expect((await asking.result).outcome).toBe('cancelled')

    const third = await scriptedBaton([{ text: 'a' }]).baton.createTask({ goal: 'x' })
    const paused = third.start()
    await happens(third, 'run.started')
    await third.pause()
    await third.cancel()
    expect((await paused.result).outcome).toBe('cancelled')
  })

  it('stops a check', async () => {
    const { baton } = scriptedBaton([{ text: 'Done.' }], { sandboxes: [createLocalSandboxProvider({ isolation: 'none' })] })
    const task = await baton.createTask({ goal: 'x', checks: ['sleep 600'] })
    const run = task.start()
    await happens(task, 'sandbox.started')
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    expect(await typesOf(task, /^check/)).toEqual([])
    await baton.close()
  })

  it('wins over an end that is being written, and comes once', async () => {
    const { baton } = scriptedBaton([{ text: 'Done.' }])
    const task = await baton.createTask({ goal: 'x' })
    task.on('model.finished', () => {
      void task.cancel('one')
      void task.cancel('two').catch(() => {})
    })
    expect((await task.start().result).outcome).toBe('cancelled')
    expect(await typesOf(task, /^run\.finished/)).toEqual(['run.finished'])
  })
})

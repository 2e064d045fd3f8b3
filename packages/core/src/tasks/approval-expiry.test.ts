import { describe, expect, it } from 'vitest'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { calling, eventsOfType, happens, instantTool, linesOf, scriptedBaton } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

const alice = { kind: 'human', id: 'alice' } as const
const bob = { kind: 'human', id: 'bob' } as const
const deployCall = calling(['deploy', { id: 'staging' }])

describe('createBaton with approvalTimeoutMs', () => {
  it('rejects what nobody decided in time, in the name of the system, and the agent is told', async () => {
    const deploy = instantTool('deploy', 'external')
    const { model, baton } = scriptedBaton([deployCall, { text: 'Left to do: deploy.' }], { tools: [deploy], approvalTimeoutMs: 40 })
    const task = await baton.createTask({ goal: 'Deploy.' })
    expect((await task.start().result).outcome).toBe('done')
    const [requested] = await eventsOfType(task, 'approval.requested')
    const [decided, ...more] = await eventsOfType(task, 'approval.decided')
    expect(more).toEqual([])
    expect(decided).toMatchObject({
      actor: { kind: 'system', id: 'baton' },
      data: { decision: 'rejected', expired: true, remember: 'once', approvalId: requested?.data.approvalId },
    })
    const expiresAt = requested?.data.expiresAt ?? ''
    expect(Date.parse(expiresAt)).toBeLessThanOrEqual(Date.parse(decided?.time ?? ''))
    expect(linesOf(model.requests[1]).at(-1)).toContain(`[rejected] Nobody decided until ${expiresAt}`)
    expect(deploy.inputs).toEqual([])
    expect(task.summary.waiting).toEqual([])
  })

  it('lets a decision stand that was in time, and asks without end where it is not set', async () => {
    for (const approvalTimeoutMs of [3_600_000, undefined]) {
      const deploy = instantTool('deploy', 'external')
      const { baton } = scriptedBaton([deployCall, { text: 'Done.' }], { tools: [deploy], approvalTimeoutMs })
      const task = await baton.createTask({ goal: 'Deploy.' })
      const run = task.start()
      const { data } = await happens(task, 'approval.requested')
      expect(data.expiresAt === undefined).toBe(approvalTimeoutMs === undefined)
      await task.approve(data.approvalId)
      await run.result
      expect(deploy.inputs).toHaveLength(1)
      expect(await eventsOfType(task, 'approval.decided')).toHaveLength(1)
    }
  })

  it('goes by the deadline in the log after a restart, also where it was over by then and the run is paused', async () => {
    const store = createMemoryEventStore()
    const deploy = instantTool('deploy', 'external')
    const first = scriptedBaton([deployCall], { tools: [deploy], approvalTimeoutMs: 60, store: { ...store, close: async () => {} } })
    const task = await first.baton.createTask({ goal: 'Deploy.' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    await task.pause()
    run.result.catch(() => {})
    await first.baton.close()

    const observer = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    while (Date.parse(data.expiresAt ?? '') > Date.now()) await new Promise((resolve) => setTimeout(resolve, 5))
    // Nobody drives it, so nothing says so yet; it is too late all the same.
    await expect(observer.approve(data.approvalId)).rejects.toMatchObject({
      code: 'UNKNOWN_REQUEST',
      message: expect.stringMatching(/it expired at .*Nothing waits/),
    })
    await expect(observer.approve(data.approvalId, { remember: 'task' })).rejects.toMatchObject({ code: 'UNKNOWN_REQUEST' })

    // Without a time limit of its own.
    const second = scriptedBaton([{ text: 'Understood.' }], { tools: [deploy], store })
    const again = await second.baton.openTask(task.id)
    expect((await happens(again, 'approval.decided')).data).toMatchObject({ expired: true, decision: 'rejected' })
    expect(again.summary.status).toBe('paused')
    await again.resume()
    expect((await again.start().result).outcome).toBe('done')
    expect(deploy.inputs).toEqual([])
  })

  it.each([0, -1, 1.5, Number.POSITIVE_INFINITY])('refuses %s', (approvalTimeoutMs) => {
    expect(() => createBaton({ approvalTimeoutMs })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('approvalTimeoutMs') }),
    )
  })
})

describe('several people who are asked', () => {
  it('the first answer stands, whoever gives it and from whichever process; the others hear that it was decided', async () => {
    const store = createMemoryEventStore()
    const deploy = instantTool('deploy', 'external')
    const calls = Array.from({ length: 5 }, () => deployCall)
    const { baton } = scriptedBaton([...calls, { text: 'Done.' }], { tools: [deploy], store })
    const task = await baton.createTask({ goal: 'Deploy.' })
    const other = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    const third = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    let approved = 0
    const run = task.start()
    for await (const event of run.events()) {
      if (event.type !== 'approval.requested') continue
      const { approvalId } = event.data
      const answers = await Promise.allSettled([
        third.as(bob).reject(approvalId, { feedback: 'No.' }),
        other.as(alice).approve(approvalId),
        task.approve(approvalId, { remember: 'once' }),
        other.as(bob).approve(approvalId, { input: { id: 'other' } }),
      ])
      expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      for (const answer of answers) if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: 'UNKNOWN_REQUEST' })
      if (answers[0]?.status === 'rejected') approved++
    }
    expect((await run.result).outcome).toBe('done')
    expect(await eventsOfType(task, 'approval.decided')).toHaveLength(5)
    expect(deploy.inputs).toHaveLength(approved)
  })
})

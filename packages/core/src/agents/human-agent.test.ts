import { describe, expect, it } from 'vitest'
import { createBaton } from '../tasks/baton.ts'
import type { Task } from '../tasks/task.ts'
import { eventsOfType, happens, scriptedBaton } from '../testing/task-fixtures.ts'
import type { Agent } from './agent.ts'
import { createHumanAgent } from './human-agent.ts'

const alice = { kind: 'human', id: 'alice', name: 'Alice' } as const

async function inboxOf(baton: { inbox(): AsyncIterable<{ kind: string; text: string }> }): Promise<string[]> {
  const items: string[] = []
  for await (const { kind, text } of baton.inbox()) items.push(`${kind}: ${text}`)
  return items
}

async function work(task: Task, act: (desk: Awaited<ReturnType<Task['takeControl']>>) => Promise<void>, note?: string): Promise<void> {
  const desk = await task.as(alice).takeControl()
  await act(desk)
  await desk.returnControl({ note })
}

describe('createHumanAgent', () => {
  it('gives a task to a person: it waits in the inbox, is claimed, worked on at the desk, and done', async () => {
    const baton = createBaton({ agents: [createHumanAgent({ to: 'alice' })] })
    const task = await baton.createTask({ goal: 'Write the poem' })
    const run = task.start()
    await happens(task, 'control.offered')
    expect(await inboxOf(baton)).toEqual(['control: Write the poem'])
    await work(task, (desk) => desk.writeFile('poem.txt', 'Roses\n'), 'Here it is.')
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Here it is.' })
    expect(await inboxOf(baton)).toEqual([])
    expect(await eventsOfType(task, 'control.offered')).toMatchObject([{ data: { to: 'alice', reason: 'Write the poem' } }])
    await baton.close()
  })

  it('gets it back with what the checks say, until they pass', async () => {
    const baton = createBaton({ agents: [createHumanAgent()] })
    const task = await baton.createTask({ goal: 'Make it', checks: ['test -f it.txt'] })
    const run = task.start()
    await happens(task, 'control.offered')
    await work(task, async () => {})
    const again = await happens(task, 'control.offered', ({ key }) => key === 'turn-2')
    expect(again.data.reason).toContain('test -f it.txt')
    await work(task, (desk) => desk.writeFile('it.txt', ''))
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Alice has done it.' })
    await baton.close()
  })

  it('may be declined', async () => {
    const baton = createBaton({ agents: [createHumanAgent()] })
    const task = await baton.createTask({ goal: 'Make it' })
    const run = task.start()
    const { data } = await happens(task, 'control.offered')
    await expect(task.declineControl('c-other')).rejects.toMatchObject({ code: 'UNKNOWN_REQUEST' })
    await task.as(alice).declineControl(data.offerId, { feedback: 'Not today.' })
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Not today.' })
    await baton.close()
  })

  it('takes a part of the work that an agent delegates, in the same sandbox, and the agent is told what the person did', async () => {
    const lead: Agent = {
      name: 'lead',
      async run(context) {
        const { text } = await context.delegate({ goal: 'Sign', agent: 'human', shareSandbox: true }, { key: 'sign' })
        const reply = await context.model()
        return { text: `${text} ${reply.text}` }
      },
    }
    const { baton, model } = scriptedBaton([{ text: 'Thanks.' }], { agents: [lead, createHumanAgent()] })
    const task = await baton.createTask({ goal: 'Lead' })
    const run = task.start()
    const { data } = await happens(task, 'task.delegated')
    let child: Task | undefined
    while (!child) child = await baton.openTask(data.childId, { as: 'observer' }).catch(() => undefined)
    await happens(child, 'control.offered')
    await work(child, (desk) => desk.writeFile('signed.txt', 'Alice\n'), 'Signed.')
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Signed. Thanks.' })
    expect(JSON.stringify(model.requests[0]?.messages)).toContain('signed.txt (created, +1')
    await baton.close()
  })
})

import { describe, expect, it } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { calling, happens, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

/** An agent whose turns end when the test says so. */
function gatedAgent() {
  const begun: string[] = []
  const gates = new Map<string, PromiseWithResolvers<void>>()
  const started = new Map<string, PromiseWithResolvers<void>>()
  const gate = (goal: string) => gates.get(goal) ?? gates.set(goal, Promise.withResolvers()).get(goal)!
  const start = (goal: string) => started.get(goal) ?? started.set(goal, Promise.withResolvers()).get(goal)!
  const agent: Agent = {
    name: 'gated',
    async run({ task }) {
      begun.push(task.goal)
      start(task.goal).resolve()
      await gate(task.goal).promise
      return { text: task.goal }
    },
  }
  return { agent, begun, open: (goal: string) => gate(goal).resolve(), started: (goal: string) => start(goal).promise }
}

describe('createBaton({ concurrency })', () => {
  it('runs so many at once, the others by priority and then in order', async () => {
    const { agent, begun, open, started } = gatedAgent()
    const baton = createBaton({ agents: [agent], concurrency: 2 })
    const start = async (goal: string, priority = 0) => (await baton.createTask({ goal, priority })).start()
    const runs = [await start('a'), await start('b')]
    await Promise.all([started('a'), started('b')])
    for (const [goal, priority] of [
      ['c', 0],
      ['d', 0],
      ['urgent', 5],
      ['whenever', -1],
    ] as const)
      runs.push(await start(goal, priority))
    await new Promise(setImmediate)
    expect(begun).toEqual(['a', 'b'])
    open('b')
    await started('urgent')
    for (const goal of ['urgent', 'c', 'd', 'whenever', 'a']) open(goal)
    await Promise.all(runs.map(({ result }) => result))
    expect(begun).toEqual(['a', 'b', 'urgent', 'c', 'd', 'whenever'])
  })

  it('holds one place for a run, however many turns it takes', async () => {
    const turns: number[] = []
    const agent: Agent = {
      name: 'quick',
      async run() {
        turns.push(turns.length)
        // Another message in the same turn of the event loop, before any time has passed.
        if (turns.length < 5) await other.send('again')
        return { text: `${turns.length}` }
      },
    }
    const baton = createBaton({ agents: [agent], concurrency: 1 })
    const task = await baton.createTask({ goal: 'x' })
    const other = task.as({ kind: 'human', id: 'alice' })
    expect((await task.start().result).text).toBe('5')
  })

  it('gives the place of a run that waits for a person to others, and takes it back', async () => {
    const deploy = instantTool('deploy', 'external')
    const script = [calling(['deploy']), { text: 'Second.' }, { text: 'First.' }]
    const { baton } = scriptedBaton(script, { tools: [deploy], concurrency: 1 })
    const first = await baton.createTask({ goal: 'first' })
    const waiting = first.start()
    const { data } = await happens(first, 'approval.requested')
    const second = (await baton.createTask({ goal: 'second' })).start()
    expect((await second.result).text).toBe('Second.')
    await first.approve(data.approvalId)
    expect((await waiting.result).text).toBe('First.')
  })

  it('lets a run that goes on after a person go before those that have not begun', async () => {
    const { agent, begun, open, started } = gatedAgent()
    const asker: Agent = {
      name: 'asker',
      async run(context) {
        const answer = await context.ask('Which?', { key: 'q' })
        begun.push('asker goes on')
        return { text: answer }
      },
    }
    const baton = createBaton({ agents: [agent, asker], concurrency: 1 })
    const asking = await baton.createTask({ goal: 'ask', agent: 'asker' })
    const answered = asking.start()
    const { data } = await happens(asking, 'question.asked')
    const busy = (await baton.createTask({ goal: 'busy' })).start()
    await started('busy')
    const later = await baton.createTask({ goal: 'queued' })
    const queued = later.start()
    await happens(later, 'run.started')
    await new Promise(setImmediate)
    await asking.answer(data.questionId, 'this')
    open('busy')
    open('queued')
    await Promise.all([answered.result, busy.result, queued.result])
    expect(begun).toEqual(['busy', 'asker goes on', 'queued'])
  })

  it('keeps a thousand tasks that wait for a person out of the way', async () => {
    const asker: Agent = { name: 'asker', run: async (context) => ({ text: await context.ask('Which?', { key: 'q' }) }) }
    const baton = createBaton({ agents: [asker], concurrency: 2 })
    const tasks = await Promise.all(Array.from({ length: 1000 }, (_, index) => baton.createTask({ goal: `${index}` })))
    const runs = tasks.map((task) => task.start())
    await Promise.all(tasks.map((task) => happens(task, 'question.asked')))
    let waiting = 0
    for await (const item of baton.inbox()) waiting += item.kind === 'question' ? 1 : 0
    expect(waiting).toBe(1000)
    await Promise.all(tasks.map((task, index) => task.answer('q-q', `answer ${index}`)))
    const results = await Promise.all(runs.map(({ result }) => result))
    expect(results.map(({ text }) => text)).toEqual(tasks.map((_, index) => `answer ${index}`))
  })
})

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import type { ModelRequest } from '../models/model.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { calling, eventsOf, eventsOfType, happens, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createPolicy } from '../tools/policy.ts'
import { findCutPoints } from './fork.ts'
import type { Task } from './task.ts'

const alice = { kind: 'human', id: 'alice' } as const
const policy = createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] })

type Steps = readonly (ScriptedStep | ((request: ModelRequest) => ScriptedStep | Promise<ScriptedStep>))[]

function start(script: Steps, options: Parameters<typeof scriptedBaton>[1] = {}) {
  const made = scriptedBaton(script as never, {
    policy,
    sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    tools: [writeTool],
    ...options,
  })
  onTestFinished(() => made.baton.close())
  return made
}

function workspace(): { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'baton-fork-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  writeFileSync(join(path, 'a.txt'), 'one\n')
  return { path }
}

/** A file in the newest sandbox of a task, which is started for that. */
async function fileOf(task: Task, path: string): Promise<string> {
  const desk = await task.as(alice).takeControl()
  const text = Buffer.from(await desk.sandbox.readFile(path)).toString()
  await desk.returnControl()
  return text
}

async function changesOf(task: Task): Promise<string[]> {
  return (await eventsOfType(task, 'file.changed')).map(({ actor, data }) => `${actor.id} ${data.change} ${data.path} ${data.evidence}`)
}

const write = (text: string) => calling(['write', { path: 'a.txt', text }])

describe('findCutPoints', () => {
  const event = (seq: number, type: string, data: unknown): LoggedEvent => ({ seq, type, data }) as unknown as LoggedEvent
  async function* log(): AsyncGenerator<LoggedEvent> {
    yield event(1, 'task.created', {})
    yield event(2, 'model.finished', { toolCalls: [{ callId: 'a' }, { callId: 'b' }] })
    yield event(3, 'tool.called', { callId: 'a' })
    yield event(4, 'tool.finished', { callId: 'a' })
    yield event(5, '?later.thing', {})
    yield event(6, 'tool.finished', { callId: 'b' })
    yield event(7, 'message.sent', {})
    yield event(8, 'tool.called', { callId: 'c' })
    yield event(9, 'run.finished', {})
    yield event(10, 'tool.called', { callId: 'd' })
  }

  it('lets a log be cut where no call is without an outcome, from the reply on that makes it', async () => {
    const cuts = await findCutPoints(log())
    const fits = Array.from({ length: 12 }, (_, seq) => cuts.fits(seq)).flatMap((yes, seq) => (yes ? [seq] : []))
    expect(fits).toEqual([1, 6, 7, 9])
    expect([0, 1, 2, 5, 6, 7, 8, 9, 10, 99].map((seq) => cuts.before(seq))).toEqual([1, 1, 1, 1, 6, 7, 7, 9, 9, 9])
    expect(cuts.last).toBe(10)
  })
})

describe('Task.fork', () => {
  it('leaves the sub-tasks of the other task alone when it is ended or deleted', async () => {
    const stay = Promise.withResolvers<void>()
    const lead: Agent = {
      name: 'lead',
      async run(context) {
        await context.delegate({ goal: 'one', agent: 'helper' }, { key: 'one' }).catch(() => {})
        await context.delegate({ goal: 'two', agent: 'slow' }, { key: 'two' })
        return { text: 'led' }
      },
    }
    const helper: Agent = { name: 'helper', run: async () => ({ text: 'helped' }) }
    const slow: Agent = {
      name: 'slow',
      async run() {
        await stay.promise
        return { text: 'slow' }
      },
    }
    const { baton } = start([], { agents: [lead, helper, slow] })
    const task = await baton.createTask({ goal: 'Lead', limits: { costUsd: 1 } })
    const run = task.start()
    await happens(task, 'task.settled')
    const { data } = await happens(task, 'task.delegated', ({ key }) => key === 'two')
    const fork = await task.fork()
    await fork.end()
    await baton.deleteTask((await task.fork()).id)
    stay.resolve()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'led' })
    for (const { childId } of [data, ...(await eventsOfType(task, 'task.delegated')).map((event) => event.data)]) {
      const child = await baton.openTask(childId, { as: 'observer' })
      expect(child.summary).toMatchObject({ status: 'idle', outcome: 'done' })
    }
  })

  it('keeps its files when the other task is deleted, before and after it has a sandbox', async () => {
    const { baton } = start([write('first\n'), { text: 'done' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    const fork = await task.fork()
    await baton.deleteTask(task.id)
    expect(await fileOf(fork, 'a.txt')).toBe('first\n')
    expect(await typesOf(fork, /warning/)).toEqual([])
    const second = await fork.fork()
    expect(await fileOf(second, 'a.txt')).toBe('first\n')
    await baton.deleteTask(fork.id)
    const desk = await second.as(alice).takeControl()
    await desk.writeFile('a.txt', 'more\n')
    await desk.returnControl()
    expect((await second.undo({ actor: 'agent' })).conflicts).toMatchObject([{ path: 'a.txt' }])
    expect(await second.undo({ actor: 'human' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(await second.undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(await fileOf(second, 'a.txt')).toBe('one\n')
  })

  it('has the files as they were at any place, and says what is the nearest where it cannot be', async () => {
    const { baton } = start([write('first\n'), write('second\n'), { text: 'done' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    const events = (await eventsOf(task)) as Event[]
    const finished = events.filter(({ type }) => type === 'tool.finished').map(({ seq }) => seq)
    const textAt = (seq: number): string => ['one\n', 'first\n', 'second\n'][finished.filter((end) => end <= seq).length] as string
    const from = (events.find(({ type }) => type === 'sandbox.started') as Event).seq
    for (const { seq } of events) {
      if (seq > from && seq < (finished[0] as number)) {
        const refusal = await task.fork({ at: seq }).catch((error: unknown) => error as { code: string; details: { nearest: number } })
        expect(refusal).toMatchObject({ code: 'INVALID_STATE', details: { nearest: expect.any(Number) } })
        continue
      }
      const fork = await task.fork({ at: seq }).catch(() => undefined)
      if (!fork) continue
      expect([seq, await fileOf(fork, 'a.txt')]).toEqual([seq, textAt(seq)])
      expect((await changesOf(fork)).filter((line) => line.includes('unknown'))).toEqual([])
      await fork.end()
    }
    await expect(task.fork({ at: 10_000 })).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('its last is'),
    })
    await expect(task.fork({ at: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })

  it('has what a person who works at the desk has done so far, and nobody has control of it', async () => {
    const { baton } = start([{ text: 'done' }, { text: 'done' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('a.txt', 'hers\n')
    const fork = await task.fork()
    expect(fork.summary.control).toBeUndefined()
    expect(task.summary.control).toMatchObject({ actor: alice })
    await fork.start().result
    expect(await changesOf(fork)).toEqual(['alice modified a.txt desk'])
    expect(await fileOf(fork, 'a.txt')).toBe('hers\n')
    await desk.returnControl()
  })

  it('may be of a closed task, and of another fork; nothing of it waits for a person, and it has cost nothing', async () => {
    const offering: Agent = {
      name: 'offering',
      async run(context) {
        await context.handOver({ key: 'k', reason: 'Please' })
        return { text: 'over' }
      },
    }
    const { baton } = start([], { agents: [offering] })
    const task = await baton.createTask({ goal: 'Go' })
    void task.start().result.catch(() => {})
    await happens(task, 'control.offered')
    const fork = await task.fork()
    const waiting: string[] = []
    for await (const { taskId } of baton.inbox()) waiting.push(taskId)
    expect(waiting).toEqual([task.id])
    await task.end()
    const again = await task.fork()
    const third = await again.fork()
    for (const one of [fork, again, third]) {
      expect(one.summary).toMatchObject({ status: 'idle', waiting: [], spent: { costUsd: 0, steps: 0 } })
      const run = one.start()
      await happens(one, 'control.offered', () => one.summary.status === 'waiting')
      await (await one.as(alice).takeControl()).returnControl()
      expect(await run.result).toMatchObject({ outcome: 'done', text: 'over' })
    }
    expect((await eventsOfType(third, 'task.forked')).map(({ data }) => data.from.taskId)).toEqual([task.id, again.id])
  })

  it('does not pay again for what was spent before it', async () => {
    const { baton } = start([{ text: 'done', usage: { inputTokens: 1_000_000, outputTokens: 0 } }, { text: 'ok' }], {
      budgets: { perDayUsd: 3 },
      model: { info: { price: { input: 2, output: 0 } } },
    })
    const task = await baton.createTask({ goal: 'Go' })
    await task.start().result
    expect(task.summary.spent.costUsd).toBe(2)
    for (let count = 0; count < 5; count++) await task.fork()
    const fork = await task.fork()
    await fork.send('On')
    expect(await happens(fork, 'run.finished', ({ text }) => text !== 'done')).toMatchObject({ data: { outcome: 'done', text: 'ok' } })
  })

  it('works without a ledger, without a workspace, and where nothing has happened yet', async () => {
    const { baton } = start([{ text: 'done' }], { ledger: false })
    const task = await baton.createTask({ goal: 'Go' })
    const fork = await task.fork()
    expect((await fork.start().result).outcome).toBe('done')
    const at = await task.fork({ at: 1 })
    expect(at.summary).toMatchObject({ status: 'idle', goal: 'Go' })
  })
})

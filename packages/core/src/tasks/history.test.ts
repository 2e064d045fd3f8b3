import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createProjection } from '../agents/projection.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import type { ModelRequest } from '../models/model.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { calling, eventsOfType, happens, linesOf, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createPolicy } from '../tools/policy.ts'
import type { Task } from './task.ts'

const alice = { kind: 'human', id: 'alice' } as const
const bob = { kind: 'human', id: 'bob' } as const
const policy = createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] })

type Steps = readonly (ScriptedStep | ((request: ModelRequest) => ScriptedStep | Promise<ScriptedStep>))[]

function start(script: Steps, { tools = [], ...options }: NonNullable<Parameters<typeof scriptedBaton>[1]> = {}) {
  const made = scriptedBaton(script as never, {
    policy,
    sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    tools: [writeTool, ...tools],
    ...options,
  })
  onTestFinished(() => made.baton.close())
  return made
}

function workspace(): { path: string } {
  const path = mkdtempSync(join(tmpdir(), 'baton-history-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  writeFileSync(join(path, 'a.txt'), 'one\n')
  return { path }
}

const write = (text: string) => calling(['write', { path: 'a.txt', text }])

async function textOf(task: Task): Promise<string> {
  const started = (await eventsOfType(task, 'sandbox.started')).at(-1)
  return readFileSync(join(started?.data.workdir ?? '', 'a.txt'), 'utf8')
}

async function say(task: Task, text: string, answer: string): Promise<void> {
  await task.send(text)
  await happens(task, 'run.finished', (data) => data.text === answer)
}

describe('Task.restore', () => {
  it('comes back, and forth again, each time with the conversation as it was then', async () => {
    const { baton, model } = start([
      ...[
        write('first\n'),
        { text: 'first done' },
        write('second\n'),
        { text: 'second done' },
        { text: 'third done' },
        { text: 'fourth done' },
      ],
      { text: 'fifth done' },
    ])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    await task.checkpoint({ label: 'A' })
    await say(task, 'Another', 'second done')
    await task.checkpoint({ label: 'B' })
    expect(await task.restore({ checkpoint: 'A' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    await say(task, 'Third', 'third done')
    expect(await task.restore({ checkpoint: 'B' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(await textOf(task)).toBe('second\n')
    await say(task, 'Fourth', 'fourth done')
    const lines = linesOf(model.requests.at(-1)).join('\n')
    for (const part of ['first done', 'Another', 'second done', 'Fourth']) expect(lines).toContain(part)
    expect(lines).not.toContain('Third')
    expect(lines).not.toContain('third done')
    await say(task, 'Fifth', 'fifth done')
    const [before, after] = model.requests.slice(-2).map((request) => linesOf(request))
    expect(after?.slice(0, before?.length)).toEqual(before)
    expect(task.summary.spent.steps).toBe(7)
  })

  it('lets each actor be taken back after that, as if one had never been away', async () => {
    const { baton } = start([write('first\n'), { text: 'first done' }, write('second\n'), { text: 'second done' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    await task.checkpoint({ label: 'A' })
    await say(task, 'Another', 'second done')
    await task.checkpoint({ label: 'B' })
    await task.restore({ checkpoint: 'A' })
    await task.restore({ checkpoint: 'B' })
    expect(await textOf(task)).toBe('second\n')
    expect(await task.undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(await textOf(task)).toBe('one\n')
    await task.restore({ checkpoint: 'A' })
    expect(await task.undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(await textOf(task)).toBe('one\n')
  })

  it('sets nothing back where a run is open, neither files nor conversation', async () => {
    const probe = probeTool('slow', 'execute')
    const { baton } = start([write('first\n'), { text: 'ok' }, calling(['slow']), { text: 'done' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task
      .as(alice)
      .takeControl()
      .then((desk) => desk.returnControl())
    await task.checkpoint({ label: 'begin' })
    await task.start().result
    await task.send('More')
    const call = await probe.called(1)
    for (const what of ['both', 'conversation'] as const) {
      await expect(task.restore({ checkpoint: 'begin', what })).rejects.toMatchObject({ code: 'INVALID_STATE' })
    }
    expect(await textOf(task)).toBe('first\n')
    const restoring = task.restore({ checkpoint: 'begin', what: 'files' })
    call.finish('over')
    expect(await restoring).toEqual({ paths: ['a.txt'], conflicts: [] })
    await happens(task, 'run.finished', ({ text }) => text === 'done')
    expect(await textOf(task)).toBe('one\n')
    await task.end()
    await expect(task.restore({ checkpoint: 'begin', what: 'conversation' })).rejects.toMatchObject({ code: 'INVALID_STATE' })
    expect(await typesOf(task, /restored/)).toEqual([])
  })

  it('is refused while somebody else has control, and works at the desk of who has it', async () => {
    const { baton } = start([write('first\n'), { text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await expect(task.as(bob).undo({ actor: 'agent' })).rejects.toMatchObject({ code: 'CONTROL_HELD' })
    await desk.writeFile('b.txt', 'b\n')
    expect(await task.as(alice).undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(task.summary.control).toMatchObject({ actor: alice })
    await desk.returnControl()
    expect(await textOf(task)).toBe('one\n')
    expect((await eventsOfType(task, 'changes.undone')).map(({ actor, data }) => [actor.id, data.paths])).toEqual([['alice', ['a.txt']]])
  })

  it('does nothing, and holds nothing, where it is aborted or the wish makes no sense', async () => {
    const { baton } = start([write('first\n'), { text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await expect(task.undo({ actor: 'agent' })).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('no sandbox'),
    })
    await task.start().result
    await expect(task.undo({ actor: 'agent', signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(task.undo({ actor: 'everybody' as never })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(task.undo({ actor: 'agent', since: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(task.restore({ checkpoint: '' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await expect(task.as({ kind: 'agent', id: 'coder' }).undo({ actor: 'human' })).rejects.toMatchObject({ code: 'INVALID_STATE' })
    expect(await task.undo({ actor: 'human' })).toEqual({ paths: [], conflicts: [] })
    expect(task.summary.control).toBeUndefined()
    expect(await textOf(task)).toBe('first\n')
  })

  it('says that there is no history where the Baton keeps none', async () => {
    const { baton } = start([write('first\n'), { text: 'ok' }], { ledger: false })
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('a.txt', 'hers\n')
    await desk.returnControl({ note: 'There.' })
    const noLedger = { code: 'INVALID_STATE', message: expect.stringContaining('ledger: false') }
    await expect(task.undo({ actor: 'human' })).rejects.toMatchObject(noLedger)
    await expect(task.checkpoint()).rejects.toMatchObject(noLedger)
    await expect(task.commit()).rejects.toMatchObject(noLedger)
    await expect(task.trace()).rejects.toMatchObject(noLedger)
    await expect(task.restore({ checkpoint: 'x' })).rejects.toMatchObject({ code: 'UNKNOWN_CHECKPOINT' })
    expect(await task.checkpoints()).toEqual([])
  })

  it('leaves alone what somebody else changes while it is written', async () => {
    const { baton } = start([write('first\n'), { text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go', workspace: workspace() })
    await task.start().result
    const { workdir } = (await happens(task, 'sandbox.started')).data
    await writeFile(join(workdir, 'a.txt'), 'outside\n')
    const { paths, conflicts } = await task.undo({ actor: 'agent' })
    expect(paths).toEqual([])
    expect(conflicts).toMatchObject([{ path: 'a.txt' }])
    expect(await textOf(task)).toBe('outside\n')
  })
})

describe('createProjection', () => {
  const event = <T extends Event['type']>(seq: number, type: T, data: unknown): LoggedEvent =>
    ({ id: `e${seq}`, taskId: 't', seq, time: '2026-01-01T00:00:00.000Z', v: 1, actor: alice, type, data }) as never

  it('takes in once what becomes durable while it is made anew', async () => {
    const log = [
      event(1, 'task.created', { goal: 'Go', agent: 'coder' }),
      event(2, 'message.sent', { text: 'two' }),
      event(3, 'message.sent', { text: 'three' }),
      event(4, 'checkpoint.restored', { toSeq: 2 }),
      event(5, 'message.sent', { text: 'five' }),
      event(6, 'message.sent', { text: 'six' }),
      event(7, 'checkpoint.restored', { toSeq: 2 }),
    ]
    const projection = createProjection()
    for (const one of log.slice(0, 4)) projection.apply(one)
    let told = false
    await projection.rebuild(async function* (after) {
      // The store has more than was told of, some of which is told while it is read.
      for (const one of log.slice(after, 6)) {
        if (one.seq === 4 && !told) {
          told = true
          projection.apply(log[4] as LoggedEvent)
        }
        yield one
      }
    })
    expect(projection.stale).toBe(false)
    projection.apply(log[5] as LoggedEvent)
    projection.advance(6)
    const texts = () => projection.messages.map((message) => JSON.stringify(message).match(/"text":"([^"]*)"/)?.[1])
    expect(texts()).toEqual(['Go', 'alice: two', 'alice: five', 'alice: six'])
    projection.apply(log[6] as LoggedEvent)
    expect(projection.stale).toBe(true)
    await projection.rebuild(async function* (after) {
      yield* log.slice(after)
    })
    projection.advance(7)
    expect(texts()).toEqual(['Go', 'alice: two'])
  })
})

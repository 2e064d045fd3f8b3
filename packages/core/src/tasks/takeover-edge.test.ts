import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { createHumanAgent } from '../agents/human-agent.ts'
import { createFileBlobStore } from '../events/file-blob-store.ts'
import { createFileEventStore } from '../events/file-event-store.ts'
import type { ModelRequest } from '../models/model.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { calling, eventsOfType, happens, instantTool, linesOf, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createPolicy } from '../tools/policy.ts'
import type { BatonOptions } from './baton.ts'
import type { Task } from './task.ts'

const alice = { kind: 'human', id: 'alice' } as const
const bob = { kind: 'human', id: 'bob' } as const
const policy = createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] })

function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'baton-edge-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** What makes Batons in several processes work on the same tasks. */
function shared(dir = folder()): () => Partial<BatonOptions> {
  return () => ({
    store: createFileEventStore({ dir: join(dir, 'log') }),
    blobs: createFileBlobStore({ dir: join(dir, 'blobs') }),
    ledger: { dir: join(dir, 'ledger') },
    sandboxes: [createLocalSandboxProvider({ isolation: 'none', root: join(dir, 'sandboxes') })],
  })
}

type Steps = readonly (ScriptedStep | ((request: ModelRequest) => ScriptedStep | Promise<ScriptedStep>))[]

function start(script: Steps, options: Partial<BatonOptions> = {}) {
  const { tools = [], ...rest } = options
  const made = scriptedBaton(script as never, {
    policy,
    sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    tools: [writeTool, ...tools],
    ...rest,
  })
  onTestFinished(() => made.baton.close())
  return made
}

async function workspace(files: Record<string, string> = { 'a.txt': 'one\n' }): Promise<{ path: string }> {
  const path = folder()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return { path }
}

async function workdirOf(task: Task): Promise<string> {
  return (await happens(task, 'sandbox.started')).data.workdir
}

async function changesOf(task: Task): Promise<string[]> {
  return (await eventsOfType(task, 'file.changed')).map(({ actor, data }) =>
    `${actor.id} ${data.change} ${data.path} ${data.evidence} ${data.candidates?.join() ?? ''}`.trim(),
  )
}

describe('attribution around a lease', () => {
  it('does not credit to a person what was changed after they gave control back', async () => {
    const { baton } = start([{ text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const desk = await task.as(alice).takeControl()
    const dir = await workdirOf(task)
    await writeFile(join(dir, 'hers.txt'), 'hers\n')
    await desk.returnControl()
    await writeFile(join(dir, 'whose.txt'), '?\n')
    await task.start().result
    expect(await changesOf(task)).toEqual(['alice created hers.txt lease', 'unknown created whose.txt window outside'])
  })

  it('credits to a person who vanished what was changed until the lease expired, and not what was changed later', async () => {
    const parts = shared()
    const first = start([], parts())
    const task = await first.baton.createTask({ goal: 'Go' })
    await task.as(alice).takeControl({ idleMs: 400 })
    const dir = await workdirOf(task)
    await writeFile(join(dir, 'hers.txt'), 'hers\n')
    await first.baton.close()
    const { baton } = start([{ text: 'ok' }], parts())
    const again = await baton.openTask(task.id)
    await happens(again, 'control.returned', ({ expired }) => expired === true)
    await writeFile(join(dir, 'whose.txt'), '?\n')
    expect((await again.start().result).outcome).toBe('done')
    expect(await changesOf(again)).toEqual(['alice created hers.txt lease', 'unknown created whose.txt window outside'])
  })
})

describe('Task.takeControl, at once and again', () => {
  it('gives one lease to a person who asks from two processes at once, and to one of two people', async () => {
    const parts = shared()
    const { baton } = start([{ text: 'ok' }], parts())
    const task = await baton.createTask({ goal: 'Go' })
    await (await task.as(alice).takeControl()).returnControl()
    const one = await start([], parts()).baton.openTask(task.id, { as: 'observer' })
    const two = await start([], parts()).baton.openTask(task.id, { as: 'observer' })
    const desks = await Promise.all([one.as(alice).takeControl(), two.as(alice).takeControl()])
    expect(desks[0].leaseId).toBe(desks[1].leaseId)
    await desks[0].returnControl()
    const settled = await Promise.allSettled([one.as(alice).takeControl(), two.as(bob).takeControl()])
    expect(settled.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const failed = settled.find((result) => result.status === 'rejected')
    expect(failed).toMatchObject({ reason: { code: 'CONTROL_HELD' } })
  })

  it('waits for the agent to stop also where the lease is found again', async () => {
    const probe = probeTool('slow', 'execute')
    const { baton } = start([calling(['slow']), { text: 'ok' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const run = task.start()
    const call = await probe.called(1)
    const first = task.as(alice).takeControl()
    await happens(task, 'control.taken')
    let there = false
    const second = task
      .as(alice)
      .takeControl()
      .then((desk) => {
        there = true
        return desk
      })
    await task.send('A sign of life, so that time passes.')
    expect(there).toBe(false)
    call.finish('over')
    await first
    await (await second).returnControl()
    expect((await run.result).outcome).toBe('done')
  })

  it('gives the lease back where it is aborted while a call runs, and blames nobody who was not there yet', async () => {
    const probe = probeTool('slow', 'execute')
    const { baton } = start([calling(['slow']), { text: 'ok' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    await (await task.as(bob).takeControl()).returnControl()
    const run = task.start()
    const call = await probe.called(1)
    const abort = new AbortController()
    const taking = task.as(alice).takeControl({ signal: abort.signal })
    await happens(task, 'control.taken', () => task.summary.control?.actor.id === 'alice')
    await writeFile(join(await workdirOf(task), 'made.txt'), 'by the call\n')
    abort.abort()
    await expect(taking).rejects.toMatchObject({ code: 'ABORTED' })
    expect(task.summary.control).toBeUndefined()
    call.finish('over')
    expect((await run.result).outcome).toBe('done')
    expect(await changesOf(task)).toEqual(['coder created made.txt window'])
  })

  it('does not wait for a call that reads and was cut off by the end of its process', async () => {
    const parts = shared()
    const probe = probeTool('look', 'read', { heeds: false })
    const first = start([calling(['look'])], { ...parts(), tools: [probe.tool] })
    const task = await first.baton.createTask({ goal: 'Go' })
    await (await task.as(bob).takeControl()).returnControl()
    void task.start().result.catch(() => {})
    await probe.called(1)
    const observer = await start([], { ...parts(), tools: [instantTool('look')] }).baton.openTask(task.id, { as: 'observer' })
    const taking = observer.as(alice).takeControl()
    await happens(observer, 'control.taken', () => observer.summary.control?.actor.id === 'alice')
    await first.baton.close()
    const second = start([{ text: 'ok' }], { ...parts(), tools: [instantTool('look')] })
    const again = await second.baton.openTask(task.id)
    await (await taking).returnControl()
    expect((await again.start().result).outcome).toBe('done')
  })

  it('waits for a check that runs, also from another process, and credits to it what it writes', async () => {
    const parts = shared()
    const go = join(folder(), 'go')
    const { baton } = start([{ text: 'ok' }, { text: 'I have seen it' }], parts())
    const task = await baton.createTask({ goal: 'Go', checks: [`until test -f ${go}; do sleep 0.02; done; echo made > made.txt`] })
    await (await task.as(bob).takeControl()).returnControl()
    const run = task.start()
    await happens(task, 'command.started')
    const observer = await start([], parts()).baton.openTask(task.id, { as: 'observer' })
    const taking = observer.as(alice).takeControl()
    await happens(observer, 'control.taken', () => observer.summary.control?.actor.id === 'alice')
    writeFileSync(go, '')
    const desk = await taking
    expect(await typesOf(observer, /^command\.finished/)).toEqual(['command.finished'])
    await desk.writeFile('hers.txt', 'hers\n')
    await desk.returnControl()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'I have seen it' })
    expect(await changesOf(task)).toEqual(['baton created made.txt window', 'alice created hers.txt desk'])
  })

  it('does not wait for a check whose process has ended', async () => {
    const parts = shared()
    const first = start([{ text: 'ok' }], parts())
    const task = await first.baton.createTask({ goal: 'Go', checks: ['sleep 600'] })
    await (await task.as(bob).takeControl()).returnControl()
    void task.start().result.catch(() => {})
    const { data } = await happens(task, 'command.started')
    await first.baton.close()
    const again = await start([{ text: 'ok' }], parts()).baton.openTask(task.id)
    await happens(again, 'command.finished', ({ commandId }) => commandId === data.commandId)
    await happens(again, 'command.started', ({ commandId }) => commandId !== data.commandId)
    await again.cancel()
    await (await again.as(alice).takeControl()).returnControl()
  })

  it('refuses a time that is no time', async () => {
    const { baton } = start([])
    const task = await baton.createTask({ goal: 'Go' })
    for (const idleMs of [0, -1, 1.5, Number.NaN, 9e15]) {
      await expect(task.as(alice).takeControl({ idleMs })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    }
    for (const actor of [
      { kind: 'agent', id: 'coder' },
      { kind: 'system', id: 'cron' },
    ] as const) {
      await expect(task.as(actor).takeControl()).rejects.toMatchObject({ code: 'INVALID_STATE' })
    }
    expect(await typesOf(task, /control/)).toEqual([])
  })

  it('says what to do where there is no sandbox and this process may make none', async () => {
    const parts = shared()
    const { baton } = start([{ text: 'ok' }], parts())
    const task = await baton.createTask({ goal: 'Go' })
    const observer = await start([], parts()).baton.openTask(task.id, { as: 'observer' })
    await expect(observer.as(alice).takeControl()).rejects.toMatchObject({
      code: 'INVALID_STATE',
      message: expect.stringContaining('driver'),
    })
    await happens(task, 'driver.claimed')
    expect(task.summary.control).toBeUndefined()
  })

  it('gets a sandbox also where the run that was starting it is cancelled', async () => {
    const local = createLocalSandboxProvider({ isolation: 'none' })
    const begun = Promise.withResolvers<void>()
    let starts = 0
    const { baton } = start([calling(['write', { path: 'b.txt', text: 'b\n' }]), { text: 'ok' }], {
      sandboxes: [
        {
          ...local,
          create(spec, options) {
            if (starts++ > 0) return local.create(spec, options)
            begun.resolve()
            return new Promise((_, reject) => {
              options?.signal?.addEventListener('abort', () => reject(options.signal?.reason))
            })
          },
        },
      ],
    })
    const task = await baton.createTask({ goal: 'Go' })
    const run = task.start()
    await begun.promise
    const taking = task.as(alice).takeControl({ running: 'leave' })
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    const desk = await taking
    await desk.writeFile('a.txt', 'a\n')
    await desk.returnControl()
    expect(starts).toBe(2)
  })

  it('stays possible on a task that is closed, by a clear refusal', async () => {
    const { baton } = start([{ text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go' })
    await task.start().result
    await task.end()
    const again = await baton.openTask(task.id, { as: 'observer' })
    await expect(again.as(alice).takeControl()).rejects.toMatchObject({ code: 'INVALID_STATE', message: expect.stringContaining('closed') })
  })
})

describe('Desk', () => {
  it('is over with its lease: nothing is written any more, and its terminals are closed', async () => {
    const { baton } = start([{ text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const desk = await task.as(alice).takeControl()
    const other = await task.as(alice).takeControl()
    const terminal = await desk.terminal()
    await other.returnControl()
    await terminal.exit
    await expect(desk.writeFile('late.txt', 'late')).rejects.toMatchObject({ code: expect.stringMatching(/INVALID_STATE|CLOSED/) })
    await expect(desk.sandbox.spawn('touch late.txt')).rejects.toMatchObject({ code: expect.stringMatching(/INVALID_STATE|CLOSED/) })
    await expect(readFile(join(await workdirOf(task), 'late.txt'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('cannot be worked at after the task was ended by another', async () => {
    const { baton } = start([{ text: 'ok' }])
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const desk = await task.as(alice).takeControl()
    await task.as(bob).end()
    await expect(desk.writeFile('late.txt', 'late')).rejects.toMatchObject({ code: expect.stringMatching(/INVALID_STATE|CLOSED/) })
    await expect(desk.returnControl()).rejects.toMatchObject({ code: 'INVALID_STATE' })
  })

  it('lets a run be cancelled, paused and set to another autonomy meanwhile', async () => {
    const probe = probeTool('slow', 'execute')
    const { baton } = start([calling(['slow']), { text: 'ok' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const run = task.start()
    const call = await probe.called(1)
    const taking = task.as(alice).takeControl()
    await happens(task, 'control.taken')
    call.finish('x')
    const desk = await taking
    await task.pause()
    await task.setAutonomy('assist')
    await task.resume()
    await task.cancel('enough')
    expect(await run.result).toMatchObject({ outcome: 'cancelled' })
    await desk.writeFile('b.txt', 'b\n')
    await desk.returnControl({ note: 'bye' })
    expect(task.summary).toMatchObject({ status: 'idle', autonomy: 'assist' })
    expect(task.summary.control).toBeUndefined()
  })
})

describe('an offer of control', () => {
  const offering: Agent = {
    name: 'offering',
    async run(context) {
      const { taken, by, note } = await context.handOver({ key: 'k', reason: 'Please' })
      return { text: `${taken} ${by.id} ${note ?? ''}`.trim() }
    },
  }

  it('is not answered by a lease that expires, nor by one that was held for an undo', async () => {
    const parts = shared()
    const { baton } = start([], { ...parts(), agents: [createHumanAgent()] })
    const task = await baton.createTask({ goal: 'Do it', workspace: await workspace() })
    await (await task.as(bob).takeControl()).returnControl()
    const run = task.start()
    await happens(task, 'control.offered')
    await task.as(bob).undo({ actor: 'human' })
    expect(task.summary.waiting).toMatchObject([{ kind: 'control' }])
    const gone = await start([], { ...parts(), agents: [createHumanAgent()] }).baton.openTask(task.id, { as: 'observer' })
    await gone.as(alice).takeControl({ idleMs: 300 })
    await gone.close()
    await happens(task, 'control.returned', ({ expired }) => expired === true)
    expect(task.summary).toMatchObject({ waiting: [{ kind: 'control' }] })
    const desk = await task.as(bob).takeControl()
    await desk.returnControl({ note: 'Done.' })
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Done.' })
  })

  it('cannot be declined once somebody has taken it', async () => {
    const { baton } = start([], { agents: [offering] })
    const task = await baton.createTask({ goal: 'Do it' })
    const run = task.start()
    const { data } = await happens(task, 'control.offered')
    const desk = await task.as(alice).takeControl()
    await expect(task.as(bob).declineControl(data.offerId)).rejects.toMatchObject({ code: 'CONTROL_HELD', details: { holder: alice } })
    await desk.returnControl({ note: 'Here.' })
    expect(await run.result).toMatchObject({ text: 'true alice Here.' })
  })
})

describe('what the agent is told', () => {
  it('is labelled before the next prompt: notes, differences, commands, git messages and what is said on declining', async () => {
    const seen: string[] = []
    const { baton } = start([{ text: 'ok' }, { text: 'ok' }], {
      classifier: {
        classify(content: string) {
          seen.push(content)
          return content.includes('SECRET') ? 'restricted' : 'internal'
        },
      },
    })
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const desk = await task.as(alice).takeControl()
    const { exit } = await desk.sandbox.spawn(
      'git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m "first" && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m "SECRE""T key"',
    )
    expect(await exit).toMatchObject({ code: 0 })
    await desk.returnControl()
    expect(await eventsOfType(task, 'git.changed')).not.toEqual([])
    expect(task.summary.sensitivity).toBe('restricted')
    expect(seen.some((content) => content.includes('SECRET key'))).toBe(true)
  })

  it('holds each outside change once, in prompts of which each begins with the one before', async () => {
    let dir = ''
    const outside = (name: string, reply: ScriptedStep) => async () => {
      await writeFile(join(dir, name), `${name}\n`)
      return reply
    }
    const { baton, model } = start([
      async () => {
        dir = await workdirOf(task)
        return calling(['write', { path: 'b.txt', text: 'b\n' }])
      },
      outside('x1.txt', calling(['write', { path: 'c.txt', text: 'c\n' }])),
      outside('x2.txt', calling(['write', { path: 'd.txt', text: 'd\n' }])),
      { text: 'done' },
    ])
    const task = await baton.createTask({ goal: 'Go', workspace: await workspace() })
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('y.txt', 'y\n')
    await desk.returnControl({ note: 'Hello.' })
    await task.start().result
    const prompts = model.requests.map((request) => linesOf(request))
    for (const [index, prompt] of prompts.entries()) {
      if (index > 0) expect(prompt.slice(0, prompts[index - 1]?.length)).toEqual(prompts[index - 1])
    }
    const last = prompts.at(-1)?.join('\n') ?? ''
    for (const name of ['x1.txt (created', 'x2.txt (created', 'y.txt (created', 'Hello.']) expect(last.split(name)).toHaveLength(2)
  })
})

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createFileBlobStore } from '../events/file-blob-store.ts'
import { createFileEventStore } from '../events/file-event-store.ts'
import type { ModelRequest } from '../models/model.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { actionTool, writeTool } from '../testing/collaboration-fixtures.ts'
import { findHistoryProblems } from '../testing/find-history-problems.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { calling, eventsOfType, happens, linesOf, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createPolicy } from '../tools/policy.ts'
import type { Tool, ToolContext } from '../tools/tool.ts'
import type { Baton } from './baton.ts'
import type { Task } from './task.ts'

const alice = { kind: 'human', id: 'alice' } as const
const bob = { kind: 'human', id: 'bob' } as const
const policy = createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] })

interface World {
  readonly baton: Baton
  readonly task: Task
  readonly requests: readonly ModelRequest[]
  /** The workdir of the sandbox, as an editor outside sees it. */
  workdir(): Promise<string>
}

async function world(
  script: readonly (ScriptedStep | ((request: ModelRequest) => ScriptedStep | Promise<ScriptedStep>))[],
  options: { tools?: Tool<never, unknown>[]; files?: Record<string, string> } = {},
): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'baton-takeover-'))
  for (const [path, text] of Object.entries(options.files ?? { 'a.txt': 'one\ntwo\nthree\n' })) writeFileSync(join(folder, path), text)
  const { baton, model } = scriptedBaton(script as never, {
    tools: [writeTool, ...(options.tools ?? [])],
    policy,
    sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    ledger: { dir: `${folder}-ledger` },
  })
  onTestFinished(async () => {
    const started = (await eventsOfType(task, 'sandbox.started')).at(-1)?.data
    const problems = started ? await findHistoryProblems({ task, ledgerDir: `${folder}-ledger`, workdir: started.workdir }) : []
    await baton.close()
    for (const dir of [folder, `${folder}-ledger`]) rmSync(dir, { recursive: true, force: true })
    expect(problems).toEqual([])
  })
  const task = await baton.createTask({ goal: 'Go', workspace: { path: folder } })
  return {
    baton,
    task,
    get requests() {
      return model.requests
    },
    async workdir() {
      return (await happens(task, 'sandbox.started')).data.workdir
    },
  }
}

/** Who changed what, in order. */
async function changesOf(task: Task): Promise<string[]> {
  return (await eventsOfType(task, 'file.changed')).map(({ actor, data }) => `${actor.id} ${data.change} ${data.path} ${data.evidence}`)
}

describe('Task.takeControl', () => {
  it('stops the agent, records what the person does, and tells the agent once what changed', async () => {
    const probe = probeTool('slow', 'execute')
    const { task, requests, workdir } = await world(
      [
        calling(['write', { path: 'a.txt', text: 'one\n2\nthree\n' }], ['slow'], ['write', { path: 'late.txt', text: 'late' }]),
        { text: 'ok' },
        { text: 'done' },
      ],
      { tools: [probe.tool] as never },
    )
    const run = task.start()
    const call = await probe.called(1)
    const taking = task.as(alice).takeControl({ reason: 'my turn' })
    await happens(task, 'control.taken')
    call.finish('slow is over')
    const desk = await taking
    await desk.writeFile('a.txt', 'one\n2\nTHREE\n')
    const { exit } = await desk.sandbox.spawn('echo hi > out.txt; exit 3')
    await exit
    await writeFile(join(await workdir(), 'editor.txt'), 'by an editor\n')
    await rm(join(await workdir(), 'out.txt'))
    await desk.returnControl({ note: 'Mind the capitals.' })
    expect(await run.result).toMatchObject({ outcome: 'done' })
    expect(await changesOf(task)).toEqual([
      'coder modified a.txt tool',
      'alice modified a.txt desk',
      'alice created editor.txt lease',
      'coder created late.txt tool',
    ])
    const lines = linesOf(requests[1])
    const told = lines.filter((line) => line.includes('What others did'))
    expect(told).toHaveLength(1)
    expect(told[0]).toMatch(/alice had control .* and gave it back\.\nalice says: Mind the capitals\./)
    expect(told[0]).toContain('-three\n+THREE')
    expect(told[0]).toContain('- editor.txt (created, +1 −0)')
    expect(told[0]).toContain('echo hi > out.txt; exit 3 → exit code 3')
    expect(told[0]).not.toContain('late.txt')
  })

  it('tells a second person who has control, and lets the first one have the desk again', async () => {
    const { task } = await world([{ text: 'ok' }])
    const desk = await task.as(alice).takeControl()
    await expect(task.as(bob).takeControl()).rejects.toMatchObject({
      code: 'CONTROL_HELD',
      message: expect.stringContaining('alice has had control since'),
      details: { holder: alice },
    })
    const again = await task.as(alice).takeControl()
    expect(again.leaseId).toBe(desk.leaseId)
    await again.returnControl()
    await expect(desk.returnControl()).rejects.toMatchObject({ code: 'INVALID_STATE' })
    const his = await task.as(bob).takeControl()
    await his.returnControl()
  })

  it('stops what runs where the person does not want to wait', async () => {
    const probe = probeTool('slow', 'execute')
    const { task, requests } = await world([calling(['slow']), { text: 'ok' }], { tools: [probe.tool] as never })
    const run = task.start()
    await probe.called(1)
    const desk = await task.as(alice).takeControl({ running: 'cancel' })
    await desk.returnControl()
    expect(await run.result).toMatchObject({ outcome: 'done' })
    expect(linesOf(requests[1]).join('\n')).toContain('alice took control of the sandbox')
  })
})

describe('attribution', () => {
  it('credits what a command of the agent wrote to it, and what appears between its steps to nobody known', async () => {
    let folder = ''
    const actions: Record<string, (context: ToolContext) => Promise<unknown>> = {
      shell: async () => writeFile(join(folder, 'made.txt'), 'made\n'),
    }
    const { task, requests, workdir } = await world(
      [
        calling(['write', { path: 'b.txt', text: 'b\n' }]),
        async () => {
          folder = await workdir()
          await writeFile(join(folder, 'a.txt'), 'outside\n')
          return calling(['act', { act: 'shell' }])
        },
        { text: 'done' },
      ],
      { tools: [actionTool(actions)] as never },
    )
    expect(await task.start().result).toMatchObject({ outcome: 'done' })
    expect(await changesOf(task)).toEqual(['coder created b.txt tool', 'unknown modified a.txt window', 'coder created made.txt window'])
    expect(linesOf(requests[1]).join('\n')).not.toContain('What others did')
    expect(linesOf(requests[2]).filter((line) => line.includes('a.txt (modified'))).toHaveLength(1)
    expect(linesOf(requests[2]).join('\n')).not.toContain('made.txt (')
  })
})

describe('Task.undo', () => {
  it("takes back one actor's changes, keeps the other's, and tells the agent", async () => {
    const { task, workdir, requests } = await world([
      calling(['write', { path: 'a.txt', text: 'ONE\ntwo\nthree\n' }]),
      { text: 'done' },
      { text: 'ok' },
    ])
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('a.txt', 'ONE\ntwo\nTHREE\n')
    await desk.returnControl()
    expect(await task.as(alice).undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(readFileSync(join(await workdir(), 'a.txt'), 'utf8')).toBe('one\ntwo\nTHREE\n')
    expect(await task.undo({ actor: 'agent' })).toEqual({ paths: [], conflicts: [] })
    await task.send('Go on')
    await happens(task, 'run.finished', ({ outcome, text }) => outcome === 'done' && text === 'ok')
    expect(linesOf(requests.at(-1)).join('\n')).toContain('alice took back changes of agent in: a.txt')
  })
})

describe('Task.restore', () => {
  it('comes back to a checkpoint: files and conversation', async () => {
    const { task, workdir, requests } = await world([
      calling(['write', { path: 'a.txt', text: 'first\n' }]),
      { text: 'first done' },
      calling(['write', { path: 'a.txt', text: 'second\n' }]),
      { text: 'second done' },
      { text: 'third done' },
    ])
    await task.start().result
    const { id } = await task.checkpoint({ label: 'good' })
    await task.send('Another one')
    await happens(task, 'run.finished', ({ text }) => text === 'second done')
    expect(await task.restore({ checkpoint: 'good' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    expect(id).toBeTypeOf('string')
    expect(readFileSync(join(await workdir(), 'a.txt'), 'utf8')).toBe('first\n')
    await task.send('Once more')
    await happens(task, 'run.finished', ({ text }) => text === 'third done')
    const lines = linesOf(requests.at(-1)).join('\n')
    expect(lines).toContain('first done')
    expect(lines).not.toContain('second')
    expect(lines).not.toContain('Another one')
    expect(lines).toContain('Once more')
    await expect(task.restore({ checkpoint: 'nowhere' })).rejects.toMatchObject({
      code: 'UNKNOWN_CHECKPOINT',
      message: expect.stringContaining('good'),
    })
  })
})

describe('Task.fork', () => {
  it('makes a task with the log, the files and a sandbox of its own', async () => {
    const { task, workdir } = await world([
      calling(['write', { path: 'a.txt', text: 'first\n' }]),
      { text: 'first done' },
      calling(['write', { path: 'a.txt', text: 'forked\n' }]),
      { text: 'fork done' },
    ])
    await task.start().result
    const fork = await task.fork()
    expect(fork.id).not.toBe(task.id)
    expect(fork.summary).toMatchObject({ status: 'idle', spent: { steps: 0 } })
    await fork.send('On your own')
    await happens(fork, 'run.finished', ({ text }) => text === 'fork done')
    const started = (await eventsOfType(fork, 'sandbox.started')).at(-1)
    expect(readFileSync(join(started?.data.workdir ?? '', 'a.txt'), 'utf8')).toBe('forked\n')
    expect(readFileSync(join(await workdir(), 'a.txt'), 'utf8')).toBe('first\n')
    expect(await typesOf(fork, /forked/)).toEqual(['task.forked'])
  })
})

describe('a lease', () => {
  it('is there again after its process has gone, with what was changed meanwhile', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'baton-lease-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    const parts = () => ({
      store: createFileEventStore({ dir: join(dir, 'log') }),
      blobs: createFileBlobStore({ dir: join(dir, 'blobs') }),
      ledger: { dir: join(dir, 'ledger') },
      sandboxes: [createLocalSandboxProvider({ isolation: 'none', root: join(dir, 'sandboxes') })],
      tools: [writeTool],
      policy,
    })
    const script = [calling(['write', { path: 'a.txt', text: 'agent\n' }]), { text: 'first' }]
    const first = scriptedBaton(script, parts())
    const task = await first.baton.createTask({ goal: 'Go' })
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('b.txt', 'alice\n')
    const { workdir } = (await happens(task, 'sandbox.started')).data
    await writeFile(join(workdir, 'c.txt'), 'alice too\n')
    await first.baton.close()

    const second = scriptedBaton([{ text: 'second' }], parts())
    onTestFinished(() => second.baton.close())
    const again = await second.baton.openTask(task.id)
    expect(again.summary.control).toMatchObject({ actor: alice })
    const desk2 = await again.as(alice).takeControl()
    expect(desk2.leaseId).toBe(desk.leaseId)
    await desk2.returnControl()
    expect(await changesOf(again)).toEqual(['coder created a.txt tool', 'alice created b.txt desk', 'alice created c.txt lease'])
  })
})

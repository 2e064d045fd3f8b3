import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { EventStore } from '../events/event-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { calling, eventsOfType, happens, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { ApprovalMemory } from '../tools/approval-memory.ts'
import { createMemoryApprovals } from '../tools/approval-memory.ts'
import { createFileApprovals } from '../tools/file-approvals.ts'
import { defineTool } from '../tools/tool.ts'
import type { Baton } from './baton.ts'
import { createBaton } from './baton.ts'
import type { Task } from './task.ts'

const root = realpathSync(mkdtempSync(join(tmpdir(), 'baton-remembered-')))
afterAll(() => rmSync(root, { recursive: true }))
let folders = 0
function newFolder(): string {
  const path = join(root, `w${++folders}`)
  mkdirSync(path)
  return path
}

const alice = { kind: 'human', id: 'alice' } as const
const bob = { kind: 'human', id: 'bob' } as const

/** A tool with a default, whose approvals cover where it deploys to. */
function createDeploy() {
  const inputs: unknown[] = []
  const tool = defineTool({
    name: 'deploy',
    description: 'Deploys.',
    input: z.object({ to: z.string(), force: z.boolean().default(false) }),
    effect: 'external',
    scope: ({ to }) => `to ${to}`,
    run: async (input) => {
      inputs.push(input)
      return 'ok'
    },
  })
  return { tool, inputs }
}

function deploying(places: readonly string[], options: { approvals?: ApprovalMemory; store?: EventStore } = {}) {
  const deploy = createDeploy()
  const steps = [...places.map((to) => calling(['deploy', { to }])), { text: 'Done.' }]
  return { deploy, ...scriptedBaton(steps, { tools: [deploy.tool], ...options }) }
}

/** Runs a task that deploys, and has Alice decide on what is asked. */
async function runAll(task: Task, decide: (approvalId: string, asked: number) => Promise<void>): Promise<number> {
  let asked = 0
  const run = task.start()
  for await (const event of run.events()) if (event.type === 'approval.requested') await decide(event.data.approvalId, ++asked)
  expect((await run.result).outcome).toBe('done')
  return asked
}

async function createOn(baton: Baton, path: string): Promise<Task> {
  return (await baton.createTask({ goal: 'Deploy.', workspace: { path } })).as(alice)
}

describe('Task.approve with remember: workspace', () => {
  it('is not asked again in any task on the same folder, under whatever name, and nowhere else', async () => {
    const path = newFolder()
    const link = join(root, 'link')
    symlinkSync(path, link)
    const approvals = createMemoryApprovals()
    const first = deploying(['a', 'a', 'b'], { approvals })
    const task = await createOn(first.baton, path)
    const asked = await runAll(task, (id, count) => task.approve(id, count === 1 ? { remember: 'workspace' } : {}))
    expect(asked).toBe(2)
    for (const [where, expected] of [
      [path, 0],
      [link, 0],
      [relative(process.cwd(), path), 0],
      [newFolder(), 1],
    ] as const) {
      const { baton } = deploying(['a'], { approvals })
      const other = await createOn(baton, where)
      expect([where, await runAll(other, (id) => other.reject(id))]).toEqual([where, expected])
    }
    expect(await first.baton.approvals.list({ workspace: link })).toEqual([
      { id: expect.any(String), workspace: path, scope: 'deploy: to a', tool: 'deploy', by: alice, time: expect.stringMatching(/Z$/) },
    ])
  })

  it('is stored before it is decided, and the log says why nobody was asked', async () => {
    const path = newFolder()
    const inner = createMemoryApprovals()
    const seen: string[][] = []
    const { baton, deploy } = deploying(['a', 'a'], {
      approvals: {
        ...inner,
        async add(approval) {
          seen.push(await typesOf(task, /^approval\.decided/))
          await inner.add(approval)
        },
      },
    })
    const task = await createOn(baton, path)
    await runAll(task, (id) => task.approve(id, { remember: 'workspace' }))
    expect(seen).toEqual([[]])
    const [entry] = await baton.approvals.list()
    const started = await eventsOfType(task, 'tool.started')
    expect(started.map(({ data }) => data.remembered)).toEqual([
      undefined,
      { for: 'workspace', id: entry?.id, scope: 'deploy: to a', by: alice },
    ])
    expect(deploy.inputs).toHaveLength(2)
  })

  it('revoked is asked about again at once, also in a task that runs', async () => {
    const { baton } = deploying(['a', 'a', 'a'])
    const task = await createOn(baton, newFolder())
    const run = task.start()
    const asked: string[] = []
    for await (const event of run.events()) {
      if (event.type === 'approval.requested') {
        asked.push(event.data.approvalId)
        await task.approve(event.data.approvalId, asked.length === 1 ? { remember: 'workspace' } : {})
        // Before the next call can be made, since this one is waited for.
        if (asked.length === 1) for (const { id } of await baton.approvals.list()) expect(await baton.approvals.revoke(id)).toBe(true)
      }
    }
    expect(asked).toHaveLength(3)
    expect(await baton.approvals.list()).toEqual([])
    expect(await baton.approvals.revoke('none')).toBe(false)
  })

  it('holds in a later process, with a file', async () => {
    const path = newFolder()
    const file = join(newFolder(), 'approvals.json')
    const first = deploying(['a'], { approvals: createFileApprovals({ path: file }) })
    const task = await createOn(first.baton, path)
    expect(await runAll(task, (id) => task.approve(id, { remember: 'workspace' }))).toBe(1)
    await first.baton.close()
    const second = deploying(['a'], { approvals: createFileApprovals({ path: file }) })
    const later = await createOn(second.baton, path)
    expect(await runAll(later, (id) => later.reject(id))).toBe(0)
  })

  it('from an observer counts for the driver that shares the memory', async () => {
    const store = createMemoryEventStore()
    const approvals = createMemoryApprovals()
    const { baton } = deploying(['a', 'a'], { store, approvals })
    const task = await createOn(baton, newFolder())
    const observer = await createBaton({ store, approvals }).openTask(task.id, { as: 'observer' })
    expect(await runAll(task, (id) => observer.as(bob).approve(id, { remember: 'workspace' }))).toBe(1)
    expect(await approvals.list()).toMatchObject([{ by: bob }])
  })

  it('is refused where there is no workspace, and the request still waits', async () => {
    const { baton } = deploying(['a'])
    const task = await baton.createTask({ goal: 'Deploy.' })
    const asked = await runAll(task, async (id) => {
      await expect(task.approve(id, { remember: 'workspace' })).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
        message: expect.stringMatching(/no workspace.*'task'/),
      })
      expect(task.summary.waiting).toHaveLength(1)
      await task.approve(id)
    })
    expect(asked).toBe(1)
  })

  it('is kept once, whoever gives it again', async () => {
    const path = newFolder()
    const approvals = createMemoryApprovals()
    const both = await Promise.all(
      [alice, bob].map(async (person) => {
        const { baton } = deploying(['a'], { approvals })
        const task = (await createOn(baton, path)).as(person)
        task.start()
        return { task, id: (await happens(task, 'approval.requested')).data.approvalId }
      }),
    )
    for (const { task, id } of both) await task.approve(id, { remember: 'workspace' })
    expect(await approvals.list()).toMatchObject([{ by: alice }])
  })

  it('leaves nothing behind where another decision was first', async () => {
    const inner = createMemoryApprovals()
    const approvals: ApprovalMemory = {
      ...inner,
      async add(approval) {
        await inner.add(approval)
        await task.as(bob).reject(approval.scope === 'deploy: to a' ? (task.summary.waiting[0]?.id ?? '') : '')
      },
    }
    const { baton, deploy } = deploying(['a'], { approvals })
    const task = await createOn(baton, newFolder())
    await runAll(task, (id) => expect(task.approve(id, { remember: 'workspace' })).rejects.toMatchObject({ code: 'UNKNOWN_REQUEST' }))
    expect(await approvals.list()).toEqual([])
    expect(deploy.inputs).toEqual([])
    expect(await eventsOfType(task, 'approval.decided')).toMatchObject([{ actor: bob, data: { decision: 'rejected' } }])
  })

  it('asks where the memory cannot be read, says so, and loses nothing of it', async () => {
    const file = join(newFolder(), 'approvals.json')
    writeFileSync(file, '{"version":1,')
    const { baton, deploy } = deploying(['a'], { approvals: createFileApprovals({ path: file }) })
    const task = await createOn(baton, newFolder())
    const asked = await runAll(task, async (id) => {
      await expect(task.approve(id, { remember: 'workspace' })).rejects.toMatchObject({ code: 'CORRUPT_FILE', details: { path: file } })
      await task.approve(id)
    })
    expect(asked).toBe(1)
    expect(deploy.inputs).toHaveLength(1)
    expect(await eventsOfType(task, 'warning.raised')).toContainEqual(
      expect.objectContaining({ data: { code: 'APPROVALS_UNREADABLE', message: expect.stringContaining(file) } }),
    )
    await expect(baton.approvals.list()).rejects.toMatchObject({ code: 'CORRUPT_FILE' })
    expect(readFileSync(file, 'utf8')).toBe('{"version":1,')
  })

  it('does not make the policy allow what it denies', async () => {
    const approvals = createMemoryApprovals()
    const path = newFolder()
    await approvals.add({ id: '1', workspace: path, scope: 'deploy: to a', tool: 'deploy', by: alice, time: '2026-01-02T03:04:05.678Z' })
    const deploy = createDeploy()
    const policy = { decide: () => ({ decision: 'deny' as const }) }
    const { baton } = scriptedBaton([calling(['deploy', { to: 'a' }]), { text: 'Done.' }], { tools: [deploy.tool], approvals, policy })
    await (await createOn(baton, path)).start().result
    expect(deploy.inputs).toEqual([])
  })
})

describe('Task.approve with remember: task', () => {
  it('with another input covers that, and not what was proposed', async () => {
    const { baton, deploy } = deploying(['production', 'staging', 'production'])
    const task = await createOn(baton, newFolder())
    const asked: unknown[] = []
    const run = task.start()
    for await (const event of run.events()) {
      if (event.type !== 'approval.requested') continue
      asked.push(event.data.input)
      await task.approve(event.data.approvalId, asked.length === 1 ? { input: { to: 'staging' }, remember: 'task' } : {})
    }
    expect(asked).toEqual([
      { to: 'production', force: false },
      { to: 'production', force: false },
    ])
    expect(deploy.inputs).toMatchObject([{ to: 'staging' }, { to: 'staging' }, { to: 'production' }])
    const [first] = await eventsOfType(task, 'approval.decided')
    expect(first?.data).toMatchObject({ remember: 'task', scope: 'deploy: to staging', input: { to: 'staging' } })
    const started = await eventsOfType(task, 'tool.started')
    const remembered = { for: 'task', id: first?.data.approvalId, scope: 'deploy: to staging', by: alice }
    expect(started.map(({ data }) => data.remembered)).toEqual([undefined, remembered, undefined])
  })

  it('with another input is refused where nobody here can say what that covers', async () => {
    const store = createMemoryEventStore()
    const { baton } = deploying(['a'], { store })
    const task = await createOn(baton, newFolder())
    const observer = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    await runAll(task, async (id) => {
      const changed = observer.approve(id, { input: { to: 'b' }, remember: 'task' })
      await expect(changed).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('"deploy"') })
      await observer.approve(id)
    })
  })

  it('keeps what was proposed, decided and run apart, with a tool that has defaults', async () => {
    const { baton } = deploying(['a'])
    const task = await createOn(baton, newFolder())
    await runAll(task, (id) => task.approve(id, { input: { to: 'b' } }))
    const [called] = await eventsOfType(task, 'tool.called')
    const [requested] = await eventsOfType(task, 'approval.requested')
    const [decided] = await eventsOfType(task, 'approval.decided')
    const [started] = await eventsOfType(task, 'tool.started')
    expect([called, requested, decided, started].map((event) => event?.data.input)).toEqual([
      { to: 'a' },
      { to: 'a', force: false },
      { to: 'b' },
      { to: 'b', force: false },
    ])
  })
})

describe('Task.forgetApproval', () => {
  it('has the task ask again, in the log and after a restart', async () => {
    const store = createMemoryEventStore()
    const { baton } = deploying(['a', 'a'], { store })
    const task = await createOn(baton, newFolder())
    const asked = await runAll(task, async (id, count) => {
      await task.approve(id, { remember: 'task' })
      if (count > 1) return
      expect(await task.forgetApproval('deploy: to b')).toBe(false)
      expect(await task.as(bob).forgetApproval('deploy: to a')).toBe(true)
      expect(await task.forgetApproval('deploy: to a')).toBe(false)
    })
    expect(asked).toBe(2)
    expect(await eventsOfType(task, 'approval.forgotten')).toMatchObject([{ actor: bob, data: { scope: 'deploy: to a' } }])
    const later = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    expect(await later.forgetApproval('deploy: to a')).toBe(true)
    expect(await later.forgetApproval('deploy: to a')).toBe(false)
  })
})

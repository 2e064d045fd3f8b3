import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { createModelAgent } from '../agents/model-agent.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, happens, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

/** An INVALID_OPTIONS error that names the call and the field. */
const invalid = (call: string, field: string) =>
  expect.objectContaining({
    code: 'INVALID_OPTIONS',
    message: expect.stringMatching(new RegExp(`^${call}.*\\b${field.replaceAll('.', '\\.')}`, 's')),
  })
const tool = instantTool('look')

describe('createBaton', () => {
  it.each<[string, object]>([
    ['router', { router: {} }],
    ['store', { store: { append() {} } }],
    ['blobs', { blobs: 'memory' }],
    ['sandboxes', { sandboxes: [] }],
    ['sandboxes.0', { sandboxes: [{ name: 'x' }] }],
    ['sandboxes', { sandboxes: [createLocalSandboxProvider(), createLocalSandboxProvider()] }],
    ['tools.0', { tools: [{ name: 'x' }] }],
    ['tools.0.name', { tools: [{ ...tool, name: 'my tool' }] }],
    ['tools.0.name', { tools: [{ ...tool, name: undefined }] }],
    ['tools.0.description', { tools: [{ ...tool, description: 5 }] }],
    ['tools.0.effect', { tools: [{ ...tool, effect: 'reading' }] }],
    ['tools.0.input', { tools: [{ ...tool, input: { a: 1 } }] }],
    ['tools', { tools: [{ ...tool, input: z.string() }] }],
    ['tools', { tools: [{ ...tool, input: z.object({ when: z.date() }) }] }],
    ['tools', { tools: [tool, tool] }],
    ['policy', { policy: { allow: true } }],
    ['agents', { agents: [] }],
    ['agents.0.name', { agents: [{ run() {} }] }],
    ['agents', { agents: [createModelAgent(), createModelAgent()] }],
    ['classifier', { classifier: () => 'public' }],
    ['actor.kind', { actor: { kind: 'robot', id: 'x' } }],
    ['concurrency', { concurrency: 0 }],
    ['budgets.perDayUsd', { budgets: { perDayUsd: -1 } }],
    ['budgets.perTenantPerDayUsd', { budgets: { perTenantPerDayUsd: { acme: '5' } } }],
    ['budgets', { budgets: { perMonthUsd: 1 } }],
    ['timing.firstChunkMs', { timing: { firstChunkMs: -1 } }],
    ['stuck.nudgeAfter', { stuck: { nudgeAfter: 1 } }],
    ['stuck.pauseAfter', { stuck: { nudgeAfter: 6 } }],
    ['maxToolOutputBytes', { maxToolOutputBytes: 10 }],
    ['modle', { modle: 'x' }],
  ])('names what is wrong: %s', (field, options) => {
    expect(() => createBaton(options)).toThrow(invalid('createBaton', field))
  })
})

describe('createModelAgent', () => {
  it.each<[string, object]>([
    ['name', { name: '' }],
    ['role', { role: 5 }],
    ['tools', { tools: 'all' }],
    ['temperature', { temperature: 3 }],
    ['maxOutputTokens', { maxOutputTokens: 0 }],
    ['reasoningEffort', { reasoningEffort: 'most' }],
    ['compaction', { compaction: { at: 2 } }],
    ['prompt', { prompt: 'x' }],
  ])('names what is wrong: %s', (field, options) => {
    expect(() => createModelAgent(options)).toThrow(invalid('createModelAgent', field))
  })

  it('with a tool that is not there fails the run, and names those that are', async () => {
    const { baton } = scriptedBaton([], { tools: [tool], agents: [createModelAgent({ tools: ['fly'] })] })
    const { outcome, error } = await (await baton.createTask({ goal: 'x' })).start().result
    expect([outcome, error?.code]).toEqual(['failed', 'INVALID_OPTIONS'])
    expect(error?.message).toMatch(/"fly"; known: look/)
  })
})

describe('Baton', () => {
  const { baton } = scriptedBaton([])

  it.each<[string, object]>([
    ['goal', {}],
    ['goal', { goal: '' }],
    ['agent', { goal: 'x', agent: 5 }],
    ['autonomy', { goal: 'x', autonomy: 'full' }],
    ['sensitivity', { goal: 'x', sensitivity: 'secret' }],
    ['workspace.path', { goal: 'x', workspace: {} }],
    ['workspace', { goal: 'x', workspace: '.' }],
    ['sandbox', { goal: 'x', sandbox: '' }],
    ['checks.0', { goal: 'x', checks: [''] }],
    ['checks.0', { goal: 'x', checks: [{ command: 'x' }] }],
    ['checks', { goal: 'x', checks: ['true', 'true'] }],
    ['checkRounds', { goal: 'x', checkRounds: -1 }],
    ['limits.costUsd', { goal: 'x', limits: { costUsd: -1 } }],
    ['limits', { goal: 'x', limits: { cost: 1 } }],
    ['priority', { goal: 'x', priority: 'high' }],
    ['tenant', { goal: 'x', tenant: '' }],
    ['metadata.a', { goal: 'x', metadata: { a: 1 } }],
    ['title', { goal: 'x', title: 'y' }],
  ])('.createTask names what is wrong: %s', async (field, spec) => {
    await expect(baton.createTask(spec as never)).rejects.toThrow(invalid('createTask', field))
  })

  it('.createTask says which agents, sandboxes and folders there are', async () => {
    const error = (code: string, message: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(message) })
    await expect(baton.createTask({ goal: 'x', agent: 'nobody' })).rejects.toThrow(error('UNKNOWN_AGENT', /"nobody"; known: coder/))
    await expect(baton.createTask({ goal: 'x', sandbox: 'moon' })).rejects.toThrow(error('UNKNOWN_SANDBOX', /"moon"; known: local/))
    const missing = baton.createTask({ goal: 'x', workspace: { path: '/no/such/folder' } })
    await expect(missing).rejects.toThrow(error('INVALID_WORKSPACE', /no such folder|ENOENT/i))
    const file = join(tmpdir(), `baton-file-${process.pid}`)
    writeFileSync(file, '')
    onTestFinished(() => rmSync(file))
    await expect(baton.createTask({ goal: 'x', workspace: { path: file } })).rejects.toThrow(error('INVALID_WORKSPACE', /is no folder/))
  })

  it('.openTask and .tasks name what is wrong', async () => {
    await expect(baton.openTask('x', { as: 'spectator' } as never)).rejects.toThrow(invalid('openTask', 'as'))
    await expect(baton.openTask(5 as never)).rejects.toThrow(invalid('openTask', 'id'))
    expect(() => baton.tasks({ status: ['done'] } as never)).toThrow(invalid('tasks', 'status.0'))
    expect(() => baton.tasks({ state: 'idle' } as never)).toThrow(invalid('tasks', 'state'))
  })
})

describe('Task', () => {
  it('names what is wrong in each call', async () => {
    const { baton } = scriptedBaton([calling(['deploy'])], { tools: [instantTool('deploy', 'external')] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { approvalId } = (await happens(task, 'approval.requested')).data
    const { seq } = task.summary
    await expect(task.send('')).rejects.toThrow(invalid('send', 'text'))
    await expect(task.send('x', { attachments: [{ mediaType: 'png', data: new Uint8Array() }] })).rejects.toThrow(
      invalid('send', 'attachments.0.mediaType'),
    )
    await expect(task.send('x', { to: 'y' } as never)).rejects.toThrow(invalid('send', 'to'))
    await expect(task.approve(approvalId, { remember: 'always' } as never)).rejects.toThrow(invalid('approve', 'remember'))
    await expect(task.approve(approvalId, { input: { id: 5 } })).rejects.toThrow(invalid('approve', 'id'))
    await expect(task.reject(approvalId, { reason: 'x' } as never)).rejects.toThrow(invalid('reject', 'reason'))
    await expect(task.answer('q', 5 as never)).rejects.toThrow(invalid('answer', 'text'))
    await expect(task.setAutonomy('full' as never)).rejects.toThrow(invalid('setAutonomy', ''))
    await expect(task.setLimits({ steps: 0 })).rejects.toThrow(invalid('setLimits', 'steps'))
    await expect(task.setLimits({ cost: 1 } as never)).rejects.toThrow(invalid('setLimits', 'cost'))
    await expect(task.cancel(5 as never)).rejects.toThrow(invalid('cancel', 'reason'))
    await expect(task.end({ why: 'x' } as never)).rejects.toThrow(invalid('end', 'why'))
    expect(() => task.as({ kind: 'robot', id: 'x' } as never)).toThrow(invalid('as', 'kind'))
    expect(() => task.events({ after: -1 })).toThrow(invalid('events', 'after'))
    expect(task.summary.seq).toBe(seq)
    expect(task.summary.waiting).toHaveLength(1)
    await task.cancel()
    await run.result
  })
})

import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { calling, eventsOfType, happens, instantTool, linesOf, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { Policy } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import { createBaton } from './baton.ts'

const deployCall = calling(['deploy', { id: 'staging' }])

describe('Task.approve', () => {
  it('lets a call run that waits, in the person’s name', async () => {
    const deploy = instantTool('deploy', 'external')
    const { model, baton } = scriptedBaton([deployCall, { text: 'Done.' }], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'Deploy.' })
    const run = task.start()
    const request = await happens(task, 'approval.requested')
    expect(request.data).toMatchObject({
      tool: 'deploy',
      input: { id: 'staging' },
      reason: 'this task is supervised, and the tool can reach beyond the sandbox',
    })
    expect(task.summary).toMatchObject({ status: 'waiting', waiting: [{ kind: 'approval', id: request.data.approvalId }] })
    expect(deploy.inputs).toEqual([])
    await task.as({ kind: 'human', id: 'alice' }).approve(request.data.approvalId)
    expect((await run.result).outcome).toBe('done')
    expect(deploy.inputs).toEqual([{ id: 'staging' }])
    expect((await eventsOfType(task, 'approval.decided'))[0]?.actor).toEqual({ kind: 'human', id: 'alice' })
    expect(linesOf(model.requests[1]).at(-1)).toBe('tool: deploy staging')
  })

  it('with another input keeps what was proposed, what was decided and what ran apart', async () => {
    const runs: unknown[] = []
    const deploy = defineTool({
      name: 'deploy',
      description: 'Deploys.',
      input: z.object({ to: z.string(), force: z.boolean().default(false) }),
      effect: 'external',
      run: async (input) => {
        runs.push(input)
        return 'ok'
      },
    })
    const { baton } = scriptedBaton([calling(['deploy', { to: 'production' }]), { text: 'Done.' }], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'Deploy.' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    await expect(task.approve(data.approvalId, { input: { to: 7 } })).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringMatching(/deploy.*to/) }),
    )
    expect(task.summary.waiting).toHaveLength(1)
    await task.approve(data.approvalId, { input: { to: 'staging' } })
    await run.result
    expect(runs).toEqual([{ to: 'staging', force: false }])
    expect((await eventsOfType(task, 'tool.called'))[0]?.data.input).toEqual({ to: 'production' })
    expect((await eventsOfType(task, 'approval.decided'))[0]?.data.input).toEqual({ to: 'staging' })
    expect((await eventsOfType(task, 'tool.started'))[0]?.data.input).toEqual({ to: 'staging', force: false })
  })

  it('gives an input that the driver’s tool cannot take back to the model, when an observer without the tool let it through', async () => {
    const store = createMemoryEventStore()
    const { model, baton } = scriptedBaton([deployCall, { text: 'Sorry.' }], { tools: [instantTool('deploy', 'external')], store })
    const task = await baton.createTask({ goal: 'Deploy.' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    const observer = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    await observer.approve(data.approvalId, { input: { nonsense: true } })
    expect((await run.result).outcome).toBe('done')
    expect(linesOf(model.requests[1]).at(-1)).toMatch(/^tool: \[invalid\] As a person changed it/)
  })

  it('remembers a scope for the task when told, and no other', async () => {
    const shell = defineTool({
      name: 'shell',
      description: 'Runs.',
      input: z.object({ command: z.string() }),
      effect: 'execute',
      scope: ({ command }) => `commands that begin with ${command.split(' ')[0]}`,
      run: async ({ command }) => command,
    })
    const steps = ['npm test', 'npm run build', 'rm -r x'].map((command) => calling(['shell', { command }]))
    const { baton } = scriptedBaton([...steps, { text: 'Done.' }], { tools: [shell] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const first = await happens(task, 'approval.requested')
    expect(first.data.scope).toBe('shell: commands that begin with npm')
    await task.approve(first.data.approvalId, { remember: 'task' })
    const second = await happens(task, 'approval.requested', ({ approvalId }) => approvalId !== first.data.approvalId)
    expect(second.data.input).toEqual({ command: 'rm -r x' })
    await task.approve(second.data.approvalId)
    await run.result
    expect(await eventsOfType(task, 'tool.started')).toHaveLength(3)
  })

  it('does not remember what was approved once', async () => {
    const deploy = instantTool('deploy', 'external')
    const { baton } = scriptedBaton([deployCall, deployCall, { text: 'Done.' }], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const first = await happens(task, 'approval.requested')
    await task.approve(first.data.approvalId)
    const second = await happens(task, 'approval.requested', ({ approvalId }) => approvalId !== first.data.approvalId)
    await task.reject(second.data.approvalId)
    await run.result
    expect(deploy.inputs).toHaveLength(1)
  })

  it('of something that is not there, or was decided, rejects with UNKNOWN_REQUEST and names what waits', async () => {
    const { baton } = scriptedBaton([deployCall, { text: 'Done.' }], { tools: [instantTool('deploy', 'external')] })
    const task = await baton.createTask({ goal: 'x' })
    const unknown = (message: RegExp) => expect.objectContaining({ code: 'UNKNOWN_REQUEST', message: expect.stringMatching(message) })
    await expect(task.approve('a-1')).rejects.toThrow(unknown(/no approval "a-1" waits. Nothing waits/))
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    await expect(task.approve('a-1')).rejects.toThrow(unknown(new RegExp(`Waiting: ${data.approvalId}`)))
    await expect(task.answer('q-1', 'x')).rejects.toThrow(unknown(/no question "q-1" waits/))
    const both = await Promise.allSettled([task.approve(data.approvalId), task.reject(data.approvalId)])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    await run.result
    await expect(task.approve(data.approvalId)).rejects.toThrow(unknown(/no approval|decided already/))
  })
})

describe('Task.reject', () => {
  it('keeps the call from running, and its feedback reaches the model', async () => {
    const deploy = instantTool('deploy', 'external')
    const { model, baton } = scriptedBaton([deployCall, { text: 'Understood.' }], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    await task.reject(data.approvalId, { feedback: 'Not on a Friday.' })
    expect((await run.result).outcome).toBe('done')
    expect(deploy.inputs).toEqual([])
    expect(model.requests[1]?.messages.at(-1)).toMatchObject({ role: 'tool', text: '[rejected] Not on a Friday.', failed: true })
    expect(task.summary.waiting).toEqual([])
  })
})

describe('Policy', () => {
  const decide = async (policy: Policy) => {
    const deploy = instantTool('deploy', 'external')
    const { model, baton } = scriptedBaton([deployCall, { text: 'Done.' }], { tools: [deploy], policy })
    const task = await baton.createTask({ goal: 'x', sensitivity: 'confidential', autonomy: 'autonomous' })
    await task.start().result
    return { runs: deploy.inputs.length, told: linesOf(model.requests[1]).at(-1), types: await typesOf(task, /^tool|^approval/) }
  }

  it('is given the parsed call and what the task is like', async () => {
    const seen: unknown[] = []
    await decide({
      decide(call, { signal: _, ...context }) {
        seen.push([call.tool, call.input, context])
        return { decision: 'allow' }
      },
    })
    const context = { autonomy: 'autonomous', sensitivity: 'confidential', effect: 'external' }
    expect(seen).toMatchObject([['deploy', { id: 'staging' }, context]])
  })

  it('that denies keeps the call from running, with its reason for the model', async () => {
    const { runs, told, types } = await decide({ decide: () => ({ decision: 'deny', reason: 'Never here.' }) })
    expect([runs, told, types]).toEqual([0, 'tool: [denied] Never here.', ['tool.called', 'tool.finished']])
  })

  it('that throws denies', async () => {
    const { runs, told } = await decide({
      decide() {
        throw new Error('no network')
      },
    })
    expect([runs, told]).toEqual([0, 'tool: [denied] The policy failed, so the call was not made: no network'])
  })

  it('that decides nothing it may decide denies', async () => {
    for (const answer of [undefined, {}, { decision: 'maybe' }]) {
      const { runs, told } = await decide({ decide: () => answer as never })
      expect([runs, told]).toEqual([0, expect.stringMatching(/none of allow, ask and deny/)])
    }
  })

  it('asks by exactly this input where the scope of a tool cannot be told', async () => {
    const deploy = {
      ...instantTool('deploy', 'external'),
      scope: () => {
        throw new Error('a bug')
      },
    }
    const { baton } = scriptedBaton([deployCall, { text: 'Done.' }], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    expect(data.scope).toBe('deploy: {"id":"staging"}')
    await task.approve(data.approvalId)
    expect((await run.result).outcome).toBe('done')
  })

  it('goes by the autonomy as it is now', async () => {
    const deploy = instantTool('deploy', 'external')
    const { baton } = scriptedBaton([deployCall, deployCall, { text: 'Done.' }], { tools: [deploy] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    await task.setAutonomy('autonomous')
    await task.approve(data.approvalId)
    await run.result
    expect(deploy.inputs).toHaveLength(2)
    expect(task.summary.autonomy).toBe('autonomous')
  })
})

describe('Task.answer', () => {
  const asking = defineTool({
    name: 'ask',
    description: 'Asks.',
    input: z.object({ question: z.string() }),
    effect: 'read',
    async run({ question }, context) {
      const first = await context.ask(question, { options: ['red', 'blue'] })
      return `${first}, ${await context.ask('Sure?')}`
    },
  })

  it('goes to the tool that asked, and to nobody twice', async () => {
    const { model, baton } = scriptedBaton([calling(['ask', { question: 'Which?' }]), { text: 'Blue it is.' }], { tools: [asking] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { data } = await happens(task, 'question.asked')
    expect(data).toMatchObject({ text: 'Which?', options: ['red', 'blue'] })
    expect(task.summary).toMatchObject({ status: 'waiting', waiting: [{ kind: 'question', id: data.questionId, text: 'Which?' }] })
    await task.answer(data.questionId, 'blue')
    await expect(task.answer(data.questionId, 'red')).rejects.toThrow(expect.objectContaining({ code: 'UNKNOWN_REQUEST' }))
    const second = await happens(task, 'question.asked', ({ text }) => text === 'Sure?')
    await task.answer(second.data.questionId, 'yes')
    await run.result
    expect(linesOf(model.requests[1]).at(-1)).toBe('tool: blue, yes')
  })

  it('goes to the agent that asked, under its key, in later runs too', async () => {
    const answers: string[] = []
    const agent = {
      name: 'own',
      async run(context: Parameters<import('../agents/agent.ts').Agent['run']>[0]) {
        answers.push(...(await Promise.all([context.ask('Which?', { key: 'which' }), context.ask('Which?', { key: 'which' })])))
        return { text: 'ok' }
      },
    }
    const baton = createBaton({ agents: [agent] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { data } = await happens(task, 'question.asked')
    await task.answer(data.questionId, 'blue')
    await run.result
    await task.start().result
    expect(answers).toEqual(['blue', 'blue', 'blue', 'blue'])
    expect(await eventsOfType(task, 'question.asked')).toHaveLength(1)
  })
})

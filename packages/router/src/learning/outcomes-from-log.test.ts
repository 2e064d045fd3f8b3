import type { Baton, BatonOptions, Event, EventType, Task } from '@baton-sdk/core'
import { createBaton, createModelAgent, defineTool } from '@baton-sdk/core'
import type { ScriptedStep } from '@baton-sdk/core/testing'
import { createMemorySandboxProvider, eventsOf, scriptedModel } from '@baton-sdk/core/testing'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { cascade } from '../routing/policies/cascade.ts'
import { createRouter } from '../routing/router.ts'
import { createAnswerVerifier } from './answer-verifier.ts'
import { createOutcomeIndex } from './outcome-index.ts'
import { outcomesFromLog } from './outcomes-from-log.ts'

const deploy = defineTool({
  name: 'deploy',
  description: 'Deploys.',
  input: z.object({ to: z.string() }),
  effect: 'external',
  run: async ({ to }) => `deployed to ${to}`,
})
const look = defineTool({
  name: 'look',
  description: 'Looks.',
  input: z.object({}),
  effect: 'read',
  run: async () => 'nothing of note',
})
const looking: ScriptedStep = { toolCalls: [{ tool: 'look', input: {} }] }
const deploying: ScriptedStep = { toolCalls: [{ tool: 'deploy', input: { to: 'production' } }] }
type TaskSpec = Parameters<Baton['createTask']>[0]
/** A command that succeeds or fails, in this order. */
const checking = (...outcomes: readonly (0 | 1)[]): Partial<BatonOptions> => {
  let round = 0
  return { sandboxes: [createMemorySandboxProvider({ commands: { test: () => outcomes[round++] ?? 0 } })] }
}

/** A task of one scripted model, or of a cheap and a strong one. */
async function taskOf(
  scripts: readonly (readonly ScriptedStep[])[],
  options: Partial<BatonOptions> = {},
  more: Partial<TaskSpec> = {},
): Promise<Task> {
  const models = scripts.map((script, at) => scriptedModel(script, { id: ['small', 'large'][at] ?? `model-${at}` }))
  const policy = models.length > 1 ? cascade({ cheap: ['small'], strong: ['large'] }) : undefined
  const baton = createBaton({
    router: createRouter({ models, policy }),
    tools: [deploy, look],
    agents: [createModelAgent({ role: 'code' })],
    timing: { backoffBaseMs: 1, triesPerAttempt: 1 },
    ...options,
  })
  onTestFinished(() => baton.close())
  return baton.createTask({ goal: 'Fix the parser.', ...more })
}

/** What a task's log says after a run, without what differs from run to run. */
async function readFrom(task: Task) {
  const found = await outcomesFromLog(await eventsOf(task))
  return found.map(({ model, success, evidence, answer }) => ({ model, success, evidence, answer }))
}

/** Has a person decide on each call that waits. */
function decide(task: Task, how: (approvalId: string) => Promise<void>): void {
  task.on('approval.requested', ({ data }) => void how(data.approvalId))
}

describe('outcomesFromLog', () => {
  it('says that a model was right where all checks passed, with what is needed to learn from it', async () => {
    const task = await taskOf([[{ text: 'Fixed.' }]], checking(0), { checks: ['test'] })
    expect((await task.start().result).outcome).toBe('done')
    const log = await eventsOf(task)
    const found = await outcomesFromLog(log)
    expect(found).toEqual([
      {
        ...{ text: 'Fix the parser.', model: 'small', success: true, evidence: 'checks' },
        ...{ answer: 'Fixed.', role: 'code', taskId: task.id, seq: expect.any(Number) },
      },
    ])
    expect(
      await outcomesFromLog(
        (async function* () {
          yield* log
        })(),
      ),
    ).toEqual(found)
    expect(await outcomesFromLog(log, { after: found[0]?.seq })).toEqual([])
    expect(await outcomesFromLog([])).toEqual([])
  })

  it('counts each round of checks by itself, also where the last one fails', async () => {
    const task = await taskOf([[{ text: 'So?' }, { text: 'Now?' }]], checking(1, 0), { checks: ['test'] })
    expect((await task.start().result).outcome).toBe('done')
    expect(await readFrom(task)).toEqual([
      { model: 'small', success: false, evidence: 'checks', answer: 'So?' },
      { model: 'small', success: true, evidence: 'checks', answer: 'Now?' },
    ])
    const failed = await taskOf([[{ text: 'So?' }]], checking(1), { checks: ['test'], checkRounds: 0 })
    expect((await failed.start().result).outcome).toBe('checks-failed')
    expect(await readFrom(failed)).toEqual([{ model: 'small', success: false, evidence: 'checks', answer: 'So?' }])
  })

  it('tells the cheap model of a cascade from the strong one that goes on after it', async () => {
    const task = await taskOf([[{ text: 'So?' }], [{ text: 'Now.' }]], checking(1, 0), { checks: ['test'] })
    expect((await task.start().result).text).toBe('Now.')
    expect(await readFrom(task)).toEqual([
      { model: 'small', success: false, evidence: 'checks', answer: 'So?' },
      { model: 'large', success: true, evidence: 'checks', answer: 'Now.' },
    ])
  })

  it.each([
    ['approve it as it is', (task: Task) => (id: string) => task.approve(id), [true]],
    ['reject it', (task: Task) => (id: string) => task.reject(id, { feedback: 'not now' }), [false]],
    ['change it', (task: Task) => (id: string) => task.approve(id, { input: { to: 'staging' } }), []],
  ])('takes it from people where no checks ran: when they %s', async (_, how, expected) => {
    const task = await taskOf([[deploying, { text: 'Done.' }]], {}, { autonomy: 'supervised' })
    const person = task.as({ kind: 'human', id: 'ann' })
    decide(task, how(person))
    expect((await task.start().result).outcome).toBe('done')
    expect((await readFrom(task)).map(({ success, evidence }) => [success, evidence])).toEqual(expected.map((right) => [right, 'people']))
  })

  it.each([
    ['accept all of it', ['accepted', 'accepted'], [true]],
    ['reject a part of it', ['accepted', 'rejected'], [false]],
    ['edit a part of it', ['accepted', 'edited'], []],
  ])('takes it from what people do with a proposal: when they %s', async (_, decisions, expected) => {
    const task = await taskOf([[looking, { text: 'Done.' }]])
    await task.start().result
    const log = (await eventsOf(task)) as Event[]
    const at = log.findIndex(({ type }) => type === 'tool.finished')
    const { callId } = (log[at] as Event<'tool.finished'>).data
    const decided = (actor: Event['actor'], from = callId) => {
      const asked = { ...log[at], type: 'proposal.made', data: { proposalId: 'p', callId: from, tool: 'edit', files: [] } }
      const parts = decisions.map((decision, part) => ({ hunkId: `h${part}`, decision }))
      const answer = { ...log[at], actor, type: 'proposal.decided', data: { proposalId: 'p', decisions: parts } }
      return outcomesFromLog(log.toSpliced(at, 0, asked as Event, answer as Event))
    }
    const found = await decided({ kind: 'human', id: 'ann' })
    expect(found.map(({ success, evidence }) => [success, evidence])).toEqual(expected.map((right) => [right, 'people']))
    // What no person decided, or no model proposed, says nothing of a model.
    expect(await decided({ kind: 'system', id: 'policy' })).toEqual([])
    expect(await decided({ kind: 'human', id: 'ann' }, 'another-call')).toEqual([])
  })

  it('lets the checks decide where people said something too', async () => {
    const task = await taskOf([[deploying, { text: 'Done.' }]], checking(1), { autonomy: 'supervised', checks: ['test'], checkRounds: 0 })
    const person = task.as({ kind: 'human', id: 'ann' })
    decide(task, (id) => person.approve(id))
    expect((await task.start().result).outcome).toBe('checks-failed')
    expect(await readFrom(task)).toEqual([{ model: 'small', success: false, evidence: 'checks', answer: 'Done.' }])
  })

  it.each<[string, readonly ScriptedStep[], Partial<BatonOptions>, Partial<TaskSpec>, string]>([
    ['ran into a failure of the provider', [{ error: { kind: 'server' } }], {}, {}, 'failed'],
    ['ended at a limit', [looking, { text: 'Done.' }], {}, { limits: { steps: 1 } }, 'limit'],
    ['was done, and nobody looked', [{ text: 'Done.' }], {}, {}, 'done'],
    [
      'has a check that could not be started',
      [{ text: 'Done.' }, { text: 'Hm.' }],
      { sandboxes: [createMemorySandboxProvider()] },
      { checks: ['no-such-command'], checkRounds: 0 },
      'failed',
    ],
  ])('says nothing of a run that %s', async (_, script, options, more, outcome) => {
    const task = await taskOf([script], options, more)
    expect((await task.start().result).outcome).toBe(outcome)
    expect(await readFrom(task)).toEqual([])
  })

  it('says nothing of a run that was cancelled', async () => {
    const task = await taskOf([[{ text: 'Never.', stallAfter: 0 }]], checking(0), { checks: ['test'] })
    const called = new Promise<void>((resolve) => task.on('model.called', () => resolve()))
    const { result } = task.start()
    await called
    await task.cancel()
    expect((await result).outcome).toBe('cancelled')
    expect(await readFrom(task)).toEqual([])
  })

  it('says nothing where two models had a hand in it, a person did, or a sub-task came back', async () => {
    const task = await taskOf([[looking, { text: 'Done.' }]], checking(0), { checks: ['test'] })
    await task.start().result
    const log = (await eventsOf(task)) as Event[]
    expect(await outcomesFromLog(log)).toHaveLength(1)
    const before = log.findIndex(({ type }) => type === 'check.finished')
    const behind = (type: EventType, data: object, actor: Event['actor'] = { kind: 'human', id: 'ann' }) =>
      outcomesFromLog(log.toSpliced(before, 0, { ...log[before], type, actor, data } as Event))
    const settled = { key: 'k', childId: 'c', outcome: 'done', text: '', spent: { costUsd: 0, steps: 1, inputTokens: 0, outputTokens: 0 } }
    expect(await behind('control.taken', { leaseId: 'l' })).toEqual([])
    expect(await behind('task.settled', settled)).toEqual([])
    expect(await behind('file.changed', { path: 'a', change: 'modified', evidence: 'desk' })).toEqual([])
    expect(await behind('file.changed', { path: 'a', change: 'modified', evidence: 'tool' }, { kind: 'agent', id: 'coder' })).toHaveLength(
      1,
    )
    expect(await behind('changes.undone', { of: { kind: 'agent', id: 'coder' }, commits: ['1'], paths: ['a'] })).toEqual([])
    expect(await behind('checkpoint.restored', { toSeq: 3 })).toEqual([])
    const other = log.map((event) =>
      event.type === 'model.finished' && event.data.toolCalls.length > 0 ? { ...event, data: { ...event.data, model: 'other' } } : event,
    )
    expect(await outcomesFromLog(other)).toEqual([])
  })

  it('is told nothing by a suggestion to a person, also between two checks of one round', async () => {
    const two = { checks: ['test', 'test again'].map((name) => ({ name, command: 'test' })) }
    const task = await taskOf([[{ text: 'Fixed.' }]], checking(0, 0), two)
    await task.start().result
    await task.complete({ path: 'a.ts', prefix: 'a', suffix: '' }).catch(() => {})
    const log = await eventsOf(task)
    const asides = log.filter(({ type, actor }) => type.startsWith('model.') && actor.kind === 'human')
    const rest = log.filter((event) => !asides.includes(event))
    const between = rest.findLastIndex(({ type }) => type === 'check.finished')
    const whole = await outcomesFromLog(rest)
    expect([asides.length > 0, whole.map(({ success }) => success)]).toEqual([true, [true]])
    expect(await outcomesFromLog([...rest.slice(0, between), ...asides, ...rest.slice(between)])).toEqual(whole)
  })

  it('reads any part of any log without an error, and no outcome twice', async () => {
    const task = await taskOf(
      [
        [deploying, { text: 'So?' }],
        [deploying, { text: 'Now.' }],
      ],
      checking(1, 0),
      {
        ...{ checks: ['test'], autonomy: 'supervised' },
      },
    )
    const person = task.as({ kind: 'human', id: 'ann' })
    decide(task, (id) => person.approve(id))
    expect((await task.start().result).outcome).toBe('done')
    const log = await eventsOf(task)
    const parts = fc.subarray(log).chain((part) => fc.shuffledSubarray(part, { minLength: part.length }))
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.subarray(log), parts), async (part) => {
        const found = await outcomesFromLog(part)
        expect(new Set(found.map(({ seq }) => seq)).size).toBe(found.length)
        for (const { model } of found) expect(['small', 'large']).toContain(model)
      }),
    )
  })

  it('feeds an index and a verifier', async () => {
    const [index, verifier] = [createOutcomeIndex({ minOutcomes: 2 }), createAnswerVerifier({ minOutcomes: 2 })]
    for (const goal of ['Fix the parser.', 'Fix the printer.', 'Fix the lexer.']) {
      const task = await taskOf([[{ text: 'So?' }], [{ text: 'Now.' }]], checking(1, 0), { checks: ['test'], goal })
      await task.start().result
      const found = await outcomesFromLog(await eventsOf(task))
      await index.add(...found)
      verifier.add(...found.filter(({ model }) => model === 'small'))
    }
    const { models } = await index.estimate('Fix the parser.')
    expect(models.get('large')?.success).toBeGreaterThan(models.get('small')?.success ?? 1)
    expect(verifier.size).toBe(3)
  })
})

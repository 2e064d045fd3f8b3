import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createProjection } from '../agents/projection.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import { parseEvent, stringifyEvent } from '../events/event-registry.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { calling, eventsOf, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'
import { createTaskState } from './task-state.ts'
import { summarizeTask } from './task-summary.ts'

const step = fc.oneof<fc.Arbitrary<ScriptedStep>[]>(
  fc.constant({ text: 'Done.' }),
  fc
    .array(fc.constantFrom('look', 'write', 'deploy', 'nothing'), { minLength: 1, maxLength: 3 })
    .map((tools) => calling(...tools.map((tool) => [tool] as const))),
  fc.constant({ error: { kind: 'unauthorized' } }),
  fc.constant({ toolCalls: [{ tool: 'look', arguments: '{' }] }),
)
const act = fc.constantFrom('send', 'approve', 'reject', 'pause', 'cancel', 'limits', 'start')

/** Lets a task live through random steps of its model and acts of a person, and returns what it and its log are then. */
async function live(script: readonly ScriptedStep[], acts: readonly string[]) {
  const tools = [instantTool('look'), instantTool('write', 'write'), instantTool('deploy', 'external')]
  const { baton } = scriptedBaton((_request, call) => script[(call - 1) % script.length]!, { tools })
  const task = await baton.createTask({ goal: 'x', limits: { steps: 6 } })
  const ignore = (): void => {}
  task.on('approval.requested', ({ data, seq }) => {
    const decision = acts[seq % acts.length]
    void (decision === 'reject' ? task.reject(data.approvalId) : task.approve(data.approvalId)).catch(ignore)
  })
  task.on('run.paused', () => void task.resume().catch(ignore))
  let next = 0
  task.on('tool.finished', () => {
    const what = acts[next++ % acts.length]
    if (what === 'send') void task.send('Hello.').catch(ignore)
    if (what === 'pause') void task.pause().catch(ignore)
    if (what === 'cancel') void task.cancel().catch(ignore)
    if (what === 'limits') void task.setLimits({ steps: 5 }).catch(ignore)
  })
  await task.start().result
  for (const what of acts) if (what === 'start') await task.start().result
  const events = await eventsOf(task)
  return { events, summary: task.summary }
}

function stateOf(events: readonly LoggedEvent[]) {
  const state = createTaskState('t')
  for (const event of events) state.apply(event)
  const { apply: _, unseenAfter: __, recordedAfter, ...rest } = state
  return structuredClone({ ...rest, recorded: recordedAfter(0) })
}

describe('the folds of a log', () => {
  it('are the same from the first event on as they were kept up to date, and after the log was stored as text', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 6 }),
        fc.array(act, { minLength: 1, maxLength: 4 }),
        async (script, acts) => {
          const { events, summary } = await live(script, acts)
          const again = events.map((event) => {
            const text = stringifyEvent(event)
            return parseEvent(text, JSON.parse(text))
          })
          const fold = (list: readonly LoggedEvent[]): TaskSummary => list.reduce<TaskSummary | undefined>(summarizeTask, undefined)!
          expect(fold(events)).toEqual(summary)
          expect(fold(again)).toEqual(JSON.parse(JSON.stringify(summary)))
          expect(stateOf(again)).toEqual(stateOf(events))
          const [here, there] = [createProjection(), createProjection()]
          for (const event of events) here.apply(event)
          for (const event of again) there.apply(event)
          for (const one of [here, there]) one.advance(events.length)
          expect(there.messages).toEqual(JSON.parse(JSON.stringify(here.messages)))
          // Every run has one end, every call one outcome, and nothing is left waiting.
          const count = (type: Event['type']): number => events.filter((event) => event.type === type).length
          expect(count('run.finished')).toBe(count('run.started'))
          expect(count('tool.finished')).toBe(count('tool.called'))
          expect(summary).toMatchObject({ status: 'idle', waiting: [] })
        },
      ),
      { numRuns: 100 },
    )
  })

  it('leave the summary before as it was', () => {
    const created = {
      id: 'a',
      taskId: 't',
      seq: 1,
      time: 'x',
      v: 1,
      actor: { kind: 'human', id: 'a' },
      type: 'run.started',
      data: { runId: 'r', trigger: 'start' },
    }
    const first = summarizeTask(undefined, created as Event)
    const frozen = structuredClone(first)
    const finished = {
      ...created,
      seq: 2,
      type: 'run.finished',
      data: { runId: 'r', outcome: 'done', text: '', spent: first.spent, ms: 0 },
    }
    expect(summarizeTask(first, finished as Event).status).toBe('idle')
    expect(first).toEqual(frozen)
  })
})

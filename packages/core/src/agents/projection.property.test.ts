import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LoggedEvent } from '../events/event.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import type { ModelMessage, ModelRequest } from '../models/model.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import { createBaton } from '../tasks/baton.ts'
import type { Task } from '../tasks/task.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import { calling, eventsOf, probeTool } from '../testing/task-fixtures.ts'
import { createModelAgent } from './model-agent.ts'
import { createProjection } from './projection.ts'

interface Plan {
  /** Tools that each reply calls; the last one calls none. */
  readonly replies: readonly (readonly string[])[]
  /** What happens around each event, by its seq. */
  readonly acts: readonly string[]
  /** In which order calls that run together end. */
  readonly order: readonly number[]
  /** After so many model calls the process lets go, and another goes on. */
  readonly moveAfter: number
}

const plan: fc.Arbitrary<Plan> = fc.record({
  replies: fc.array(fc.array(fc.constantFrom('look', 'look', 'write', 'deploy', 'nothing', 'broken'), { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 5,
  }),
  acts: fc.array(fc.constantFrom('', '', '', 'send', 'send', 'pause', 'reject'), { minLength: 1, maxLength: 12 }),
  order: fc.array(fc.nat(5), { minLength: 1, maxLength: 5 }),
  moveAfter: fc.nat(8),
})

function reply(tools: readonly string[] | undefined): ScriptedStep {
  if (!tools) return { text: 'Done.' }
  return {
    text: `I call ${tools.length}.`,
    toolCalls: tools.map((tool) => (tool === 'broken' ? { tool: 'look', arguments: '{"id":' } : { tool, input: {} })),
  }
}

/** Lets a task run by a plan. Returns what the model was asked, and the log. */
async function play({ replies, acts, order, moveAfter }: Plan): Promise<{ requests: readonly ModelRequest[]; events: LoggedEvent[] }> {
  const store = createMemoryEventStore()
  const model = scriptedModel((_request, call) => reply(replies[call - 1]))
  const ignore = (): void => {}
  const open = () => {
    const probes = [probeTool('look', 'read'), probeTool('write', 'write'), probeTool('deploy', 'external')]
    const tools = probes.map(({ tool, calls }) => ({
      ...tool,
      run(input: Parameters<typeof tool.run>[0], context: Parameters<typeof tool.run>[1]) {
        const result = tool.run(input, context)
        setImmediate(() => {
          const waiting = calls.filter((call) => call.context.callId !== '')
          for (const index of order) waiting[index % waiting.length]?.finish(`result of ${waiting[index % waiting.length]?.context.callId}`)
          for (const call of waiting) call.finish(`result of ${call.context.callId}`)
        })
        return result
      },
    }))
    return createBaton({ store, tools, router: createSingleModelRouter(model) })
  }
  let [sent, paused] = [0, 0]
  const meddle = (task: Task): void => {
    task.on('*', ({ type, seq }) => {
      const act = acts[seq % acts.length]
      if (type === 'message.sent') return
      if (act === 'send' && sent++ < 6) void task.as({ kind: 'human', id: 'alice' }).send(`said after ${seq}`).catch(ignore)
      if (act === 'pause' && paused++ < 6) void task.pause().catch(ignore)
    })
    task.on('run.paused', () => void task.resume().catch(ignore))
    task.on('approval.requested', ({ data: { approvalId }, seq }) => {
      const rejected = acts[seq % acts.length] === 'reject'
      setImmediate(() => void (rejected ? task.reject(approvalId, { feedback: 'No.' }) : task.approve(approvalId)).catch(ignore))
    })
  }
  const first = await open().createTask({ goal: 'x', limits: { steps: 12 } })
  meddle(first)
  let moved: Promise<void> | undefined
  first.on('model.finished', () => {
    if (first.summary.outcome === undefined && model.requests.length === moveAfter) moved ??= first.close()
  })
  let task = first
  await first.start().result.catch(ignore)
  if (moved !== undefined) {
    await moved
    task = await open().openTask(first.id)
    meddle(task)
    if (task.summary.runId !== undefined) await task.start().result
  }
  await task.start().result
  // What was said to the idle task has begun another run.
  for (let quiet = 0; quiet < 5; quiet++) {
    await new Promise(setImmediate)
    if (task.summary.runId === undefined) continue
    quiet = 0
    await task.start().result
  }
  return { requests: model.requests, events: await eventsOf(task) }
}

/** Whether a list of messages is what a provider takes: each call is answered once, in order, right behind the reply that made it. */
function checkShape(messages: readonly ModelMessage[]): void {
  let due: string[] = []
  for (const message of messages) {
    if (message.role === 'tool') expect(message.callId).toBe(due.shift())
    else expect(due).toEqual([])
    if (message.role === 'assistant') due = message.toolCalls.map(({ callId }) => callId)
  }
  expect(due).toEqual([])
}

describe('createProjection', () => {
  it('makes of each prompt a prefix of the next, whatever happens in between and wherever the task runs', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async (given) => {
        const { requests, events } = await play(given)
        for (const [index, { messages }] of requests.entries()) {
          checkShape(messages)
          const before = requests[index - 1]?.messages ?? []
          expect(messages.slice(0, before.length)).toEqual(before)
        }
        // The log alone makes the same prompts.
        const projection = createProjection()
        const prompts: ModelMessage[][] = []
        for (const event of events) {
          projection.apply(event)
          if (event.type === 'model.called') prompts.push([...projection.messages])
        }
        expect(prompts).toEqual(requests.map(({ messages }) => messages.slice(1)))
        // Everything that anyone said is there once.
        const said = events.flatMap((event) => (event.type === 'message.sent' && event.actor.kind === 'human' ? event.data.text : []))
        projection.advance(events.length)
        const all = JSON.stringify(projection.messages)
        for (const text of said) expect(all.split(`${text}"`)).toHaveLength(2)
      }),
      { numRuns: 150 },
    )
  })
})

describe('compaction', () => {
  /** A model that calls a tool with long output again and again; its window is small. */
  async function long(steps: number, agent = createModelAgent(), window = 4_000) {
    const store = createMemoryEventStore()
    const look = { ...probeTool('look', 'read').tool, run: async () => `${'word '.repeat(300)}.` }
    let summaries = 0
    const model = scriptedModel(
      ({ messages }) => {
        const [system] = messages
        if (system?.role === 'system' && system.text.startsWith('Sum up')) return { text: `Summary ${++summaries}.` }
        return model.requests.length >= steps ? { text: 'Done.' } : calling(['look', { id: `${model.requests.length}` }])
      },
      { info: { contextWindow: window } },
    )
    const baton = () => createBaton({ store, tools: [look], agents: [agent], router: createSingleModelRouter(model) })
    const task = await baton().createTask({ goal: 'The goal, word for word.' })
    return { task, model, baton, run: task.start() }
  }
  const isSummary = ({ messages: [system] }: ModelRequest): boolean => system?.role === 'system' && system.text.startsWith('Sum up')

  it('keeps every prompt within the window, with the goal and a summary, and prefixes equal in between', async () => {
    const { task, model, run } = await long(40)
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Done.' })
    const compactions = (await eventsOf(task)).flatMap((event) => (event.type === 'context.compacted' ? event.data : []))
    expect(compactions.length).toBeGreaterThan(3)
    expect(compactions.map(({ projection }) => projection)).toEqual(compactions.map((_, index) => index + 1))
    const called = (await eventsOf(task)).flatMap((event) => (event.type === 'model.called' ? event.data : []))
    for (const { estimatedTokens } of called) expect(estimatedTokens).toBeLessThan(4_000)
    let before: ModelRequest | undefined
    for (const request of model.requests) {
      if (isSummary(request)) {
        before = undefined
        continue
      }
      checkShape(request.messages)
      expect(request.messages[1]).toMatchObject({ role: 'user', parts: [{ text: 'The goal, word for word.' }] })
      if (before) expect(request.messages.slice(0, before.messages.length)).toEqual(before.messages)
      before = request
    }
    const last = model.requests.at(-1)
    expect(last?.messages[2]).toMatchObject({
      role: 'user',
      parts: [{ text: expect.stringMatching(new RegExp(`Summary ${compactions.length}`)) }],
    })
  })

  it.each([0.2, 0])('gives the same prompt to whoever goes on with the task, with %s of the window kept', async (keep) => {
    const { task, model, baton, run } = await long(24, createModelAgent({ compaction: { keep } }))
    await run.result
    await task.close()
    const again = await baton().openTask(task.id)
    await again.start().result
    const [before, after] = model.requests.filter((request) => !isSummary(request)).slice(-2)
    expect(after?.messages.slice(0, before?.messages.length)).toEqual(before?.messages)
    // Nothing but the last answer and the word to go on has come to it.
    expect(after?.messages).toHaveLength((before?.messages.length ?? 0) + 2)
    expect(after?.messages.at(-1)).toMatchObject({ role: 'user', parts: [{ text: 'Go on with the task.' }] })
  })

  it('happens when a provider says that the prompt is too long, and the call is made again', async () => {
    let refused = 0
    const look = { ...probeTool('look', 'read').tool, run: async () => 'word '.repeat(50) }
    const model = scriptedModel(({ messages }) => {
      if (isSummary({ messages })) return { text: 'In short.' }
      if (messages.length > 8 && refused++ === 0) return { error: { kind: 'context-too-long' } }
      return refused > 0 ? { text: 'Done.' } : calling(['look', { id: `${messages.length}` }])
    })
    const baton = createBaton({ tools: [look], router: createSingleModelRouter(model) })
    const task = await baton.createTask({ goal: 'x' })
    expect(await task.start().result).toMatchObject({ outcome: 'done' })
    expect(JSON.stringify(model.requests.at(-1)?.messages)).toContain('In short.')
    expect((await eventsOf(task)).filter(({ type }) => type === 'context.compacted')).toHaveLength(1)
  })

  it('happens before one step’s results would overflow the window', async () => {
    let asked = 0
    const model = scriptedModel(
      ({ messages }) => {
        if (isSummary({ messages })) return { text: 'In short.' }
        if (++asked > 2) return { text: 'Done.' }
        return calling(...Array.from({ length: 5 }, (_, index) => ['look', { id: `${asked}${index}` }] as const))
      },
      { info: { contextWindow: 10_000 } },
    )
    const look = { ...probeTool('look', 'read').tool, run: async () => 'word '.repeat(1500) }
    const baton = createBaton({ tools: [look], router: createSingleModelRouter(model) })
    const task = await baton.createTask({ goal: 'x' })
    expect(await task.start().result).toMatchObject({ outcome: 'done', text: 'Done.' })
    expect((await eventsOf(task)).filter(({ type }) => type === 'context.compacted')).toHaveLength(2)
  })

  it('can be turned off, and does not lose everything to a model that says nothing', async () => {
    const off = await long(40, createModelAgent({ compaction: false }))
    expect(await off.run.result).toMatchObject({ outcome: 'failed', error: { code: 'NO_ELIGIBLE_MODEL' } })
    const model = scriptedModel(
      ({ messages }) =>
        isSummary({ messages }) ? { text: ' ' } : model.requests.length > 12 ? { text: 'Done.' } : calling(['look', { id: 'needle' }]),
      { info: { contextWindow: 4_000 } },
    )
    let calls = 0
    const look = { ...probeTool('look', 'read').tool, run: async () => `${calls++} ${'word '.repeat(300)}` }
    const task = await createBaton({ tools: [look], router: createSingleModelRouter(model) }).createTask({ goal: 'x' })
    expect((await task.start().result).outcome).toBe('done')
    const compacted = (await eventsOf(task)).find((event) => event.type === 'context.compacted')
    expect(JSON.stringify(compacted)).toContain('needle')
  })
})

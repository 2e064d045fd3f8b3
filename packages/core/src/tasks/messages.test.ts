import { describe, expect, it } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { calling, eventsOfType, happens, instantTool, linesOf, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

describe('Task.send', () => {
  it('enters before the next model call while the task runs, behind the results of the calls', async () => {
    const probe = probeTool('look', 'read')
    const { model, baton } = scriptedBaton([calling(['look']), { text: 'Seen.' }], { tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'Look.' })
    const run = task.start()
    const call = await probe.called(1)
    await task.as({ kind: 'human', id: 'alice' }).send('Look left.')
    await task.send('And right.')
    call.finish('a tree')
    expect((await run.result).text).toBe('Seen.')
    expect(linesOf(model.requests[1]).slice(1)).toEqual([
      'user: Look.',
      'assistant: ',
      'tool: a tree',
      'user: alice: Look left.',
      'user: And right.',
    ])
  })

  it('belongs to the run when it arrives while the model gives its last answer', async () => {
    const asked = Promise.withResolvers<void>()
    const sent = Promise.withResolvers<void>()
    const { model, baton } = scriptedBaton([
      async () => {
        asked.resolve()
        await sent.promise
        return { text: 'Done.' }
      },
      { text: 'Really done.' },
    ])
    const task = await baton.createTask({ goal: 'Do it.' })
    const run = task.start()
    await asked.promise
    await task.send('Wait!')
    sent.resolve()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Really done.' })
    expect(linesOf(model.requests[1]).slice(2)).toEqual(['assistant: Done.', 'user: Wait!'])
    expect(task.summary.status).toBe('idle')
  })

  it('belongs to the run when it arrives between the last look and run.finished', async () => {
    const store = createMemoryEventStore()
    const append = store.append.bind(store)
    let interposed = false
    const { model, baton } = scriptedBaton([{ text: 'Done.' }, { text: 'Noted.' }], { store })
    const observer = createBaton({ store })
    store.append = async (taskId, events, options) => {
      if (!interposed && events.some(({ type }) => type === 'run.finished')) {
        interposed = true
        await (await observer.openTask(taskId, { as: 'observer' })).send('One more thing.')
      }
      await append(taskId, events, options)
    }
    const task = await baton.createTask({ goal: 'Do it.' })
    expect(await task.start().result).toMatchObject({ outcome: 'done', text: 'Noted.' })
    expect(linesOf(model.requests[1]).at(-1)).toBe('user: One more thing.')
    expect(await typesOf(task, /^run\./)).toEqual(['run.started', 'run.finished'])
  })

  it('starts the next run of an idle task, on the same conversation', async () => {
    const { model, baton } = scriptedBaton([{ text: 'One.' }, { text: 'Two.' }])
    const task = await baton.createTask({ goal: 'Count.' })
    await task.start().result
    await task.send('Go on.')
    const second = await happens(task, 'run.finished', ({ text }) => text === 'Two.')
    expect(second.data.outcome).toBe('done')
    expect(linesOf(model.requests[1]).slice(1)).toEqual(['user: Count.', 'assistant: One.', 'user: Go on.'])
    expect((await eventsOfType(task, 'run.started')).map(({ data }) => data.trigger)).toEqual(['start', 'message'])
  })

  it('waits for start() on a task that never ran', async () => {
    const { model, baton } = scriptedBaton([{ text: 'Hello.' }])
    const task = await baton.createTask({ goal: 'Greet.' })
    await task.send('Politely.')
    expect(task.summary.status).toBe('idle')
    await task.start().result
    expect(linesOf(model.requests[0]).slice(1)).toEqual(['user: Greet.', 'user: Politely.'])
  })

  it('says to go on when a task is started again without a message', async () => {
    const { model, baton } = scriptedBaton([{ text: 'One.' }, { text: 'Two.' }])
    const task = await baton.createTask({ goal: 'Count.' })
    await task.start().result
    expect((await task.start().result).text).toBe('Two.')
    expect(linesOf(model.requests[1]).at(-1)).toBe('user: Go on with the task.')
  })

  it('does not start run after run for a message that a failed run left unanswered', async () => {
    const asked = Promise.withResolvers<void>()
    const sent = Promise.withResolvers<void>()
    const { model, baton } = scriptedBaton([
      async () => {
        asked.resolve()
        await sent.promise
        return { error: { kind: 'unauthorized' } }
      },
      { text: 'Back again.' },
    ])
    const task = await baton.createTask({ goal: 'Try.' })
    const run = task.start()
    await asked.promise
    await task.send('Hello?')
    sent.resolve()
    expect((await run.result).outcome).toBe('failed')
    expect(model.requests).toHaveLength(1)
    expect(task.summary.status).toBe('idle')
    expect((await task.start().result).text).toBe('Back again.')
    expect(linesOf(model.requests[1])).toContain('user: Hello?')
  })

  it('enters an agent’s run once more, and not for ever, when the agent asks no model', async () => {
    const begun: number[] = []
    const once = Promise.withResolvers<void>()
    const sent = Promise.withResolvers<void>()
    const agent: Agent = {
      name: 'own',
      async run(context) {
        begun.push(context.events.lastSeq)
        once.resolve()
        await sent.promise
        return { text: `turn ${begun.length}` }
      },
    }
    const baton = createBaton({ agents: [agent] })
    const task = await baton.createTask({ goal: 'Be.' })
    const run = task.start()
    await once.promise
    await task.send('Hello?')
    sent.resolve()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'turn 2' })
    expect((await task.start().result).text).toBe('turn 3')
  })

  it('shows what another agent says as its words, and the agent’s own as its own', async () => {
    const look = instantTool('look')
    const { model, baton } = scriptedBaton([{ text: 'Ready.' }, { text: 'Yes.' }], { tools: [look] })
    const task = await baton.createTask({ goal: 'Wait for orders.' })
    await task.start().result
    await task.as({ kind: 'agent', id: 'planner' }).send('Begin.')
    await happens(task, 'run.finished', ({ text }) => text === 'Yes.')
    expect(linesOf(model.requests[1]).at(-1)).toBe('user: planner: Begin.')
  })

  it('brings images along, and keeps them out of the log', async () => {
    const { model, baton } = scriptedBaton([{ text: 'A cat.' }])
    const task = await baton.createTask({ goal: 'What is it?' })
    const data = new Uint8Array([137, 80, 78, 71])
    await task.send('This.', { attachments: [{ mediaType: 'image/png', data, name: 'cat.png' }] })
    await task.start().result
    const last = model.requests[0]?.messages.at(-1)
    expect(last).toMatchObject({ role: 'user', parts: [{ text: 'This.' }, { type: 'image', mediaType: 'image/png', data }] })
    const [message] = await eventsOfType(task, 'message.sent')
    expect(message?.data.attachments).toMatchObject([{ mediaType: 'image/png', name: 'cat.png', blob: { bytes: 4 } }])
  })

  it('asks the model to go on when its answer was cut off at the output limit', async () => {
    const { model, baton } = scriptedBaton([{ text: 'It was a dark', finishReason: 'length' }, { text: ' and stormy night.' }])
    const task = await baton.createTask({ goal: 'Write.' })
    expect((await task.start().result).text).toBe(' and stormy night.')
    expect(linesOf(model.requests[1]).at(-1)).toMatch(/cut off/)
  })
})

describe('AgentContext.say', () => {
  it('says a thing once per key, also when it is said twice at the same time', async () => {
    const agent: Agent = {
      name: 'own',
      async run(context) {
        await Promise.all([context.say('Hello.', { key: 'hello' }), context.say('Hello.', { key: 'hello' })])
        await context.say('Hello.', { key: 'hello' })
        await context.say('Bye.', { key: 'bye' })
        return { text: 'ok' }
      },
    }
    const baton = createBaton({ agents: [agent] })
    const task = await baton.createTask({ goal: 'Greet.' })
    await task.start().result
    await task.start().result
    const said = await eventsOfType(task, 'message.sent')
    expect(said.map(({ data, actor }) => [data.text, actor])).toEqual([
      ['Hello.', { kind: 'agent', id: 'own' }],
      ['Bye.', { kind: 'agent', id: 'own' }],
    ])
  })
})

import { describe, expect, it, vi } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import { BatonError } from '../errors.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { calling, eventsOfType, happens, instantTool, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { BatonOptions } from './baton.ts'
import { createBaton } from './baton.ts'

const own = (run: Agent['run']): Agent => ({ name: 'own', run })
const full = (): never => {
  throw new BatonError('STORE_FULL', 'no room')
}

/** A store whose appends fail while `broken` says so. */
function storeThatFails() {
  const store = createMemoryEventStore()
  const append = store.append.bind(store)
  const control = { broken: (_types: readonly string[]): boolean => false }
  store.append = async (taskId, events, options) => {
    if (control.broken(events.map(({ type }) => type))) full()
    await append(taskId, events, options)
  }
  return { store, control }
}

describe('a run', () => {
  const router = { models: [], route: () => Promise.reject(new Error('a router with a bug')) }
  const throwing = (): never => {
    throw new Error('thrown at once')
  }
  it.each<[string, BatonOptions, string, RegExp]>([
    ['an agent that throws', { agents: [own(() => Promise.reject(new Error('a bug')))] }, 'AGENT_FAILED', /^a bug$/],
    ['an agent that throws at once', { agents: [own(throwing)] }, 'AGENT_FAILED', /^thrown at once$/],
    ['an agent that throws no error', { agents: [own(() => Promise.reject('nothing'))] }, 'AGENT_FAILED', /^nothing$/],
    ['an agent that asks a model, without a router', {}, 'NO_ELIGIBLE_MODEL', /offered none/],
    ['a router that throws', { router }, 'AGENT_FAILED', /^a router with a bug$/],
  ])('ends in one run.finished with %s', async (_, options, code, message) => {
    const task = await createBaton(options).createTask({ goal: 'x' })
    const result = await task.start().result
    expect(result).toMatchObject({ outcome: 'failed', error: { code, message: expect.stringMatching(message) } })
    expect(await typesOf(task, /^run/)).toEqual(['run.started', 'run.finished'])
    expect(task.summary).toMatchObject({ status: 'idle', outcome: 'failed' })
  })

  it('ends right whatever listeners throw', async () => {
    const warned = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const { baton } = scriptedBaton([calling(['look']), { text: 'Done.' }], { tools: [instantTool('look')] })
    const task = await baton.createTask({ goal: 'x' })
    task.on('*', throwing)
    task.on('run.finished', throwing)
    expect((await task.start().result).outcome).toBe('done')
    expect(warned).toHaveBeenCalled()
    warned.mockRestore()
  })

  it('fails with the model’s error when the model cannot be used', async () => {
    const { baton } = scriptedBaton([{ error: { kind: 'unauthorized', message: 'wrong key' } }])
    const task = await baton.createTask({ goal: 'x' })
    const { outcome, error } = await task.start().result
    expect([outcome, error?.code]).toEqual(['failed', 'MODEL_FAILED'])
    expect(error?.message).toMatch(/wrong key.*Check the API key/)
  })

  it('fails with UNKNOWN_AGENT when its agent is not there any more', async () => {
    const store = createMemoryEventStore()
    const first = createBaton({ store, agents: [own(async () => ({ text: '' }))] })
    const { id } = await first.createTask({ goal: 'x' })
    const task = await createBaton({ store }).openTask(id)
    const { outcome, error } = await task.start().result
    expect([outcome, error?.code]).toEqual(['failed', 'UNKNOWN_AGENT'])
    expect(error?.message).toMatch(/"own"; known: coder/)
  })

  it('waits for what its agent left under way, and stops it when the agent fails', async () => {
    const probe = probeTool('work', 'write')
    let fails = false
    const agent = own(async (context) => {
      const call = context.tool({ callId: fails ? 'b' : 'a', tool: 'work', input: {} })
      call.catch(() => {})
      await probe.called(fails ? 2 : 1)
      if (fails) throw new Error('a bug')
      return { text: 'not waiting' }
    })
    const baton = createBaton({ agents: [agent], tools: [probe.tool] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const call = await probe.called(1)
    call.finish('worked')
    expect((await run.result).outcome).toBe('done')
    fails = true
    expect(await task.start().result).toMatchObject({ outcome: 'failed', error: { message: 'a bug' } })
    expect(probe.calls[1]?.context.signal.aborted).toBe(true)
    const finished = await eventsOfType(task, 'tool.finished')
    expect(finished.map(({ data }) => [data.callId, data.outcome])).toEqual([
      ['a', 'ok'],
      ['b', 'cancelled'],
    ])
    expect((await typesOf(task)).at(-1)).toBe('run.finished')
  })

  it('keeps model calls that an agent makes at the same time apart, and their tool calls', async () => {
    const agent = own(async (context) => {
      const ask = (text: string) => context.model({ messages: [{ role: 'user', parts: [{ type: 'text', text }] }], tools: ['look'] })
      const replies = await Promise.all([ask('a'), ask('b'), ask('c')])
      const results = await Promise.all(replies.flatMap(({ toolCalls }) => toolCalls.map((call) => context.tool(call))))
      return { text: results.map(({ output }) => output).join() }
    })
    const { baton } = scriptedBaton((_request, call) => calling(['look', { id: `${call}` }]), {
      tools: [instantTool('look')],
      agents: [agent],
    })
    const task = await baton.createTask({ goal: 'x' })
    expect((await task.start().result).text.split(',').sort()).toEqual(['look 1', 'look 2', 'look 3'])
    expect((await eventsOfType(task, 'model.called')).map(({ data }) => data.modelCallId).sort()).toEqual(['m1', 'm2', 'm3'])
  })

  it('refuses an agent that acts after its run is over', async () => {
    let kept: Parameters<Agent['run']>[0] | undefined
    const agent = own(async (context) => {
      kept = context
      return { text: '' }
    })
    const task = await createBaton({ agents: [agent], tools: [instantTool('look')] }).createTask({ goal: 'x' })
    await task.start().result
    const late = kept?.tool({ callId: 'late', tool: 'look', input: {} })
    await expect(late).rejects.toThrow(expect.objectContaining({ code: 'INVALID_STATE' }))
  })
})

describe('a full disk', () => {
  it('rejects the result and leaves the run open; started again it goes on', async () => {
    const { store, control } = storeThatFails()
    const { model, baton } = scriptedBaton([calling(['look']), { text: 'Done.' }], { tools: [instantTool('look')], store })
    const task = await baton.createTask({ goal: 'x' })
    control.broken = (types) => types.includes('model.finished')
    await expect(task.start().result).rejects.toThrow(expect.objectContaining({ code: 'STORE_FULL' }))
    expect(task.summary.status).toBe('running')
    control.broken = () => false
    // The reply that could not be kept is asked for again, and is the next of the script.
    expect(await task.start().result).toMatchObject({ outcome: 'done', text: 'Done.' })
    expect(model.requests).toHaveLength(2)
    expect(await typesOf(task, /^run/)).toEqual(['run.started', 'run.finished'])
    const ids = (await eventsOfType(task, 'model.called')).map(({ data }) => data.modelCallId)
    expect(new Set(ids).size).toBe(ids.length)
  })

  it('never lets a tool that changes something run twice', async () => {
    const { store, control } = storeThatFails()
    const write = instantTool('write', 'write')
    const { baton } = scriptedBaton([calling(['write']), { text: 'I looked, and it is there.' }], { tools: [write], store })
    const task = await baton.createTask({ goal: 'x' })
    control.broken = (types) => types.includes('tool.finished')
    await expect(task.start().result).rejects.toThrow(expect.objectContaining({ code: 'STORE_FULL' }))
    expect(write.inputs).toHaveLength(1)
    control.broken = () => false
    expect((await task.start().result).outcome).toBe('done')
    expect(write.inputs).toHaveLength(1)
    const [finished] = await eventsOfType(task, 'tool.finished')
    expect(finished?.data).toMatchObject({ outcome: 'interrupted', output: expect.stringMatching(/Look at what is there/) })
  })

  it('lets what only reads be read again', async () => {
    const { store, control } = storeThatFails()
    const look = instantTool('look')
    const { baton } = scriptedBaton([calling(['look']), { text: 'Done.' }], { tools: [look], store })
    const task = await baton.createTask({ goal: 'x' })
    control.broken = (types) => types.includes('tool.finished')
    await expect(task.start().result).rejects.toThrow(expect.objectContaining({ code: 'STORE_FULL' }))
    control.broken = () => false
    expect((await task.start().result).outcome).toBe('done')
    expect(look.inputs).toHaveLength(2)
  })

  it('does not start a run over and over for a message that cannot be answered', async () => {
    const { store, control } = storeThatFails()
    let tries = 0
    control.broken = (types) => types.includes('run.started') && ++tries > 1
    const { baton } = scriptedBaton([{ text: 'One.' }, { text: 'Two.' }], { store })
    const task = await baton.createTask({ goal: 'x' })
    await task.start().result
    await task.send('And?')
    for (let turns = 0; turns < 20; turns++) await new Promise(setImmediate)
    expect(tries).toBe(2)
    control.broken = () => false
    expect((await task.start().result).text).toBe('Two.')
  })

  it('lets the end of a task wait for room', async () => {
    const { store, control } = storeThatFails()
    const { baton } = scriptedBaton([{ text: 'Done.' }], { store })
    const task = await baton.createTask({ goal: 'x' })
    control.broken = (types) => types.includes('run.finished')
    await expect(task.start().result).rejects.toThrow(expect.objectContaining({ code: 'STORE_FULL' }))
    await expect(task.end()).rejects.toThrow(expect.objectContaining({ code: 'STORE_FULL' }))
    control.broken = () => false
    await task.end()
    const again = await createBaton({ store }).openTask(task.id, { as: 'observer' })
    expect(await typesOf(again, /^run\.finished|^task/)).toEqual(['task.created', 'run.finished', 'task.closed'])
  })
})

describe('Task.events', () => {
  it('of a run end with it, also when it was let go of', async () => {
    const { baton } = scriptedBaton([{ text: 'a' }, { text: 'b', stallAfter: 0 }])
    const task = await baton.createTask({ goal: 'x' })
    const first = task.start()
    const seen = async (run: typeof first): Promise<string[]> => {
      const types: string[] = []
      for await (const { type } of run.events()) types.push(type)
      return types
    }
    expect(await seen(first)).toEqual(['run.started', 'model.called', 'model.finished', 'run.finished'])
    const second = task.start()
    const watching = seen(second)
    await happens(task, 'model.called', ({ modelCallId }) => modelCallId === 'm2')
    await task.close()
    await expect(second.result).rejects.toThrow(expect.objectContaining({ code: 'CLOSED' }))
    expect((await watching).slice(0, 2)).toEqual(['run.started', 'model.called'])
  })
})

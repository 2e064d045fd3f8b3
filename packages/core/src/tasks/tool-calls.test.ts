import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createModelAgent } from '../agents/model-agent.ts'
import type { LiveEvent } from '../events/event.ts'
import { calling, eventsOf, eventsOfType, instantTool, linesOf, probeTool, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { ToolContext } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import type { BatonOptions } from './baton.ts'

const anything = z.looseObject({})
const tool = (name: string, run: (input: Record<string, unknown>, context: ToolContext) => unknown, more: object = {}) =>
  defineTool({ name, description: name, input: anything, effect: 'read', run: run as () => Promise<unknown>, ...more })

async function runOnce(given: ReturnType<typeof tool>, options: BatonOptions = {}) {
  const { model, baton } = scriptedBaton([calling([given.name]), { text: 'Done.' }], { ...options, tools: [given] })
  const task = await baton.createTask({ goal: 'x' })
  const result = await task.start().result
  const [finished] = await eventsOfType(task, 'tool.finished')
  return { model, task, result, baton, finished: finished?.data, told: linesOf(model.requests[1]).at(-1) }
}

describe('a tool call', () => {
  it('of a tool that is not there goes back to the model, with the tools there are', async () => {
    const { model, baton } = scriptedBaton([calling(['fly']), { text: 'Sorry.' }], { tools: [instantTool('look'), instantTool('walk')] })
    const task = await baton.createTask({ goal: 'x' })
    expect((await task.start().result).outcome).toBe('done')
    expect(linesOf(model.requests[1]).at(-1)).toBe('tool: [invalid] There is no tool "fly". The tools are: look, walk.')
  })

  it('of a tool that this agent was not given is refused like that of one that is not there', async () => {
    const [look, write] = [instantTool('look'), instantTool('write', 'write')]
    const agents = [createModelAgent({ tools: ['look'] })]
    const { model, baton } = scriptedBaton([calling(['write']), { text: 'Sorry.' }], { tools: [look, write], agents })
    const task = await baton.createTask({ goal: 'x', autonomy: 'autonomous' })
    await task.start().result
    expect(write.inputs).toEqual([])
    expect(model.requests[0]?.tools?.map(({ name }) => name)).toEqual(['look'])
    expect(linesOf(model.requests[1]).at(-1)).toBe('tool: [invalid] There is no tool "write". The tools are: look.')
  })

  it('with an input that does not fit, or that is no JSON, goes back to the model with what is wrong', async () => {
    const look = defineTool({
      name: 'look',
      description: 'x',
      input: z.object({ depth: z.int() }),
      effect: 'read',
      run: async () => 'seen',
    })
    const broken = { toolCalls: [{ tool: 'look', arguments: '{"depth": ' }] }
    const { model, baton } = scriptedBaton([calling(['look', { depth: 'far' }]), broken, { text: 'Sorry.' }], { tools: [look] })
    const task = await baton.createTask({ goal: 'x' })
    expect((await task.start().result).outcome).toBe('done')
    expect(linesOf(model.requests[1]).at(-1)).toMatch(/^tool: \[invalid\] The input does not fit the tool "look":\n- depth: /)
    expect(linesOf(model.requests[2]).at(-1)).toMatch(/^tool: \[invalid\] The arguments are no valid JSON/)
    expect(await typesOf(task, /^tool/)).toEqual(['tool.called', 'tool.finished', 'tool.called', 'tool.finished'])
    const last = model.requests[2]?.messages.findLast(({ role }) => role === 'assistant')
    expect(last).toMatchObject({ toolCalls: [{ tool: 'look', arguments: '{"depth": ' }] })
  })

  it('whose tool throws, at once or later, fails and goes on', async () => {
    const later = tool('later', async () => {
      throw new Error('no such tree')
    })
    expect(await runOnce(later)).toMatchObject({
      result: { outcome: 'done' },
      finished: { outcome: 'failed', error: { code: 'TOOL_FAILED', message: 'no such tree' } },
      told: 'tool: TOOL_FAILED: no such tree',
    })
    const now = tool('now', () => {
      throw new Error('at once')
    })
    expect((await runOnce(now)).told).toBe('tool: TOOL_FAILED: at once')
    expect((await runOnce(tool('plain', () => 'no promise'))).told).toBe('tool: no promise')
  })

  it('shows text as it is, other values as JSON, and keeps data beside it', async () => {
    expect(await runOnce(tool('a', async () => 'text'))).toMatchObject({ told: 'tool: text', finished: { output: 'text' } })
    expect(await runOnce(tool('b', async () => ({ n: 1 })))).toMatchObject({ told: 'tool: {"n":1}', finished: { data: { n: 1 } } })
    expect(await runOnce(tool('c', async () => undefined))).toMatchObject({ told: 'tool: ', finished: { outcome: 'ok' } })
    const own = { text: 'nothing matched', data: { nearest: 3 }, failed: true }
    expect(await runOnce(tool('d', async () => own))).toMatchObject({
      finished: { outcome: 'failed', data: { nearest: 3 } },
      told: 'tool: nothing matched',
    })
    expect((await runOnce(tool('e', async () => 1n))).finished?.outcome).toBe('failed')
  })

  it('says so when the result does not fit the tool’s own output schema', async () => {
    const { finished } = await runOnce(tool('a', async () => 5, { output: z.string() }))
    expect(finished).toMatchObject({ outcome: 'failed', output: expect.stringMatching(/ran, but its result does not fit/) })
  })

  it('keeps long output bounded for the model, and whole to be read', async () => {
    const long = Array.from({ length: 5_000 }, (_, index) => `line ${index}`).join('\n')
    const given = tool('long', async () => long)
    const read = tool('read', async ({ callId }, context) => `${(await context.wholeOutput(String(callId)))?.length} bytes`)
    const { model, baton } = scriptedBaton(
      [
        calling(['long']),
        ({ messages }) => calling(['read', { callId: messages.findLast((message) => message.role === 'tool')?.callId }]),
        { text: 'Done.' },
      ],
      { tools: [given, read], maxToolOutputBytes: 2_000 },
    )
    const task = await baton.createTask({ goal: 'x' })
    await task.start().result
    const shown = linesOf(model.requests[1]).at(-1) ?? ''
    expect(shown.length).toBeLessThan(2_200)
    expect(shown).toMatch(/^tool: line 0\n/)
    expect(shown).toMatch(/bytes left out/)
    expect(shown).toMatch(/line 4999\n\[All of it is kept under the call id "m1c0"\]$/)
    expect(linesOf(model.requests[2]).at(-1)).toBe(`tool: ${long.length} bytes`)
  })

  it('bounds what it says of a failure and of a wrong input too', async () => {
    const thrown = await runOnce(
      tool('a', async () => {
        throw new Error('x'.repeat(1e6))
      }),
    )
    expect(JSON.stringify(thrown.finished).length).toBeLessThan(30_000)
    const input = z.object({ list: z.array(z.string()) })
    const { baton } = scriptedBaton([calling(['b', { list: Array.from({ length: 20_000 }, () => 1) }]), { text: '' }], {
      tools: [tool('b', async () => '', { input })],
    })
    const task = await baton.createTask({ goal: 'x' })
    await task.start().result
    expect((await eventsOfType(task, 'tool.finished'))[0]?.data.output.length).toBeLessThan(20_000)
  })

  it('says so when the whole of a long output cannot be kept, and is done nevertheless', async () => {
    const blobs = { put: () => Promise.reject(new Error('no room')), get: () => Promise.reject(new Error('none')) }
    const { finished } = await runOnce(
      tool('long', async () => 'x'.repeat(1e5)),
      { blobs },
    )
    expect(finished).toMatchObject({ outcome: 'ok', output: expect.stringMatching(/could not be kept: no room\]$/) })
    expect(finished).not.toHaveProperty('whole')
  })

  it('records facts of the kinds a tool may tell, as the agent’s, and no others', async () => {
    const change = { type: 'file.changed', data: { path: 'a.txt', change: 'modified', evidence: 'tool' } } as const
    let refused: unknown
    const given = tool('edit', async (_, context) => {
      await context.record(change)
      const forged = { type: 'approval.decided', data: { approvalId: 'a', decision: 'approved', remember: 'task' } }
      refused = await context.record(forged as never).catch((error: unknown) => error)
    })
    const { task } = await runOnce(given)
    expect(refused).toMatchObject({ code: 'INVALID_OPTIONS' })
    const events = await eventsOf(task)
    const started = events.find(({ type }) => type === 'tool.started')
    expect(events.find(({ type }) => type === 'file.changed')).toMatchObject({
      actor: { kind: 'agent' },
      cause: started?.id,
      data: change.data,
    })
    expect(events.find(({ type }) => type === 'tool.finished')?.cause).toBe(started?.id)
  })

  it('shows output live to those who watch', async () => {
    const given = tool('noisy', async (_, context) => context.output('stdout', 'hello'))
    const { baton } = scriptedBaton([calling(['noisy']), { text: 'Done.' }], { tools: [given] })
    const task = await baton.createTask({ goal: 'x' })
    const live: LiveEvent[] = []
    const watching = (async () => {
      for await (const event of task.events({ live: true })) {
        if (!('seq' in event)) live.push(event)
        else if (event.type === 'run.finished') return
      }
    })()
    await task.start().result
    await watching
    const started = (await eventsOfType(task, 'tool.started'))[0]
    expect(live.filter(({ type }) => type === 'command.output')).toEqual([
      { taskId: task.id, after: started?.seq, cause: started?.id, type: 'command.output', data: { stream: 'stdout', text: 'hello' } },
    ])
    expect(live.filter(({ type }) => type === 'model.delta').map(({ data }) => data.text)).toEqual(['Done.'])
  })
})

describe('the tool calls of one reply', () => {
  it('run together where they only read, and one by one in order otherwise', async () => {
    const [look, write] = [probeTool('look', 'read'), probeTool('write', 'write')]
    const calls = calling(
      ...([
        ['look', { id: 'a' }],
        ['look', { id: 'b' }],
        ['write', { id: 'c' }],
        ['write', { id: 'd' }],
        ['look', { id: 'e' }],
      ] as const),
    )
    const { model, baton } = scriptedBaton([calls, { text: 'Done.' }], { tools: [look.tool, write.tool] })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    // Both reads are under way before either ends.
    const [first, second] = [await look.called(1), await look.called(2)]
    second.finish('B')
    first.finish('A')
    const third = await write.called(1)
    expect([look.calls.length, write.calls.length]).toEqual([2, 1])
    third.finish('C')
    const fourth = await write.called(2)
    expect(look.calls).toHaveLength(2)
    fourth.finish('D')
    const fifth = await look.called(3)
    fifth.finish('E')
    await run.result
    expect(linesOf(model.requests[1]).slice(-5)).toEqual(['tool: A', 'tool: B', 'tool: C', 'tool: D', 'tool: E'])
    const finished = (await eventsOfType(task, 'tool.finished')).map(({ data }) => data.output)
    expect(finished).toEqual(['B', 'A', 'C', 'D', 'E'])
  })
})

import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, eventsOfType, linesOf, scriptedBaton } from '../testing/task-fixtures.ts'
import { defineTool } from '../tools/tool.ts'

const sandboxes = [createLocalSandboxProvider({ isolation: 'none' })]
const write = defineTool({
  name: 'write',
  description: 'Writes a file.',
  input: z.object({ path: z.string() }),
  effect: 'write',
  run: async ({ path }, context) => (await context.sandbox()).writeFile(path, Buffer.from('x')),
})

describe('checks', () => {
  it('run when the agent thinks it is done, and are part of the result', async () => {
    const { baton } = scriptedBaton([calling(['write', { path: 'a' }]), { text: 'Done.' }], { tools: [write], sandboxes })
    const task = await baton.createTask({ goal: 'x', checks: ['test -f a', { name: 'echo', command: 'echo fine' }] })
    const result = await task.start().result
    expect(result).toMatchObject({
      outcome: 'done',
      text: 'Done.',
      checks: [
        { name: 'test -f a', outcome: 'passed', exitCode: 0, round: 1 },
        { name: 'echo', command: 'echo fine', outcome: 'passed', output: 'fine\n' },
      ],
    })
    await baton.close()
  })

  it('go back to the agent when they fail, with what they said', async () => {
    const script = [{ text: 'Done.' }, calling(['write', { path: 'a' }]), { text: 'Now it is.' }]
    const { model, baton } = scriptedBaton(script, { tools: [write], sandboxes })
    const task = await baton.createTask({ goal: 'x', checks: ['ls a'] })
    expect(await task.start().result).toMatchObject({ outcome: 'done', text: 'Now it is.' })
    const told = linesOf(model.requests[1]).at(-1)
    expect(told).toMatch(/^user: The task is not done yet: a check does not pass\.\n\n\$ ls a\n\(exit code 2\)\n.*No such file/s)
    expect((await eventsOfType(task, 'check.finished')).map(({ data }) => [data.round, data.outcome])).toEqual([
      [1, 'failed'],
      [2, 'passed'],
    ])
    await baton.close()
  })

  it('end the run as checks-failed when the rounds are used up', async () => {
    const script = [{ text: '1' }, { text: '2' }, { text: '3' }]
    const { model, baton } = scriptedBaton(script, { sandboxes })
    const task = await baton.createTask({ goal: 'x', checks: ['false'], checkRounds: 2 })
    expect(await task.start().result).toMatchObject({ outcome: 'checks-failed', text: '3', checks: [{ outcome: 'failed', round: 3 }] })
    expect(model.requests).toHaveLength(3)
    expect(task.summary).toMatchObject({ status: 'idle', outcome: 'checks-failed' })
    const none = scriptedBaton([{ text: '1' }], { sandboxes }).baton
    const once = await none.createTask({ goal: 'x', checks: ['false'], checkRounds: 0 })
    expect((await once.start().result).outcome).toBe('checks-failed')
    await Promise.all([baton.close(), none.close()])
  })

  it('that cannot be started fail the run with CHECK_NOT_STARTED, which says what to do', async () => {
    const { baton } = scriptedBaton([{ text: 'Done.' }, { text: 'I cannot install it.' }], { sandboxes })
    const task = await baton.createTask({ goal: 'x', checks: ['no-such-program --now'], checkRounds: 1 })
    const { outcome, error, checks } = await task.start().result
    expect([outcome, error?.code, checks[0]?.outcome]).toEqual(['failed', 'CHECK_NOT_STARTED', 'error'])
    expect(error?.message).toMatch(/no-such-program --now.*Install in the sandbox/s)
    await baton.close()
  })

  it('have a time limit, and bounded output', async () => {
    const { baton } = scriptedBaton([{ text: 'Done.' }], { sandboxes })
    const slow = { name: 'slow', command: 'yes | head -c 100000; sleep 600', timeoutMs: 300 }
    const task = await baton.createTask({ goal: 'x', checks: [slow], checkRounds: 0 })
    const { outcome, checks } = await task.start().result
    expect([outcome, checks[0]?.exitCode]).toEqual(['checks-failed', null])
    expect(checks[0]?.output.length).toBeLessThan(10_000)
    expect(checks[0]?.output).toMatch(/bytes left out.*\[the command ended by timeout\]$/s)
    await baton.close()
  })

  it('fail the run when there is no sandbox to run them in', async () => {
    const broken = { ...sandboxes[0]!, create: () => Promise.reject(new Error('no place')) }
    const { baton } = scriptedBaton([{ text: 'Done.' }], { sandboxes: [broken] })
    const task = await baton.createTask({ goal: 'x', checks: ['true'] })
    expect(await task.start().result).toMatchObject({ outcome: 'failed', error: { code: 'SANDBOX_FAILED' } })
  })
})

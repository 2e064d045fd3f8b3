import { describe, expect, it } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import { calling, happens, scriptedBaton } from '../testing/task-fixtures.ts'

const alice = { kind: 'human', id: 'alice', name: 'Alice' } as const

describe('Task.briefing', () => {
  it('tells what others did since the person last did something, as data and in words', async () => {
    const { baton } = scriptedBaton(
      [
        calling(['write', { path: 'a.txt', text: 'one\n' }]),
        { text: 'First part.' },
        calling(['write', { path: 'a.txt', text: 'one\ntwo\n' }], ['write', { path: 'b.txt', text: 'b\n' }]),
        { text: 'Second part.' },
      ],
      { tools: [writeTool], sandboxes: [createLocalSandboxProvider({ isolation: 'none' })] },
    )
    const task = await baton.createTask({ goal: 'Go', checks: ['test -f a.txt'] })
    await task.start().result
    const first = await task.as(alice).briefing()
    expect(first).toMatchObject({
      since: 0,
      files: [{ path: 'a.txt', change: 'created', by: ['agent:coder'], addedLines: 1 }],
      tools: { write: 1 },
    })
    await task.as(alice).send('Go on')
    await happens(task, 'run.finished', ({ text }) => text === 'Second part.')

    const briefing = await task.as(alice).briefing()
    expect(briefing).toMatchObject({
      files: [
        { path: 'a.txt', change: 'modified', addedLines: 1, removedLines: 0, diffs: [expect.stringContaining('+two')] },
        { path: 'b.txt', change: 'created' },
      ],
      checks: [{ name: 'test -f a.txt', outcome: 'passed' }],
      tools: { write: 2 },
      runs: [{ outcome: 'done' }],
      spent: { steps: 2 },
      waiting: [],
    })
    expect(briefing.messages.map(({ text }) => text)).toEqual(['Second part.'])
    expect(briefing.text).toContain('- a.txt (modified by agent:coder, +1 −0)')
    expect(briefing.text).not.toContain('First part')

    const { upTo } = briefing
    expect((await task.as(alice).briefing({ since: upTo })).text).toBe('Nothing has happened since.')
    expect((await task.as(alice).briefing({ since: 0 })).files[0]).toMatchObject({ path: 'a.txt', change: 'created', addedLines: 2 })
    await expect(task.briefing({ since: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await baton.close()
  })
})

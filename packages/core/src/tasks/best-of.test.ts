import { describe, expect, it } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import { calling, eventsOfType, linesOf, scriptedBaton } from '../testing/task-fixtures.ts'
import { runBestOf } from './best-of.ts'

/** Each fork's model does what it was told in the last message. */
function world() {
  const { baton } = scriptedBaton(
    (request) => {
      const lines = linesOf(request)
      const text = /write "(.*)"/.exec(lines.findLast((line) => line.includes('write "')) ?? '')?.[1]
      const wrote = lines.at(-1)?.startsWith('tool: wrote') ?? false
      return text === undefined || wrote ? { text: 'done' } : calling(['write', { path: 'a.txt', text }])
    },
    { tools: [writeTool], sandboxes: [createLocalSandboxProvider({ isolation: 'none' })] },
  )
  return baton
}

describe('runBestOf', () => {
  it('forks, runs all at the same time, picks by checks and size, and ends the losers', async () => {
    const baton = world()
    const task = await baton.createTask({ goal: 'Try', checks: ['grep -q good a.txt'], checkRounds: 0 })
    const texts = ['bad', 'good\\nand long', 'good']
    const { winner, tries } = await runBestOf(task, {
      n: 3,
      vary: (fork, index) => fork.send(`write "${texts[index]?.replace('\\n', ' ')}"`),
    })
    expect(tries.map(({ result }) => result.outcome)).toEqual(['checks-failed', 'done', 'done'])
    expect(winner?.index).toBeGreaterThan(0)
    expect(tries.map(({ task: fork }) => fork.summary.status === 'closed')).toEqual(tries.map(({ index }) => index !== winner?.index))
    expect(task.summary).toMatchObject({ status: 'idle', spent: { steps: 0 } })
    expect((await eventsOfType(tries[0]!.task, 'task.forked'))[0]?.data.from.taskId).toBe(task.id)
    await baton.close()
  })

  it('goes by a judge of your own, and names no winner where none is good', async () => {
    const baton = world()
    const task = await baton.createTask({ goal: 'Try', checks: ['false'], checkRounds: 0 })
    expect((await runBestOf(task, { n: 2 })).winner).toBeUndefined()
    const { winner } = await runBestOf(task, { n: 2, judge: (tries) => tries[1] })
    expect(winner?.index).toBe(1)
    await expect(runBestOf(task, { n: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    await baton.close()
  })

  it('leaves nothing open where a try cannot be varied', async () => {
    const baton = world()
    const task = await baton.createTask({ goal: 'Try' })
    const vary = async (_: unknown, index: number): Promise<void> => {
      if (index === 1) throw new Error('no')
    }
    await expect(runBestOf(task, { n: 2, vary })).rejects.toThrow('no')
    const open: string[] = []
    for await (const { taskId, status } of baton.tasks()) if (status !== 'closed') open.push(taskId)
    expect(open).toEqual([task.id])
    await baton.close()
  })
})

import { describe, expect, it } from 'vitest'
import { calling, eventsOfType, happens, instantTool, linesOf, scriptedBaton } from '../testing/task-fixtures.ts'

describe('an agent that goes in circles', () => {
  it('is nudged once, then paused with the reason and put into the inbox; a person sets it going again', async () => {
    let free = false
    const { model, baton } = scriptedBaton(() => (free ? { text: 'I see.' } : calling(['look'])), { tools: [instantTool('look')] })
    const task = await baton.createTask({ goal: 'Find it.' })
    const run = task.start()
    const paused = await happens(task, 'run.paused')
    expect(paused.data).toMatchObject({ reason: 'stuck', detail: expect.stringMatching(/same result 5 times: look \{\}/) })
    expect(model.requests).toHaveLength(5)
    const nudges = linesOf(model.requests[4]).filter((line) => /going in circles/.test(line))
    expect(nudges).toHaveLength(1)
    expect(linesOf(model.requests[3]).at(-1)).toBe(nudges[0])
    expect(task.summary.status).toBe('paused')
    const inbox = []
    for await (const item of baton.inbox()) inbox.push(item)
    expect(inbox).toMatchObject([{ kind: 'stuck', taskId: task.id, goal: 'Find it.', id: paused.data.runId }])

    free = true
    await task.send('It is behind you.')
    await task.resume()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'I see.' })
    expect(linesOf(model.requests[5]).at(-1)).toBe('user: It is behind you.')
    expect(task.summary.waiting).toEqual([])
  })

  it('may be nudged and paused again after a person let it go on', async () => {
    const { baton } = scriptedBaton(() => calling(['look']), { tools: [instantTool('look')], stuck: { nudgeAfter: 2, pauseAfter: 3 } })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const first = await happens(task, 'run.paused')
    await task.resume()
    const second = Promise.withResolvers<number>()
    const found = (await eventsOfType(task, 'run.paused')).find(({ seq }) => seq > first.seq)
    if (found) second.resolve(found.seq)
    task.on('run.paused', ({ seq }) => second.resolve(seq))
    expect(await second.promise).toBeGreaterThan(first.seq)
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
  })
})

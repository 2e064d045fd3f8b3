import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import type { Decision } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import { createBaton } from './baton.ts'

describe('Task.pause', () => {
  it('holds back a tool that was about to start when the pause came in', async () => {
    const deploy = defineTool({
      name: 'deploy',
      description: 'Deploys.',
      effect: 'external',
      input: z.object({}),
      run: async () => 'deployed',
    })
    const model = scriptedModel([{ toolCalls: [{ tool: 'deploy', input: {} }] }, { text: 'Deployed.' }])
    const atTheLastMoment = Promise.withResolvers<void>()
    const policy = {
      async decide(): Promise<Decision> {
        await task.pause()
        atTheLastMoment.resolve()
        return { decision: 'allow' }
      },
    }
    const baton = createBaton({ router: createSingleModelRouter(model), tools: [deploy], policy })
    const task = await baton.createTask({ goal: 'Deploy.' })
    const run = task.start()
    await atTheLastMoment.promise
    // Whatever the tool would do now, it has been queued when the next turn of the event loop begins.
    await setImmediate()
    await task.resume()
    expect(await run.result).toMatchObject({ outcome: 'done', text: 'Deployed.' })
    const types: string[] = []
    for await (const { type } of run.events()) types.push(type)
    expect(types.filter((type) => /^(run\.(paused|resumed)|tool\.)/.test(type))).toEqual([
      'run.paused',
      'run.resumed',
      'tool.called',
      'tool.started',
      'tool.finished',
    ])
    await baton.close()
  })
})

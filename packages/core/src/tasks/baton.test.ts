import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { LoggedEvent } from '../events/event.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import type { ScriptedStep } from '../testing/script.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import { defineTool } from '../tools/tool.ts'
import type { BatonOptions } from './baton.ts'
import { createBaton } from './baton.ts'

const add = defineTool({
  name: 'add',
  description: 'Adds two numbers.',
  input: z.object({ a: z.number(), b: z.number() }),
  effect: 'read',
  run: async ({ a, b }) => a + b,
})

function scripted(steps: readonly ScriptedStep[], options: BatonOptions = {}) {
  const model = scriptedModel(steps)
  return { model, baton: createBaton({ router: createSingleModelRouter(model), tools: [add], ...options }) }
}

async function collectRun(events: AsyncIterable<LoggedEvent>): Promise<string[]> {
  const types: string[] = []
  for await (const { type } of events) types.push(type)
  return types
}

describe('createBaton', () => {
  it('runs a task to its end and tells each step', async () => {
    const { baton } = scripted([{ toolCalls: [{ tool: 'add', input: { a: 1, b: 2 } }] }, { text: 'It is 3.' }])
    const task = await baton.createTask({ goal: 'What is 1 + 2?' })
    const run = task.start()
    const types = await collectRun(run.events())
    const result = await run.result
    expect(result).toMatchObject({ outcome: 'done', text: 'It is 3.', taskId: task.id })
    expect(types).toEqual([
      'run.started',
      'model.called',
      'model.finished',
      'tool.called',
      'tool.started',
      'tool.finished',
      'model.called',
      'model.finished',
      'run.finished',
    ])
    await baton.close()
  })
})

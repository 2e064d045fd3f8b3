import { Agent } from '@mastra/core/agent'
import { createTool } from '@mastra/core/tools'
import { z } from 'zod'
import type { Contestant } from '../contestant.ts'
import { goal, instructions, toolDescription, toolName } from '../contestant.ts'

export default {
  label: '@mastra/core',
  packages: ['@mastra/core'],
  path: 'Agent.generate (it streams inside); no memory, stores nothing',
  open(setup) {
    const add = createTool({
      id: toolName,
      description: toolDescription,
      inputSchema: z.object({ a: z.number(), b: z.number() }),
      execute: async (input) => setup.add(input),
    })
    const agent = new Agent({
      id: 'adder',
      name: 'adder',
      instructions,
      model: { id: `bench/${setup.model}`, url: setup.baseUrl, apiKey: 'none' },
      tools: { add },
    })
    return {
      async run() {
        const { steps } = await agent.generate(goal, { maxSteps: setup.steps + 2 })
        return steps.at(-1)?.text ?? ''
      },
    }
  },
} satisfies Contestant

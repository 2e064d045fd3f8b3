import { Agent, OpenAIChatCompletionsModel, Runner, setTracingDisabled, tool } from '@openai/agents'
import OpenAI from 'openai'
import { z } from 'zod'
import type { Contestant, Setup } from '../contestant.ts'
import { goal, instructions, toolDescription, toolName } from '../contestant.ts'

function prepare(setup: Setup, needsApproval = false) {
  // Its traces would go to OpenAI: measured without them, to its advantage.
  setTracingDisabled(true)
  const client = new OpenAI({ baseURL: setup.baseUrl, apiKey: 'none', maxRetries: 0 })
  const agent = new Agent({
    name: 'adder',
    instructions,
    model: new OpenAIChatCompletionsModel(client, setup.model),
    tools: [
      tool({
        name: toolName,
        description: toolDescription,
        parameters: z.object({ a: z.number(), b: z.number() }),
        needsApproval,
        execute: async (input) => setup.add(input),
      }),
    ],
  })
  const runner = new Runner({ tracingDisabled: true })
  return () => runner.run(agent, goal, { maxTurns: setup.steps + 2 })
}

export default {
  label: '@openai/agents',
  packages: ['@openai/agents'],
  path: 'Runner.run on chat completions, not streamed; tracing off; stores nothing',
  open(setup) {
    const run = prepare(setup)
    return { run: async () => String((await run()).finalOutput) }
  },
  openWaiting(setup) {
    const run = prepare(setup, true)
    return {
      async begin() {
        const { interruptions, state } = await run()
        if (interruptions.length === 0) throw new Error('nothing waits')
        return state
      },
    }
  },
} satisfies Contestant

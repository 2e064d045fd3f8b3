import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { generateText, isStepCount, streamText, tool } from 'ai'
import { z } from 'zod'
import type { Contestant, Setup } from '../contestant.ts'
import { goal, instructions, toolDescription } from '../contestant.ts'

function settings(setup: Setup, needsApproval = false) {
  const provider = createOpenAICompatible({ name: 'bench', baseURL: setup.baseUrl, apiKey: 'none', includeUsage: true })
  return {
    model: provider(setup.model),
    instructions,
    prompt: goal,
    stopWhen: isStepCount(setup.steps + 2),
    tools: {
      add: tool({
        description: toolDescription,
        inputSchema: z.object({ a: z.number(), b: z.number() }),
        needsApproval,
        execute: async (input) => setup.add(input),
      }),
    },
  }
}

/** The same through streamText. */
export const streamed: Contestant = {
  label: 'ai streamText',
  packages: ['ai', '@ai-sdk/openai-compatible'],
  path: 'streamText, streamed; stores nothing',
  open(setup) {
    const options = settings(setup)
    return { run: async () => await streamText(options).text }
  },
}

export default {
  label: 'ai generateText',
  packages: ['ai', '@ai-sdk/openai-compatible'],
  path: 'generateText with stopWhen, not streamed; stores nothing',
  open(setup) {
    const options = settings(setup)
    return { run: async () => (await generateText(options)).text }
  },
  openWaiting(setup) {
    const options = settings(setup, true)
    return {
      async begin() {
        const { responseMessages } = await generateText(options)
        return responseMessages
      },
    }
  },
} satisfies Contestant

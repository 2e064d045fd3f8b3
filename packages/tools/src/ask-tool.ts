import type { Tool, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'

const AskInput = z.strictObject({
  question: z.string().min(1).describe('One clear question, with what the person needs to know to answer it'),
  options: z.array(z.string().min(1)).max(10).optional().describe('Suggested answers; the person may give another'),
})

/** A tool that asks a person and waits. It changes nothing, so it is a `read` and needs no approval. */
export function createAskTool(): Tool<z.infer<typeof AskInput>, ToolOutput> {
  return defineTool({
    name: 'ask',
    description:
      'Asks a person a question and waits for the answer, however long that takes. Only for what you cannot find out or decide yourself.',
    input: AskInput,
    effect: 'read',
    async run({ question, options }, context) {
      const answer = await context.ask(question, options === undefined ? {} : { options })
      return { text: answer, data: { answer } }
    },
  })
}

import OpenAI from 'openai'
import type { Contestant } from '../contestant.ts'
import type { ChatMessage } from './fetch.ts'
import { runLoop, tools } from './fetch.ts'

export default {
  label: 'openai',
  packages: ['openai'],
  path: 'chat.completions.create, not streamed: a client without a loop',
  open(setup) {
    const client = new OpenAI({ baseURL: setup.baseUrl, apiKey: 'none', maxRetries: 0 })
    return {
      run: () =>
        runLoop(setup, async (messages) => {
          const { choices } = await client.chat.completions.create({
            model: setup.model,
            messages: messages as OpenAI.ChatCompletionMessageParam[],
            tools,
          })
          return choices[0]?.message as ChatMessage
        }),
    }
  },
} satisfies Contestant

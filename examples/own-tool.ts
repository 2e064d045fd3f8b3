import { createBaton, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import { createOpenAIModel } from '@baton-sdk/router'
import { z } from 'zod'

const clock = defineTool({
  name: 'clock',
  description: 'Tells the time in a time zone.',
  effect: 'read',
  input: z.object({ timeZone: z.string() }),
  run: async ({ timeZone }) => new Date().toLocaleTimeString('en-GB', { timeZone }),
})
const baton = createBaton({ router: createSingleModelRouter(createOpenAIModel({ model: 'gpt-5.4-mini' })), tools: [clock] })
const task = await baton.createTask({ goal: 'How late is it in Lisbon?' })
console.log((await task.start().result).text)
await baton.close()

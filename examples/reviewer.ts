import { createBaton, createSingleModelRouter } from '@baton-sdk/core'
import { createOpenAIModel } from '@baton-sdk/router'
import { createListTool, createReadTool, createSearchTool } from '@baton-sdk/tools'

// It can look at everything and change nothing. For all the tools: createCodingTools().
const baton = createBaton({
  router: createSingleModelRouter(createOpenAIModel({ model: 'gpt-5.4-mini' })),
  tools: [createReadTool(), createListTool(), createSearchTool()],
})
const task = await baton.createTask({ goal: 'What is still to be done in this project?', workspace: { path: '.' } })
console.log((await task.start().result).text)
await task.end()
await baton.close()

import { createBaton, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import { registerEvent } from '@baton-sdk/core/plugin'
import { scriptedModel } from '@baton-sdk/core/testing'
import { z } from 'zod'

const DeployFinished = z.object({ url: z.string(), ms: z.number() })

// The type for the compiler, and its schema for what is read and written.
declare module '@baton-sdk/core' {
  interface EventTypes {
    'deploy.finished': z.infer<typeof DeployFinished>
  }
}
registerEvent('deploy.finished', { version: 1, schema: DeployFinished })

const deploy = defineTool({
  name: 'deploy',
  description: 'Deploys what is built, and says where it can be seen.',
  effect: 'external',
  input: z.object({}),
  async run(_, context) {
    const url = 'https://preview.example.com'
    await context.record({ type: 'deploy.finished', data: { url, ms: 1200 } })
    return `Deployed: ${url}`
  },
})

// Stands in for a live model.
const model = scriptedModel([{ toolCalls: [{ tool: 'deploy', input: {} }] }, { text: 'It is deployed.' }])
const baton = createBaton({ router: createSingleModelRouter(model), tools: [deploy] })
const task = await baton.createTask({ goal: 'Deploy it.', autonomy: 'autonomous' })
task.on('deploy.finished', ({ seq, actor, data }) => console.log(seq > 0, actor.id, data.url))
await task.start().result
await baton.close()

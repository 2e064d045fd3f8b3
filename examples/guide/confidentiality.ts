import { createBaton, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createClassifier, redacted } from '@baton-sdk/router'
import { z } from 'zod'

const classifier = createClassifier({
  paths: { 'customers/**': 'restricted', '**/fixtures/**': 'none', 'host:*.corp.example': 'confidential' },
  findings: { secret: 'confidential', email: 'confidential' },
})
const { label, findings } = await classifier.classify('DB_PASSWORD=Falcon12!harbor', ['file:notes/setup.md'])
console.log(label, findings) // where and of which kind, never what
console.log((await classifier.classify('Ann, Bo, Cy', ['file:customers/list.csv'])).label)

const settings = defineTool({
  name: 'settings',
  description: 'Shows the settings.',
  input: z.object({}),
  effect: 'read',
  run: async () => 'DB_USER=app\nDB_PASSWORD=Falcon12!harbor\n',
})
const connect = defineTool({
  name: 'connect',
  description: 'Connects to the database.',
  input: z.object({ password: z.string() }),
  effect: 'read',
  run: async ({ password }) => (password === 'Falcon12!harbor' ? 'connected' : 'refused'),
})

// A script stands in for a model in the cloud: it reads the settings, and passes on what it read, which is a placeholder to it.
const steps = [
  { toolCalls: [{ tool: 'settings', input: {} }] },
  { toolCalls: [{ tool: 'connect', input: { password: '[[secret:1]]' } }] },
  { text: 'Done.' },
]
const cloud = () => scriptedModel(steps, { id: 'cloud/model', info: { location: 'public' } })

for (const model of [cloud(), redacted(cloud(), { classifier, clearance: 'confidential' })]) {
  const baton = createBaton({ router: createSingleModelRouter(model), tools: [settings, connect], classifier })
  const task = await baton.createTask({ goal: 'Connect to the database.' })
  task.on('tool.finished', ({ data }) => console.log(`${data.tool}: ${data.sensitivity} ${JSON.stringify(data.findings ?? [])}`))
  const { outcome, error, text } = await task.start().result
  console.log(`${model.id}: ${outcome}, ${error?.code ?? text}`)
  await baton.close()
}

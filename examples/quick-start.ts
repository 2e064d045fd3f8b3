import { createBaton, createFileBlobStore, createFileEventStore, createSingleModelRouter } from '@baton-sdk/core'
import { createOpenAIModel } from '@baton-sdk/router'
import { createCodingTools } from '@baton-sdk/tools'

const baton = createBaton({
  store: createFileEventStore({ dir: '.baton/log' }),
  blobs: createFileBlobStore({ dir: '.baton/blobs' }),
  router: createSingleModelRouter(createOpenAIModel({ model: 'gpt-5.4-mini' })),
  tools: createCodingTools(),
})

const task = await baton.createTask({
  goal: 'The tests fail. Find out why and fix it.',
  workspace: { path: '.' }, // copied into a sandbox; nothing here changes before apply()
  checks: ['npm test'], // has to pass before the run counts as done
  autonomy: 'autonomous',
  limits: { steps: 80, tokens: 2_000_000 },
})

const run = task.start()
for await (const event of run.events()) {
  if (event.type === 'tool.called') console.log(event.actor.id, event.data.tool, event.data.input)
  if (event.type === 'file.changed') console.log(event.data.diff)
  if (event.type === 'check.finished') console.log(event.data.command, event.data.outcome)
}

const { outcome, text } = await run.result
console.log(outcome, text)
if (outcome === 'done') console.log(await task.apply())
await task.end()
await baton.close()

import { createBaton, createFileBlobStore, createFileEventStore, createSingleModelRouter } from '@baton-sdk/core'
import { createOpenAIModel } from '@baton-sdk/router'
import { createCodingTools } from '@baton-sdk/tools'

const baton = createBaton({
  store: createFileEventStore({ dir: '.baton/log' }),
  blobs: createFileBlobStore({ dir: '.baton/blobs' }),
  router: createSingleModelRouter(createOpenAIModel({ model: 'gpt-5.4-mini' })),
  tools: createCodingTools(),
})

/** What an earlier process was at when it ended, however it ended. */
async function unfinishedTask() {
  for await (const { taskId, parentId } of baton.tasks({ status: ['running', 'waiting', 'paused'] })) {
    if (parentId === undefined) return baton.openTask(taskId) // goes on at once, unless it is paused
  }
  return undefined
}

const found = await unfinishedTask()
const task = found ?? (await baton.createTask({ goal: 'Say what this project does.', workspace: { path: '.' }, autonomy: 'autonomous' }))
console.log(found ? `going on behind event ${task.summary.seq}` : 'beginning')
if (task.summary.status === 'paused') await task.resume()
const { outcome, text } = await task.start().result // joins the run that is under way
console.log(outcome, text)
await task.end()
await baton.close()

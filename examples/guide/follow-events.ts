import { createBaton, createFileEventStore, createSingleModelRouter, isKnown } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'

const store = createFileEventStore({ dir: '.baton/log' })
const baton = createBaton({ store, router: createSingleModelRouter(scriptedModel([{ text: 'Hello.' }])) })
const task = await baton.createTask({ goal: 'Say hello.' })

// Called for each new event of a type, or of every type with '*'.
const off = task.on('model.finished', ({ data }) => console.log('said:', data.text))
await task.start().result
off()

// From the beginning, or behind a seq that you have seen; then live, until the task is closed here.
for await (const event of task.events({ after: 1 })) {
  if (!isKnown(event)) continue // a type or version that this program does not know
  console.log(event.seq, event.actor.kind, event.type)
  if (event.type === 'run.finished') break
}
await baton.close()

// Any process that reaches the store can watch, and act as people do, without being the one that drives the task.
const elsewhere = createBaton({ store: createFileEventStore({ dir: '.baton/log' }) })
const watched = await elsewhere.openTask(task.id, { as: 'observer' })
console.log(watched.summary.status, watched.summary.outcome)
await elsewhere.close()

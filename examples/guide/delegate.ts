import type { Agent } from '@baton-sdk/core'
import { createBaton, createModelAgent, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'

/** Has each part looked at by an agent of its own, all at once. */
const lead: Agent = {
  name: 'lead',
  async run(context) {
    const reviews = await Promise.all(
      ['parser', 'printer'].map((part) =>
        context.delegate(
          { goal: `Review the ${part}.`, agent: 'reviewer', limits: { tokens: 20_000, steps: 10 } },
          { key: `review ${part}` }, // asked for again, after a crash too, it is the same sub-task
        ),
      ),
    )
    return { text: reviews.map(({ outcome, text }) => `${outcome}: ${text}`).join('\n') }
  },
}

const baton = createBaton({
  // Stands in for a live model.
  router: createSingleModelRouter(scriptedModel([{ text: 'Looks fine.' }], { loop: true })),
  agents: [lead, createModelAgent({ name: 'reviewer', instructions: 'You review code.', tools: [] })],
})
const task = await baton.createTask({ goal: 'Review the compiler.', limits: { tokens: 100_000 } })
const { text } = await task.start().result
console.log(text)
console.log(`${task.summary.spent.steps} model calls`) // those of sub-tasks count
for await (const { goal, parentId } of baton.tasks({ parentId: task.id })) console.log(goal, parentId === task.id)
await task.end()
await baton.close()

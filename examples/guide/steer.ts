import { createBaton, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'

// Stands in for a live model.
const model = scriptedModel([
  { toolCalls: [{ tool: 'ask', input: { question: 'Which name shall it have?', options: ['sum', 'add'] } }] },
  { toolCalls: [{ tool: 'shell', input: { command: 'rm -rf build && echo cleaned' } }] },
  { text: 'It is called add now.' },
])
const baton = createBaton({ router: createSingleModelRouter(model), tools: createCodingTools() })

// By default a task is supervised: the agent may read and edit in its sandbox, and asks before it runs a command.
const task = await baton.createTask({ goal: 'Find a good name for plus().' })
const alice = task.as({ kind: 'human', id: 'alice', name: 'Alice' })

const run = task.start()
for await (const event of run.events()) {
  if (event.type === 'question.asked') await alice.answer(event.data.questionId, 'add')
  if (event.type === 'question.answered') await alice.send('Keep the old name as an alias, please.')
  if (event.type === 'approval.requested') {
    console.log(event.data.tool, 'waits:', event.data.reason)
    await alice.approve(event.data.approvalId, { input: { command: 'echo cleaned' }, remember: 'task' })
  }
  if (event.type === 'tool.finished') console.log(event.data.tool, event.data.outcome, event.data.output)
}
const { outcome, text } = await run.result
console.log(outcome, text)
await task.end()
await baton.close()

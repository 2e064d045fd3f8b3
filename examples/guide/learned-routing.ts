import { createBaton, createFileEventStore, createModelAgent } from '@baton-sdk/core'
import { createMemorySandboxProvider, scriptedModel } from '@baton-sdk/core/testing'
import { cascade, createAnswerVerifier, createOutcomeIndex, createRouter, explainRoute, learned, outcomesFromLog } from '@baton-sdk/router'

// They stand in for live models. The small one renames things well, and breaks whatever has to do with threads.
let broken = false
const small = scriptedModel(
  ({ messages }) => {
    broken = JSON.stringify(messages).includes('thread')
    return { text: broken ? 'I added a lock, probably.' : 'Renamed, in all 4 files.' }
  },
  { id: 'small', info: { price: { input: 0.2, output: 0.8 } } },
)
const large = scriptedModel(
  () => {
    broken = false
    return { text: 'Done: the two locks are taken in one order.' }
  },
  { id: 'large', info: { price: { input: 3, output: 15 } } },
)

// Where the index abstains, the small model begins and the task's checks decide: which gives outcomes to learn from.
const index = createOutcomeIndex({ minOutcomes: 10 }) // 30 where it is not said
const verifier = createAnswerVerifier({ minOutcomes: 10 })
const otherwise = cascade({ cheap: ['small'], strong: ['large'] })
const router = createRouter({ models: [small, large], policy: learned({ index, worthUsd: 0.05, otherwise }) })

const store = createFileEventStore({ dir: '.baton/log' })
const sandboxes = [createMemorySandboxProvider({ commands: { 'npm test': () => (broken ? 1 : 0) } })]
const baton = createBaton({ router, store, sandboxes, agents: [createModelAgent({ role: 'code' })] })

async function work(goal: string): Promise<string> {
  const task = await baton.createTask({ goal, checks: ['npm test'] })
  const calls: string[] = []
  task.on('model.called', ({ data }) => calls.push(explainRoute(data)))
  await task.start().result
  // The store has the log of every task, also of those that other processes work on.
  const outcomes = await outcomesFromLog(store.read(task.id))
  await index.add(...outcomes)
  verifier.add(...outcomes.filter(({ model }) => model === 'small'))
  return calls.join('\n')
}

// Forty tasks, each about another part of a program.
const tasks = {
  'Rename the variable that counts lines in the': 'parser printer cache importer mailer editor indexer logger watcher loader',
  'Correct the spelling of the comments in the': 'router server client driver player reader writer viewer dialer timer',
  'Two threads wait for each other in the': 'scheduler queue pool broker resolver uploader crawler sampler mixer poller',
  'Find out why a thread never ends in the': 'renderer encoder decoder recorder tracker merger splitter planner linker packer',
}
for (const [what, parts] of Object.entries(tasks)) for (const part of parts.split(' ')) await work(`${what} ${part}.`)

console.log(await work('Rename the variable that counts lines in the exporter.'))
console.log(await work('Two threads wait for each other in the exporter.'))
console.log(await work('Write a poem about the sea.'))
await baton.close()

await index.save('outcomes')
const again = createOutcomeIndex({ minOutcomes: 10 })
await again.load('outcomes')
console.log(`${again.size} tasks are known`)

const { success } = verifier.estimate('Two threads wait in the exporter.', 'I added a lock, probably.')
console.log(`${Math.round(success * 100)}% likely to be right`)

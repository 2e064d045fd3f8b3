import { BatonError, createBaton } from '@baton-sdk/core'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { createOpenAIModel, createRouter } from '@baton-sdk/router'

// Stands in for a server of your own: with a code model that fills in the middle, and a chat model.
const server = await startScriptedServer(({ api, body }) => {
  if (api === 'chat') return { text: '```ts\nexport const add = (a: number, b: number) => a + b\n```' }
  return String(body.prompt).includes('=>') ? { text: 'a - b' } : { text: 'slow', stallAfter: 0 }
})
const price = { input: 0.1, output: 0.4 }
const coder = createOpenAIModel({ id: 'coder', model: 'qwen2.5-coder-7b', baseUrl: server.url, info: { contextWindow: 32_768, price } })
const chat = createOpenAIModel({ id: 'chat', model: 'chat', baseUrl: server.url, info: { price } })

const baton = createBaton({ router: createRouter({ models: [coder, chat], roles: { complete: ['coder', 'chat'], edit: ['chat'] } }) })
const task = await baton.createTask({ goal: 'Help me with the sums.', autonomy: 'assist', limits: { costUsd: 1 } })
const alice = task.as({ kind: 'human', id: 'alice', name: 'Alice' })

// Alice types on before the first answer is there: the newer one takes its place.
const older = alice.complete({ path: 'src/sums.ts', prefix: 'export const sub = (a', suffix: '\n' }).catch((error: unknown) => error)
await new Promise((asked) => task.on('model.called', asked))
const completion = await alice.complete({ path: 'src/sums.ts', prefix: 'export const sub = (a: number, b: number) => ', suffix: '\n' })
console.log('older:', BatonError.isInstance(await older, 'ABORTED') ? 'given up' : 'answered')
console.log(`${completion?.model}: ${completion?.text}`)
if (completion) await alice.decideSuggestion(completion.suggestionId, 'accepted')

// An edit of what is in the editor, saved or not.
const content = 'export function add(a, b) {\n  return a + b\n}\n'
const edit = await alice.suggestEdit({
  path: 'src/sums.ts',
  content,
  range: { start: 1, end: 3 },
  instruction: 'Make it an arrow function, with types.',
})
console.log(`${edit?.model}:\n${edit?.diff}`)
if (edit) await alice.decideSuggestion(edit.suggestionId, { edited: edit.text.replace('number)', 'number): number)') })

for await (const event of task.events()) {
  if (event.type === 'suggestion.decided') console.log(`${event.actor.id} ${event.data.decision}`)
  if (event.seq === task.summary.seq) break
}
console.log(task.summary.status, task.summary.spent.steps, task.summary.spent.costUsd > 0)
await baton.close()
await server.close()

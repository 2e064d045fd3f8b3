// An agent starts, a person takes over in the middle and works in a real terminal of the same sandbox, hands back, and the agent goes on from there.
// Runs by itself with a scripted model and a scripted person; `node examples/pair.ts --by-hand` gives the terminal to you: leave it with `exit`.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { createBaton, createPolicy, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'

const path = mkdtempSync(join(tmpdir(), 'pair-'))
writeFileSync(join(path, 'price.mjs'), 'export const total = (prices) => prices.reduce((sum, price) => sum + price)\n')
writeFileSync(
  join(path, 'price.test.mjs'),
  `import { equal } from 'node:assert/strict'\nimport { total } from './price.mjs'\nequal(total([1, 2]), 3)\nequal(total([]), 0)\n`,
)

/** What the model was told of the person's work. */
let told = ''
const model = scriptedModel([
  { toolCalls: [{ tool: 'read', input: { path: 'price.mjs' } }] },
  { toolCalls: [{ tool: 'ask', input: { question: 'What does an empty list cost?' } }] },
  (request) => {
    const news = request.messages.flatMap((message) => (message.role === 'user' ? message.parts : []))
    told = news.map((part) => (part.type === 'text' ? part.text : '')).find((text) => text.startsWith('What others did')) ?? ''
    return { toolCalls: [{ tool: 'read', input: { path: 'price.mjs' } }] }
  },
  (request) => {
    // Goes on from the line as the person left it.
    const seen = request.messages.at(-1)
    const line = /export const total.*/.exec(seen?.role === 'tool' ? seen.text : '')?.[0] ?? ''
    const edits = [{ oldText: line, newText: line.replace(/\)$/, ', 0)') }]
    return { toolCalls: [{ tool: 'edit', input: { path: 'price.mjs', edits } }] }
  },
  { text: 'An empty list costs nothing now, and what you wrote is still there.' },
])

const baton = createBaton({
  router: createSingleModelRouter(model),
  tools: createCodingTools(),
  policy: createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] }),
})
const task = await baton.createTask({ goal: 'total([]) throws. Repair it.', workspace: { path }, checks: ['node price.test.mjs'] })
const alice = task.as({ kind: 'human', id: 'alice', name: 'Alice' })
const run = task.start()

// The agent asks; instead of an answer alone, Alice takes the baton.
for await (const event of task.events()) if (event.type === 'question.asked') break
const [question] = task.summary.waiting
console.log(`the agent asks: ${question?.text}`)
const desk = await alice.takeControl()
const terminal = await desk.terminal()
if (process.argv.includes('--by-hand')) {
  console.log('You have control. Edit price.mjs, run what you like, and leave with "exit".')
  process.stdin.setRawMode?.(true)
  process.stdin.on('data', (data) => void terminal.write(data))
  for await (const data of terminal.output) process.stdout.write(data)
  process.stdin.setRawMode?.(false)
} else {
  await terminal.write(`sed -i 's/sum + price/sum + Math.round(price * 100) \\/ 100/' price.mjs\n`)
  await terminal.write('node price.test.mjs; exit\n')
  for await (const _ of terminal.output);
}
const note = process.argv.includes('--by-hand')
  ? await createInterface(process.stdin, process.stdout).question('A note for the agent: ')
  : 'I have added the rounding. Keep it.'
await desk.returnControl({ note })
if (question) await alice.answer(question.id, 'Nothing.')

const { outcome, text } = await run.result
console.log(`\n${told}\n`)
console.log(`${outcome}: ${text}\n`)
for await (const event of task.events()) {
  if (event.type === 'file.changed')
    console.log(`${event.data.path} changed by ${event.actor.name ?? event.actor.id} (${event.data.evidence})`)
  if (event.type === 'run.finished') break
}
await baton.close()
rmSync(path, { recursive: true })

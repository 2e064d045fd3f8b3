import { createBaton, createFileBlobStore, createFileEventStore, createPolicy, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'

// Stands in for a live model.
const model = scriptedModel([
  { toolCalls: [{ tool: 'shell', input: { command: 'echo three >> notes.md; sleep 1' } }] },
  { toolCalls: [{ tool: 'read', input: { path: 'notes.md' } }] },
  { text: 'I have seen your line.' },
])
const baton = createBaton({
  store: createFileEventStore({ dir: '.baton/log' }),
  blobs: createFileBlobStore({ dir: '.baton/blobs' }),
  router: createSingleModelRouter(model),
  tools: createCodingTools(),
  policy: createPolicy({ rules: [{ effect: 'execute', decision: 'allow' }] }),
})
const task = await baton.createTask({ goal: 'Write up the numbers.', workspace: { path: '.' } })
const alice = task.as({ kind: 'human', id: 'alice', name: 'Alice' })
const run = task.start()
for await (const event of run.events()) if (event.type === 'tool.started') break

// Waits for the command that runs; 'cancel' stops it, 'leave' lets it go on beside her. Nothing else of the agent starts.
const desk = await alice.takeControl({ reason: 'I know the fourth one' })
await task
  .as({ kind: 'human', id: 'bob' })
  .takeControl()
  .catch(({ code, message }) => console.log(code, message.replace(/since .*/, 'already')))

await desk.writeFile('notes.md', 'one\ntwo\nthree\nfour\n')
const wc = await desk.sandbox.spawn('wc -l < notes.md') // recorded in her name
await wc.exit
const terminal = await desk.terminal() // a shell on a terminal; what she types is recorded with its exit code
await terminal.write('grep -c five notes.md\nexit\n')
for await (const _ of terminal.output); // what the screen shows
// An editor that works on the sandbox's own files is accounted for too, when control comes back.
await desk.returnControl({ note: 'Four is done. Do not sort them.' })

console.log((await run.result).text)
const prompt = model.requests[1]?.messages.flatMap((message) => (message.role === 'user' ? message.parts : []))
console.log(
  prompt
    ?.map((part) => (part.type === 'text' ? part.text : ''))
    .at(-1)
    ?.replaceAll(/\d\d:\d\d:\d\d/g, '…'),
)

const briefing = await alice.briefing() // what others did since she last did something
console.log(briefing.text.split('\n')[0])
await task.end()
await baton.close()

import { readFileSync } from 'node:fs'
import { createBaton, createSingleModelRouter, isKnown } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'

const edit = (oldText: string, newText: string) => ({
  toolCalls: [{ tool: 'edit', input: { path: 'notes.md', edits: [{ oldText, newText }] } }],
})
const read = { toolCalls: [{ tool: 'read', input: { path: 'notes.md' } }] }
const model = scriptedModel([read, edit('one', 'ONE'), { text: 'Louder.' }, edit('two', 'TWO'), { text: 'All loud.' }])
const baton = createBaton({ router: createSingleModelRouter(model), tools: createCodingTools() })
const task = await baton.createTask({ goal: 'Make it louder.', workspace: { path: '.' } })
const alice = task.as({ kind: 'human', id: 'alice', name: 'Alice' })
await task.start().result
await task.checkpoint({ label: 'first line' })

const desk = await alice.takeControl()
await desk.writeFile('notes.md', 'ONE\ntwo\nthree, by hand\n')
await desk.returnControl()

// Who changed what, and how that is known.
for await (const event of task.events()) {
  if (isKnown(event) && event.type === 'file.changed') console.log(event.actor.id, event.data.change, event.data.path, event.data.evidence)
  if (event.seq === task.summary.seq) break
}
const { files } = await task.trace() // lines by contributor, as an agent-trace record
for (const { contributor, ranges } of files[0]?.conversations ?? []) console.log(contributor.type, JSON.stringify(ranges))

// A fork has the log, the files as they are, and a sandbox of its own.
const fork = await task.fork()
const undone = await alice.undo({ actor: 'agent' }) // takes back what the agent changed, and keeps what Alice did
console.log(undone)

const show = async () => {
  for await (const event of task.events()) {
    if (isKnown(event) && event.type === 'sandbox.started')
      return readFileSync(`${event.data.workdir}/notes.md`, 'utf8').trim().replaceAll('\n', ' | ')
  }
  return ''
}
console.log('undone:', await show())
await task.restore({ checkpoint: 'first line', what: 'files' }) // or 'conversation', or 'both'
console.log('restored:', await show())

console.log('fork:', (await fork.changes()).map(({ path, change }) => `${change} ${path}`).join())
await fork.end()
await task.end()
await baton.close()

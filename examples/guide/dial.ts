import { createBaton, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'

// Stands in for a live model.
const edit = (oldText: string, newText: string) => ({ tool: 'edit', input: { path: 'notes.md', edits: [{ oldText, newText }] } })
const model = scriptedModel([
  { toolCalls: [edit('one', 'eins')] },
  { toolCalls: [edit('two', 'zwo')] },
  { toolCalls: [edit('zwei', 'zwei!')] },
  { text: 'Translated.' },
])
const baton = createBaton({ router: createSingleModelRouter(model), tools: createCodingTools() })
const task = await baton.createTask({ goal: 'Translate the notes.', workspace: { path: '.' }, autonomy: 'assist' })
const alice = task.as({ kind: 'human', id: 'alice', name: 'Alice' })

const run = task.start()
let seen = 0
for await (const event of run.events()) {
  if (event.type === 'proposal.made') {
    const [proposal] = await alice.proposals()
    const [hunk] = proposal?.files[0]?.hunks ?? []
    if (!proposal || !hunk) continue
    console.log(
      hunk.diff
        .split('\n')
        .filter((line) => /^[+-]/.test(line))
        .join(' '),
    )
    if (++seen === 1) await alice.decideProposal(proposal.proposalId, 'accept')
    else {
      await alice.decideProposal(proposal.proposalId, [{ hunkId: hunk.hunkId, decision: 'edited', text: hunk.text.replace('zwo', 'zwei') }])
      await alice.setAutonomy('supervised') // from here on the agent makes its changes itself
    }
  }
  if (event.type === 'tool.finished') console.log(event.data.output)
}
console.log((await run.result).outcome, (await task.changes()).map(({ path, change }) => `${path} ${change}`).join())
await task.end()
await baton.close()

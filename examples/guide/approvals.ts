import { homedir } from 'node:os'
import { join } from 'node:path'
import { createBaton, createFileApprovals, createPolicy, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'

// Stands in for a live model, which wants to run each of these in every task.
const commands = ['node --test && git status; rm -rf build', 'node --test 2>&1 | tail -n 3', 'mkdir -p dist', 'mkdir -p dist']
const script = [...commands.map((command) => ({ toolCalls: [{ tool: 'shell', input: { command } }] })), { text: 'Done.' }]

const baton = createBaton({
  router: createSingleModelRouter(scriptedModel(script, { loop: true })),
  tools: createCodingTools(),
  policy: createPolicy({
    rules: [
      { command: ['rm *', 'git push *'], decision: 'deny', reason: 'Not here.' },
      { command: ['node --test', 'tail *'], decision: 'allow' },
      { path: ['.env*', '**/.env*', 'secrets/**'], decision: 'ask', reason: 'this may hold secrets' },
      { sensitivity: 'confidential', effect: 'external', decision: 'deny', reason: 'Nothing confidential leaves.' },
    ],
  }),
  approvals: createFileApprovals({ path: join(homedir(), '.baton', 'approvals.json') }), // outside of what agents work on
  approvalTimeoutMs: 24 * 3_600_000, // what nobody decides in a day is rejected
})

for (const person of ['alice', 'bob']) {
  const task = (await baton.createTask({ goal: 'Build it.', workspace: { path: '.' } })).as({ kind: 'human', id: person })
  for await (const event of task.start().events()) {
    if (event.type === 'approval.requested') {
      console.log(`${person} is asked about ${event.data.scope}`)
      await task.approve(event.data.approvalId, { remember: 'workspace' }) // or 'task', or 'once'
    }
    if (event.type === 'tool.started' && event.data.remembered) console.log(`runs, as ${event.data.remembered.by.id} approved it before`)
    if (event.type === 'tool.finished' && event.data.outcome === 'denied') console.log(`denied: ${event.data.output}`)
  }
  await task.end()
}

for (const { id, scope, by } of await baton.approvals.list({ workspace: '.' })) {
  console.log(`${by.id} approved ${scope}; revoked: ${await baton.approvals.revoke(id)}`)
}
await baton.close()

import type { Agent } from '@baton-sdk/core'
import { createBaton } from '@baton-sdk/core'
import { createCodingTools } from '@baton-sdk/tools'

/** Releases when the tests pass and a person says which version. It asks no model. */
const releaser: Agent = {
  name: 'releaser',
  async run(context) {
    // A call id or a key that is in the log already gives the outcome that is there: entered again, the agent gets to where it was.
    const { runId } = context.task.summary
    const shell = (step: string, command: string) => context.tool({ callId: `${runId}/${step}`, tool: 'shell', input: { command } })

    const tests = await shell('test', 'node --test')
    if (!tests.output.includes('[exit code 0]')) return { text: 'The tests fail, so nothing is released.' }
    const version = await context.ask('Which version is it?', { key: `${runId}/version`, options: ['patch', 'minor', 'major'] })
    await context.say(`The tests pass. Releasing a ${version} version.`, { key: `${runId}/announce` })
    const released = await shell('release', `echo released a ${version} version`)
    return { text: released.outcome === 'ok' ? `Released a ${version} version.` : released.output }
  },
}

const baton = createBaton({ agents: [releaser], tools: createCodingTools() })
const task = await baton.createTask({ goal: 'Release it.', workspace: { path: '.' } })
const release = task.start()
for await (const event of release.events()) {
  if (event.type === 'approval.requested') await task.approve(event.data.approvalId)
  if (event.type === 'question.asked') await task.answer(event.data.questionId, 'minor')
  if (event.type === 'message.sent') console.log(`${event.actor.id}: ${event.data.text}`)
}
console.log((await release.result).text)
await task.end()
await baton.close()

// Which model takes which call, and why: roles, a file that must stay on this host, and a cascade. Servers on loopback play the models.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBaton, createModelAgent } from '@baton-sdk/core'
import type { ModelInfo } from '@baton-sdk/core/plugin'
import type { ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import {
  acceptSchema,
  cascade,
  cheapest,
  createClassifier,
  createOpenAIModel,
  createRouter,
  explainRoute,
  localFirst,
} from '@baton-sdk/router'
import { createReadTool } from '@baton-sdk/tools'
import { z } from 'zod'

const path = mkdtempSync(join(tmpdir(), 'routing-'))
mkdirSync(join(path, 'secrets'))
writeFileSync(join(path, 'secrets', 'plan.txt'), 'We buy them in May.\n')

const read: ServerStep = { toolCalls: [{ tool: 'read', input: { path: 'secrets/plan.txt' } }] }
const scripts: Record<string, ServerStep[]> = {
  'here/small': [{ text: 'In May.' }, { text: 'Hello!' }, { text: 'It looks fine to me.' }],
  'cloud/small': [read],
  'cloud/large': [{ text: 'First look, then leap.' }, { text: '{"verdict": "sound", "problems": []}' }],
}
const prices: Record<string, ModelInfo['price']> = {
  'here/small': { input: 0, output: 0 },
  'cloud/small': { input: 0.2, output: 0.8 },
  'cloud/large': { input: 3, output: 15, cachedInput: 0.3 },
}
const servers = await Promise.all(Object.values(scripts).map((script) => startScriptedServer(script)))
const models = Object.keys(scripts).map((id, at) => {
  const location = id.startsWith('cloud/') ? 'public' : 'local'
  return createOpenAIModel({ id, model: id, baseUrl: servers[at]?.url, info: { location, price: prices[id] } })
})

const verify = acceptSchema(z.object({ verdict: z.enum(['sound', 'unsound']), problems: z.array(z.string()) }))
const router = createRouter({
  models,
  roles: {
    plan: ['cloud/large'],
    code: ['cloud/small', 'here/small'],
    review: cascade({ cheap: ['here/small'], strong: ['cloud/large'], verify, falsePositiveRate: 0.1 }),
  },
  policy: localFirst(cheapest()), // for every other role
  serves: 'restricted', // fails here and now if no model is cleared for that
})
const baton = createBaton({
  router,
  classifier: createClassifier(), // knows that what is in `secrets/` is restricted
  tools: [createReadTool()],
  agents: ['plan', 'code', 'chat', 'review'].map((role) => createModelAgent({ name: role, role, instructions: 'Be brief.' })),
})

const goals = { plan: 'How do we begin?', code: 'When do we buy?', chat: 'Hello!', review: 'Is the plan sound?' }
for (const [agent, goal] of Object.entries(goals)) {
  const task = await baton.createTask({ goal, agent, workspace: { path } })
  task.on('model.called', ({ data }) => console.log(explainRoute(data)))
  task.on('model.failed', ({ data }) => console.log(`${data.error.code} ${data.model}: ${data.error.message}`))
  const { outcome, text } = await task.start().result
  console.log(`${outcome}: ${text}\n`)
  await task.end()
}
await baton.close()
await Promise.all(servers.map((server) => server.close()))
rmSync(path, { recursive: true })

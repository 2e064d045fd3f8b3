import { createBaton, createModelAgent } from '@baton-sdk/core'
import { createMemorySandboxProvider, scriptedModel } from '@baton-sdk/core/testing'
import { cascade, cheapest, createRouter, explainRoute, sticky } from '@baton-sdk/router'

// They stand in for live models. Prices are US dollars per million tokens.
const models = [
  scriptedModel([{ text: 'Renamed, I hope.' }], { id: 'cheap', info: { price: { input: 0.2, output: 0.8 } } }),
  scriptedModel([{ text: 'Renamed, in the tests too.' }], { id: 'strong', info: { price: { input: 3, output: 15, cachedInput: 0.3 } } }),
  scriptedModel([], { id: 'cloud', info: { location: 'public', price: { input: 0.1, output: 0.4 } } }),
]

const router = createRouter({
  models,
  roles: { plan: ['strong'], code: sticky(cascade({ cheap: ['cheap'], strong: ['strong'] })) },
  policy: cheapest(),
})

// The check fails once, which says that the cheap model was not good enough.
let rounds = 0
const sandboxes = [createMemorySandboxProvider({ commands: { 'npm test': () => (++rounds === 1 ? 1 : 0) } })]
const baton = createBaton({ router, sandboxes, agents: [createModelAgent({ role: 'code' })] })
const task = await baton.createTask({ goal: 'Rename it.', checks: ['npm test'], sensitivity: 'confidential' })
task.on('model.called', ({ data }) => console.log(explainRoute(data)))
console.log((await task.start().result).text)
await baton.close()

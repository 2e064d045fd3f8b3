import { createBaton } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { acceptJudge, cascade, createOpenAIModel, createRouter } from '@baton-sdk/router'

const usage = { inputTokens: 20_000, outputTokens: 500, cachedInputTokens: 18_000 }
const info = { price: { input: 2, output: 8, cachedInput: 0.2 } }
const verdict = { text: '{"accepted": false, "reason": "It answers another question."}', usage: { inputTokens: 1_000, outputTokens: 20 } }

const cheap = scriptedModel([{ text: 'Blue.', usage: { inputTokens: 20_000, outputTokens: 500 } }], {
  id: 'cheap',
  info: { price: { input: 0.1, output: 0.4 } },
})
const strong = scriptedModel([{ text: 'Forty-two.', usage }], { id: 'strong', info })
const judge = scriptedModel([verdict], { id: 'judge', info: { price: { input: 0.1, output: 0.4 } } })
const unpriced = createOpenAIModel({ id: 'unpriced', model: 'whatever', baseUrl: 'http://localhost:11434/v1' })

const policy = cascade({ cheap: ['cheap'], strong: ['strong'], verify: acceptJudge({ model: judge }) })
const baton = createBaton({ router: createRouter({ models: [cheap, strong, unpriced], policy }) })
const task = await baton.createTask({ goal: 'How many?', limits: { costUsd: 0.05 } })
task.on('model.called', ({ data }) => console.log(data.why.find(({ model }) => model === 'unpriced')?.reason))
task.on('model.failed', ({ data }) => console.log(data.model, data.costUsd, `judge ${data.judge?.costUsd}`))
task.on('model.finished', ({ data }) => console.log(data.model, data.costUsd))
const { spent } = await task.start().result
console.log(`$${spent.costUsd.toFixed(6)} of $0.05`)
await baton.close()

import type { Router } from '@baton-sdk/core'
import { createBaton } from '@baton-sdk/core'
import { eligibleModels } from '@baton-sdk/core/plugin'
import { scriptedModel } from '@baton-sdk/core/testing'

// They stand in for live models of two providers. Prices are US dollars per million tokens.
const info = { price: { input: 2, output: 8 }, limits: { requestsPerMinute: 60, tokensPerMinute: 200_000 } }
const usage = { inputTokens: 1_000, outputTokens: 500 }
const slow = scriptedModel([{ text: 'Here at last.', delayMs: 60_000, usage }], { id: 'one/slow', info })
const quick = scriptedModel([{ text: 'Hello!', usage }], { id: 'two/quick', info })

const models = [slow, quick]
const router: Router = {
  models,
  async route(request) {
    const { eligible, refused } = eligibleModels(models, request)
    const considered = eligible.map(({ id }, index) => ({ model: id, rank: index + 1, reason: 'in-order' }))
    return { attempts: eligible.map((model) => ({ model, hedgeAfterMs: 100 })), considered: [...considered, ...refused] }
  },
}

const baton = createBaton({
  router,
  budgets: { perDayUsd: 20, perTenantPerDayUsd: { acme: 0.005 } },
  timing: { triesPerAttempt: 3, backoffBaseMs: 200, maxWaitMs: 30_000 },
})
const task = await baton.createTask({ goal: 'Say hello.', tenant: 'acme', limits: { costUsd: 1 } })
const run = task.start()
for await (const event of run.events()) {
  if (event.type === 'model.failed') console.log(event.data.model, event.data.error.code)
  if (event.type === 'model.finished') console.log(event.data.model, `$${event.data.costUsd}`, event.data.text)
}
console.log((await run.result).outcome)

const { outcome, limit, limitScope } = await task.start().result
console.log(outcome, limit, limitScope, task.summary.today?.costUsd)
await baton.close()

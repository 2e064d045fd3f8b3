import type { AgentTool } from '@earendil-works/pi-agent-core'
import { Agent } from '@earendil-works/pi-agent-core'
import type { Model } from '@earendil-works/pi-ai'
import { createModels, createProvider } from '@earendil-works/pi-ai'
import { openAICompletionsApi } from '@earendil-works/pi-ai/api/openai-completions.lazy'
import type { Contestant, Setup } from '../contestant.ts'
import { goal, instructions, toolDescription, toolName, toolParameters } from '../contestant.ts'

function prepare(setup: Setup) {
  const model: Model<'openai-completions'> = {
    id: setup.model,
    name: setup.model,
    api: 'openai-completions',
    provider: 'bench',
    baseUrl: setup.baseUrl,
    reasoning: false,
    input: ['text'],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
    contextWindow: 1_000_000,
    maxTokens: 4096,
  }
  const models = createModels()
  models.setProvider(
    createProvider({
      id: 'bench',
      baseUrl: setup.baseUrl,
      auth: { apiKey: { name: 'none', resolve: async () => ({ auth: { apiKey: 'none' } }) } },
      models: [model],
      api: openAICompletionsApi(),
    }),
  )
  const add: AgentTool = {
    name: toolName,
    label: toolName,
    description: toolDescription,
    parameters: toolParameters,
    execute: async (_id, input) => ({
      content: [{ type: 'text', text: String(setup.add(input as { a: number; b: number })) }],
      details: undefined,
    }),
  }
  return (beforeToolCall?: () => Promise<undefined>) =>
    new Agent({
      initialState: { systemPrompt: instructions, model, tools: [add] },
      streamFn: models.streamSimple.bind(models),
      ...(beforeToolCall && { beforeToolCall }),
    })
}

function lastText(agent: Agent): string {
  const last = agent.state.messages.at(-1)
  if (agent.state.errorMessage !== undefined) throw new Error(agent.state.errorMessage)
  if (last?.role !== 'assistant') throw new Error('no last words')
  return last.content.map((part) => (part.type === 'text' ? part.text : '')).join('')
}

export default {
  label: 'pi-agent-core',
  packages: ['@earendil-works/pi-agent-core', '@earendil-works/pi-ai'],
  path: 'Agent.prompt, streamed; stores nothing',
  open(setup) {
    const create = prepare(setup)
    return {
      async run() {
        const agent = create()
        await agent.prompt(goal)
        return lastText(agent)
      },
    }
  },
  openWaiting(setup) {
    const create = prepare(setup)
    return {
      async begin() {
        let asked = (): void => {}
        const waits = new Promise<void>((resolve) => {
          asked = resolve
        })
        const agent = create(() => {
          asked()
          return new Promise(() => {})
        })
        const prompt = agent.prompt(goal)
        await waits
        return [agent, prompt]
      },
    }
  },
} satisfies Contestant

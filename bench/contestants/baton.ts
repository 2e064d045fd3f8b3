import { join } from 'node:path'
import type { EventStore, Model } from '@baton-sdk/core'
import {
  createBaton,
  createFileEventStore,
  createMemoryEventStore,
  createModelAgent,
  createSingleModelRouter,
  defineTool,
} from '@baton-sdk/core'
import { createOpenAIModel } from '@baton-sdk/router'
import { z } from 'zod'
import type { Contestant, Setup } from '../contestant.ts'
import { goal, instructions, toolDescription, toolName } from '../contestant.ts'

const contextWindow = 100_000_000

function modelOnTheServer({ model, baseUrl }: Setup): Model {
  return createOpenAIModel({ model, baseUrl, apiKey: 'none', info: { contextWindow } })
}

/** Says what the server would say, without a request. */
function modelInside({ steps }: Setup): Model {
  const capabilities = { tools: true, images: false, jsonSchema: false, reasoning: false, fim: false }
  return {
    id: 'inside/model',
    info: { contextWindow, capabilities, location: 'local' },
    async *generate({ messages }) {
      const step = (messages.length - 2) / 2
      const calls = step < steps
      yield { type: 'text', text: calls ? `Step ${step + 1}: I add the next pair of numbers.` : `Done after ${steps} steps.` }
      if (calls) yield { type: 'tool-call', index: 0, id: `call_${step}`, name: toolName, arguments: JSON.stringify({ a: step, b: 1 }) }
      yield { type: 'finish', reason: calls ? 'tool-calls' : 'stop', usage: { inputTokens: 100, outputTokens: 10 } }
    },
  }
}

function prepare(setup: Setup, store: EventStore, effect: 'read' | 'execute' = 'read', model = modelOnTheServer(setup)) {
  const add = defineTool({
    name: toolName,
    description: toolDescription,
    input: z.object({ a: z.number(), b: z.number() }),
    effect,
    run: async (input) => setup.add(input),
  })
  return createBaton({
    router: createSingleModelRouter(model),
    store,
    tools: [add],
    agents: [createModelAgent({ instructions })],
    concurrency: setup.concurrency,
  })
}

type MakeStore = (setup: Setup) => EventStore

function open(makeStore: MakeStore, makeModel = modelOnTheServer): Contestant['open'] {
  return (setup) => {
    const baton = prepare(setup, makeStore(setup), 'read', makeModel(setup))
    return {
      async run() {
        const task = await baton.createTask({ goal })
        const { outcome, text, error } = await task.start().result
        if (outcome !== 'done') throw new Error(`${outcome} ${error?.message ?? text}`)
        await task.close()
        return text
      },
      close: () => baton.close(),
    }
  }
}

function openWaiting(makeStore: MakeStore): NonNullable<Contestant['openWaiting']> {
  return (setup) => {
    const baton = prepare(setup, makeStore(setup), 'execute')
    return {
      async begin() {
        const task = await baton.createTask({ goal })
        let off = (): void => {}
        const waits = new Promise<void>((resolve) => {
          let step = 0
          off = task.on('approval.requested', ({ data }) => {
            if (++step > setup.steps) resolve()
            else queueMicrotask(() => void task.approve(data.approvalId))
          })
        })
        task.start()
        await waits
        off()
        return task
      },
      close: () => baton.close(),
    }
  }
}

const packages: readonly string[] = []

/** The same with logs in memory, as the others keep theirs. */
export const inMemory: Contestant = {
  label: 'Baton in memory',
  packages,
  path: 'task.start, streamed; every event checked and kept in memory',
  open: open(() => createMemoryEventStore()),
  openWaiting: openWaiting(() => createMemoryEventStore()),
}

const fileStore: MakeStore = ({ dir }) => createFileEventStore({ dir: join(dir, 'log') })

/** Without a request, so that nothing is left but what Baton itself costs. */
export const inside: Contestant = {
  label: 'Baton durable, model in the process',
  packages,
  path: 'the same without requests',
  open: open(fileStore, modelInside),
}

export default {
  label: 'Baton durable',
  packages,
  path: 'task.start, streamed; every event checked and on the disk before the next step',
  open: open(fileStore),
  openWaiting: openWaiting(fileStore),
} satisfies Contestant

import { join } from 'node:path'
import type { EventStore } from '@baton-sdk/core'
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

function prepare(setup: Setup, store: EventStore, effect: 'read' | 'execute' = 'read') {
  const model = createOpenAIModel({
    model: setup.model,
    baseUrl: setup.baseUrl,
    apiKey: 'none',
    info: { contextWindow: 100_000_000 },
  })
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

function open(makeStore: MakeStore): Contestant['open'] {
  return (setup) => {
    const baton = prepare(setup, makeStore(setup))
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

export default {
  label: 'Baton durable',
  packages,
  path: 'task.start, streamed; every event checked and on the disk before the next step',
  open: open(fileStore),
  openWaiting: openWaiting(fileStore),
} satisfies Contestant

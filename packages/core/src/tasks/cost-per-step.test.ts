import { afterEach, describe, expect, it, vi } from 'vitest'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { calling, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

/** How often a run of so many steps does what costs something: reads events back, appends, makes and measures texts, walks collections. */
async function countOperations(steps: number) {
  const store = createMemoryEventStore()
  const { read, append } = store
  const counts = { readBack: 0, appends: 0, texts: 0, measured: 0, walks: 0, copied: 0 }
  store.read = async function* (...call) {
    for await (const event of read(...call)) {
      counts.readBack++
      yield event
    }
  }
  store.append = (taskId, events, options) => {
    counts.appends++
    return append(taskId, events, options)
  }
  let calls = 0
  const { model, baton } = scriptedBaton(() => (++calls < steps ? calling(['look', { id: `${calls}` }]) : { text: 'Done.' }), {
    store,
    tools: [instantTool('look')],
    model: { info: { contextWindow: 1e9 } },
  })
  const task = await baton.createTask({ goal: 'x' })
  const count = (what: keyof typeof counts) => () => void counts[what]++
  const counted = <T extends object, K extends keyof T>(target: T, name: K, what: keyof typeof counts): void => {
    const original = target[name] as (...args: unknown[]) => unknown
    vi.spyOn(target as Record<string, () => unknown>, name as string).mockImplementation(function (this: unknown, ...args: unknown[]) {
      count(what)()
      return original.apply(this, args)
    } as never)
  }
  counted(JSON, 'stringify', 'texts')
  counted(Buffer, 'byteLength', 'measured')
  counted(Map.prototype, 'values', 'walks')
  counted(Map.prototype, 'entries', 'walks')
  counted(Set.prototype, 'values', 'walks')
  const result = await task.start().result
  vi.restoreAllMocks()
  expect(result).toMatchObject({ outcome: 'done', spent: { steps } })
  expect(model.requests).toHaveLength(steps)
  return counts
}

describe('a step of a run', () => {
  it('costs the same at the end of a long run as at its beginning', async () => {
    const short = await countOperations(100)
    const long = await countOperations(500)
    const perStep = Object.fromEntries(
      Object.entries(long).map(([what, count]) => [what, (count - short[what as keyof typeof short]) / 400]),
    )
    // What four hundred more steps cost, each, is what each of the first hundred cost.
    for (const [what, count] of Object.entries(short)) expect([what, perStep[what]! <= (count / 100) * 1.1 + 0.1]).toEqual([what, true])
    expect(perStep.readBack).toBe(0)
    expect(perStep.appends).toBeLessThanOrEqual(5)
  })
})

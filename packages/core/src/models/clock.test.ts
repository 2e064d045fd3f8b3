import { describe, expect, it } from 'vitest'
import { scriptedModel } from '../testing/scripted-model.ts'
import { systemClock } from './clock.ts'
import type { ExecutorOptions } from './executor.ts'
import { executeRoute } from './executor.ts'
import { createModelHealthBook } from './health.ts'
import type { Model } from './model.ts'

function call(model: Model, options: Partial<ExecutorOptions> = {}) {
  return executeRoute({
    route: { attempts: [{ model }], considered: [] },
    request: { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] },
    taskId: 't',
    role: 'code',
    modelCallId: 'mc',
    sensitivity: 'internal',
    estimatedTokens: 10,
    health: createModelHealthBook(),
    timing: { backoffBaseMs: 1, firstChunkMs: 50, betweenChunksMs: 50 },
    mintCallId: (index) => `c${index}`,
    onFailed: async () => {},
    ...options,
  })
}

describe('systemClock', () => {
  it('tells the time and never runs backwards', () => {
    expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(60_000)
    const times = Array.from({ length: 1_000 }, () => systemClock.now())
    expect(times).toEqual(times.toSorted((a, b) => a - b))
  })

  it('does not run a timer that was cancelled', async () => {
    const ran: string[] = []
    systemClock.setTimer(() => ran.push('cancelled'), 1)()
    await new Promise<void>((resolve) => systemClock.setTimer(resolve, 5))
    expect(ran).toEqual([])
  })

  it('carries a model call through failures, a stall and a cut stream', async () => {
    const model = scriptedModel([
      { error: { kind: 'server' } },
      { text: 'this one stalls', stallAfter: 1 },
      { text: 'this one is cut', cutAfter: 1 },
      { text: 'whole' },
    ])
    const kinds: unknown[] = []
    const reply = await call(model, {
      onFailed: async ({ error }) => {
        kinds.push(error.details?.kind)
      },
    })
    expect(reply).toMatchObject({ text: 'whole', attempt: 4, costUsd: 0 })
    expect(kinds).toEqual(['server', 'timeout', 'cut-stream'])
    // The stalled transfer was let go.
    expect(await model.ended(2)).toBe('gone')
  })

  it('breaks a call off on abort', async () => {
    const model = scriptedModel([{ text: 'never told', stallAfter: 0 }])
    const controller = new AbortController()
    await expect(
      call(model, { signal: controller.signal, timing: {}, onSend: () => setImmediate(() => controller.abort(new Error('enough'))) }),
    ).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await model.ended(1)).toBe('gone')
  })
})

import { describe, expect, it } from 'vitest'
import type { Event, EventDraft } from '../events/event.ts'
import type { StuckOptions } from './stuck-detector.ts'
import { createStuckDetector } from './stuck-detector.ts'

const agent = { kind: 'agent', id: 'coder' } as const

/** A detector that is told of replies: each a list of calls with results. */
function watch(options?: StuckOptions) {
  const detector = createStuckDetector(options)
  let seq = 0
  let replies = 0
  const apply = (draft: Pick<EventDraft, 'type' | 'data'> & Partial<Pick<EventDraft, 'actor'>>): void =>
    detector.apply({ id: `e${++seq}`, taskId: 't', seq, time: '', v: 1, actor: agent, ...draft } as Event)
  const finished = (toolCalls: { callId: string; tool: string; input: unknown }[], finishReason: 'stop' | 'length' = 'stop'): void =>
    apply({
      type: 'model.finished',
      data: { modelCallId: `m${++replies}`, role: 'code', model: 'm', attempt: 1, text: '', toolCalls, finishReason, ms: 0 },
    })
  const called = (callId: string, tool: string): void => apply({ type: 'tool.called', data: { callId, tool, input: {} } })
  const ended = (callId: string, tool: string, output: string): void =>
    apply({ type: 'tool.finished', data: { callId, tool, outcome: 'ok', output, ms: 0 } })
  const reply = (...calls: [tool: string, output: string][]): void => {
    const ids = calls.map((_, index) => `m${replies + 1}c${index}`)
    finished(calls.map(([tool], index) => ({ callId: ids[index]!, tool, input: {} })))
    for (const [index, [tool]] of calls.entries()) called(ids[index]!, tool)
    // Results come in any order.
    for (const [index, [tool, output]] of [...calls.entries()].sort(() => (replies % 2 === 0 ? 1 : -1))) ended(ids[index]!, tool, output)
  }
  const check = (round: number, outcome: 'passed' | 'failed' = 'failed'): void =>
    apply({ type: 'check.finished', data: { runId: 'r', name: 'n', command: 'c', round, outcome, exitCode: 1, output: '', ms: 0 } })
  return { detector, apply, reply, check, called, ended, cut: () => finished([], 'length') }
}

const times = (count: number, run: (index: number) => void): void => {
  for (let index = 0; index < count; index++) run(index)
}

describe('createStuckDetector', () => {
  it('notices the same call with the same result: first a nudge, then a pause', () => {
    const { detector, reply } = watch()
    times(2, () => reply(['look', 'a']))
    expect(detector.finding).toBeUndefined()
    reply(['look', 'a'])
    expect(detector.finding).toMatchObject({ action: 'nudge', detail: 'the same step gave the same result 3 times: look {}' })
    const { key } = detector.finding!
    reply(['look', 'a'])
    expect(detector.finding).toMatchObject({ action: 'nudge', key })
    reply(['look', 'a'])
    expect(detector.finding).toMatchObject({ action: 'pause', key })
  })

  it('sees nothing in the same call with other results', () => {
    const { detector, reply } = watch()
    times(20, (index) => reply(['look', `${index}`]))
    expect(detector.finding).toBeUndefined()
  })

  it('notices replies of several calls that repeat, in whatever order the results come', () => {
    const { detector, reply } = watch()
    times(3, () => reply(['look', 'a'], ['list', 'b'], ['read', 'c']))
    expect(detector.finding).toMatchObject({ action: 'nudge', detail: expect.stringMatching(/look \{\} and 2 more/) })
  })

  it('notices two steps in alternation', () => {
    const { detector, reply } = watch()
    times(5, (index) => reply([index % 2 === 0 ? 'build' : 'test', 'failed']))
    expect(detector.finding).toBeUndefined()
    reply(['test', 'failed'])
    expect(detector.finding).toMatchObject({ action: 'nudge', detail: expect.stringMatching(/alternate.*build.*test/) })
    times(4, (index) => reply([index % 2 === 0 ? 'build' : 'test', 'failed']))
    expect(detector.finding?.action).toBe('pause')
  })

  it('notices calls of an agent that asks no model', () => {
    const { detector, called, ended } = watch()
    times(3, (index) => {
      called(`own${index}`, 'look')
      ended(`own${index}`, 'look', 'a')
    })
    expect(detector.finding?.action).toBe('nudge')
  })

  it('notices talk without action while the checks fail, counting rounds and not checks', () => {
    const { detector, check, reply } = watch()
    const round = (number: number): void => times(5, () => check(number))
    round(1)
    expect(detector.finding).toBeUndefined()
    reply(['edit', 'ok'])
    round(2)
    reply(['edit', 'ok again'])
    round(3)
    expect(detector.finding).toBeUndefined()
    for (const number of [4, 5, 6]) round(number)
    expect(detector.finding).toMatchObject({ action: 'nudge', detail: '3 times checks failed with nothing done in between' })
    for (const number of [7, 8]) round(number)
    expect(detector.finding?.action).toBe('pause')
  })

  it('notices replies that are cut off again and again', () => {
    const { detector, cut } = watch()
    times(4, cut)
    expect(detector.finding).toMatchObject({ action: 'nudge', detail: expect.stringMatching(/cut off/) })
  })

  it.each<[string, Pick<EventDraft, 'type' | 'data' | 'actor'>]>([
    ['a message', { type: 'message.sent', actor: { kind: 'human', id: 'a' }, data: { text: 'Try this.' } }],
    ['a resume', { type: 'run.resumed', actor: { kind: 'human', id: 'a' }, data: { runId: 'r' } }],
    [
      'a decision',
      { type: 'approval.decided', actor: { kind: 'human', id: 'a' }, data: { approvalId: 'a', decision: 'approved', remember: 'once' } },
    ],
  ])('starts anew with %s by a person', (_, event) => {
    const { detector, apply, reply } = watch()
    times(4, () => reply(['look', 'a']))
    const { key } = detector.finding!
    apply(event)
    expect(detector.finding).toBeUndefined()
    times(3, () => reply(['look', 'a']))
    expect(detector.finding?.action).toBe('nudge')
    expect(detector.finding?.key).not.toBe(key)
  })

  it('does not start anew with a message of the SDK itself', () => {
    const { detector, apply, reply } = watch()
    times(3, () => reply(['look', 'a']))
    apply({ type: 'message.sent', actor: { kind: 'system', id: 'baton' }, data: { text: 'You seem to be going in circles.' } })
    times(2, () => reply(['look', 'a']))
    expect(detector.finding?.action).toBe('pause')
  })

  it('reaches any figures it is given', () => {
    const { detector, reply } = watch({ nudgeAfter: 40, pauseAfter: 50 })
    times(39, () => reply(['look', 'a']))
    expect(detector.finding).toBeUndefined()
    reply(['look', 'a'])
    expect(detector.finding?.action).toBe('nudge')
    times(10, () => reply(['look', 'a']))
    expect(detector.finding?.action).toBe('pause')
  })
})

import type { Event, UnknownEvent } from '../events/event.ts'
import type { TaskSummary } from '../events/event-store.ts'

/** A valid event for tests of stores: a message with the text. */
export function sampleEvent(taskId: string, seq: number, text = `message ${seq}`): Event<'message.sent'> {
  return {
    id: `0198b6a0-0000-7000-8000-${seq.toString(16).padStart(12, '0')}`,
    taskId,
    seq,
    time: '2026-01-02T03:04:05.678Z',
    actor: { kind: 'human', id: 'alice' },
    v: 1,
    type: 'message.sent',
    data: { text },
  }
}

/** Several of them, from one seq to another. */
export function sampleEvents(taskId: string, from: number, to: number): Event[] {
  return Array.from({ length: to - from + 1 }, (_, index) => sampleEvent(taskId, from + index))
}

/** An event of a type that nobody knows, as a log would hold it: with odd spacing, an odd order, and a key that a store may want for itself. */
export function sampleUnknownEvent(taskId: string, seq: number): UnknownEvent {
  const { type: _type, data: _data, ...envelope } = sampleEvent(taskId, seq)
  const { id, time } = envelope
  const raw = `{"type":"weather.changed", "seq":${seq},"summary":{"taskId":"not ours","seq":${seq}},"v": 1,  "taskId":"${taskId}","data":{"wind":1.50,"b":2,"a":"\\u00e9 é \\/ 🌬","big":12345678901234567890},"time":"${time}","id":"${id}","actor":{"id":"alice","kind":"human"}}`
  return { ...envelope, type: '?weather.changed', raw }
}

/** A valid summary of a task whose log ends at a seq. */
export function sampleSummary(taskId: string, seq: number, more: Partial<TaskSummary> = {}): TaskSummary {
  return {
    taskId,
    seq,
    goal: 'Make the tests pass',
    agent: 'coder',
    status: 'idle',
    autonomy: 'supervised',
    sensitivity: 'internal',
    waiting: [],
    spent: { costUsd: 0, steps: 0, inputTokens: 0, outputTokens: 0 },
    createdAt: '2026-01-02T03:04:05.678Z',
    updatedAt: '2026-01-02T03:04:05.678Z',
    ...more,
  }
}

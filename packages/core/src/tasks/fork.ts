import { v7 as uuidv7 } from 'uuid'
import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { OpenTask } from './open-task.ts'
import { summarizeTask } from './task-summary.ts'

/** Events are copied so many at a time. */
const batchSize = 500

/** Where the log of a task can be cut: at a seq at which no call of the agent is without an outcome. */
export interface CutPoints {
  /** The last seq. */
  readonly last: number
  /** Whether the log can be cut behind this seq. */
  fits(seq: number): boolean
  /** The nearest place before a seq at which it can; at least the first event. */
  before(seq: number): number
}

/** Reads where a log can be cut. */
export async function findCutPoints(events: AsyncIterable<LoggedEvent>): Promise<CutPoints> {
  const open = new Set<string>()
  /** Seqs from which on calls were open, and from which on none was. */
  const closed: { from: number; to: number }[] = []
  let from = 1
  let last = 0
  for await (const event of events) {
    const wasOpen = open.size > 0
    track(open, event)
    if (!wasOpen && open.size > 0) closed.push({ from, to: event.seq - 1 })
    if (wasOpen && open.size === 0) from = event.seq
    last = event.seq
  }
  if (open.size === 0) closed.push({ from, to: last })
  return {
    last,
    fits: (seq) => closed.some((range) => range.from <= seq && seq <= range.to),
    before: (seq) => Math.max(1, ...closed.map((range) => (range.from <= seq ? Math.min(range.to, seq) : 1))),
  }
}

/** A reply's calls are open from the reply on, although `tool.called` comes later. */
function track(open: Set<string>, event: LoggedEvent): void {
  if (!isKnown(event)) return
  if (event.type === 'model.finished') for (const { callId } of event.data.toolCalls) open.add(callId)
  else if (event.type === 'tool.called') open.add(event.data.callId)
  else if (event.type === 'tool.finished') open.delete(event.data.callId)
  // What a run leaves without an outcome has none.
  else if (event.type === 'run.finished') open.clear()
}

/**
 * Copies a task's log up to a seq into a new one. Events keep id, seq and time; what they cost is not paid again; leases and what nobody decided lapse.
 *
 * @throws BatonError `INVALID_STATE` where calls are open at that seq; names the nearest at which none is
 */
export async function copyLog({ runtime }: OpenTask, at: number | undefined, actor: Actor): Promise<string> {
  const { id, parts, stream } = runtime
  const cuts = await findCutPoints(stream.read())
  const seq = at ?? cuts.before(cuts.last)
  if (seq < 1 || seq > cuts.last || !cuts.fits(seq)) {
    const nearest = cuts.before(Math.min(seq, cuts.last))
    throw new BatonError(
      'INVALID_STATE',
      `Task ${id} cannot be forked at seq ${seq}: ${seq > cuts.last ? `its last is ${cuts.last}` : 'a call of the agent has no outcome there'}. The nearest place is ${nearest}.`,
      { details: { nearest } },
    )
  }
  const forkId = uuidv7()
  let summary: TaskSummary | undefined
  let batch: LoggedEvent[] = []
  let written = 0
  const write = async (): Promise<void> => {
    if (batch.length === 0) return
    await parts.store.append(forkId, batch, { after: written, summary: lapsed(summary as TaskSummary) })
    written += batch.length
    batch = []
  }
  try {
    for await (const event of stream.read({ limit: seq })) {
      const copy = withTask(event, forkId)
      summary = summarizeTask(summary, copy)
      batch.push(copy)
      if (batch.length === batchSize) await write()
    }
    const last = batch.at(-1) as LoggedEvent
    const forked = {
      ...forkedFrom(id, seq, actor),
      taskId: forkId,
      id: uuidv7(),
      seq: seq + 1,
      time: new Date().toISOString(),
      v: 1,
    } as Event
    summary = summarizeTask(summary, forked)
    if (last) batch.push(forked)
    await write()
  } catch (error) {
    await parts.store.delete(forkId).catch(() => {})
    throw error
  }
  return forkId
}

function forkedFrom(taskId: string, seq: number, actor: Actor): Pick<Event<'task.forked'>, 'type' | 'actor' | 'data'> {
  return { type: 'task.forked', actor, data: { from: { taskId, seq } } }
}

function withTask(event: LoggedEvent, taskId: string): LoggedEvent {
  if (isKnown(event)) return { ...event, taskId }
  return { ...event, taskId, raw: JSON.stringify({ ...(JSON.parse(event.raw) as object), taskId }) }
}

/** Until its log is whole nobody finds something to do in it. */
function lapsed(summary: TaskSummary): TaskSummary {
  return summary.status === 'closed' ? summary : { ...summary, status: 'idle', waiting: [] }
}

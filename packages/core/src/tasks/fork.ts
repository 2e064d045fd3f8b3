import { v7 as uuidv7 } from 'uuid'
import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import { versionOf } from '../events/event-registry.ts'
import type { TaskSummary } from '../events/event-store.ts'
import { logFailures } from './look-around.ts'
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
export async function copyLog(open: OpenTask, at: number | undefined, actor: Actor): Promise<string> {
  const { id, parts, stream } = open.runtime
  if (at === undefined) await lookNow(open)
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
  const add = (event: LoggedEvent): void => {
    summary = summarizeTask(summary, event)
    batch.push(event)
  }
  try {
    let commit: string | undefined
    for await (const event of stream.read({ limit: seq })) {
      if (isKnown(event) && event.type === 'checkpoint.created') commit = event.data.commit
      add(withTask(event, forkId))
      if (batch.length === batchSize) await write()
    }
    const later = commit === undefined ? [] : await foundLater(stream.read({ after: seq }), seq)
    const more: Pick<Event, 'type' | 'actor' | 'data'>[] = [...later, forkedFrom(id, seq, actor)]
    const time = new Date().toISOString()
    for (const [index, event] of more.entries()) {
      if ('commit' in event.data) commit = event.data.commit
      add({ ...event, taskId: forkId, id: uuidv7(), seq: seq + 1 + index, time, v: versionOf(event.type) } as Event)
    }
    // What its log names must not be pruned with the other task.
    if (commit !== undefined) await pointTo(open, forkId, commit)
    await write()
  } catch (error) {
    await parts.store.delete(forkId).catch(() => {})
    throw error
  }
  return forkId
}

/** The files as they are now belong to a log that is copied up to now. A sandbox that cannot be looked at is as it was seen last. */
async function lookNow({ runtime, sandbox, snapshots }: OpenTask): Promise<void> {
  if (!runtime.parts.ledger || runtime.state.closed || !(runtime.state.sandbox ?? sandbox.started)) return
  try {
    await snapshots.take(await sandbox.get(new AbortController().signal), { reason: 'fork' })
  } catch (error) {
    if (BatonError.isInstance(error) && logFailures.has(error.code)) throw error
  }
}

/** A ledger that has lost the commit is told of where the fork begins. */
async function pointTo({ runtime }: OpenTask, forkId: string, commit: string): Promise<void> {
  await runtime.parts.ledger?.point(forkId, commit).catch((error: unknown) => {
    if (!BatonError.isInstance(error, 'LEDGER_DAMAGED')) throw error
  })
}

/** What may write to the sandbox, or was written. */
const writing: ReadonlySet<string> = new Set([
  'tool.started',
  'command.started',
  'control.taken',
  'task.delegated',
  'sandbox.started',
  'sandbox.lost',
])

/**
 * What the first look behind a seq found, where nobody could write in between: those are the files as they were at that seq. As after a call that wrote: its files
 * are looked at before the next step.
 */
async function foundLater(events: AsyncIterable<LoggedEvent>, seq: number): Promise<Pick<Event, 'type' | 'actor' | 'data'>[]> {
  const found: Pick<Event, 'type' | 'actor' | 'data'>[] = []
  for await (const event of events) {
    if (!isKnown(event)) continue
    if (event.type === 'checkpoint.created' && event.data.upTo >= seq) {
      const { type, actor, data } = event
      found.push({ type, actor, data: { ...data, upTo: seq } } as Pick<Event, 'type' | 'actor' | 'data'>)
    } else if (found.some(({ type }) => type === 'checkpoint.created')) return found
    else if (event.type === 'file.changed' && (event.data.evidence === 'lease' || event.data.evidence === 'window')) {
      const { type, actor, data } = event
      found.push({ type, actor, data } as Pick<Event, 'type' | 'actor' | 'data'>)
    } else if (event.type === 'file.changed' || event.type === 'checkpoint.created' || writing.has(event.type)) return []
  }
  return found.some(({ type }) => type === 'checkpoint.created') ? found : []
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
  const { today: _, ...unpaid } = summary
  return summary.status === 'closed' ? unpaid : { ...unpaid, status: 'idle', waiting: [] }
}

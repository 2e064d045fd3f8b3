import { z } from 'zod'
import { Actor, Autonomy, Sensitivity } from './envelope.ts'
import type { LoggedEvent } from './event.ts'
import { RunOutcome, Spend } from './task-events.ts'

/** Something that waits for a person. */
export const WaitingItem = z.object({
  kind: z.enum(['approval', 'question', 'proposal', 'control', 'stuck']),
  /** Id to answer it with. */
  id: z.string(),
  since: z.string(),
  text: z.string(),
})
export type WaitingItem = z.infer<typeof WaitingItem>

/** Where a task stands, small enough to be stored with every append, so that an inbox reads no logs. */
export const TaskSummary = z.object({
  taskId: z.string(),
  /** The last seq of the log. */
  seq: z.int().nonnegative(),
  goal: z.string(),
  agent: z.string(),
  /** `waiting`: a run is open and something waits for a person. `idle`: no run is open. */
  status: z.enum(['idle', 'running', 'waiting', 'paused', 'closed']),
  autonomy: Autonomy,
  sensitivity: Sensitivity,
  waiting: z.array(WaitingItem),
  runId: z.string().optional(),
  /** How the last finished run ended. */
  outcome: RunOutcome.optional(),
  /** Who has control, while a person has it. */
  control: z.object({ leaseId: z.string(), actor: Actor, since: z.string() }).optional(),
  driver: z.object({ epoch: z.int().positive(), owner: z.string() }).optional(),
  parentId: z.string().optional(),
  /** The words of their own that the task was created with. */
  metadata: z.record(z.string(), z.string()).optional(),
  /** On whose account it is. */
  tenant: z.string().optional(),
  /** Over all runs and settled sub-tasks. */
  spent: Spend,
  /** What its own model calls cost on the last day (of UTC) on which any did; sub-tasks have their own. */
  today: z.object({ day: z.string(), costUsd: z.number().nonnegative() }).optional(),
  createdAt: z.string(),
  updatedAt: z.string(),
})
export type TaskSummary = z.infer<typeof TaskSummary>

/** Which tasks to list; absent fields do not restrict. */
export interface TaskFilter {
  readonly status?: readonly TaskSummary['status'][] | undefined
  /** Only tasks where something waits for a person. */
  readonly waiting?: boolean | undefined
  readonly parentId?: string | undefined
}

/** What goes with an append. */
export interface AppendOptions {
  /** The log's last seq as the writer knows it; 0 for a new task. */
  readonly after: number
  /** The task as it stands with these events, stored with them. */
  readonly summary: TaskSummary
}

/**
 * Keeps the logs of tasks. Implementations check no event's data (that was done before), but order, and give back what they were given.
 * Conformance: `testEventStore` in `@baton-sdk/core/testing`.
 */
export interface EventStore {
  /** A folder on this host in which what belongs to the logs may be kept beside them, as the ledger is. Absent where there is none. */
  readonly home?: string | undefined
  /**
   * Appends in order, all or nothing, durable when it resolves. The first event's seq is `after + 1`, else it rejects with `INVALID_EVENT`.
   * Rejects with `CONFLICT` (details: `lastSeq`) when the log's last seq is not `after`, `STORE_FULL` when there is no room, `CLOSED` after close.
   */
  append(taskId: string, events: readonly LoggedEvent[], options: AppendOptions): Promise<void>
  /** Reads events with seq above `after` (default 0), at most `limit`. Rejects with `UNKNOWN_TASK`, or `CORRUPT_LOG` naming file and line. */
  read(taskId: string, options?: { readonly after?: number; readonly limit?: number }): AsyncIterable<LoggedEvent>
  /** Reads on as the log grows, also by another process's appends. Ends without an error when the signal aborts or the store closes. Rejects with `UNKNOWN_TASK` when there is no such task, or no longer. */
  follow(taskId: string, options: { readonly after: number; readonly signal: AbortSignal }): AsyncIterable<LoggedEvent>
  /** The last summary of each task, in the order of creation. */
  tasks(filter?: TaskFilter): AsyncIterable<TaskSummary>
  /** Removes a log and its summary. A task that is not there is no error. */
  delete(taskId: string): Promise<void>
  /** Waits for what is being written, then refuses more. Safe to call repeatedly. */
  close(): Promise<void>
}

/** Whether a summary is asked for. */
export function matchesFilter(summary: TaskSummary, filter: TaskFilter = {}): boolean {
  if (filter.status && !filter.status.includes(summary.status)) return false
  if (filter.waiting !== undefined && filter.waiting !== summary.waiting.length > 0) return false
  return filter.parentId === undefined || filter.parentId === summary.parentId
}

/** Orders summaries by creation, then by id. */
export function byCreation(a: TaskSummary, b: TaskSummary): number {
  const [left, right] = a.createdAt === b.createdAt ? [a.taskId, b.taskId] : [a.createdAt, b.createdAt]
  return left < right ? -1 : left > right ? 1 : 0
}

import type { Agent, SubTask } from '../agents/agent.ts'
import type { Projection } from '../agents/projection.ts'
import type { StuckDetector, StuckOptions } from '../agents/stuck-detector.ts'
import { BatonError } from '../errors.ts'
import type { BlobStore } from '../events/blob-store.ts'
import type { Actor } from '../events/envelope.ts'
import type { Event, EventDraft, LoggedEvent } from '../events/event.ts'
import type { EventStore, TaskSummary } from '../events/event-store.ts'
import type { EventStream } from '../events/event-stream.ts'
import { createEventStream } from '../events/event-stream.ts'
import type { TaskLimits } from '../events/task-events.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { ModelHealthBook } from '../models/health.ts'
import type { ToolDefinition } from '../models/model.ts'
import type { ModelTiming } from '../models/model-timing.ts'
import type { Router } from '../models/router.ts'
import type { Classifier } from '../models/sensitivity.ts'
import type { SandboxProvider } from '../sandbox/sandbox.ts'
import type { ApprovalMemory } from '../tools/approval-memory.ts'
import type { Policy, Tool } from '../tools/tool.ts'
import type { SpendLedger } from './budgets.ts'
import type { OpenTask } from './open-task.ts'
import type { ActiveRun } from './run-context.ts'
import type { RunSlots } from './run-slots.ts'
import type { TaskState } from './task-state.ts'
import { createTaskState } from './task-state.ts'
import { summarizeTask } from './task-summary.ts'
import type { Writers } from './writers.ts'
import { createWriters } from './writers.ts'

/** What the parts of one Baton share. */
export interface BatonParts {
  readonly store: EventStore
  readonly blobs: BlobStore
  readonly router: Router | undefined
  readonly sandboxes: ReadonlyMap<string, SandboxProvider>
  readonly tools: ReadonlyMap<string, Tool>
  readonly toolDefinitions: ReadonlyMap<string, ToolDefinition>
  readonly policy: Policy
  /** Approvals that hold for all tasks on a workspace. */
  readonly approvals: ApprovalMemory
  /** When a request that nobody decided is rejected. Undefined: never. */
  readonly approvalTimeoutMs: number | undefined
  readonly agents: ReadonlyMap<string, Agent>
  readonly classifier: Classifier | undefined
  readonly health: ModelHealthBook
  readonly timing: ModelTiming
  /** Absent where there are no budgets. */
  readonly spending: SpendLedger | undefined
  /** Absent where the Baton keeps no history of files. */
  readonly ledger: Ledger | undefined
  readonly slots: RunSlots
  readonly stuck: StuckOptions
  readonly maxToolOutputBytes: number
  /** This process, in leases. */
  readonly owner: string
  /** Opens a task that another one delegated, creating it where it is not there yet, and drives it to the end of its run. */
  runSubTask(parent: ActiveRun, request: SubTaskRequest): Promise<SubTaskOutcome>
  /** Opens a task that was just copied from another one, as its driver. */
  openFork(id: string): Promise<OpenTask>
  /** Ends a task that was delegated, with its sandbox, where it has not ended yet. */
  endSubTask(id: string): Promise<void>
}

/** A sub-task as the parent's log has it. */
export interface SubTaskRequest {
  readonly childId: string
  readonly key: string
  readonly spec: SubTask
  readonly limits: TaskLimits
  readonly signal: AbortSignal
}

/** What became of it. */
export type SubTaskOutcome = Pick<Event<'task.settled'>['data'], 'outcome' | 'text' | 'spent' | 'sensitivity'>

/** A task that is open in this process: its log and everything that is folded from it. */
export interface TaskRuntime {
  readonly id: string
  readonly parts: BatonParts
  readonly stream: EventStream
  readonly state: TaskState
  readonly projection: Projection
  readonly stuck: StuckDetector
  /** Who may have written to the sandbox lately. */
  readonly writers: Writers
  /** Epoch of this process's lease, while it drives the task. */
  readonly epoch: number | undefined
  /** The agent as an actor. */
  readonly agentActor: Actor
  /** Takes the lease. Rejects with `LOST_OWNERSHIP` where another process took it right after. */
  claim(): Promise<void>
  /** Forgets the lease, after another process has claimed the task. */
  disown(): void
  /** The id of the next model call; each is given out once. */
  mintModelCall(): string
  /** Appends as the driver. */
  drive(drafts: readonly EventDraft[], check?: () => void): Promise<readonly Event[]>
}

/** The error for a process that another one has taken the task from. */
export function lostOwnership(id: string, owner = 'another process'): BatonError {
  return new BatonError('LOST_OWNERSHIP', `Task ${id} is driven by ${owner} now. Open it again to see where it stands.`)
}

/** Opens the log of a task and folds it. `createFolds` makes what is only of use to its driver. */
export function createTaskRuntime(
  parts: BatonParts,
  id: string,
  folds: { readonly projection: Projection; readonly stuck: StuckDetector },
): TaskRuntime {
  const state = createTaskState(id)
  const writers = createWriters()
  let epoch: number | undefined
  let minted = 0
  const stream = createEventStream({
    store: parts.store,
    taskId: id,
    fold: {
      summarize: summarizeTask,
      apply(event: LoggedEvent) {
        state.apply(event)
        writers.apply(event)
        folds.projection.apply(event)
        folds.stuck.apply(event)
        // What is read back is in the store's summaries already; of a fork it is another task's.
        if (epoch !== undefined && (event.type === 'model.finished' || event.type === 'model.failed'))
          parts.spending?.note(stream.summary as TaskSummary)
      },
    },
  })
  return {
    id,
    parts,
    stream,
    state,
    ...folds,
    writers,
    get epoch() {
      return epoch
    },
    get agentActor() {
      return { kind: 'agent' as const, id: state.created.agent }
    },
    async claim() {
      // Another process may claim at the same moment; the check sees its epoch and goes above it.
      let next = 0
      const draft = {
        type: 'driver.claimed' as const,
        actor: { kind: 'system' as const, id: 'baton' },
        data: { epoch: 1, owner: parts.owner },
      }
      await stream.append([draft], {
        check: () => {
          next = state.epoch + 1
          draft.data.epoch = next
        },
      })
      // Another claim may be behind ours already.
      if (state.epoch !== next) throw lostOwnership(id, stream.summary?.driver?.owner)
      epoch = next
    },
    disown() {
      epoch = undefined
    },
    mintModelCall() {
      minted = Math.max(minted, state.modelCalls) + 1
      return `m${minted}`
    },
    drive(drafts, check) {
      return stream.append(drafts, { epoch: epoch ?? 0, check })
    },
  }
}

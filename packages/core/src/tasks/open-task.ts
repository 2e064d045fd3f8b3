import { v7 as uuidv7 } from 'uuid'
import { createProjection } from '../agents/projection.ts'
import { createStuckDetector } from '../agents/stuck-detector.ts'
import { BatonError } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import { watchLease } from './control.ts'
import type { RunResult } from './run.ts'
import { driveRun } from './run.ts'
import type { BatonParts, TaskRuntime } from './runtime.ts'
import { createTaskRuntime, lostOwnership } from './runtime.ts'
import type { Snapshots } from './snapshots.ts'
import { createSnapshots } from './snapshots.ts'
import type { Suggestions } from './suggestions.ts'
import { createSuggestions } from './suggestions.ts'
import type { TaskSandbox } from './task-sandbox.ts'
import { createTaskSandbox } from './task-sandbox.ts'

/** A task that is open in this process, shared by all handles on it. */
export interface OpenTask {
  readonly runtime: TaskRuntime
  readonly sandbox: TaskSandbox
  readonly snapshots: Snapshots
  readonly suggestions: Suggestions
  readonly driving: boolean
  /** How to close the desks that are open here. */
  readonly desks: Set<() => Promise<unknown>>
  /** The run that is under way here. */
  readonly current: StartedRun | undefined
  /** Set once it is being let go of. */
  readonly closing: Promise<void> | undefined
  /** Becomes the driver: claims the lease, and goes on with an open run. */
  drive(): Promise<void>
  /** The run that is under way here; starts one where there is none. */
  start(): StartedRun
  /** Lets go: stops what runs here, without ending the run. */
  close(): Promise<void>
}

/** A run under way here. */
export interface StartedRun {
  readonly runId: string
  /** Its events are behind this seq. */
  readonly after: number
  readonly result: Promise<RunResult>
}

/** Makes the shared part of a task's handles. Reads nothing yet. */
export function createOpenTask(
  parts: BatonParts,
  id: string,
  options: { readonly sandbox?: TaskSandbox | undefined; onClosed(): void },
): OpenTask {
  const runtime = createTaskRuntime(parts, id, { projection: createProjection(), stuck: createStuckDetector(parts.stuck) })
  const { stream, state } = runtime
  const snapshots = createSnapshots(runtime, { borrowed: options.sandbox !== undefined })
  const sandbox = createTaskSandbox(runtime, snapshots, options.sandbox)
  const suggestions = createSuggestions(runtime, sandbox)
  const memory = new Map<string, unknown>()
  const desks: OpenTask['desks'] = new Set()
  let detach = new AbortController()
  let current: StartedRun | undefined
  let off: (() => void) | undefined
  let offLease: (() => void) | undefined
  let driving: Promise<void> | undefined
  let closing: Promise<void> | undefined

  function start(trigger: 'start' | 'message'): StartedRun {
    if (current) return current
    if (closing !== undefined) throw new BatonError('CLOSED', `Task ${id} was closed here. Open it again to run it.`)
    if (runtime.epoch === undefined) {
      throw new BatonError('INVALID_STATE', `Task ${id} is open as an observer here. Open it with { as: 'driver' } to run it.`)
    }
    const open = state.run?.runId
    const runId = open ?? uuidv7()
    const result = (async (): Promise<RunResult> => {
      if (!open) {
        const check = (): void => {
          if (state.closed) throw new BatonError('INVALID_STATE', `Task ${id} is closed for good; create another one.`)
          if (state.run) throw new BatonError('INVALID_STATE', `Task ${id} has an open run already.`)
        }
        await runtime.drive([{ type: 'run.started', actor: systemActor, data: { runId, trigger } }], check)
      }
      return driveRun({ runtime, runId, sandbox, snapshots, memory, detach: detach.signal })
    })()
    const started = { runId, after: open ? 0 : stream.lastSeq, result }
    const over = (): void => {
      if (current === started) current = undefined
    }
    current = started
    // Who is interested awaits the result; nobody has to. One that could not begin or go on waits for a person to start it again.
    result.then(() => {
      over()
      startOnMessage()
    }, over)
    return started
  }

  function startOnMessage(): void {
    if (runtime.epoch === undefined || detach.signal.aborted || current || state.run || state.closed) return
    // What a run has left unanswered, as one that failed does, waits for the next: it must not start one again and again.
    if (state.runs > 0 && state.messageSeq > state.endedSeq) start('message')
  }

  function watch(event: LoggedEvent): void {
    if (!isKnown(event)) return
    if (event.type === 'driver.claimed' && runtime.epoch !== undefined && event.data.epoch > runtime.epoch) {
      runtime.disown()
      detach.abort(lostOwnership(id, event.data.owner))
    }
    if (event.type === 'message.sent') startOnMessage()
  }

  async function takeOver(): Promise<void> {
    await current?.result.catch(() => {})
    if (closing !== undefined) throw new BatonError('CLOSED', `Task ${id} was closed here.`)
    if (detach.signal.aborted) detach = new AbortController()
    off ??= stream.on('*', watch)
    await runtime.claim()
    offLease ??= watchLease({ runtime, sandbox, snapshots })
    if (state.run) start('start')
    else startOnMessage()
  }

  async function letGo(): Promise<void> {
    detach.abort(new BatonError('CLOSED', `Task ${id} was closed here; it is kept as it is.`))
    await Promise.allSettled([...desks].map((close) => close()))
    await driving?.catch(() => {})
    await current?.result.catch(() => {})
    await suggestions.close()
    for (const value of memory.values()) if (isDisposable(value)) value[Symbol.dispose]()
    off?.()
    offLease?.()
    runtime.disown()
    await stream.close()
    options.onClosed()
  }

  return {
    runtime,
    sandbox,
    snapshots,
    suggestions,
    desks,
    get driving() {
      return runtime.epoch !== undefined
    },
    drive() {
      if (runtime.epoch === undefined || driving !== undefined) {
        driving ??= takeOver().finally(() => {
          driving = undefined
        })
      }
      return driving ?? Promise.resolve()
    },
    start: () => start('start'),
    get current() {
      return current
    },
    get closing() {
      return closing
    },
    close() {
      closing ??= letGo()
      return closing
    },
  }
}

function isDisposable(value: unknown): value is Disposable {
  return typeof value === 'object' && value !== null && Symbol.dispose in value
}

import { BatonError } from '../errors.ts'
import { until } from '../events/event-stream.ts'
import type { SlotHold } from './run-slots.ts'
import type { TaskRuntime } from './runtime.ts'
import type { Snapshots } from './snapshots.ts'
import type { TaskSandbox } from './task-sandbox.ts'

/** One run under way in this process. */
export interface ActiveRun {
  readonly runtime: TaskRuntime
  readonly runId: string
  readonly hold: SlotHold
  readonly sandbox: TaskSandbox
  readonly snapshots: Snapshots
  /** Memory of the task's tools, lost with the process. */
  readonly memory: Map<string, unknown>
  /** Called before the agent waits, maybe for long. */
  beforeWait(): Promise<void>
  /** Aborts with the reason why the run stops here: cancelled, a limit of time, closed, lost ownership. */
  readonly signal: AbortSignal
}

/**
 * The safe point before each step: passes when the run goes on, waits while it is paused or a person has control.
 *
 * @throws BatonError what ended the run
 */
export async function ready(active: ActiveRun): Promise<void> {
  const { runtime, runId, signal, hold } = active
  throwIfStopped(active)
  const { state } = runtime
  const held = (): boolean => state.run?.runId === runId && isHeld(state)
  if (!held()) return
  // Who takes control looks for themselves, once the agent has stopped.
  if (!state.control || state.control.running === 'leave') await active.beforeWait()
  await hold.yieldFor(() => until(runtime.stream, () => (held() ? undefined : true), signal, 'The run'))
  throwIfStopped(active)
}

/** Whether the agent may not act now: its run is paused, or a person has control. */
export function isHeld({ run, control }: TaskRuntime['state']): boolean {
  return run?.paused !== undefined || control !== undefined
}

/** Whether the run stopped because this process lets go of the task, which ends nothing. */
export function isLetGo(signal: AbortSignal): boolean {
  return signal.aborted && (BatonError.isInstance(signal.reason, 'CLOSED') || BatonError.isInstance(signal.reason, 'LOST_OWNERSHIP'))
}

/** Waits for work, but after an abort not for ever: what does not listen to its signal is left to itself. */
export function withGrace<T>(work: Promise<T>, signal: AbortSignal, graceMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const abort = (): void => {
      timer = setTimeout(() => reject(signal.reason), graceMs)
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    })
  })
}

/** Throws what stopped the run, if anything has. */
export function throwIfStopped({ runtime, runId, signal }: ActiveRun): void {
  if (signal.aborted)
    throw BatonError.isInstance(signal.reason) ? signal.reason : new BatonError('ABORTED', 'The run was stopped.', { cause: signal.reason })
  const { run } = runtime.state
  if (run?.runId !== runId) throw new BatonError('INVALID_STATE', 'The run is over; its agent cannot act any more.')
  if (run.cancelled)
    throw new BatonError('ABORTED', `The run was cancelled${run.cancelled.reason === undefined ? '' : `: ${run.cancelled.reason}`}.`)
}

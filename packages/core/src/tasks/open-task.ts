import { v7 as uuidv7 } from 'uuid'
import { createProjection } from '../agents/projection.ts'
import { createStuckDetector } from '../agents/stuck-detector.ts'
import { BatonError } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { RunResult } from './run.ts'
import { driveRun } from './run.ts'
import type { BatonParts, TaskRuntime } from './runtime.ts'
import { createTaskRuntime } from './runtime.ts'
import type { TaskSandbox } from './task-sandbox.ts'
import { createTaskSandbox } from './task-sandbox.ts'

/** A task that is open in this process, shared by all handles on it. */
export interface OpenTask {
  readonly runtime: TaskRuntime
  readonly sandbox: TaskSandbox
  readonly driving: boolean
  /** Becomes the driver: claims the lease, closes calls that another process left, and goes on with an open run. */
  drive(): Promise<void>
  /** The run that is under way here; starts one where there is none. */
  start(): StartedRun
  /** Lets go: stops what runs here, without ending the run. */
  close(): Promise<void>
}

/** A run under way here. */
export interface StartedRun {
  readonly runId: string
  readonly result: Promise<RunResult>
}

const interruptedText =
  'The process that ran this call ended before the call did. It may have done all of its work, a part, or nothing. Look at what is there before you do it again.'

/** Makes the shared part of a task's handles. Reads nothing yet. */
export function createOpenTask(
  parts: BatonParts,
  id: string,
  options: { readonly sandbox?: TaskSandbox | undefined; onClosed(): void },
): OpenTask {
  const runtime = createTaskRuntime(parts, id, { projection: createProjection(), stuck: createStuckDetector(parts.stuck) })
  const { stream, state } = runtime
  const sandbox = createTaskSandbox(runtime, options.sandbox)
  const memory = new Map<string, unknown>()
  let detach = new AbortController()
  let current: StartedRun | undefined
  let off: (() => void) | undefined

  function start(trigger: 'start' | 'message'): StartedRun {
    if (current) return current
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
      return driveRun({ runtime, runId, sandbox, memory, detach: detach.signal })
    })()
    const started = { runId, result }
    current = started
    // Who is interested awaits the result; nobody has to.
    result.catch(() => {})
    void result.then(after, after)
    function after(): void {
      if (current === started) current = undefined
      // A message that came in after the last look starts the next run.
      startOnMessage()
    }
    return started
  }

  function startOnMessage(): void {
    if (runtime.epoch === undefined || detach.signal.aborted || current || state.run || state.closed) return
    // What a run has left unanswered, as one that failed does, waits for the next: it must not start one again and again.
    if (state.runs > 0 && state.unseenAfter(state.endedSeq) > 0) start('message')
  }

  function watch(event: LoggedEvent): void {
    if (!isKnown(event)) return
    if (event.type === 'driver.claimed' && event.data.owner !== parts.owner && runtime.epoch !== undefined) {
      runtime.disown()
      detach.abort(
        new BatonError('LOST_OWNERSHIP', `Task ${id} is driven by ${event.data.owner} now. Open it again to see where it stands.`),
      )
    }
    if (event.type === 'message.sent') startOnMessage()
  }

  async function closeInterrupted(): Promise<void> {
    const interrupted = [...state.calls.values()].filter(
      ({ started, finishedSeq, effect }) => started && finishedSeq === undefined && effect !== 'read',
    )
    if (interrupted.length === 0) return
    await runtime.drive(
      interrupted.map(
        ({ callId, tool }): EventDraft => ({
          type: 'tool.finished',
          actor: systemActor,
          data: { callId, tool, outcome: 'interrupted', output: interruptedText, ms: 0 },
        }),
      ),
    )
  }

  return {
    runtime,
    sandbox,
    get driving() {
      return runtime.epoch !== undefined
    },
    async drive() {
      if (runtime.epoch !== undefined) return
      await current?.result.catch(() => {})
      if (detach.signal.aborted) detach = new AbortController()
      await runtime.claim()
      off?.()
      off = stream.on('*', watch)
      await closeInterrupted()
      if (state.run) start('start')
      else startOnMessage()
    },
    start: () => start('start'),
    async close() {
      detach.abort(new BatonError('CLOSED', `Task ${id} was closed here; it is kept as it is.`))
      await current?.result.catch(() => {})
      off?.()
      runtime.disown()
      await stream.close()
      options.onClosed()
    },
  }
}

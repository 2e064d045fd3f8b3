import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft, EventTypes } from '../events/event.ts'
import type { CheckFinished } from '../events/workspace-events.ts'
import { createAgentContext } from './agent-context.ts'
import { describeFailures, notStartedError, runChecks } from './checks.ts'
import { limitReached } from './limits.ts'
import type { ActiveRun } from './run-context.ts'
import { throwIfStopped } from './run-context.ts'
import { createSlotHold } from './run-slots.ts'
import type { TaskRuntime } from './runtime.ts'
import type { TaskSandbox } from './task-sandbox.ts'
import { noSpend } from './task-summary.ts'

/** How a run ended. */
export type RunResult = EventTypes['run.finished'] & { readonly taskId: string; readonly checks: readonly CheckFinished[] }

/** What a run needs. */
export interface RunOptions {
  readonly runtime: TaskRuntime
  readonly runId: string
  readonly sandbox: TaskSandbox
  readonly memory: Map<string, unknown>
  /** Aborts when this process lets go of the task. */
  readonly detach: AbortSignal
}

/** Thrown to go round again instead of finishing. */
const moreToDo = Symbol('more to do')

/**
 * Drives an open run to its end: turns of the agent, checks, and again, until there is nothing to do; then exactly one `run.finished`.
 *
 * @throws BatonError when the run was not ended but let go of: `CLOSED`, `LOST_OWNERSHIP`, or the store's error. It is open in the log then.
 */
export async function driveRun(options: RunOptions): Promise<RunResult> {
  const { runtime, runId, detach } = options
  const stop = new AbortController()
  const hold = createSlotHold(runtime.parts.slots, runtime.state.created.priority, stop.signal)
  const active: ActiveRun = { ...options, hold, signal: stop.signal }
  const detached = (): void => stop.abort(detach.reason)
  detach.addEventListener('abort', detached, { once: true })
  if (detach.aborted) detached()
  const off = runtime.stream.on('run.cancelled', ({ data }) => {
    if (data.runId === runId) stop.abort(new BatonError('ABORTED', 'The run was cancelled.'))
  })
  const clock = limitTime(active, stop)
  const checks: CheckFinished[] = []
  try {
    return { ...(await untilDone(active, checks)), taskId: runtime.id, checks }
  } finally {
    clock.stop()
    hold.leave()
    off()
    detach.removeEventListener('abort', detached)
  }
}

async function untilDone(active: ActiveRun, checks: CheckFinished[]): Promise<EventTypes['run.finished']> {
  const { runtime } = active
  for (;;) {
    const end = await turnAndChecks(active, checks).catch((error: unknown) => endOf(active, error))
    if (end === moreToDo) continue
    try {
      return await finish(active, end)
    } catch (error) {
      // A message came in between the last look and the append: it belongs to this run.
      if (error !== moreToDo) throw error
      if (runtime.state.run === undefined) throw new BatonError('INVALID_STATE', 'The run was ended elsewhere.')
    }
  }
}

type RunEnd = Pick<EventTypes['run.finished'], 'outcome' | 'text' | 'limit' | 'error'> & {
  /** The last seq when the agent's turn began: a message behind it may be news to the agent. */
  readonly begunAt?: number
}

async function turnAndChecks(active: ActiveRun, last: CheckFinished[]): Promise<RunEnd | typeof moreToDo> {
  const { runtime, hold } = active
  const { created } = runtime.state
  if (hold.activeMs === 0) await hold.enter()
  throwIfStopped(active)
  const agent = runtime.parts.agents.get(created.agent)
  if (!agent) {
    throw new BatonError(
      'UNKNOWN_AGENT',
      `There is no agent "${created.agent}"; known: ${[...runtime.parts.agents.keys()].join(', ')}. Give it to createBaton({ agents }).`,
    )
  }
  const begunAt = runtime.stream.lastSeq
  const { text } = await agent.run(createAgentContext(active))
  throwIfStopped(active)
  if (runtime.state.unseenAfter(begunAt) > 0) return moreToDo
  if (created.checks.length === 0) return { outcome: 'done', text, begunAt }
  const round = (runtime.state.run?.checkRound ?? 0) + 1
  const results = await runChecks(active, created.checks, round)
  last.splice(0, last.length, ...results)
  if (results.every(({ outcome }) => outcome === 'passed')) return { outcome: 'done', text, begunAt }
  if (round <= created.checkRounds) {
    const key = `checks-${active.runId}-${round}`
    await runtime.drive([{ type: 'message.sent', actor: systemActor, data: { text: describeFailures(results), key } }])
    return moreToDo
  }
  const error = notStartedError(results)
  return error ? { outcome: 'failed', text, error: record(error) } : { outcome: 'checks-failed', text }
}

/** What an error makes of the run. Those that mean "not here any more" are thrown on. */
function endOf(active: ActiveRun, error: unknown): RunEnd {
  const { runtime, signal } = active
  if (BatonError.isInstance(error)) {
    if (['LOST_OWNERSHIP', 'CLOSED', 'STORE_FULL', 'STORE_FAILED', 'CORRUPT_LOG'].includes(error.code)) throw error
    if (runtime.state.run?.cancelled) return { outcome: 'cancelled', text: runtime.state.run.cancelled.reason ?? '' }
    const cause = signal.aborted && BatonError.isInstance(signal.reason) ? signal.reason : error
    if (['LOST_OWNERSHIP', 'CLOSED'].includes(cause.code)) throw cause
    if (cause.code === 'LIMIT_REACHED') return { outcome: 'limit', text: cause.message, limit: cause.details.limit as 'steps' }
    return { outcome: 'failed', text: '', error: record(cause) }
  }
  if (runtime.state.run?.cancelled) return { outcome: 'cancelled', text: runtime.state.run.cancelled.reason ?? '' }
  if (signal.aborted && BatonError.isInstance(signal.reason) && ['LOST_OWNERSHIP', 'CLOSED'].includes(signal.reason.code))
    throw signal.reason
  return { outcome: 'failed', text: '', error: { code: 'AGENT_FAILED', message: messageOf(error) } }
}

function record(error: BatonError): { code: string; message: string } {
  return { code: error.code, message: error.message }
}

/** Closes what is open and ends the run, in one append. */
async function finish({ runtime, runId, hold }: ActiveRun, { begunAt, ...end }: RunEnd): Promise<EventTypes['run.finished']> {
  const { state } = runtime
  const open = [...state.calls.values()].filter(({ finishedSeq }) => finishedSeq === undefined)
  const closing = open.map(
    ({ callId, tool, started }): EventDraft => ({
      type: 'tool.finished',
      actor: systemActor,
      data: {
        callId,
        tool,
        outcome: started ? 'interrupted' : 'cancelled',
        output: 'The run ended before this call was finished.',
        ms: 0,
      },
    }),
  )
  const data: EventTypes['run.finished'] = { runId, ...end, spent: state.run?.spent ?? noSpend, ms: hold.activeMs }
  await runtime.drive([...closing, { type: 'run.finished', actor: systemActor, data }], () => {
    if (state.run?.runId !== runId || (begunAt !== undefined && state.unseenAfter(begunAt) > 0)) throw moreToDo
    if (state.run.cancelled && end.outcome !== 'cancelled') throw moreToDo
  })
  return data
}

/** Ends the run when it was active for longer than its limit. */
function limitTime(active: ActiveRun, stop: AbortController): { stop(): void } {
  let timer: NodeJS.Timeout | undefined
  active.hold.onChange((running) => {
    clearTimeout(timer)
    const { timeMs } = active.runtime.state.limits
    if (!running || timeMs === undefined) return
    timer = setTimeout(() => stop.abort(limitReached('timeMs', timeMs)), Math.max(0, timeMs - active.hold.activeMs))
  })
  return { stop: () => clearTimeout(timer) }
}

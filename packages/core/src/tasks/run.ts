import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft, EventTypes } from '../events/event.ts'
import type { CheckFinished } from '../events/workspace-events.ts'
import { createAgentContext } from './agent-context.ts'
import { watchApprovals } from './approval-expiry.ts'
import { lostChecks, notStartedError, runChecks, sendBack } from './checks.ts'
import { limitReached } from './limits.ts'
import { lookAround, lookBack, lookLast } from './look-around.ts'
import type { ActiveRun } from './run-context.ts'
import { isLetGo, ready, throwIfStopped, withGrace } from './run-context.ts'
import { createSlotHold } from './run-slots.ts'
import type { TaskRuntime } from './runtime.ts'
import type { Snapshots } from './snapshots.ts'
import type { TaskSandbox } from './task-sandbox.ts'
import { noSpend } from './task-summary.ts'
import { interruptedDraft } from './tool-calls.ts'

/** How a run ended. */
export type RunResult = EventTypes['run.finished'] & { readonly taskId: string; readonly checks: readonly CheckFinished[] }

/** What a run needs. */
export interface RunOptions {
  readonly runtime: TaskRuntime
  readonly runId: string
  readonly sandbox: TaskSandbox
  readonly snapshots: Snapshots
  readonly memory: Map<string, unknown>
  /** Aborts when this process lets go of the task. */
  readonly detach: AbortSignal
}

/** How long an agent may take to stop after an abort, its tools' own time included, before it is left to itself. */
const agentGraceMs = 5_000
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
  const active: ActiveRun = { ...options, hold, signal: stop.signal, beforeWait: () => lookBack(active) }
  const detached = (): void => stop.abort(detach.reason)
  detach.addEventListener('abort', detached, { once: true })
  if (detach.aborted) detached()
  const off = runtime.stream.on('run.cancelled', ({ data }) => {
    if (data.runId === runId) stop.abort(cancelledError())
  })
  if (runtime.state.run?.cancelled) stop.abort(cancelledError())
  const clock = limitTime(active, stop)
  const stopExpiry = watchApprovals(runtime)
  const checks: CheckFinished[] = []
  try {
    await closeInterrupted(active)
    return { ...(await untilDone(active, stop, checks)), taskId: runtime.id, checks }
  } finally {
    clock.stop()
    stopExpiry()
    hold.leave()
    off()
    detach.removeEventListener('abort', detached)
  }
}

function cancelledError(): BatonError {
  return new BatonError('ABORTED', 'The run was cancelled.')
}

/** Calls that had started and have no outcome, since a process died or its log was full, are told to the agent and not made again. */
async function closeInterrupted({ runtime, signal }: ActiveRun): Promise<void> {
  if (signal.aborted) return
  const interrupted = [...runtime.state.openCalls.values()].filter(({ started, effect }) => started && effect !== 'read')
  const drafts = [...interrupted.map(({ callId, tool }) => interruptedDraft(callId, tool)), ...lostChecks(runtime)]
  if (drafts.length > 0) await runtime.drive(drafts)
}

async function untilDone(active: ActiveRun, stop: AbortController, checks: CheckFinished[]): Promise<EventTypes['run.finished']> {
  const { runtime, hold, signal } = active
  let entered = false
  const enter = async (): Promise<void> => {
    if (!entered && !signal.aborted) await hold.enter()
    entered = true
  }
  for (;;) {
    const end = await enter()
      .then(() => turnAndChecks(active, stop, checks))
      .then(async (done) => {
        if (done !== moreToDo) await lookAround(active, 'finish')
        return done
      })
      .catch(async (error: unknown) => {
        const stopped = endOf(active, error)
        await lookLast(active)
        return stopped
      })
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

type RunEnd = Pick<EventTypes['run.finished'], 'outcome' | 'text' | 'limit' | 'limitScope' | 'error'> & {
  /** The last seq when the agent's turn began: a message behind it may be news to the agent. */
  readonly begunAt?: number
}

async function turnAndChecks(active: ActiveRun, stop: AbortController, last: CheckFinished[]): Promise<RunEnd | typeof moreToDo> {
  const { runtime } = active
  const { created } = runtime.state
  throwIfStopped(active)
  const begunAt = runtime.stream.lastSeq
  const text = await turn(active, stop)
  throwIfStopped(active)
  // Who has control may still have something for the agent.
  if (runtime.state.control) await ready(active)
  if (runtime.state.unseenAfter(begunAt) > 0) return moreToDo
  if (created.checks.length === 0) return { outcome: 'done', text, begunAt }
  const round = (runtime.state.run?.checkRound ?? 0) + 1
  const results = await runChecks(active, created.checks, round)
  last.splice(0, last.length, ...results)
  // Who took control while they ran is waited for, too.
  if (runtime.state.control) await ready(active)
  if (results.every(({ outcome }) => outcome === 'passed')) return { outcome: 'done', text, begunAt }
  if (round <= created.checkRounds) {
    await sendBack(active, results, round)
    return moreToDo
  }
  const error = notStartedError(results)
  return error ? { outcome: 'failed', text, error: record(error), begunAt } : { outcome: 'checks-failed', text, begunAt }
}

/** One turn of the agent. When it is over, so is all that it began through its context. */
async function turn(active: ActiveRun, stop: AbortController): Promise<string> {
  const { agents } = active.runtime.parts
  const name = active.runtime.state.created.agent
  const agent = agents.get(name)
  if (!agent) {
    throw new BatonError(
      'UNKNOWN_AGENT',
      `There is no agent "${name}"; known: ${[...agents.keys()].join(', ')}. Give it to createBaton({ agents }).`,
    )
  }
  const { context, settled } = createAgentContext(active)
  try {
    const end = await withGrace(Promise.resolve(agent.run(context)), active.signal, agentGraceMs)
    await withGrace(settled(), active.signal, agentGraceMs)
    return typeof end?.text === 'string' ? end.text : ''
  } catch (error) {
    // What it began is of no use any more.
    stop.abort(error)
    await withGrace(settled(), active.signal, agentGraceMs).catch(() => {})
    throw error
  }
}

/** What an error makes of the run. Those that mean "not here any more" are thrown on. */
function endOf({ runtime, signal }: ActiveRun, error: unknown): RunEnd {
  // What stopped the run comes before what it led to.
  const cause = signal.aborted && BatonError.isInstance(signal.reason) ? signal.reason : error
  if (isLetGo(signal)) throw signal.reason
  if (BatonError.isInstance(error) && storeErrors.has(error.code)) throw error
  const cancelled = runtime.state.run?.cancelled
  if (cancelled) return { outcome: 'cancelled', text: cancelled.reason ?? '' }
  if (!BatonError.isInstance(cause)) return { outcome: 'failed', text: '', error: { code: 'AGENT_FAILED', message: messageOf(cause) } }
  if (cause.code === 'LIMIT_REACHED') {
    const { limit, scope = limit === 'costUsd' ? 'task' : undefined } = cause.details
    return { outcome: 'limit', text: cause.message, limit: limit as 'steps', ...(scope !== undefined && { limitScope: scope as 'task' }) }
  }
  return { outcome: 'failed', text: '', error: record(cause) }
}

/** With these the log itself can take no more from here, so the run stays open for who drives it next. */
const storeErrors: ReadonlySet<string> = new Set(['LOST_OWNERSHIP', 'STORE_FULL', 'STORE_FAILED', 'CORRUPT_LOG'])

function record(error: BatonError): { code: string; message: string } {
  return { code: error.code, message: error.message }
}

/** Closes what is open and ends the run, in one append. */
async function finish({ runtime, runId, hold }: ActiveRun, { begunAt, ...end }: RunEnd): Promise<EventTypes['run.finished']> {
  const { state } = runtime
  const closing = [...state.openCalls.values()].map(
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

/** The longest time that a timer can be set for; it would fire at once beyond. */
const maxTimerMs = 2 ** 31 - 1

/** Ends the run when it was active for longer than its limit, as it is by then. */
function limitTime({ hold, runtime }: ActiveRun, stop: AbortController): { stop(): void } {
  let timer: NodeJS.Timeout | undefined
  let running = false
  const set = (): void => {
    clearTimeout(timer)
    const { timeMs } = runtime.state.limits
    if (!running || timeMs === undefined) return
    const leftMs = timeMs - hold.activeMs
    if (leftMs <= 0) stop.abort(limitReached('timeMs', timeMs))
    else timer = setTimeout(set, Math.min(leftMs, maxTimerMs))
  }
  hold.onChange((active) => {
    running = active
    set()
  })
  const off = runtime.stream.on('limits.set', set)
  return {
    stop() {
      clearTimeout(timer)
      off()
    },
  }
}

import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import { RunningCalls } from '../events/control-events.ts'
import type { Actor } from '../events/envelope.ts'
import { actorKey, systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import { until } from '../events/event-stream.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import { labelOf } from './labels.ts'
import type { OpenTask } from './open-task.ts'
import type { TaskRuntime } from './runtime.ts'
import { logFailures, noSnapshotDraft } from './snapshots.ts'
import type { ControlState } from './task-state.ts'

/** How control is taken. */
export interface TakeControlOptions extends Abortable {
  /** What becomes of the agent's calls that run: they are awaited, stopped, or left to go on beside the person. Default `wait`. */
  readonly running?: RunningCalls | undefined
  readonly reason?: string | undefined
  /**
   * The lease expires after this time without a sign of the holder, in milliseconds: an event of theirs, or their desk being open in a living process.
   * Default 10 minutes.
   */
  readonly idleMs?: number | undefined
}

const Options = z.looseObject({
  running: RunningCalls.default('wait'),
  reason: z.string().optional(),
  idleMs: z
    .int()
    .positive()
    .default(10 * 60_000),
})

/** When a lease expires, in milliseconds since 1970. */
function expiryOf({ lastSign, idleMs }: ControlState): number {
  return Date.parse(lastSign) + idleMs
}

function isHolder({ actor }: ControlState, other: Actor): boolean {
  return actorKey(actor) === actorKey(other)
}

/**
 * Takes the lease, or finds again the one that the person holds, and waits until the agent has stopped. What the agent and others changed up to then is
 * accounted for before.
 *
 * @throws BatonError `CONTROL_HELD` naming who has control and until when; `ABORTED`, and the lease is given back
 */
export async function takeLease(open: OpenTask, actor: Actor, options: TakeControlOptions): Promise<ControlState> {
  const { running, reason, idleMs } = parseOptions('takeControl', Options, options)
  const { runtime } = open
  const { state, stream } = runtime
  if (actor.kind !== 'human') {
    throw new BatonError(
      'INVALID_STATE',
      `takeControl: ${actorKey(actor)} is no person. Take control in a person's name: task.as({ kind: 'human', id }).`,
    )
  }
  if (!open.driving) await stream.catchUp()
  if (state.control && !isHolder(state.control, actor) && expiryOf(state.control) <= Date.now()) await expire(runtime, state.control)
  if (!state.control) await closeOff(open, options)
  await stream.append([], {
    check: () => {
      if (state.closed) throw new BatonError('INVALID_STATE', `Task ${runtime.id} is closed for good; create another one.`)
      if (state.control && !isHolder(state.control, actor)) throw heldError(runtime, state.control)
    },
  })
  // Who finds their lease again works on; what was changed since is theirs already.
  if (state.control) return state.control
  const data = { leaseId: uuidv7(), running, idleMs, ...(reason !== undefined && { reason }) }
  await stream.append([{ type: 'control.taken', actor, data }], {
    check: () => {
      if (state.control) throw heldError(runtime, state.control)
    },
  })
  const lease = state.control as unknown as ControlState
  try {
    if (running !== 'leave') await untilStill(runtime, options)
    // What ran to its end meanwhile was not the person's.
    await closeOff(open, options, (writer) => !writer.holds)
  } catch (error) {
    await giveBack(open, lease, {}).catch(() => {})
    throw error
  }
  return lease
}

function heldError({ id }: TaskRuntime, control: ControlState): BatonError {
  const { actor, since } = control
  const expiresAt = new Date(expiryOf(control)).toISOString()
  return new BatonError(
    'CONTROL_HELD',
    `Task ${id}: ${actor.name ?? actor.id} has had control since ${since}. Wait until it is returned; without a sign of life it expires at ${expiresAt}.`,
    { details: { holder: actor, since, expiresAt } },
  )
}

/** Accounts for everything up to now. */
async function closeOff(
  open: OpenTask,
  { signal }: Abortable,
  writer?: (writer: { holds?: boolean | undefined }) => boolean,
): Promise<void> {
  const { runtime, sandbox, snapshots } = open
  if (!runtime.parts.ledger || !(runtime.state.sandbox ?? sandbox.started)) return
  await snapshots.take(await sandbox.get(signal ?? new AbortController().signal), { reason: 'takeover', signal, writer })
}

/** Waits until no call of the agent runs any more; none can start. */
async function untilStill({ state, stream }: TaskRuntime, { signal }: Abortable): Promise<void> {
  // A call that waits for a person's answer would wait for who waits for it.
  const asks = (callId: string): boolean =>
    [...state.questions.values()].some((asked) => asked.callId === callId && asked.answer === undefined)
  const still = (): true | undefined =>
    [...state.openCalls.values()].some(({ started, callId }) => started && !asks(callId)) ? undefined : true
  await until(stream, still, signal ?? new AbortController().signal, 'Taking control')
}

/** Gives the lease back, with everything that was changed under it, in one append. */
export async function giveBack(
  open: OpenTask,
  lease: ControlState,
  { note, signal }: { note?: string | undefined } & Abortable,
): Promise<void> {
  const { runtime, sandbox, snapshots } = open
  const { state } = runtime
  if (!open.driving) await runtime.stream.catchUp()
  const check = (): void => {
    if (state.control?.leaseId !== lease.leaseId) throw notHeldError(runtime, lease)
  }
  check()
  const label = await labelOf(runtime.parts, note ?? '', [actorKey(lease.actor)])
  const returned: EventDraft = {
    type: 'control.returned',
    actor: lease.actor,
    data: { leaseId: lease.leaseId, ...(note !== undefined && { note }), ...label },
  }
  if (!runtime.parts.ledger || !(state.sandbox ?? sandbox.started)) {
    await runtime.stream.append([returned], { check })
    return
  }
  try {
    const found = await sandbox.get(signal ?? new AbortController().signal)
    await snapshots.take(found, { reason: 'hand-back', also: [returned], check, signal })
  } catch (error) {
    // A sandbox that is gone must not keep the baton.
    if (BatonError.isInstance(error) && keepsLease.has(error.code)) throw error
    await runtime.stream.append([noSnapshotDraft(error), returned], { check })
  }
}

/** With these the lease is not the person's any more, or the log takes nothing, or they changed their mind. */
const keepsLease: ReadonlySet<string> = new Set([...logFailures, 'INVALID_STATE', 'ABORTED'])

function notHeldError({ id, state }: TaskRuntime, { actor }: ControlState): BatonError {
  const now = state.control ? `${state.control.actor.name ?? state.control.actor.id} has it now` : 'nobody has it now'
  return new BatonError(
    'INVALID_STATE',
    `Task ${id}: ${actor.name ?? actor.id} does not have control any more (returned, or expired); ${now}. Take control again to go on.`,
  )
}

/** Ends a lease whose holder gives no sign of life. Changes made until then are credited to the holder. */
async function expire(runtime: TaskRuntime, { leaseId }: ControlState): Promise<void> {
  const { state, stream } = runtime
  const over = (): boolean => state.control?.leaseId === leaseId && expiryOf(state.control) <= Date.now()
  await stream
    .append([{ type: 'control.returned', actor: systemActor, data: { leaseId, expired: true } }], {
      check: () => {
        if (!over()) throw stillThere
      },
    })
    .catch((error: unknown) => {
      if (error !== stillThere) throw error
    })
}

const stillThere = Symbol('the lease was renewed or returned')
/** The longest time that a timer can be set for. */
const maxTimerMs = 2 ** 31 - 1

/** Watches over the lease of a task that this process drives: where the holder vanishes, the agent goes on. Returns how to stop. */
export function watchLease(runtime: TaskRuntime): () => void {
  let timer: NodeJS.Timeout | undefined
  const set = (): void => {
    clearTimeout(timer)
    const { control } = runtime.state
    if (!control) return
    const leftMs = Math.max(0, expiryOf(control) - Date.now())
    timer = setTimeout(
      () => {
        const now = runtime.state.control
        if (!now || expiryOf(now) > Date.now()) return set()
        // Where the log takes no more there is nobody to go on either.
        expire(runtime, now).catch(() => {})
      },
      Math.min(leftMs, maxTimerMs),
    )
    timer.unref()
  }
  set()
  const offs = [runtime.stream.on('control.taken', set), runtime.stream.on('control.returned', set)]
  return () => {
    clearTimeout(timer)
    for (const off of offs) off()
  }
}

/** Says now and then that the holder is still there, until stopped. */
export function keepLease(runtime: TaskRuntime, { leaseId, idleMs, actor }: ControlState): () => void {
  const timer = setInterval(
    () => {
      const { control } = runtime.state
      if (control?.leaseId !== leaseId) return clearInterval(timer)
      if (Date.parse(control.lastSign) + idleMs / 3 > Date.now()) return
      runtime.stream
        .append([{ type: 'control.renewed', actor, data: { leaseId } }], {
          check: () => {
            if (runtime.state.control?.leaseId !== leaseId) throw stillThere
          },
        })
        .catch(() => {})
    },
    Math.min(idleMs / 3, maxTimerMs),
  )
  timer.unref()
  return () => clearInterval(timer)
}

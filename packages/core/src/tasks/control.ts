import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import { RunningCalls } from '../events/control-events.ts'
import type { Actor } from '../events/envelope.ts'
import { actorKey, systemActor } from '../events/envelope.ts'
import type { Event, EventDraft } from '../events/event.ts'
import { until } from '../events/event-stream.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import { labelOf } from './labels.ts'
import { logFailures, noSnapshotDraft } from './look-around.ts'
import type { OpenTask } from './open-task.ts'
import type { TaskRuntime } from './runtime.ts'
import type { ControlState } from './task-state.ts'
import type { Writer } from './writers.ts'

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

/** The longest that a lease may be silent for: a year. */
const maxIdleMs = 366 * 24 * 60 * 60_000
const Options = z.looseObject({
  running: RunningCalls.default('wait'),
  reason: z.string().optional(),
  idleMs: z
    .int()
    .positive()
    .max(maxIdleMs)
    .default(10 * 60_000),
})

/** What a lease has to do with of an open task. */
type Leased = Pick<OpenTask, 'runtime' | 'sandbox' | 'snapshots'>

/** A lease that this process keeps alive until it is over, or `release` is called. */
export interface HeldLease {
  readonly lease: ControlState
  /** It was taken now, and not found again. */
  readonly isNew: boolean
  release(): void
}

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
export async function takeLease(open: OpenTask, actor: Actor, options: TakeControlOptions): Promise<HeldLease> {
  const given = parseOptions('takeControl', Options, options)
  const { runtime } = open
  const { state, stream } = runtime
  if (actor.kind !== 'human') {
    throw new BatonError(
      'INVALID_STATE',
      `takeControl: ${actorKey(actor)} is no person. Take control in a person's name: task.as({ kind: 'human', id }).`,
    )
  }
  if (!open.driving) await stream.catchUp()
  if (state.control && !isHolder(state.control, actor) && expiryOf(state.control) <= Date.now()) await expire(open, state.control)
  if (!state.control && !state.closed) await closeOff(open, options)
  const { lease, isNew } = await claim(runtime, actor, given)
  const release = keepLease(runtime, lease)
  // Nobody was at a desk yet: what is found up to here is not the person's.
  const others = (writer: Writer): boolean => !writer.holds
  try {
    if (lease.running !== 'leave') await untilStill(open, lease, options)
    // What ran to its end meanwhile was not the person's. Who finds their lease again works on; what was changed since is theirs already.
    if (isNew) await closeOff(open, options, others)
    // Beside a call that was cut off, what there is by now may be its as well as theirs; what comes is theirs alone.
    else if (runtime.writers.current().some(others)) await closeOff(open, options)
    if (state.control?.leaseId !== lease.leaseId) throw notHeldError(runtime, lease)
    return { lease, isNew, release }
  } catch (error) {
    release()
    if (isNew) await giveBack(open, lease, { keepsOffers: true, writer: others }).catch(() => {})
    throw error
  }
}

/** Writes the lease down, or finds the one that the person has: two of their programs may ask at the same moment. */
async function claim(
  runtime: TaskRuntime,
  actor: Actor,
  { running, idleMs, reason }: z.output<typeof Options>,
): Promise<{ lease: ControlState; isNew: boolean }> {
  const { state, stream } = runtime
  const data = { leaseId: uuidv7(), running, idleMs, ...(reason !== undefined && { reason }) }
  let found: ControlState | undefined
  const check = (): void => {
    if (state.closed) throw new BatonError('INVALID_STATE', `Task ${runtime.id} is closed for good; create another one.`)
    if (state.control && !isHolder(state.control, actor)) throw heldError(runtime, state.control)
    found = state.control
    if (found) throw foundAgain
  }
  try {
    const [taken] = await stream.append([{ type: 'control.taken', actor, data }], { check })
    const { time, seq } = taken as Event
    return { lease: { ...data, actor, since: time, lastSign: time, seq }, isNew: true }
  } catch (error) {
    if (error !== foundAgain || !found) throw error
    return { lease: found, isNew: false }
  }
}

const foundAgain = Symbol('the person has the lease already')

/** What a person is told while another one has control. */
export function heldError({ id }: TaskRuntime, control: ControlState): BatonError {
  const { actor, since } = control
  const expiresAt = new Date(expiryOf(control)).toISOString()
  return new BatonError(
    'CONTROL_HELD',
    `Task ${id}: ${actor.name ?? actor.id} has had control since ${since}. Wait until it is returned; without a sign of life it expires at ${expiresAt}.`,
    { details: { holder: actor, since, expiresAt } },
  )
}

/** Accounts for everything up to now. */
async function closeOff(open: Leased, { signal }: Abortable, writer?: (writer: Writer) => boolean): Promise<void> {
  const { runtime, sandbox, snapshots } = open
  if (!runtime.parts.ledger || !(runtime.state.sandbox ?? sandbox.started)) return
  await snapshots.take(await sandbox.get(signal ?? new AbortController().signal), { reason: 'takeover', signal, writer })
}

/** Waits until no call of the agent runs any more; none can start. */
async function untilStill(open: OpenTask, { leaseId }: ControlState, { signal }: Abortable): Promise<void> {
  const { state, stream, writers } = open.runtime
  // A call that waits for a person's answer would wait for who waits for it.
  const asks = (callId: string): boolean =>
    [...state.questions.values()].some((asked) => asked.callId === callId && asked.answer === undefined)
  // Calls of the agent, and checks.
  const runs = (): boolean =>
    writers.openCommands(systemActor).length > 0 || [...state.openCalls.values()].some(({ started, callId }) => started && !asks(callId))
  const still = (): true | undefined => (state.control?.leaseId === leaseId && runs() ? undefined : true)
  if (still()) return
  // A call whose run is let go of here, as on a full disk, has nobody who would end it.
  if (open.driving && !open.current) return
  const gone = new AbortController()
  open.current?.result.catch(() => gone.abort())
  try {
    await until(stream, still, signal ? AbortSignal.any([signal, gone.signal]) : gone.signal, 'Taking control')
  } catch (error) {
    if (!gone.signal.aborted || signal?.aborted || open.closing) throw error
  }
}

/** How a lease is given back. */
interface GiveBackOptions extends Abortable {
  readonly note?: string | undefined
  readonly keepsOffers?: boolean | undefined
  /** The holder's commands that this process knows to run on. */
  readonly running?: ReadonlySet<string> | undefined
  readonly writer?: ((writer: Writer) => boolean) | undefined
}

/** Gives the lease back, with everything that was changed under it, in one append. */
export async function giveBack(open: OpenTask, lease: ControlState, options: GiveBackOptions): Promise<void> {
  const { note, keepsOffers, running, writer, signal } = options
  const { runtime } = open
  if (!open.driving) await runtime.stream.catchUp()
  const check = (): void => {
    if (runtime.state.control?.leaseId !== lease.leaseId) throw notHeldError(runtime, lease)
  }
  check()
  const label = await labelOf(runtime.parts, note ?? '', [actorKey(lease.actor)])
  const data = { leaseId: lease.leaseId, ...(note !== undefined && { note }), ...(keepsOffers && { keepsOffers }), ...label }
  const lost = runtime.writers.openCommands(lease.actor).filter((commandId) => !running?.has(commandId))
  const drafts: EventDraft[] = lost.map((commandId) => lostDraft(lease.actor, commandId))
  await endLease(open, [...drafts, { type: 'control.returned', actor: lease.actor, data }], { check, writer, signal })
}

/** Ends a lease, with everything that was changed under it. A sandbox that is gone must not keep the baton. */
async function endLease(
  { runtime, sandbox, snapshots }: Leased,
  returned: readonly EventDraft[],
  { check, writer, signal }: { check(): void; writer?: GiveBackOptions['writer'] } & Abortable,
): Promise<void> {
  if (!runtime.parts.ledger || !(runtime.state.sandbox ?? sandbox.started)) {
    await runtime.stream.append(returned, { check })
    return
  }
  try {
    const found = await sandbox.get(signal ?? new AbortController().signal)
    await snapshots.take(found, { reason: 'hand-back', also: returned, check, writer, signal })
  } catch (error) {
    if (error === stillThere || (BatonError.isInstance(error) && keepsLease.has(error.code))) throw error
    await runtime.stream.append([noSnapshotDraft(error), ...returned], { check })
  }
}

/** The end of a command whose process has died, so that nobody can tell. */
function lostDraft(actor: Actor, commandId: string): EventDraft {
  return { type: 'command.finished', actor, data: { commandId, reason: 'lost', code: null, stdoutBytes: 0, stderrBytes: 0, ms: 0 } }
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
async function expire(open: Leased, { leaseId }: ControlState): Promise<void> {
  const { runtime } = open
  const { state } = runtime
  const check = (): void => {
    if (state.control?.leaseId !== leaseId || expiryOf(state.control) > Date.now()) throw stillThere
  }
  const returned: EventDraft<'control.returned'> = { type: 'control.returned', actor: systemActor, data: { leaseId, expired: true } }
  try {
    await endLease(open, [returned], { check, signal: AbortSignal.timeout(lookMs) })
  } catch (error) {
    if (error === stillThere) return
    if (!BatonError.isInstance(error, 'ABORTED')) throw error
    await runtime.stream.append([noSnapshotDraft(error), returned], { check })
  }
}

/** How long a look at the files may hold up the end of a lease that has expired. */
const lookMs = 60_000
const stillThere = Symbol('the lease was renewed or returned')
/** The longest time that a timer can be set for. */
const maxTimerMs = 2 ** 31 - 1

/** Watches over the lease of a task that this process drives: where the holder vanishes, the agent goes on. Returns how to stop. */
export function watchLease(open: Leased): () => void {
  const { runtime } = open
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
        // Where the log takes no more, as on a full disk, it may later.
        expire(open, now).catch(() => {
          timer = setTimeout(set, lookMs)
          timer.unref()
        })
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

/** Says now and then that the holder is still there, until the lease is over or that is stopped. */
function keepLease(runtime: TaskRuntime, { leaseId, idleMs, actor }: ControlState): () => void {
  const isOver = (): boolean => runtime.state.control?.leaseId !== leaseId
  const timer = setInterval(
    () => {
      const { control } = runtime.state
      if (!control || isOver()) return clearInterval(timer)
      if (Date.parse(control.lastSign) + idleMs / 3 > Date.now()) return
      const check = (): void => {
        if (isOver()) throw stillThere
      }
      runtime.stream.append([{ type: 'control.renewed', actor, data: { leaseId } }], { check }).catch((error: unknown) => {
        if (BatonError.isInstance(error, 'CLOSED')) clearInterval(timer)
      })
    },
    Math.min(idleMs / 3, maxTimerMs),
  )
  timer.unref()
  return () => clearInterval(timer)
}

import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import { actorKey, unknownActor } from '../events/envelope.ts'
import type { EventDraft, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { CheckpointReason } from '../events/workspace-events.ts'
import { applyPlan } from '../ledger/apply-plan.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { planRestore } from '../ledger/restore-plan.ts'
import { planUndo } from '../ledger/undo-plan.ts'
import type { PlanConflict, WritePlan } from '../ledger/write-plan.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { giveBack, takeLease } from './control.ts'
import { findCutPoints } from './fork.ts'
import type { OpenTask } from './open-task.ts'
import { readCommits } from './task-commits.ts'

/** A state of the files that can be come back to. */
export interface Checkpoint {
  readonly id: string
  /** Its place in the log. */
  readonly seq: number
  /** Who made the files what they are in it. */
  readonly actor: Actor
  readonly reason: CheckpointReason
  readonly label?: string | undefined
  /** The commit of the ledger. */
  readonly commit: string
  /** ISO 8601 in UTC. */
  readonly time: string
}

/** Whose changes: all of a kind, one actor's, or those of whom nobody knows. */
export type UndoActor = 'agent' | 'human' | 'unknown' | Pick<Actor, 'kind' | 'id'>

/** What an undo or a restore came to. */
export interface RevertResult {
  /** The files that were written, or removed. Empty where there are conflicts: then nothing was touched. */
  readonly paths: readonly string[]
  readonly conflicts: readonly PlanConflict[]
}

const UndoOptions = z.looseObject({
  actor: z.union([z.enum(['agent', 'human', 'unknown']), z.object({ kind: z.enum(['human', 'agent', 'system']), id: z.string() })]),
  since: z.int().nonnegative().default(0),
})
const RestoreOptions = z.looseObject({
  checkpoint: z.string().min(1),
  what: z.enum(['files', 'conversation', 'both']).default('both'),
})
const CheckpointOptions = z.looseObject({ label: z.string().optional() })

/** The states of a task's files, oldest first, one for each time that somebody changed something, or that one was asked for. */
export async function listCheckpoints({ runtime, driving }: OpenTask): Promise<readonly Checkpoint[]> {
  if (!driving) await runtime.stream.catchUp()
  const found: Checkpoint[] = []
  for await (const event of runtime.stream.read()) found.push(...checkpointIn(event))
  return found
}

function checkpointIn(event: LoggedEvent): Checkpoint[] {
  if (!isKnown(event) || event.type !== 'checkpoint.created') return []
  const { seq, actor, time } = event
  const { checkpointId: id, commit, reason, label } = event.data
  return [{ id, seq, actor, reason, commit, time, ...(label !== undefined && { label }) }]
}

/** Keeps the present state under a name. */
export async function makeCheckpoint(
  open: OpenTask,
  actor: Actor,
  options: { readonly label?: string | undefined } & Abortable,
): Promise<Checkpoint> {
  const { label } = parseOptions('checkpoint', CheckpointOptions, options)
  const { sandbox } = await historyOf(open, options)
  const state = await open.snapshots.take(sandbox, { reason: 'asked', label, always: true, signal: options.signal })
  for await (const event of open.runtime.stream.read({ after: (state?.seq ?? 1) - 1, limit: 1 }))
    for (const checkpoint of checkpointIn(event)) return checkpoint
  throw new BatonError('INVALID_STATE', `Task ${open.runtime.id} has no state to keep. ${actorKey(actor)} asked for one.`)
}

/** Takes back what one actor changed, and keeps what others did. */
export async function undo(
  open: OpenTask,
  actor: Actor,
  options: { readonly actor: UndoActor; readonly since?: number | undefined } & Abortable,
): Promise<RevertResult> {
  const { actor: of, since } = parseOptions('undo', UndoOptions, options)
  return underLease(open, actor, options, async ({ ledger, sandbox, now }) => {
    const { commits, undone } = await readCommits(open.runtime.stream.read())
    const wanted = commits.filter((commit) => commit.seq > since && !undone.has(commit.commit) && !commit.reverts && fits(commit.actor, of))
    const undo = new Set(wanted.map(({ commit }) => commit))
    const settled = new Set([...undone, ...commits.flatMap(({ commit, reverts }) => (reverts ? commit : []))])
    const plan = await planUndo({ ledger, commits, undo, settled, now, signal: options.signal })
    const whose = typeof of === 'string' ? { kind: of === 'unknown' ? ('system' as const) : of, id: of } : of
    return carryOut(open, { ledger, sandbox, plan, reason: 'undo', actor, signal: options.signal }, (paths) => [
      { type: 'changes.undone', actor, data: { of: whose, commits: [...undo], paths: [...paths] } },
    ])
  })
}

function fits(actor: Actor, of: UndoActor): boolean {
  if (typeof of !== 'string') return actorKey(actor) === actorKey(of)
  return of === 'unknown' ? actorKey(actor) === actorKey(unknownActor) : actor.kind === of
}

/** Comes back to a checkpoint: its files, the conversation as it was then, or both. */
export async function restore(
  open: OpenTask,
  actor: Actor,
  options: { readonly checkpoint: string; readonly what?: 'files' | 'conversation' | 'both' | undefined } & Abortable,
): Promise<RevertResult> {
  const { checkpoint: wanted, what } = parseOptions('restore', RestoreOptions, options)
  const { runtime } = open
  const checkpoints = await listCheckpoints(open)
  const target = checkpoints.findLast(({ id, label, commit }) => id === wanted || label === wanted || commit === wanted)
  if (!target) {
    const last = checkpoints.slice(-5).map(({ id, label }) => label ?? id)
    throw new BatonError(
      'UNKNOWN_CHECKPOINT',
      `Task ${runtime.id} has no checkpoint "${wanted}". The last ones: ${last.join(', ') || 'none'}.`,
    )
  }
  if (what === 'files') return restoreFiles(open, actor, target, [], options)
  mayBeSetBack(runtime)
  const toSeq = (await findCutPoints(runtime.stream.read())).before(target.seq)
  const setBack: EventDraft = { type: 'checkpoint.restored', actor, data: { toSeq, checkpointId: target.id } }
  if (what === 'both') return restoreFiles(open, actor, target, [setBack], options)
  await runtime.stream.append([setBack], { check: () => mayBeSetBack(runtime) })
  return { paths: [], conflicts: [] }
}

function restoreFiles(
  open: OpenTask,
  actor: Actor,
  { commit }: Checkpoint,
  also: readonly EventDraft[],
  { signal }: Abortable,
): Promise<RevertResult> {
  return underLease(open, actor, { signal }, async ({ ledger, sandbox, now }) => {
    // While it was waited for control a message may have begun a run.
    if (also.length > 0) mayBeSetBack(open.runtime)
    const plan = await planRestore({ ledger, from: now, to: commit, signal })
    return carryOut(open, { ledger, sandbox, plan, reason: 'restore', restores: commit, actor, signal }, () => also)
  })
}

function mayBeSetBack({ id, state }: OpenTask['runtime']): void {
  if (state.closed) throw new BatonError('INVALID_STATE', `Task ${id} is closed for good; fork it to go on from a checkpoint.`)
  if (!state.run) return
  throw new BatonError(
    'INVALID_STATE',
    `Task ${id} has an open run, whose conversation cannot be set back. Cancel it, or wait for its end.`,
  )
}

interface History {
  readonly ledger: Ledger
  readonly sandbox: Sandbox
  /** The commit of the present state. */
  readonly now: string
}

export async function historyOf(open: OpenTask, { signal }: Abortable): Promise<Omit<History, 'now'>> {
  const { runtime } = open
  const { ledger } = runtime.parts
  if (!ledger)
    throw new BatonError('INVALID_STATE', 'This Baton keeps no history of files (ledger: false), so there is nothing to come back to.')
  if (!runtime.state.sandbox && !open.sandbox.started && !(await open.snapshots.hasLast())) {
    throw new BatonError('INVALID_STATE', `Task ${runtime.id} has no sandbox yet, so there is nothing to come back to.`)
  }
  return { ledger, sandbox: await open.sandbox.get(signal ?? new AbortController().signal) }
}

/** Works on the files while the agent stands still: under the lease that the person holds, or one for as long as it takes. */
async function underLease<T>(open: OpenTask, actor: Actor, options: Abortable, work: (history: History) => Promise<T>): Promise<T> {
  const { state, stream } = open.runtime
  if (!open.driving) await stream.catchUp()
  const history = await historyOf(open, options)
  const held = state.control !== undefined && actorKey(state.control.actor) === actorKey(actor)
  const own = held ? undefined : await takeLease(open, actor, { signal: options.signal })
  try {
    // Under a lease of their own what they changed up to now comes first.
    if (held) await open.snapshots.take(history.sandbox, { reason: 'step', signal: options.signal })
    const now = state.checkpoint?.commit
    if (now === undefined) throw new BatonError('INVALID_STATE', `Task ${open.runtime.id} has no state to come back to.`)
    return await work({ ...history, now })
  } finally {
    if (own) await giveBack(open, own.lease, { keepsOffers: true }).finally(own.release)
  }
}

interface Work {
  readonly ledger: Ledger
  readonly sandbox: Sandbox
  readonly plan: WritePlan
  readonly reason: 'undo' | 'restore'
  readonly restores?: string
  readonly actor: Actor
  readonly signal: AbortSignal | undefined
}

async function carryOut(open: OpenTask, work: Work, events: (paths: readonly string[]) => readonly EventDraft[]): Promise<RevertResult> {
  const { ledger, sandbox, plan, reason, restores, actor, signal } = work
  if (plan.conflicts.length > 0) return { paths: [], conflicts: plan.conflicts }
  const { conflicts } = await applyPlan(sandbox, ledger, plan.writes, { signal })
  if (conflicts.length > 0) return { paths: [], conflicts }
  const paths = plan.writes.map(({ path }) => path)
  await open.snapshots.take(sandbox, { reason, restores, by: actor, also: events(paths), always: true, signal })
  return { paths, conflicts: [] }
}

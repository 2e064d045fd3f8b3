import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { CheckpointReason } from '../events/workspace-events.ts'
import type { ActiveRun } from './run-context.ts'
import { isLetGo, throwIfStopped } from './run-context.ts'

/**
 * Looks for what others changed before the agent goes on. A sandbox that was never started is left alone; one that cannot be looked at stops nobody. While a person
 * has control the looks are theirs: one when the agent has stopped, and one at the end.
 */
export async function lookAround(active: ActiveRun, reason: CheckpointReason = 'step'): Promise<void> {
  const { runtime, sandbox, snapshots, signal } = active
  if (!runtime.parts.ledger || !(runtime.state.sandbox ?? sandbox.started)) return
  if (runtime.state.control && runtime.state.control.running !== 'leave') return
  try {
    await snapshots.take(await sandbox.get(signal), { reason, signal })
  } catch (error) {
    throwIfStopped(active)
    if (isLetGo(signal)) throw signal.reason
    if (BatonError.isInstance(error) && logFailures.has(error.code)) throw error
    await runtime.drive([noSnapshotDraft(error)])
  }
}

/** Before the agent waits, maybe for long: tells what its calls wrote from what comes meanwhile. */
export async function lookBack(active: ActiveRun): Promise<void> {
  if (active.runtime.writers.current().length > 0) await lookAround(active)
}

/** The same for a run that is ending before its time, in whatever state it is. */
export async function lookLast({ runtime, sandbox, snapshots }: ActiveRun): Promise<void> {
  if (!runtime.parts.ledger || !sandbox.started || runtime.state.control || runtime.writers.current().length === 0) return
  const signal = AbortSignal.timeout(lastLookMs)
  try {
    await snapshots.take(await sandbox.started, { reason: 'finish', signal })
  } catch (error) {
    if (BatonError.isInstance(error) && logFailures.has(error.code)) throw error
    await runtime.drive([noSnapshotDraft(error)])
  }
}

/** How long a run that was stopped looks at what it leaves. */
const lastLookMs = 5_000

/** What is told where the files could not be looked at. */
export function noSnapshotDraft(error: unknown): EventDraft<'warning.raised'> {
  return {
    type: 'warning.raised',
    actor: systemActor,
    data: {
      code: 'no-snapshot',
      message: `The files of the sandbox could not be looked at; what others changed is told later, or not at all: ${messageOf(error)}`,
    },
  }
}

/** With these the log itself takes no more. */
export const logFailures: ReadonlySet<string> = new Set(['CLOSED', 'LOST_OWNERSHIP', 'STORE_FULL', 'STORE_FAILED', 'CORRUPT_LOG'])

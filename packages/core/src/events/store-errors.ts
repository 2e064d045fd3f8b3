import { BatonError, messageOf } from '../errors.ts'
import type { LoggedEvent } from './event.ts'

/** Codes of the operating system that mean there is no room: the disk is full, the quota is used up, the file may not grow. */
const fullCodes: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** The operating system's code of an error, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code
}

/** What a failed read or write of a file becomes: `STORE_FULL` where there is no room, else `STORE_FAILED`. A Baton error stays as it is. */
export function fileError(error: unknown, what: string): BatonError {
  if (BatonError.isInstance(error)) return error
  const code = codeOf(error)
  if (fullCodes.has(code))
    return new BatonError('STORE_FULL', `${what}: there is no room (${code}). Nothing of it was stored; free some space and try again.`, {
      cause: error,
      details: { code },
    })
  return new BatonError('STORE_FAILED', `${what}: ${messageOf(error)}`, { cause: error, details: { code } })
}

/** The error for an append whose `after` is not the log's end. */
export function conflictError(taskId: string, after: number, lastSeq: number): BatonError {
  return new BatonError(
    'CONFLICT',
    `Task ${taskId}: the log ends at seq ${lastSeq}, not at ${after}. Read on from ${after} and try again.`,
    {
      details: { taskId, after, lastSeq },
    },
  )
}

/** The error for a task that a store does not have. */
export function unknownTaskError(taskId: string): BatonError {
  return new BatonError('UNKNOWN_TASK', `There is no task "${taskId}" in this store.`, { details: { taskId } })
}

/** The error for a call to a store that was closed. */
export function storeClosedError(): BatonError {
  return new BatonError('CLOSED', 'The store is closed. Create another one to go on.')
}

/**
 * Checks that events follow on `after` one by one.
 *
 * @throws BatonError `INVALID_EVENT` naming the one that does not, or when there are none.
 */
export function checkOrder(taskId: string, events: readonly LoggedEvent[], after: number): void {
  if (events.length === 0) throw new BatonError('INVALID_EVENT', `Task ${taskId}: an append needs at least one event.`)
  for (const [index, { seq }] of events.entries()) {
    if (seq !== after + index + 1)
      throw new BatonError(
        'INVALID_EVENT',
        `Task ${taskId}: event ${index + 1} of the append has seq ${seq}, but ${after + index + 1} is next.`,
        {
          details: { taskId, seq, expected: after + index + 1 },
        },
      )
  }
}

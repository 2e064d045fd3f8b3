import { BatonError } from '../errors.ts'

/** The error for something in a ledger that is not there, or cannot be read. */
export function damagedError(dir: string, what: string, details: Readonly<Record<string, unknown>> = {}, cause?: unknown): BatonError {
  return new BatonError(
    'LEDGER_DAMAGED',
    `The ledger ${dir} ${what}. Nothing was changed. Restore it from a copy, or start the task anew; \`git --git-dir=${dir} fsck\` says what else is missing.`,
    { details: { dir, ...details }, ...(cause !== undefined && { cause }) },
  )
}

/** The error for an object that is not there. */
export function missingError(dir: string, oid: string, what: string, details: Readonly<Record<string, unknown>> = {}): BatonError {
  return damagedError(dir, `has no object ${oid}, which is ${what}`, { oid, ...details })
}

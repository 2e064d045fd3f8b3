const marker = Symbol.for('baton.error')

/** What went wrong, for code to branch on. Each code is thrown on a tested path and explained in docs/reference/errors.md. */
export type BatonErrorCode =
  | 'ABORTED'
  | 'CHECK_NOT_STARTED'
  | 'CLOSED'
  | 'CONFLICT'
  | 'CONTROL_HELD'
  | 'CORRUPT_FILE'
  | 'CORRUPT_LOG'
  | 'FILE_CHANGED'
  | 'FILE_NOT_FOUND'
  | 'FILE_TOO_LARGE'
  | 'HOOK_REFUSED'
  | 'INVALID_EVENT'
  | 'INVALID_OPTIONS'
  | 'INVALID_STATE'
  | 'INVALID_WORKSPACE'
  | 'LEDGER_DAMAGED'
  | 'LIMIT_REACHED'
  | 'LOST_OWNERSHIP'
  | 'MODEL_FAILED'
  | 'NO_ELIGIBLE_MODEL'
  | 'NOT_A_FILE'
  | 'PATH_OUTSIDE_WORKDIR'
  | 'SANDBOX_FAILED'
  | 'SANDBOX_LOST'
  | 'STORE_FAILED'
  | 'STORE_FULL'
  | 'UNKNOWN_AGENT'
  | 'UNKNOWN_BLOB'
  | 'UNKNOWN_CHECKPOINT'
  | 'UNKNOWN_MODEL'
  | 'UNKNOWN_REQUEST'
  | 'UNKNOWN_SANDBOX'
  | 'UNKNOWN_TASK'
  | 'UNSUPPORTED_REPOSITORY'
  | 'UNSUPPORTED_SPEC'

/** Facts that go with an error, JSON-like: a path, a line number, the ids that would have been right. */
export type ErrorDetails = Readonly<Record<string, unknown>>

/** Options of {@link BatonError}. */
export interface BatonErrorOptions extends ErrorOptions {
  readonly details?: ErrorDetails | undefined
}

/** Base of every error this SDK throws on purpose. Branch on `code`, never on `message`. */
export class BatonError extends Error {
  override readonly name: string = 'BatonError'
  /** Marks the class across duplicate installs of this package, where `instanceof` fails. */
  readonly [marker] = true
  /** What went wrong, for code. */
  readonly code: BatonErrorCode
  /** Facts that go with it. */
  readonly details: ErrorDetails

  constructor(code: BatonErrorCode, message: string, options: BatonErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.details = options.details ?? {}
  }

  /** Whether a value is a Baton error, from this or another copy of the package; with `code`, whether it is that one. */
  static isInstance(value: unknown, code?: BatonErrorCode): value is BatonError {
    return value instanceof Error && marker in value && (code === undefined || (value as BatonError).code === code)
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The error for an aborted call, with the signal's reason as its cause. */
export function abortedError(signal: AbortSignal, what: string): BatonError {
  if (BatonError.isInstance(signal.reason)) return signal.reason
  return new BatonError('ABORTED', `${what} was aborted: ${messageOf(signal.reason)}`, { cause: signal.reason })
}

/** Throws {@link abortedError} when the signal is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw abortedError(signal, what)
}

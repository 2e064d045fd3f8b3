import type { BatonError } from '../errors.ts'
import type { ModelFailed } from '../events/model-events.ts'
import { noEligibleModel } from './eligibility.ts'
import type { ModelErrorKind } from './model.ts'
import { ModelError } from './model.ts'

/** What a person can do about each kind of failure. */
const advice: Readonly<Record<ModelErrorKind, string>> = {
  'rate-limited': 'Go on later, raise the limit at the provider, or add a second model to the router.',
  overloaded: 'Go on later, or add a second model to the router.',
  server: 'Go on later, or add a second model to the router.',
  network: 'Check the base URL, the proxy and the connection of this host, or add a second model to the router.',
  timeout: 'Raise the time limits for model calls if this model is known to be slow, or add a second model to the router.',
  'cut-stream': 'Look for a proxy that closes long answers, or add a second model to the router.',
  unauthorized: 'Check the API key of this provider.',
  'unknown-model': 'Check the name of the model; the provider has none of that name, or the key may not use it.',
  'context-too-long': 'Compact the context, correct `contextWindow` in the info of the model, or add a model with a larger window.',
  'bad-request': 'The provider refused the request; its message says why.',
  quota: 'The account with this provider is used up: top it up, or add a model of another provider.',
  'content-filter': 'The provider refused the content; rephrase the request, or add a model of another provider.',
}

/**
 * The error of a call whose every attempt failed: the last failure of a model, told together with all of them (`details.attempts`), or
 * `NO_ELIGIBLE_MODEL` where none was allowed to be tried.
 */
export function callFailed(failures: readonly ModelFailed[], last: ModelError | undefined): BatonError {
  if (!last) {
    const considered = failures.map(({ model, error }) => ({ model, reason: reasonOf(error.code), detail: error.message }))
    return noEligibleModel(considered)
  }
  const attempts = failures.map(({ model, attempt, error }) => ({
    model,
    attempt,
    code: error.code,
    ...(error.details?.kind !== undefined && { kind: error.details.kind }),
    message: error.message,
  }))
  const models = [...new Set(failures.map(({ model }) => model))]
  const tries =
    attempts.length === 1 ? 'The model call failed' : `The model call failed after ${attempts.length} attempts (${models.join(', ')})`
  return new ModelError(last.kind, `${tries}: ${last.message} ${advice[last.kind] ?? ''}`.trimEnd(), {
    cause: last,
    status: last.status,
    retryAfterMs: last.retryAfterMs,
    details: { ...last.details, attempts },
  })
}

/** `NOT_CLEARED` in a record of a failure is `not-cleared` in a consideration. */
function reasonOf(code: string): string {
  return code.toLowerCase().replaceAll('_', '-')
}

/** The code of a record for a reason to leave a model out. */
export function codeOf(reason: string): string {
  return reason.toUpperCase().replaceAll('-', '_')
}

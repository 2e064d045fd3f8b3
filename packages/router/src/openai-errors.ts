import type { ModelErrorKind } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'

/** What providers say of a failure, whatever shape they say it in. */
export interface ProviderFailure {
  readonly message: string
  readonly type: string
  readonly code: string
}

/** Finds the failure in a parsed body: `{ error: { message } }`, `{ error: "text" }`, `{ detail }`, `{ message }`, or the first of a list of these. */
export function failureOf(body: unknown): ProviderFailure | undefined {
  if (Array.isArray(body)) return failureOf(body[0])
  if (typeof body === 'string') return { message: body, type: '', code: '' }
  if (typeof body !== 'object' || body === null) return undefined
  const { error, detail, message, type, code } = body as Record<string, unknown>
  if (error !== undefined && error !== null) return failureOf(error)
  const text = message ?? detail
  if (text === undefined && code === undefined) return undefined
  return {
    message: typeof text === 'string' ? text : text === undefined ? '' : JSON.stringify(text),
    type: typeof type === 'string' ? type : '',
    code: typeof code === 'string' || typeof code === 'number' ? String(code) : '',
  }
}

const tooLong =
  /context[_ -]?(length|window|size)|maximum context|exceed_context|(prompt|input|request|message)s? (is|are) too (long|large)|too many (input )?tokens|reduce (the|your) (length|prompt|input)|input (length|tokens?)[^.]{0,60}exceed|exceeds? the (model|maximum|available|limit of)/
const noQuota =
  /insufficient[_ ](quota|balance|credit|fund)|exceeded your current quota|credit balance|billing|payment required|out of credits/
const noModel =
  /model_not_found|(?:^|\W)models?\W.{0,120}(not found|(does )?not exist|not valid|not supported|not available|invalid)|(invalid|unknown|unsupported|no such) model|no endpoints found|not a valid model/
const filtered = /content[_ -]?(filter|policy|management)|moderation|flagged|safety (system|policy)|responsibleai/
const busy = /overloaded|over capacity|at capacity|temporarily unavailable|resource.?exhausted|insufficient_system_resource/

/** The kind of a failure, from the status and from what the provider says. */
export function failureKind(status: number | undefined, { message, type, code }: ProviderFailure): ModelErrorKind {
  const text = `${code} ${type} ${message}`.toLowerCase()
  // Some put the status of a failure in mid-stream into its code.
  const number = status ?? (/^[45]\d\d$/.test(code) ? Number(code) : undefined)
  const isClients = number === undefined || (number >= 400 && number < 500)
  if (number === 401 || /invalid_api_key|authentication_error/.test(code)) return 'unauthorized'
  if (number === 402 || (isClients && noQuota.test(text) && !/rate_limit/.test(code))) return 'quota'
  if (number === 413) return 'context-too-long'
  if (number === 429 || /rate_limit|too_many_requests/.test(`${code} ${type}`)) return 'rate-limited'
  if (number === 408) return 'timeout'
  if (number === 503 || number === 529) return 'overloaded'
  // llama.cpp and some gateways say it with a 500.
  if (tooLong.test(text)) return 'context-too-long'
  if (isClients && filtered.test(text)) return 'content-filter'
  if (number === 403) return 'unauthorized'
  if (isClients && noModel.test(text)) return 'unknown-model'
  if (busy.test(text)) return 'overloaded'
  if (number === 409 || number === 425) return 'server'
  if (number === undefined) return /invalid_request|bad_request|invalid_prompt/.test(`${code} ${type}`) ? 'bad-request' : 'server'
  return number >= 500 ? 'server' : 'bad-request'
}

/** What a response asks to wait, in milliseconds: `retry-after-ms`, or `retry-after` as seconds or as a date (RFC 9110, 10.2.3). */
export function retryAfterMs(headers: Headers, now: number): number | undefined {
  const exact = Number.parseFloat(headers.get('retry-after-ms') ?? '')
  if (exact >= 0) return Math.ceil(exact)
  const text = headers.get('retry-after')?.trim() ?? ''
  if (/^\d+(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000)
  const date = /^[A-Z][a-z]{2}/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/** Everything that goes into an error for a failure that the provider reported. */
export interface ReportedFailure {
  readonly id: string
  readonly failure: ProviderFailure
  readonly status?: number | undefined
  readonly headers?: Headers | undefined
  /** Takes the credentials out of a text. */
  redact(text: string): string
}

/** The error for a failure that the provider reported. */
export function reportedError({ id, failure, status, headers, redact }: ReportedFailure): ModelError {
  const kind = failureKind(status, failure)
  const said = redact(failure.message).replace(/\s+/g, ' ').trim()
  const requestId = headers?.get('x-request-id')
  return new ModelError(
    kind,
    `${id}: ${kind}${status === undefined ? '' : ` (${status})`}: ${shorten(said) || 'the provider did not say why'}`,
    {
      status,
      retryAfterMs: headers && retryAfterMs(headers, Date.now()),
      details: {
        ...(failure.code && { providerCode: redact(failure.code) }),
        ...(requestId && { requestId: redact(requestId) }),
      },
    },
  )
}

/** The error for a request that got no answer, or whose answer broke off. */
export function transportError(error: unknown, host: string): unknown {
  if (!(error instanceof Error) || error instanceof ModelError) return error
  const cause = error.cause as { code?: unknown; message?: unknown } | undefined
  const code = typeof cause?.code === 'string' ? cause.code : ''
  if (/TIMEOUT|ETIMEDOUT/.test(code))
    return new ModelError('timeout', `${host} did not answer in the time that the transport gives (${code})`, { cause: error })
  const why = code || (typeof cause?.message === 'string' ? cause.message : error.message)
  return new ModelError('network', `cannot reach ${host}: ${why}`, { cause: error })
}

function shorten(text: string): string {
  return text.length > 600 ? `${text.slice(0, 600)} …` : text
}

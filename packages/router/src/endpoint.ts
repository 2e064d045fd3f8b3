import { BatonError } from '@baton-sdk/core'
import { ModelError } from '@baton-sdk/core/plugin'
import OpenAI from 'openai'
import { transportError } from './openai-errors.ts'

/** A key, a way to get one for each request, or `false` for an endpoint that wants none. */
export type ApiKey = string | (() => string | Promise<string>) | false

/** What an {@link Endpoint} is made of. */
export interface EndpointOptions {
  readonly baseUrl?: string | undefined
  readonly apiKey?: ApiKey | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
}

/** Where requests go, and with which credentials. */
export interface Endpoint {
  readonly url: URL
  readonly host: string
  /** Whether it is on this host: `localhost`, 127.0.0.0/8 or ::1, and nothing else. */
  readonly isLoopback: boolean
  /** The URL of a path of the server itself, beside the API. */
  ofServer(path: string): string
  /** Sends JSON. Resolves with whatever status comes. Throws a `ModelError` where none comes. */
  post(path: string, body: object, signal: AbortSignal): Promise<Response>
  /** Asks for JSON. Resolves with whatever status comes. Throws a `ModelError` where none comes. */
  get(path: string, signal: AbortSignal): Promise<Response>
  /** The names of its models. */
  listModels(signal: AbortSignal): Promise<string[]>
  /** A text without the credentials: servers like to quote them. */
  redact(text: string): string
}

const openaiUrl = 'https://api.openai.com/v1'
const credentialHeader = /authorization|api-?key|token|secret|cookie/i
const headerText = /^[\t\x20-\x7e]*$/

/**
 * Makes an {@link Endpoint} on the openai package, which builds URLs and headers. The transfer is made here: no retries, no time limit,
 * and an abort that closes the connection.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createEndpoint(options: EndpointOptions): Endpoint {
  const url = parseUrl(options.baseUrl ?? (process.env.OPENAI_BASE_URL?.trim() || openaiUrl))
  const isLoopback = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname)
  const isOwn = isOpenAIEnvironment(url)
  const secrets = new Set<string>()
  const headers = parseHeaders(options.headers ?? {}, secrets)
  const apiKey = resolveKey(options.apiKey ?? (isOwn ? process.env.OPENAI_API_KEY || undefined : undefined), secrets)
  const hasCredentials = Object.keys(headers).some((name) => /^(authorization|api-key|x-api-key)$/i.test(name))
  if (apiKey === undefined && options.apiKey !== false && !isLoopback && !hasCredentials) throw invalid('apiKey', keyAdvice(url, isOwn))

  const client = new OpenAI({
    apiKey: apiKey ?? 'none',
    baseURL: url.href.replace(/\/$/, ''),
    defaultHeaders: { ...(apiKey === undefined && { authorization: null }), ...(!isOwn && hiddenHeaders()), ...headers },
    adminAPIKey: null,
    // What the environment says of OpenAI is nobody else's business.
    ...(!isOwn && { organization: null, project: null }),
    logLevel: 'off',
  })
  const send: typeof globalThis.fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  const request = async (method: 'get' | 'post', path: string, body: object | undefined, signal: AbortSignal) => {
    const { req, url: target } = await client.buildRequest({ method, path, ...(body && { body }) }).catch((error: unknown) => {
      throw error instanceof ModelError ? error : new ModelError('unauthorized', `apiKey: ${redact(messageOf(error))}`, { cause: error })
    })
    return send(target, { ...req, method: method.toUpperCase(), signal } as RequestInit)
  }
  const redact = (text: string) => {
    let clean = text
    for (const secret of secrets) clean = clean.replaceAll(secret, '[redacted]')
    return clean
  }
  return {
    url,
    host: url.hostname,
    isLoopback,
    redact,
    ofServer: (path) => new URL(path, url.origin).href,
    async post(path, body, signal) {
      return request('post', path, body, signal).catch((error: unknown) => {
        throw transportError(error, url.host)
      })
    },
    async get(path, signal) {
      return request('get', path, undefined, signal).catch((error: unknown) => {
        throw transportError(error, url.host)
      })
    },
    async listModels(signal) {
      const response = await request('get', '/models', undefined, signal)
      const { data } = (await response.json()) as { data?: readonly { id?: unknown }[] }
      return (data ?? []).map(({ id }) => String(id))
    },
  }
}

function parseUrl(text: string): URL {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol))
    throw invalid('baseUrl', `expected an http or https URL such as ${openaiUrl}, received ${JSON.stringify(text)}`)
  if (url.username || url.password) throw invalid('baseUrl', 'holds a user name or password; pass them as `headers`')
  return url
}

/** Whether what OPENAI_* variables say is meant for this URL: a key never goes to a host that it was not given for. */
function isOpenAIEnvironment(url: URL): boolean {
  if (url.origin === new URL(openaiUrl).origin) return true
  return process.env.OPENAI_BASE_URL !== undefined && URL.parse(process.env.OPENAI_BASE_URL.trim())?.origin === url.origin
}

/** Takes headers of OPENAI_CUSTOM_HEADERS, which the package adds everywhere, out again. */
function hiddenHeaders(): Record<string, null> {
  const names = (process.env.OPENAI_CUSTOM_HEADERS ?? '').split('\n').map((line) => line.split(':')[0]?.trim() ?? '')
  return Object.fromEntries(names.filter((name) => name !== '').map((name) => [name, null]))
}

function parseHeaders(headers: Readonly<Record<string, string>>, secrets: Set<string>): Record<string, string> {
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) throw invalid(`headers.${name}`, 'is no name of a header')
    if (!headerText.test(value)) throw invalid(`headers.${name}`, 'holds a character that no header can (a line end?)')
    if (!credentialHeader.test(name)) continue
    keep(secrets, value)
    keep(secrets, value.replace(/^\w+ /, ''))
  }
  return { ...headers }
}

function resolveKey(apiKey: ApiKey | undefined, secrets: Set<string>): string | (() => Promise<string>) | undefined {
  if (apiKey === undefined || apiKey === false) return undefined
  if (typeof apiKey === 'string') {
    const problem = keyProblem(apiKey)
    if (problem) throw invalid('apiKey', problem)
    keep(secrets, apiKey)
    return apiKey
  }
  return async () => {
    const key = await Promise.resolve(apiKey())
    const problem = typeof key === 'string' ? keyProblem(key) : 'expected a string'
    if (problem) throw new ModelError('unauthorized', `what the function apiKey returned: ${problem}`)
    keep(secrets, key)
    return key
  }
}

function keyProblem(key: string): string | undefined {
  if (key === '') return 'is empty'
  return /^[\x21-\x7e]+$/.test(key) ? undefined : 'holds a space, a line end or a character that no header can'
}

/** Remembers a secret; of keys that change, the last ones. What is shorter than six characters is a placeholder, and would blank out half of a message. */
function keep(secrets: Set<string>, secret: string): void {
  if (secret.length < 6) return
  secrets.delete(secret)
  secrets.add(secret)
  const [oldest] = secrets
  if (secrets.size > 32 && oldest !== undefined) secrets.delete(oldest)
}

function keyAdvice(url: URL, isOwn: boolean): string {
  const how = isOwn ? 'pass it or set OPENAI_API_KEY' : 'pass it (OPENAI_API_KEY is only sent to api.openai.com and OPENAI_BASE_URL)'
  return `${url.host} needs a key: ${how}; \`false\` sends none`
}

function invalid(field: string, problem: string): BatonError {
  return new BatonError('INVALID_OPTIONS', `createOpenAIModel: ${field}: ${problem}`, { details: { issues: [{ field, problem }] } })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

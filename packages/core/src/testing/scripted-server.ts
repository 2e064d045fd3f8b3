import { existsSync } from 'node:fs'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '../errors.ts'
import type { ModelErrorKind } from '../models/model.ts'
import { parseOptions } from '../options.ts'
import { checkCompletionsRequest, checkFimRequest } from './completions-schema.ts'
import type { SchemaCheck } from './openai-schemas.ts'
import { loadOpenAISchema } from './openai-schemas.ts'
import type { WireContext } from './openai-wire.ts'
import { chatBody, chatEvents, responseBody, responseEvents, textBody, textEvents } from './openai-wire.ts'
import type { Script, ScriptedFailure, ScriptedReply, ScriptedStep } from './script.ts'
import { pause, playScript, ScriptSchema } from './script.ts'

/** Data of a stream as it is sent, one JSON text for each event: a recording, or deliberate nonsense. `[DONE]` follows. */
export interface RawReply {
  readonly chunks: readonly string[]
  readonly delayMs?: number | undefined
  readonly cutAfter?: number | undefined
  readonly stallAfter?: number | undefined
}

/** A plain HTTP response. A body that is no string is sent as JSON. */
export interface HttpReply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: unknown
  readonly delayMs?: number | undefined
}

/** What a scripted server does with one request. */
export type ServerStep = ScriptedStep | RawReply | HttpReply

type ServerApi = 'chat' | 'responses' | 'completions' | 'fim'

/** A request that a scripted server received. */
export interface ServerRequest {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** `completions`: text, also with a suffix to fill in the middle. `fim`: Mistral's own way to do that. */
  readonly api: ServerApi
  /** As parsed. */
  readonly body: Readonly<Record<string, unknown>>
  /** How many answers of the model are in the request: the step of a conversation, from 0. */
  readonly turn: number
  /** Of the client: requests that share it share a connection. */
  readonly remotePort: number | undefined
  /** `sent` once the reply went out whole, `gone` once the connection ended before that. */
  readonly ended: Promise<'sent' | 'gone'>
}

/** A request that broke the published schema. */
export interface SchemaProblem {
  /** Number of the request, from 1. It takes no step of the script. */
  readonly request: number
  readonly path: string
  readonly problems: readonly string[]
}

/** Options of {@link startScriptedServer}. */
export interface ScriptedServerOptions {
  /** Folder with OpenAI's request schemas for chat and responses, against which each request is checked; those for completions are built in. Default: `$BATON_DATA/openai` where that exists; `false` checks nothing. */
  readonly schemaDir?: string | false | undefined
  /** Begins again when the script is at its end. Default false. */
  readonly loop?: boolean | undefined
  /** Longest piece of text. Default 16 characters. */
  readonly pieceLength?: number | undefined
  /** Keeps each request in `requests`. Default true. */
  readonly record?: boolean | undefined
  /** Names that `GET /v1/models` lists. Default `scripted`. */
  readonly models?: readonly string[] | undefined
}

/** An OpenAI-compatible server on loopback that plays a script. */
export interface ScriptedServer {
  /** Base URL for a client, with `/v1`. */
  readonly url: string
  readonly port: number
  /** Model calls in the order of their arrival; refused ones too. */
  readonly requests: readonly ServerRequest[]
  readonly problems: readonly SchemaProblem[]
  /** Whether requests of chat and responses are checked against the published schemas. */
  readonly validated: boolean
  /** Ends open replies and frees the port. Safe to call repeatedly. */
  close(): Promise<void>
}

const Options = z.object({
  schemaDir: z.union([z.string().min(1), z.literal(false)]).optional(),
  loop: z.boolean().default(false),
  pieceLength: z.int().positive().default(16),
  record: z.boolean().default(true),
  models: z.array(z.string()).default(['scripted']),
})

/**
 * Starts an OpenAI-compatible server on a free port of 127.0.0.1: `POST /v1/chat/completions`, `/v1/responses`, `/v1/completions` and Mistral's
 * `/v1/fim/completions`, streamed and not, and `GET /v1/models`. It takes the script's steps in the order in which requests arrive; a function sees each request, so that many
 * conversations can share a server (see `ServerRequest.turn`). A request that breaks the schema gets status 400 and is kept in `problems`.
 *
 * @throws BatonError `INVALID_OPTIONS`, also where `schemaDir` is given and lacks the schemas.
 */
export async function startScriptedServer(
  script: Script<ServerStep, ServerRequest>,
  options: ScriptedServerOptions = {},
): Promise<ScriptedServer> {
  parseOptions('startScriptedServer', z.object({ script: ScriptSchema }), { script })
  const parsed = parseOptions('startScriptedServer', Options, options)
  const checks = await loadChecks(parsed.schemaDir)
  const requests: ServerRequest[] = []
  const problems: SchemaProblem[] = []
  const play = playScript('startScriptedServer', script, parsed.loop)
  const stop = new AbortController()
  let arrived = 0
  let calls = 0

  async function answerCall(request: ServerRequest, text: string, response: ServerResponse): Promise<void> {
    arrived++
    if (parsed.record) requests.push(request)
    const wrong = checks[request.api]?.(request.body) ?? []
    if (wrong.length > 0) {
      problems.push({ request: arrived, path: request.path, problems: wrong })
      return sendError(response, 400, 'invalid_request_error', null, `The request breaks the schema: ${wrong.join('; ')}`)
    }
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    const signal = AbortSignal.any([gone.signal, stop.signal])
    const call = ++calls
    const step = await play(request, call)
    if (step.delayMs) await pause(step.delayMs, signal)
    if ('status' in step) return sendHttp(response, step)
    if ('error' in step) return sendFailure(response, step, signal)
    const { body, api } = request
    const context = {
      call,
      model: String(body.model),
      requestLength: text.length,
      pieceLength: parsed.pieceLength,
      includeUsage: (body.stream_options as { include_usage?: boolean } | undefined)?.include_usage === true,
    }
    if ('chunks' in step)
      return sendEvents(response, [...step.chunks.map((chunk) => `data: ${chunk}\n\n`), 'data: [DONE]\n\n'], step, signal)
    const { events, whole } = renderers[api]
    if (body.stream === true) return sendEvents(response, events(step, context), step, signal)
    sendJson(response, 200, whole(step, context))
  }

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      if (response.destroyed || response.headersSent) response.destroy()
      else sendError(response, 400, 'scripted_server_error', null, messageOf(error))
    })
  })
  async function handle(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = incoming.url?.split('?')[0] ?? '/'
    const text = await readText(incoming)
    if (incoming.method === 'GET' && path === '/v1/models')
      return sendJson(response, 200, {
        object: 'list',
        data: parsed.models.map((id) => ({ id, object: 'model', created: 0, owned_by: 'script' })),
      })
    const api = apis[path]
    if (incoming.method !== 'POST' || !api)
      return sendError(response, 404, 'invalid_request_error', null, `No such endpoint: ${incoming.method} ${path}`)
    const ended = new Promise<'sent' | 'gone'>((resolve) => {
      response.on('close', () => resolve(response.writableFinished ? 'sent' : 'gone'))
    })
    const body = JSON.parse(text) as Record<string, unknown>
    await answerCall(
      { path, headers: incoming.headers, api, body, turn: turnOf(body), remotePort: incoming.socket.remotePort, ended },
      text,
      response,
    )
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  return {
    url: `http://127.0.0.1:${port}/v1`,
    port,
    requests,
    problems,
    validated: checks.chat !== undefined,
    close() {
      closing ??= new Promise((resolve) => {
        stop.abort()
        server.close(() => resolve())
        server.closeAllConnections()
      })
      return closing
    },
  }
}

const apis: Readonly<Record<string, ServerApi>> = {
  '/v1/chat/completions': 'chat',
  '/v1/responses': 'responses',
  '/v1/completions': 'completions',
  '/v1/fim/completions': 'fim',
}

interface Renderer {
  events(reply: ScriptedReply, context: WireContext): string[]
  whole(reply: ScriptedReply, context: WireContext): Record<string, unknown>
}

const renderers: Readonly<Record<ServerApi, Renderer>> = {
  chat: { events: chatEvents, whole: chatBody },
  responses: { events: responseEvents, whole: responseBody },
  completions: { events: textEvents, whole: textBody },
  // Answers as chat completions do, and tells usage without being asked.
  fim: { events: (reply, context) => chatEvents(reply, { ...context, includeUsage: true }), whole: chatBody },
}

async function loadChecks(schemaDir: string | false | undefined): Promise<Partial<Record<ServerApi, SchemaCheck>>> {
  const dir = schemaDir ?? (process.env.BATON_DATA ? join(process.env.BATON_DATA, 'openai') : false)
  if (schemaDir === false) return {}
  const own = { completions: checkCompletionsRequest, fim: checkFimRequest }
  if (dir === false || (schemaDir === undefined && !existsSync(dir))) return own
  const [chat, responses] = await Promise.all([
    loadOpenAISchema(dir, 'chat-completions-request'),
    loadOpenAISchema(dir, 'responses-request'),
  ])
  return { chat, responses, ...own }
}

/** Assistant messages on chat completions; on the responses API runs of items that the model made. */
function turnOf(body: Readonly<Record<string, unknown>>): number {
  if (Array.isArray(body.messages)) return (body.messages as { role?: unknown }[]).filter(({ role }) => role === 'assistant').length
  let turns = 0
  let inside = false
  for (const item of Array.isArray(body.input) ? (body.input as { type?: unknown; role?: unknown }[]) : []) {
    const own = item.role === 'assistant' || item.type === 'function_call' || item.type === 'reasoning'
    if (own && !inside) turns++
    inside = own
  }
  return turns
}

async function readText(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

async function sendEvents(
  response: ServerResponse,
  events: readonly string[],
  { cutAfter, stallAfter }: { readonly cutAfter?: number | undefined; readonly stallAfter?: number | undefined },
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  response.flushHeaders()
  for (const event of events.slice(0, Math.min(cutAfter ?? Number.POSITIVE_INFINITY, stallAfter ?? Number.POSITIVE_INFINITY)))
    response.write(event)
  if (stallAfter !== undefined && stallAfter <= (cutAfter ?? stallAfter)) await pause(undefined, signal)
  if (cutAfter === undefined) response.end()
  // An empty write is acknowledged once everything before it has left.
  else response.write('', () => response.destroy())
}

const failures: Readonly<Record<ModelErrorKind, readonly [status: number, type: string, code: string | null] | 'reset'>> = {
  'rate-limited': [429, 'requests', 'rate_limit_exceeded'],
  quota: [429, 'insufficient_quota', 'insufficient_quota'],
  overloaded: [503, 'server_error', 'overloaded'],
  server: [500, 'server_error', null],
  timeout: [408, 'timeout', null],
  unauthorized: [401, 'invalid_request_error', 'invalid_api_key'],
  'unknown-model': [404, 'invalid_request_error', 'model_not_found'],
  'context-too-long': [400, 'invalid_request_error', 'context_length_exceeded'],
  'bad-request': [400, 'invalid_request_error', null],
  'content-filter': [400, 'invalid_request_error', 'content_filter'],
  network: 'reset',
  'cut-stream': 'reset',
}

function sendFailure(response: ServerResponse, { error }: ScriptedFailure, signal: AbortSignal): Promise<void> | void {
  const how = failures[error.kind]
  if (error.kind === 'cut-stream') return sendEvents(response, [], { cutAfter: 0 }, signal)
  if (how === 'reset') {
    response.destroy()
    return
  }
  if (error.retryAfterMs !== undefined) {
    response.setHeader('retry-after', String(Math.ceil(error.retryAfterMs / 1000)))
    response.setHeader('retry-after-ms', String(error.retryAfterMs))
  }
  sendError(response, error.status ?? how[0], how[1], how[2], error.message ?? `scripted failure: ${error.kind}`)
}

function sendHttp(response: ServerResponse, { status, headers, body }: HttpReply): void {
  const isText = typeof body === 'string' || body === undefined
  response.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json', ...headers })
  response.end(isText ? body : JSON.stringify(body))
}

function sendError(response: ServerResponse, status: number, type: string, code: string | null, message: string): void {
  sendJson(response, status, { error: { message, type, param: null, code } })
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

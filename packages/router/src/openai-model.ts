import type { Model } from '@baton-sdk/core'
import type { Abortable, ModelChunk } from '@baton-sdk/core/plugin'
import { abortedError, ModelError, ModelInfo, parseOptions, throwIfAborted } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { infoOf, sharedCatalogue } from './catalogue/catalogue.ts'
import { chatCompletions } from './chat-completions.ts'
import { fimWire } from './completions.ts'
import type { Endpoint } from './endpoint.ts'
import { createEndpoint } from './endpoint.ts'
import type { FimFormat } from './fim-formats.ts'
import { fimFormatOf, fimTemplates } from './fim-formats.ts'
import { nearestNames } from './nearest-names.ts'
import { failureOf, reportedError, transportError } from './openai-errors.ts'
import type { OpenAIQuirks } from './openai-quirks.ts'
import { OpenAIQuirksSchema, resolveQuirks } from './openai-quirks.ts'
import { readReply } from './reply-stream.ts'
import { responses } from './responses.ts'
import type { ReplyReader, Wire, WireConfig } from './wire.ts'

/** Options of {@link createOpenAIModel}. */
export interface OpenAIModelOptions {
  /** The provider's name for the model, for example `gpt-5.4-mini`. */
  readonly model: string
  /** Default `openai/MODEL` for api.openai.com, `local/MODEL` for this host, else `HOST/MODEL`. */
  readonly id?: string | undefined
  /** With the version, as in `http://localhost:11434/v1`. Default: the environment's `OPENAI_BASE_URL`, else `https://api.openai.com/v1`. */
  readonly baseUrl?: string | undefined
  /**
   * A key, or a function that is asked for one before each request. `false` sends none. Default: the environment's `OPENAI_API_KEY`, and only for
   * api.openai.com and `OPENAI_BASE_URL`: a key is not sent to a host that it was not given for. Not needed on this host, nor where `headers` authorise.
   */
  readonly apiKey?: string | (() => string | Promise<string>) | false | undefined
  /** Sent with each request. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Chat completions, which every compatible endpoint has, or the responses API. Default `chat`. */
  readonly api?: 'chat' | 'responses' | undefined
  /**
   * How the model fills in the middle (`complete`), by text completions; `false` where it does not. `suffix` sends what comes after as `suffix`, `mistral` uses Mistral's
   * own endpoint; the name of a family sends a prompt in that family's tokens, for servers that pass prompts on as they are. Default: `mistral` for Codestral at
   * Mistral, `suffix` at DeepSeek and for gpt-3.5-turbo-instruct; at other providers of the presets `false`; elsewhere, as on a server of your own, the family that
   * the model's name tells of. Ollama puts prompts into a template of its own, so give `suffix` there; its preset does.
   */
  readonly fim?: FimFormat | false | undefined
  /**
   * What is known of the model. Defaults: on api.openai.com window, output limit and price of the vendored catalogue; else a window of 128,000
   * tokens and no price (unknown is not free). Tools. Images and JSON Schema only on
   * api.openai.com; reasoning only on its responses API, older models excepted. `location` is `local` for this host (`localhost`, 127.0.0.0/8, ::1)
   * and `public` for every other, private addresses included: only you know whose they are.
   */
  readonly info?:
    | (Partial<Omit<ModelInfo, 'capabilities'>> & { readonly capabilities?: Partial<ModelInfo['capabilities']> | undefined })
    | undefined
  readonly quirks?: OpenAIQuirks | undefined
  /** Used in place of the global `fetch`: for a proxy, certificates, or longer limits than Node's 300 s to the first byte and between bytes. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

const Options = z.strictObject({
  model: z.string().min(1),
  id: z.string().min(1).optional(),
  baseUrl: z.string().optional(),
  apiKey: z
    .custom<NonNullable<OpenAIModelOptions['apiKey']>>(
      (value) => typeof value === 'string' || typeof value === 'function' || value === false,
      {
        error: 'expected a string, a function that returns one, or false',
      },
    )
    .optional(),
  headers: z.record(z.string(), z.string()).optional(),
  api: z.enum(['chat', 'responses']).default('chat'),
  fim: z
    .union([z.literal(false), z.enum(['suffix', 'mistral', ...(Object.keys(fimTemplates) as (keyof typeof fimTemplates)[])])])
    .optional(),
  info: ModelInfo.partial().extend({ capabilities: ModelInfo.shape.capabilities.partial().optional() }).default({}),
  quirks: OpenAIQuirksSchema.default({}),
  fetch: z.custom<typeof globalThis.fetch>((value) => typeof value === 'function', { error: 'expected a function like fetch' }).optional(),
})

/** The reason of a transfer that ends because its reader stopped while it waited: there is nobody to tell of it. */
const nobodyReads = new Error('the reader stopped')

/** How long naming the models that do exist may take. */
const namesTimeoutMs = 3_000

/**
 * A model behind an OpenAI-compatible endpoint: OpenAI itself, or any provider, gateway or local server that speaks the same.
 * It streams, makes no retries and sets no time limits, and its errors never hold a key.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createOpenAIModel(options: OpenAIModelOptions): Model {
  const parsed = parseOptions('createOpenAIModel', Options, options)
  const { model, api } = parsed
  const endpoint = createEndpoint(parsed)
  const { host } = endpoint
  const format = parsed.fim ?? fimFormatOf(endpoint.url, model) ?? false
  const info = resolveInfo(parsed, endpoint, format !== false)
  const id = parsed.id ?? `${host === 'api.openai.com' ? 'openai' : endpoint.isLoopback ? 'local' : host}/${model}`
  const wire: Wire = api === 'chat' ? chatCompletions : responses
  const config: WireConfig = {
    id,
    model,
    quirks: resolveQuirks(host, parsed.quirks),
    reasoning: info.capabilities.reasoning,
    redact: endpoint.redact,
  }

  async function* send(
    { path, body, createReader }: Sending,
    signal: AbortSignal | undefined,
    transfer: AbortController,
  ): AsyncGenerator<ModelChunk> {
    throwIfAborted(signal, `the call of ${id}`)
    const abort = () => transfer.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      const response = await endpoint.post(path, body(), transfer.signal)
      if (!response.ok) throw await refusal(response, config, endpoint, transfer.signal)
      yield* readReply(response, createReader(), config, transfer)
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal, `the call of ${id}`)
      if (transfer.signal.reason === nobodyReads) return
      throw transportError(error, host)
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  const sending = (what: Sending, { signal }: Abortable): AsyncIterable<ModelChunk> => ({
    [Symbol.asyncIterator]() {
      const transfer = new AbortController()
      const chunks = send(what, signal, transfer)
      return {
        next: () => chunks.next(),
        // A generator alone would first wait for the next piece of the reply.
        return: () => {
          transfer.abort(nobodyReads)
          return chunks.return(undefined)
        },
      }
    },
  })

  const fim = format === false ? undefined : fimWire(format)
  // DeepSeek has it on a path of its own (api-docs.deepseek.com/guides/fim_completion).
  const fimPath = host === 'api.deepseek.com' ? endpoint.ofServer('/beta/completions') : fim?.path
  return {
    id,
    info,
    generate: (request, options) =>
      sending({ path: wire.path, body: () => wire.body(request, config), createReader: () => wire.createReader(config) }, options),
    ...(fim &&
      fimPath !== undefined && {
        complete: (request, options) =>
          sending({ path: fimPath, body: () => fim.body(request, config), createReader: () => fim.createReader(request, config) }, options),
      }),
  }
}

/** One request that is to be sent. What is thrown while it is written is a failure of the call. */
interface Sending {
  readonly path: string
  body(): object
  createReader(): ReplyReader
}

function resolveInfo({ api, model, info }: z.output<typeof Options>, { host, isLoopback }: Endpoint, fim: boolean): ModelInfo {
  const isOpenAI = host === 'api.openai.com'
  const { capabilities, ...rest } = info
  const reasoning = isOpenAI && api === 'responses' && !/^(gpt-[34]|chatgpt)/.test(model)
  const defaults = { tools: true, images: isOpenAI, jsonSchema: isOpenAI, reasoning, fim }
  const location = isLoopback ? 'local' : 'public'
  const entry = isOpenAI ? sharedCatalogue().find(`openai/${model}`) : undefined
  return ModelInfo.parse({
    contextWindow: 128_000,
    location,
    ...(entry && infoOf(entry)),
    ...defined(rest),
    capabilities: { ...defaults, ...defined(capabilities ?? {}) },
  })
}

function defined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined))
}

/** The error for a response with a status of 400 or more. For an unknown model it names those that come nearest, where the endpoint tells. */
async function refusal(
  response: Response,
  { id, model, redact }: WireConfig,
  endpoint: Endpoint,
  signal: AbortSignal,
): Promise<ModelError> {
  const text = await response.text().catch(() => '')
  const failure = failureOf(parseJson(text)) ?? { message: text.replace(/<[^>]*>/g, ' '), type: '', code: '' }
  const error = reportedError({ id, failure, status: response.status, headers: response.headers, redact })
  if (error.kind !== 'unknown-model') return error
  const names = await endpoint.listModels(AbortSignal.any([signal, AbortSignal.timeout(namesTimeoutMs)])).catch(() => [])
  const nearest = nearestNames(model, names).map(redact)
  if (nearest.length === 0) return error
  return new ModelError('unknown-model', `${error.message.replace(/\.?$/, '.')} Nearest there: ${nearest.join(', ')}.`, {
    status: response.status,
    details: { ...error.details, nearest },
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

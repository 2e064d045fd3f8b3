import { BatonError } from '@baton-sdk/core'
import type { Abortable } from '@baton-sdk/core/plugin'
import { abortedError, ModelError, parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Endpoint } from './endpoint.ts'
import { createEndpoint } from './endpoint.ts'
import { failureOf, reportedError, transportError } from './openai-errors.ts'
import type { OpenAIModelOptions } from './openai-model.ts'
import { findPreset, presetKey } from './preset-model.ts'
import type { PresetName } from './presets.ts'
import type { JsonObject } from './wire.ts'
import { isObject, objectsIn, textOf } from './wire.ts'

/** Options of {@link discoverModels}. One of `preset` and `baseUrl` is needed. */
export interface DiscoverModelsOptions extends Abortable, Pick<OpenAIModelOptions, 'apiKey' | 'headers' | 'fetch'> {
  /** A provider or a local server by name. `ollama`, `lmstudio` and `llamacpp` are also asked for windows, in their own ways. */
  readonly preset?: PresetName | undefined
  /** With the version, as in `http://localhost:8000/v1`. Default: the preset's. */
  readonly baseUrl?: string | undefined
  /** How long all of it may take. Default 5,000. */
  readonly timeoutMs?: number | undefined
}

/** A model that an endpoint serves. */
export interface DiscoveredModel {
  /** The endpoint's name for it, as `createPresetModel` and `createOpenAIModel` take it. */
  readonly model: string
  /** The window that it is served with, in tokens; absent where the endpoint does not tell. */
  readonly contextWindow?: number | undefined
  /** The window that the model could be served with, where that is told: Ollama cuts prompts off at the first, not at this. */
  readonly maxContextWindow?: number | undefined
}

const Options = z.strictObject({
  preset: z.string().optional(),
  baseUrl: z.string().optional(),
  apiKey: z.custom<NonNullable<OpenAIModelOptions['apiKey']>>().optional(),
  headers: z.record(z.string(), z.string()).optional(),
  fetch: z.custom<typeof globalThis.fetch>((value) => typeof value === 'function', { error: 'expected a function like fetch' }).optional(),
  timeoutMs: z.number().positive().max(600_000).default(5_000),
  signal: z.instanceof(AbortSignal).optional(),
})

/**
 * Asks an endpoint what it serves.
 *
 * @throws BatonError `INVALID_OPTIONS`, `ABORTED`; ModelError `network` where nothing answers, `timeout`, `unauthorized` where the key is refused
 */
export async function discoverModels(options: DiscoverModelsOptions): Promise<DiscoveredModel[]> {
  const { preset, timeoutMs, signal, ...parsed } = parseOptions('discoverModels', Options, options)
  const endpoint = endpointOf(preset, parsed)
  const limit = AbortSignal.timeout(timeoutMs)
  const either = signal ? AbortSignal.any([signal, limit]) : limit
  try {
    const served = await listed(endpoint, either)
    const windows = preset === undefined ? undefined : await askWindows[preset]?.(endpoint, served, either)
    return served.map((entry) => ({ ...entry, ...windows?.get(entry.model) }))
  } catch (error) {
    if (signal?.aborted) throw abortedError(signal, 'the discovery of models')
    if (limit.aborted) throw new ModelError('timeout', `${endpoint.host} did not say within ${timeoutMs} ms what it serves`)
    throw transportError(error, endpoint.host)
  }
}

function endpointOf(name: string | undefined, options: Omit<z.output<typeof Options>, 'preset' | 'timeoutMs' | 'signal'>): Endpoint {
  if (name === undefined) {
    if (options.baseUrl !== undefined) return createEndpoint(options)
    const problem = 'is missing; give it or a preset'
    throw new BatonError('INVALID_OPTIONS', `discoverModels: baseUrl: ${problem}`, { details: { issues: [{ field: 'baseUrl', problem }] } })
  }
  const preset = findPreset(name, 'discoverModels')
  const apiKey = options.apiKey ?? presetKey(name, preset, options)
  return createEndpoint({ ...options, baseUrl: options.baseUrl ?? preset.baseUrl, apiKey })
}

async function listed(endpoint: Endpoint, signal: AbortSignal): Promise<DiscoveredModel[]> {
  const response = await endpoint.get('/models', signal)
  const body = await response.json().catch((error: unknown) => {
    if (signal.aborted) throw error
  })
  if (!response.ok) {
    const failure = failureOf(body) ?? { message: '', type: '', code: '' }
    throw reportedError({ id: endpoint.host, failure, status: response.status, headers: response.headers, redact: endpoint.redact })
  }
  // Most answer as OpenAI does, Together and GitHub with the list alone.
  const list = isObject(body) ? body.data : body
  if (!Array.isArray(list)) throw new ModelError('server', `${endpoint.host} answered with something other than a list of models`)
  return objectsIn(list).flatMap((entry) => {
    const model = textOf(entry.id)
    return model === undefined ? [] : [{ model, ...windowIn(entry) }]
  })
}

/** vLLM, Groq, OpenRouter and Together, Mistral; llama.cpp tells the window that the model was trained with. */
function windowIn({ max_model_len, context_window, context_length, max_context_length, meta }: JsonObject): Windows {
  const told = tokens(max_model_len) ?? tokens(context_window) ?? tokens(context_length) ?? tokens(max_context_length)
  const trained = isObject(meta) ? tokens(meta.n_ctx_train) : undefined
  return windows(told, trained)
}

type Windows = Omit<DiscoveredModel, 'model'>
type AskWindows = (endpoint: Endpoint, served: readonly DiscoveredModel[], signal: AbortSignal) => Promise<ReadonlyMap<string, Windows>>

/** What servers say beyond the list of models. Where an older one does not, the window stays unknown. */
const askWindows: Readonly<Record<string, AskWindows>> = {
  async ollama(endpoint, served, signal) {
    const running = await quietly(endpoint.get(endpoint.ofServer('/api/ps'), signal), signal)
    const loaded = new Map(objectsIn(running?.models).map((entry) => [entry.name, tokens(entry.context_length)]))
    const shown = served.map(async ({ model }) => {
      const body = await quietly(endpoint.post(endpoint.ofServer('/api/show'), { model }, signal), signal)
      const info = isObject(body?.model_info) ? body.model_info : {}
      const max = Object.entries(info).find(([name]) => name.endsWith('.context_length'))?.[1]
      const set = /^num_ctx\s+(\d+)/m.exec(textOf(body?.parameters) ?? '')?.[1]
      return [model, windows(loaded.get(model) ?? tokens(Number(set)), tokens(max))] as const
    })
    return new Map(await Promise.all(shown))
  },
  async lmstudio(endpoint, _, signal) {
    const body = await quietly(endpoint.get(endpoint.ofServer('/api/v0/models'), signal), signal)
    return new Map(
      objectsIn(body?.data).map((entry) => [
        String(entry.id),
        windows(tokens(entry.loaded_context_length), tokens(entry.max_context_length)),
      ]),
    )
  },
  async llamacpp(endpoint, served, signal) {
    const body = await quietly(endpoint.get(endpoint.ofServer('/props'), signal), signal)
    const settings = isObject(body?.default_generation_settings) ? body.default_generation_settings : {}
    return new Map(served.map(({ model }) => [model, windows(tokens(settings.n_ctx), undefined)]))
  },
}

async function quietly(asked: Promise<Response>, signal: AbortSignal): Promise<JsonObject | undefined> {
  try {
    const response = await asked
    const body: unknown = await response.json()
    return response.ok && isObject(body) ? body : undefined
  } catch (error) {
    if (signal.aborted) throw error
    return undefined
  }
}

function windows(contextWindow: number | undefined, maxContextWindow: number | undefined): Windows {
  return { ...(contextWindow !== undefined && { contextWindow }), ...(maxContextWindow !== undefined && { maxContextWindow }) }
}

function tokens(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined
}

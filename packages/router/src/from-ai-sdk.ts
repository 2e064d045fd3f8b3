import type { Model } from '@baton-sdk/core'
import type { ModelChunk, ModelRequest } from '@baton-sdk/core/plugin'
import { abortedError, ModelInfo, parseOptions, throwIfAborted } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { aiSdkCallOptions } from './ai-sdk-prompt.ts'
import { createAiSdkReader } from './ai-sdk-reply.ts'
import { infoOf, sharedCatalogue } from './catalogue/catalogue.ts'
import type { OpenAIModelOptions } from './openai-model.ts'

/** What is used of an AI SDK `LanguageModelV4`, `LanguageModelV3` or `LanguageModelV2`; the package itself is not needed. */
export interface AiSdkLanguageModel {
  /** `v4`, `v3` or `v2`. */
  readonly specificationVersion: string
  /** Such as `anthropic.messages`. */
  readonly provider: string
  readonly modelId: string
  doStream(options: never): PromiseLike<{ readonly stream: ReadableStream<unknown> }>
}

/** Options of {@link fromAiSdk}. */
export interface FromAiSdkOptions {
  /** Default: the provider's name up to its first dot, and the model's. */
  readonly id?: string | undefined
  /**
   * What is known of the model. Default: what the catalogue says of `id`; else a window of 128,000 tokens, tools and no price. `location` is
   * `public` unless you say otherwise: where a provider sends requests cannot be seen.
   */
  readonly info?: OpenAIModelOptions['info']
  /** Passed on to the provider, by its name: `{ anthropic: { thinking: { … } } }`. */
  readonly providerOptions?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined
  /** Keys that the provider was made with. They are taken out of errors, which servers like to quote them in. */
  readonly secrets?: readonly string[] | undefined
}

const Options = z.strictObject({
  id: z.string().min(1).optional(),
  info: ModelInfo.partial().extend({ capabilities: ModelInfo.shape.capabilities.partial().optional() }).default({}),
  providerOptions: z.record(z.string(), z.record(z.string(), z.unknown())).optional(),
  secrets: z.array(z.string().min(1)).default([]),
})

const Source = z.object({ specificationVersion: z.enum(['v2', 'v3', 'v4']), provider: z.string(), modelId: z.string() })

/**
 * Any language model of the AI SDK as a `Model`: `fromAiSdk(anthropic('claude-sonnet-4-5'))`. Streams, makes no retries, and turns the SDK's
 * errors into `ModelError`s.
 *
 * @throws BatonError `INVALID_OPTIONS`, also for a model of another version of the interface
 */
export function fromAiSdk(source: AiSdkLanguageModel, options: FromAiSdkOptions = {}): Model {
  const { specificationVersion, provider, modelId } = parseOptions('fromAiSdk: model', Source, source)
  const { info, providerOptions, secrets, ...parsed } = parseOptions('fromAiSdk', Options, options)
  const id = parsed.id ?? `${provider.split('.', 1)[0]}/${modelId}`
  const redact = (text: string) => secrets.reduce((clean, secret) => clean.replaceAll(secret, '[redacted]'), text)
  // Typed by whoever implements it; what it is called with follows from the version that it names.
  const doStream = source.doStream.bind(source) as (options: unknown) => PromiseLike<{ readonly stream: ReadableStream<unknown> }>

  async function* generate(request: ModelRequest, signal: AbortSignal | undefined, transfer: AbortController): AsyncGenerator<ModelChunk> {
    throwIfAborted(signal, `the call of ${id}`)
    const abort = () => transfer.abort(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    const reader = createAiSdkReader({ id, redact })
    let parts: ReadableStreamDefaultReader<unknown> | undefined
    try {
      const call = aiSdkCallOptions(request, { id, version: specificationVersion, providerOptions })
      const { stream } = await untilAborted(doStream({ ...call, abortSignal: transfer.signal }), transfer.signal)
      parts = stream.getReader()
      for (;;) {
        const { done, value } = await untilAborted(parts.read(), transfer.signal)
        if (done) break
        yield* reader.take(value)
      }
      yield reader.finish()
    } catch (error) {
      if (signal?.aborted) throw abortedError(signal, `the call of ${id}`)
      if (transfer.signal.reason === nobodyReads) return
      throw reader.failure(error)
    } finally {
      signal?.removeEventListener('abort', abort)
      // Ends the transfer of providers that heed no signal.
      parts?.cancel(nobodyReads).catch(() => {})
    }
  }

  return {
    id,
    info: resolveInfo(id, info),
    generate: (request, { signal }) => ({
      [Symbol.asyncIterator]() {
        const transfer = new AbortController()
        const chunks = generate(request, signal, transfer)
        return {
          next: () => chunks.next(),
          // A generator alone would first wait for the next piece of the reply.
          return: () => {
            transfer.abort(nobodyReads)
            return chunks.return(undefined)
          },
        }
      },
    }),
  }
}

/** The reason of a transfer that ends because its reader stopped while it waited: there is nobody to tell of it. */
const nobodyReads = new Error('the reader stopped')

function resolveInfo(id: string, { capabilities, ...info }: z.output<typeof Options>['info']): ModelInfo {
  const entry = sharedCatalogue().find(id)
  const defaults = { tools: true, images: false, jsonSchema: false, reasoning: false, fim: false, ...entry?.capabilities }
  return ModelInfo.parse({
    contextWindow: 128_000,
    location: 'public',
    ...(entry && infoOf(entry)),
    ...defined(info),
    capabilities: { ...defaults, ...defined(capabilities ?? {}) },
  })
}

function defined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined))
}

/** Does not wait for providers that ignore an abort. */
async function untilAborted<T>(promise: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const abort = () => aborted.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

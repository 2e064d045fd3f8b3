import { BatonError } from '@baton-sdk/core'
import type { ModelChunk } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import { failureOf, reportedError, transportError } from './openai-errors.ts'
import type { Finish, JsonObject, Usage } from './wire.ts'
import { argumentsText, countOf, isObject, textOf } from './wire.ts'

/** Reads the parts of one streamed reply. */
export interface AiSdkReader {
  /** The chunks that a part stands for. Throws where the part is a failure. */
  take(part: unknown): ModelChunk[]
  /** The last chunk. Throws a `ModelError` `cut-stream` where the reply is not complete. */
  finish(): Finish
  /** The error for whatever the SDK threw. */
  failure(error: unknown): unknown
}

/** Makes a reader for one reply. */
export function createAiSdkReader(config: { readonly id: string; redact(text: string): string }): AiSdkReader {
  const calls = new Map<string, { readonly index: number; written: boolean }>()
  const reasoning = new Map<string, { text: string; providerOptions: unknown }>()
  let end: Finish | undefined

  function startCall(id: string, name: string): ModelChunk {
    const index = calls.size
    calls.set(id, { index, written: false })
    return { type: 'tool-call', index, id, name, arguments: '' }
  }

  function inputDelta(id: string, text: string): ModelChunk[] {
    const call = calls.get(id)
    if (!call || text === '') return []
    call.written = true
    return [{ type: 'tool-call', index: call.index, arguments: text }]
  }

  /** A whole call: all of it where it was not streamed, else nothing but the provider's signature. */
  function wholeCall({ toolCallId, toolName, input, providerMetadata }: JsonObject): ModelChunk[] {
    const id = String(toolCallId)
    const started = calls.has(id) ? [] : [startCall(id, String(toolName))]
    const call = calls.get(id)
    const rest = call?.written ? [] : inputDelta(id, argumentsText(input))
    const opaque = { type: 'ai-sdk-call', index: call?.index, providerOptions: providerMetadata }
    return [...started, ...rest, ...(providerMetadata ? [{ type: 'opaque' as const, data: opaque }] : [])]
  }

  function takeReasoning({ type, id, delta, providerMetadata }: JsonObject): ModelChunk[] {
    const block = reasoning.get(String(id)) ?? { text: '', providerOptions: undefined }
    reasoning.set(String(id), block)
    const text = textOf(delta) ?? ''
    block.text += text
    if (providerMetadata !== undefined) block.providerOptions = providerMetadata
    if (type !== 'reasoning-end') return text === '' ? [] : [{ type: 'reasoning', text }]
    reasoning.delete(String(id))
    return block.providerOptions === undefined ? [] : [{ type: 'opaque', data: { type: 'ai-sdk-reasoning', ...block } }]
  }

  return {
    take(part) {
      if (!isObject(part)) return []
      // What the provider runs itself, such as its web search, is no call for Baton to make.
      if (part.providerExecuted === true) return []
      switch (part.type) {
        case 'text-delta': {
          const text = textOf(part.delta)
          return text === undefined ? [] : [{ type: 'text', text }]
        }
        case 'reasoning-start':
        case 'reasoning-delta':
        case 'reasoning-end':
          return takeReasoning(part)
        case 'tool-input-start':
          return [startCall(String(part.id), String(part.toolName))]
        case 'tool-input-delta':
          return inputDelta(String(part.id), argumentsText(part.delta))
        case 'tool-call':
          return wholeCall(part)
        case 'error':
          throw part.error
        case 'finish':
          end = finishOf(part, calls.size > 0)
      }
      return []
    },
    finish() {
      if (end) return end
      throw new ModelError('cut-stream', `${config.id}: the reply ended before it was complete`)
    },
    failure: (error) => aiSdkFailure(error, config),
  }
}

function finishOf({ finishReason, usage }: JsonObject, hasCalls: boolean): Finish {
  const raw = isObject(finishReason) ? textOf(finishReason.raw) : undefined
  const unified = isObject(finishReason) ? finishReason.unified : finishReason
  if (unified === 'error' || unified === 'interrupted')
    throw new ModelError('cut-stream', `the provider ended the reply by ${raw ?? String(unified)}`)
  // A connection that closes early is reported as `other` without a word of the provider's, as a last word never came.
  if ((unified === 'other' || unified === 'unknown') && raw === undefined)
    throw new ModelError('cut-stream', 'the reply ended before the provider said why')
  const told = usageOf(usage)
  return { type: 'finish', reason: reasonOf(unified, raw, hasCalls), ...(told && { usage: told }) }
}

function reasonOf(unified: unknown, raw: string | undefined, hasCalls: boolean): Finish['reason'] {
  if (raw === 'refusal') return 'refusal'
  if (unified === 'length' || unified === 'content-filter') return unified
  return hasCalls ? 'tool-calls' : 'stop'
}

function usageOf(usage: unknown): Usage | undefined {
  if (!isObject(usage)) return undefined
  const { inputTokens: input, outputTokens: output } = usage
  const isNested = isObject(input) || isObject(output)
  const inputTokens = countOf(isObject(input) ? input.total : input)
  const outputTokens = countOf(isObject(output) ? output.total : output)
  if (inputTokens === undefined || outputTokens === undefined) return undefined
  const cached = countOf(isNested ? isObject(input) && input.cacheRead : usage.cachedInputTokens)
  const written = countOf(isObject(input) ? input.cacheWrite : undefined)
  const reasoning = countOf(isNested ? isObject(output) && output.reasoning : usage.reasoningTokens)
  return {
    inputTokens,
    outputTokens,
    ...(cached !== undefined && { cachedInputTokens: cached }),
    ...(written !== undefined && { cacheWriteTokens: written }),
    ...(reasoning !== undefined && { reasoningTokens: reasoning }),
  }
}

/** Errors of the SDK hold the whole request and the headers of the reply, so nothing of them but what is named here is passed on. */
function aiSdkFailure(error: unknown, { id, redact }: { readonly id: string; redact(text: string): string }): unknown {
  if (BatonError.isInstance(error)) return error
  const fields: JsonObject = isObject(error) ? error : {}
  const status = countOf(fields.statusCode) ?? statusOf(fields)
  const body = parseJson(fields.responseBody) ?? (error instanceof Error ? undefined : error)
  const failure = failureOf(body) ?? { message: error instanceof Error ? error.message : String(error), type: '', code: '' }
  if (status === undefined && error instanceof Error && isTransport(error)) {
    const cause = error.cause instanceof Error ? error.cause : error
    const reached = transportError(cause, id)
    if (reached instanceof ModelError) return new ModelError(reached.kind, redact(reached.message))
  }
  // Written at the time when a whole reply could not be read: what came was not what the interface promises.
  if (status === undefined && /^AI_(TypeValidation|JSONParse|InvalidResponseData|NoContentGenerated)/.test(String(fields.name)))
    return new ModelError('cut-stream', `${id}: ${redact(failure.message).slice(0, 300)}`)
  const headers = isObject(fields.responseHeaders) ? new Headers(textHeaders(fields.responseHeaders)) : undefined
  return reportedError({ id, failure, status: status !== undefined && status < 400 ? undefined : status, headers, redact })
}

function isTransport(error: Error): boolean {
  return error.name === 'AI_APICallError' || error instanceof TypeError || 'code' in error || /terminated|fetch failed/.test(error.message)
}

function statusOf({ error }: JsonObject): number | undefined {
  return isObject(error) ? countOf(error.statusCode) : undefined
}

function textHeaders(headers: JsonObject): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])))
}

function parseJson(text: unknown): unknown {
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

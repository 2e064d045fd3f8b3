import type { ModelChunk, ModelMessage, ModelRequest } from '@baton-sdk/core/plugin'
import type OpenAI from 'openai'
import { failureOf, reportedError } from './openai-errors.ts'
import type { Finish, JsonObject, ReplyReader, Usage, Wire, WireConfig } from './wire.ts'
import {
  argumentsText,
  countOf,
  imageUrl,
  isObject,
  isStrict,
  objectsIn,
  plainText,
  pushArguments,
  pushText,
  sendableArguments,
  textOf,
} from './wire.ts'

type Body = OpenAI.Responses.ResponseCreateParamsStreaming
type InputItem = OpenAI.Responses.ResponseInputItem

/** The responses API. Nothing is stored at the provider; reasoning travels encrypted. */
export const responses: Wire = { path: '/responses', body: responsesBody, createReader: createResponsesReader }

/** The least that the API takes. */
const minOutputTokens = 16

function responsesBody(request: ModelRequest, config: WireConfig): Body {
  const { quirks } = config
  const { tools, toolChoice, responseSchema, reasoningEffort: effort } = request
  const hasTools = tools !== undefined && tools.length > 0
  const summary = quirks.reasoningSummary
  return {
    model: config.model,
    input: request.messages.flatMap((message) => inputItems(message, config)),
    stream: true,
    store: false,
    ...(config.reasoning && { include: ['reasoning.encrypted_content'] }),
    ...((effort || (summary && config.reasoning)) && { reasoning: { ...(effort && { effort }), ...(summary && { summary }) } }),
    // Strict is this API's default, and few tools' schemas keep to it.
    ...(hasTools && {
      tools: tools.map(({ name, description, parameters }) => ({ type: 'function', name, description, parameters, strict: false })),
    }),
    ...(hasTools &&
      toolChoice !== undefined && {
        tool_choice: typeof toolChoice === 'string' ? toolChoice : { type: 'function', name: toolChoice.tool },
      }),
    ...(responseSchema && {
      text: {
        format: {
          type: 'json_schema',
          name: responseSchema.name,
          schema: responseSchema.schema,
          ...(isStrict(responseSchema.schema) && { strict: true }),
        },
      },
    }),
    ...(request.maxOutputTokens !== undefined && { max_output_tokens: Math.max(minOutputTokens, request.maxOutputTokens) }),
    ...(request.temperature !== undefined && { temperature: request.temperature }),
    ...(request.cacheKey !== undefined && quirks.promptCacheKey && { prompt_cache_key: request.cacheKey }),
  }
}

function inputItems(message: ModelMessage, config: WireConfig): InputItem[] {
  switch (message.role) {
    case 'system':
      return [{ role: config.quirks.systemRole, content: message.text }]
    case 'user':
      return [{ role: 'user', content: plainText(message.parts) ?? message.parts.map((part) => inputPart(part, config)) }]
    case 'assistant':
      return assistantItems(message, config)
    case 'tool':
      return [{ type: 'function_call_output', call_id: message.callId, output: message.text }]
  }
}

function inputPart(
  part: Extract<ModelMessage, { role: 'user' }>['parts'][number],
  config: WireConfig,
): OpenAI.Responses.ResponseInputContent {
  if (part.type === 'text') return { type: 'input_text', text: part.text }
  return { type: 'input_image', detail: 'auto', image_url: imageUrl(part, config) }
}

/** Reasoning that a model gave encrypted, with its place: how many tool calls came before it. */
interface ReasoningPart {
  readonly item: JsonObject
  readonly callsBefore: number
}

/** An assistant's message as the items that it came in: reasoning at its place among text and calls. */
function assistantItems({ text, toolCalls, opaque }: Extract<ModelMessage, { role: 'assistant' }>, { id }: WireConfig): InputItem[] {
  const own = (opaque ?? []).filter((part) => part.producer === id && isReasoningPart(part.data)).map((part) => part.data as ReasoningPart)
  const items: InputItem[] = []
  const takeReasoning = (calls: number) => {
    for (const { item, callsBefore } of own) if (callsBefore === calls) items.push(item as unknown as InputItem)
  }
  takeReasoning(0)
  if (text !== '') items.push({ role: 'assistant', content: text })
  for (const [index, call] of toolCalls.entries()) {
    items.push({ type: 'function_call', call_id: call.callId, name: call.tool, arguments: sendableArguments(call) })
    takeReasoning(index + 1)
  }
  return items
}

function isReasoningPart(data: unknown): data is ReasoningPart {
  return isObject(data) && typeof data.callsBefore === 'number' && isObject(data.item) && data.item.type === 'reasoning'
}

interface OutputItem {
  /** Of the tool call, among the reply's calls. */
  index: number
  /** Whether something of it has been passed on. */
  streamed: boolean
}

function createResponsesReader({ id: modelId, redact }: WireConfig): ReplyReader {
  const outputs = new Map<unknown, OutputItem>()
  let calls = 0
  let refused = false
  let closing: JsonObject | undefined

  function outputOf(event: JsonObject): OutputItem {
    const key = event.output_index ?? event.item_id
    let output = outputs.get(key)
    if (!output) {
      output = { index: -1, streamed: false }
      outputs.set(key, output)
    }
    return output
  }

  function startCall(output: OutputItem, item: JsonObject, text: string, out: ModelChunk[]): void {
    output.index = calls++
    const id = textOf(item.call_id) ?? textOf(item.id)
    out.push({ type: 'tool-call', index: output.index, ...(id !== undefined && { id }), name: textOf(item.name) ?? '', arguments: text })
  }

  function takeText(type: 'text' | 'reasoning' | 'refusal', event: JsonObject, out: ModelChunk[]): void {
    const text = textOf(event.delta)
    if (text === undefined) return
    outputOf(event).streamed = true
    if (type === 'refusal') refused = true
    pushText(out, type, text)
  }

  /** An item that is complete: whatever of it was not streamed. */
  function takeItem(output: OutputItem, item: JsonObject, out: ModelChunk[]): void {
    if (item.type === 'function_call') {
      const text = argumentsText(item.arguments)
      if (output.index < 0) startCall(output, item, text, out)
      else if (!output.streamed && text !== '') pushArguments(out, output.index, text)
    } else if (item.type === 'message' && !output.streamed) {
      for (const part of objectsIn(item.content)) {
        const refusal = textOf(part.refusal)
        if (refusal !== undefined) refused = true
        const text = refusal ?? textOf(part.text)
        if (text !== undefined) pushText(out, refusal === undefined ? 'text' : 'refusal', text)
      }
    } else if (item.type === 'reasoning') {
      const summary = [...objectsIn(item.summary), ...objectsIn(item.content)].map((part) => textOf(part.text) ?? '').join('\n\n')
      if (!output.streamed && summary !== '') pushText(out, 'reasoning', summary)
      // Without its encrypted content a reasoning item means nothing to a provider that stored nothing.
      if (typeof item.encrypted_content !== 'string') return
      const { type, id, encrypted_content } = item
      out.push({ type: 'opaque', data: { callsBefore: calls, item: { type, id, summary: item.summary ?? [], encrypted_content } } })
    }
    output.streamed = true
  }

  function close(response: unknown, status: string, out: ModelChunk[]): boolean {
    closing = { status, ...(isObject(response) ? response : {}) }
    if (closing.status === 'failed') fail(closing)
    // A server that does not stream, or that sends no events for items, has it all here.
    if (outputs.size === 0)
      for (const [index, item] of objectsIn(closing.output).entries()) takeItem(outputOf({ output_index: index }), item, out)
    return true
  }

  function fail(said: JsonObject): never {
    throw reportedError({ id: modelId, failure: failureOf(said) ?? { message: '', type: '', code: '' }, redact })
  }

  return {
    take(event, out) {
      switch (event.type) {
        case 'response.output_text.delta':
          takeText('text', event, out)
          return false
        case 'response.reasoning_summary_text.delta':
        case 'response.reasoning_text.delta':
          takeText('reasoning', event, out)
          return false
        case 'response.reasoning_summary_part.added':
          if (outputOf(event).streamed) pushText(out, 'reasoning', '\n\n')
          return false
        case 'response.refusal.delta':
          takeText('refusal', event, out)
          return false
        case 'response.output_item.added':
          if (isObject(event.item) && event.item.type === 'function_call') startCall(outputOf(event), event.item, '', out)
          return false
        case 'response.function_call_arguments.delta': {
          const output = outputOf(event)
          const text = textOf(event.delta)
          if (output.index < 0 || text === undefined) return false
          output.streamed = true
          pushArguments(out, output.index, text)
          return false
        }
        case 'response.output_item.done':
          if (isObject(event.item)) takeItem(outputOf(event), event.item, out)
          return false
        case 'response.completed':
          return close(event.response, 'completed', out)
        case 'response.incomplete':
          return close(event.response, 'incomplete', out)
        case 'response.failed':
        case 'error':
          return fail(isObject(event.response) ? event.response : event)
        default:
          return false
      }
    },
    takeWhole(body, out) {
      close(body, 'completed', out)
    },
    finish() {
      if (!closing) return undefined
      const usage = usageOf(closing.usage)
      return { type: 'finish', reason: finishReason(closing, calls > 0, refused), ...(usage && { usage }) }
    },
  }
}

function finishReason(response: JsonObject, hasCalls: boolean, refused: boolean): Finish['reason'] {
  if (response.status === 'incomplete') {
    const reason = isObject(response.incomplete_details) ? response.incomplete_details.reason : undefined
    return reason === 'max_output_tokens' ? 'length' : reason === 'content_filter' ? 'content-filter' : 'other'
  }
  if (response.status !== 'completed') return 'other'
  return hasCalls ? 'tool-calls' : refused ? 'refusal' : 'stop'
}

function usageOf(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined
  const inputTokens = countOf(value.input_tokens)
  const outputTokens = countOf(value.output_tokens)
  if (inputTokens === undefined || outputTokens === undefined) return undefined
  const inputDetails = isObject(value.input_tokens_details) ? value.input_tokens_details : {}
  const outputDetails = isObject(value.output_tokens_details) ? value.output_tokens_details : {}
  const cachedInputTokens = countOf(inputDetails.cached_tokens)
  const cacheWriteTokens = countOf(inputDetails.cache_write_tokens)
  const reasoningTokens = countOf(outputDetails.reasoning_tokens)
  return {
    inputTokens,
    outputTokens,
    ...(cachedInputTokens !== undefined && { cachedInputTokens }),
    ...(cacheWriteTokens !== undefined && { cacheWriteTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  }
}

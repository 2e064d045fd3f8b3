import type { ModelChunk, ModelMessage, ModelRequest } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import type OpenAI from 'openai'
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

type Body = OpenAI.Chat.ChatCompletionCreateParamsStreaming & { max_tokens?: number }
type Message = OpenAI.Chat.ChatCompletionMessageParam

/** The chat-completions API, as OpenAI defines it and as others speak it. */
export const chatCompletions: Wire = { path: '/chat/completions', body: chatBody, createReader: createChatReader }

function chatBody(request: ModelRequest, config: WireConfig): Body {
  const { quirks } = config
  const { tools, toolChoice, responseSchema } = request
  const hasTools = tools !== undefined && tools.length > 0
  return {
    model: config.model,
    messages: mapMessages(request.messages, config),
    stream: true,
    ...(quirks.streamUsage && { stream_options: { include_usage: true } }),
    ...(hasTools && {
      tools: tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } })),
    }),
    ...(hasTools &&
      toolChoice !== undefined && {
        tool_choice: typeof toolChoice === 'string' ? toolChoice : { type: 'function', function: { name: toolChoice.tool } },
      }),
    ...(responseSchema && {
      response_format: {
        type: 'json_schema',
        json_schema: { name: responseSchema.name, schema: responseSchema.schema, ...(isStrict(responseSchema.schema) && { strict: true }) },
      },
    }),
    ...(request.maxOutputTokens !== undefined && { [quirks.maxTokensField]: request.maxOutputTokens }),
    ...(request.temperature !== undefined && { temperature: request.temperature }),
    ...(request.reasoningEffort && { reasoning_effort: request.reasoningEffort }),
    ...(request.cacheKey !== undefined && quirks.promptCacheKey && { prompt_cache_key: request.cacheKey }),
  }
}

function mapMessages(messages: readonly ModelMessage[], config: WireConfig): Message[] {
  const idOf = config.quirks.shortCallIds ? createShortIds() : (id: string) => id
  return messages.map((message) => mapMessage(message, config, idOf))
}

function mapMessage(message: ModelMessage, config: WireConfig, idOf: (id: string) => string): Message {
  switch (message.role) {
    case 'system':
      return { role: config.quirks.systemRole, content: message.text }
    case 'user':
      return { role: 'user', content: userContent(message, config) }
    case 'assistant':
      return assistantMessage(message, config, idOf)
    case 'tool':
      return { role: 'tool', tool_call_id: idOf(message.callId), content: message.text }
  }
}

function userContent(
  { parts }: Extract<ModelMessage, { role: 'user' }>,
  config: WireConfig,
): string | OpenAI.Chat.ChatCompletionContentPart[] {
  return (
    plainText(parts) ??
    parts.map((part) =>
      part.type === 'text' ? { type: 'text', text: part.text } : { type: 'image_url', image_url: { url: imageUrl(part, config) } },
    )
  )
}

function assistantMessage(
  { text, toolCalls, reasoning }: Extract<ModelMessage, { role: 'assistant' }>,
  { quirks: { reasoningField } }: WireConfig,
  idOf: (id: string) => string,
): Message {
  const calls = toolCalls.map((call) => ({
    id: idOf(call.callId),
    type: 'function' as const,
    function: { name: call.tool, arguments: sendableArguments(call) },
  }))
  // DeepSeek wants the field with each tool call, even where another model made it.
  const back = reasoningField !== 'none' && (reasoning || calls.length > 0) ? { [reasoningField]: reasoning ?? '' } : {}
  return {
    role: 'assistant',
    content: text === '' && calls.length > 0 ? null : text,
    ...back,
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

/** Nine characters for each id, the same for the same conversation: ids are numbered as they come. */
function createShortIds(): (id: string) => string {
  const ids = new Map<string, string>()
  return (id) => {
    let short = ids.get(id)
    if (short === undefined) {
      short = `c${String(ids.size).padStart(8, '0')}`
      ids.set(id, short)
    }
    return short
  }
}

interface OpenCall {
  readonly index: number
  id: string | undefined
  name: string | undefined
  /** What has come so far. */
  text: string
  started: boolean
}

function createChatReader({ id: modelId }: WireConfig): ReplyReader {
  const calls: OpenCall[] = []
  /** The call that a provider's index stands for at the moment. */
  const byIndex = new Map<number, OpenCall>()
  let reason: string | undefined
  let refused = false
  let usage: Usage | undefined

  function takeMessage(delta: JsonObject, out: ModelChunk[]): void {
    const reasoning = textOf(delta.reasoning_content) ?? textOf(delta.reasoning)
    if (reasoning !== undefined) pushText(out, 'reasoning', reasoning)
    if (typeof delta.content === 'string') {
      if (delta.content !== '') pushText(out, 'text', delta.content)
    } else if (delta.content) takeParts(delta.content, out)
    const refusal = textOf(delta.refusal)
    if (refusal !== undefined) {
      refused = true
      pushText(out, 'refusal', refusal)
    }
    if (delta.tool_calls) for (const piece of objectsIn(delta.tool_calls)) takeCall(piece, out)
    if (isObject(delta.function_call)) takeCall({ index: 0, function: delta.function_call }, out)
  }

  /** Which call a piece belongs to. Providers leave out the index, use 0 for all parallel calls, or repeat id and name in each piece. */
  function callOf(index: number | undefined, id: string | undefined, name: string | undefined, text: string): OpenCall {
    const known = index !== undefined ? byIndex.get(index) : id !== undefined ? calls.find((call) => call.id === id) : calls.at(-1)
    if (known && !isAnother(known, id, name, text)) return known
    const call: OpenCall = { index: calls.length, id: undefined, name: undefined, text: '', started: false }
    calls.push(call)
    if (index !== undefined) byIndex.set(index, call)
    return call
  }

  function takeCall(piece: JsonObject, out: ModelChunk[]): void {
    const target = isObject(piece.function) ? piece.function : {}
    const id = textOf(piece.id)
    const name = textOf(target.name)
    const text = argumentsText(target.arguments)
    const call = callOf(typeof piece.index === 'number' ? piece.index : undefined, id, name, text)
    call.id ??= id
    call.name ??= name
    call.text += text
    if (call.started) {
      if (text !== '') pushArguments(out, call.index, text)
    } else if (call.name !== undefined) startCall(call, out)
  }

  function startCall(call: OpenCall, out: ModelChunk[]): void {
    call.started = true
    out.push({
      type: 'tool-call',
      index: call.index,
      ...(call.id !== undefined && { id: call.id }),
      name: call.name ?? '',
      arguments: call.text,
    })
  }

  function takeChoice(choice: JsonObject, out: ModelChunk[]): void {
    if (typeof choice.index === 'number' && choice.index > 0) return
    const message = isObject(choice.delta) ? choice.delta : choice.message
    if (isObject(message)) takeMessage(message, out)
    reason = textOf(choice.finish_reason) ?? reason
    if (reason === undefined) return
    failOnReason(reason, modelId)
    // A call that never got a name is still a call, and the model hears of it.
    for (const call of calls) if (!call.started) startCall(call, out)
  }

  return {
    take(event, out) {
      const choices = event.choices as readonly JsonObject[] | undefined
      if (Array.isArray(choices)) for (const choice of choices) if (isObject(choice)) takeChoice(choice, out)
      usage = usageOf(event.usage) ?? (isObject(event.x_groq) ? usageOf(event.x_groq.usage) : undefined) ?? usage
      // Usage may still follow; the stream ends with [DONE].
      return false
    },
    takeWhole(body, out) {
      this.take(body, out)
    },
    finish() {
      if (reason === undefined) return undefined
      return { type: 'finish', reason: finishReason(reason, calls.length > 0, refused), ...(usage && { usage }) }
    },
  }
}

/** Mistral and others send lists of parts. */
function takeParts(content: unknown, out: ModelChunk[]): void {
  for (const part of objectsIn(content)) {
    const text = textOf(part.text)
    if (text !== undefined) pushText(out, 'text', text)
    const thinking =
      typeof part.thinking === 'string'
        ? part.thinking
        : objectsIn(part.thinking)
            .map((piece) => piece.text ?? '')
            .join('')
    if (thinking !== '') pushText(out, 'reasoning', thinking)
  }
}

/** Whether a piece that seems to go on with a call begins another one. */
function isAnother(known: OpenCall, id: string | undefined, name: string | undefined, text: string): boolean {
  if (name === undefined || known.name === undefined) return false
  if (id !== undefined && known.id !== undefined) return id !== known.id
  return name !== known.name || (text !== '' && isWhole(known.text))
}

function isWhole(text: string): boolean {
  if (!text.endsWith('}')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Some providers report a failure as the reason of an ending. */
function failOnReason(reason: string, id: string): void {
  if (reason === 'error') throw new ModelError('server', `${id}: server: the provider ended the reply with an error`)
  if (reason === 'insufficient_system_resource') throw new ModelError('overloaded', `${id}: overloaded: the provider ran out of resources`)
}

const reasons: Readonly<Record<string, Finish['reason']>> = {
  stop: 'stop',
  length: 'length',
  max_tokens: 'length',
  model_length: 'length',
  tool_calls: 'tool-calls',
  function_call: 'tool-calls',
  content_filter: 'content-filter',
}

function finishReason(reason: string, hasCalls: boolean, refused: boolean): Finish['reason'] {
  const known = Object.hasOwn(reasons, reason) ? reasons[reason] : undefined
  if (known !== 'stop') return known ?? 'other'
  return hasCalls ? 'tool-calls' : refused ? 'refusal' : 'stop'
}

function usageOf(value: unknown): Usage | undefined {
  if (!isObject(value)) return undefined
  const input = countOf(value.prompt_tokens)
  const output = countOf(value.completion_tokens)
  if (input === undefined || output === undefined) return undefined
  const inputDetails = isObject(value.prompt_tokens_details) ? value.prompt_tokens_details : {}
  const outputDetails = isObject(value.completion_tokens_details) ? value.completion_tokens_details : {}
  const cachedInputTokens = countOf(inputDetails.cached_tokens) ?? countOf(value.prompt_cache_hit_tokens)
  const cacheWriteTokens = countOf(inputDetails.cache_write_tokens)
  const reasoningTokens = countOf(outputDetails.reasoning_tokens)
  return {
    inputTokens: input,
    // xAI and Gemini leave reasoning out of the completion, and in the total.
    outputTokens: Math.max(output, (countOf(value.total_tokens) ?? 0) - input),
    ...(cachedInputTokens !== undefined && { cachedInputTokens }),
    ...(cacheWriteTokens !== undefined && { cacheWriteTokens }),
    ...(reasoningTokens !== undefined && { reasoningTokens }),
  }
}

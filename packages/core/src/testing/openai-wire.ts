import type { FinishReason, Usage } from '../events/model-events.ts'
import type { ScriptedReply } from './script.ts'
import { argumentsOf, callIdOf, finishReasonOf, splitText, usageOf } from './script.ts'

/** What a rendered reply needs to know of its request. */
export interface WireContext {
  /** The number of the request, from 1: replies are the same on every run. */
  readonly call: number
  readonly model: string
  /** In characters, for the default usage. */
  readonly requestLength: number
  readonly pieceLength: number
  /** Whether a chat-completions stream ends with a usage chunk. */
  readonly includeUsage: boolean
}

/** Every reply claims to be of this moment. */
const created = 1_767_225_600

const finishReasons: Readonly<Record<FinishReason, string>> = {
  stop: 'stop',
  length: 'length',
  'tool-calls': 'tool_calls',
  'content-filter': 'content_filter',
  refusal: 'stop',
  other: 'other',
}

/** A reply as the events of a chat-completions stream, framed. */
export function chatEvents(reply: ScriptedReply, context: WireContext): string[] {
  const { call, pieceLength } = context
  const head = `data: {"id":"chatcmpl-${call}","object":"chat.completion.chunk","created":${created},"model":${JSON.stringify(context.model)},`
  const event = (delta: string, finish = 'null') => `${head}"choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}\n\n`
  const events = [event('{"role":"assistant","content":""}')]
  const pieces = (field: string, text: string | undefined) => {
    for (const piece of splitText(text ?? '', pieceLength)) events.push(event(`{"${field}":${JSON.stringify(piece)}}`))
  }
  pieces('reasoning_content', reply.reasoning)
  pieces('content', reply.text)
  pieces('refusal', reply.refusal)
  for (const [index, tool] of (reply.toolCalls ?? []).entries()) {
    const start = { index, id: callIdOf(tool, call, index), type: 'function', function: { name: tool.tool, arguments: '' } }
    events.push(event(`{"tool_calls":[${JSON.stringify(start)}]}`))
    for (const piece of splitText(argumentsOf(tool), pieceLength))
      events.push(event(`{"tool_calls":[{"index":${index},"function":{"arguments":${JSON.stringify(piece)}}}]}`))
  }
  events.push(event('{}', `"${finishReasons[finishReasonOf(reply)]}"`))
  const usage = context.includeUsage ? usageOf(reply, context.requestLength) : undefined
  if (usage) events.push(`${head}"choices":[],"usage":${JSON.stringify(chatUsage(usage))}}\n\n`)
  events.push('data: [DONE]\n\n')
  return events
}

/** A reply as the body of a chat completion that was not streamed. */
export function chatBody(reply: ScriptedReply, context: WireContext): Record<string, unknown> {
  const usage = usageOf(reply, context.requestLength)
  const calls = reply.toolCalls?.map((tool, index) => ({
    id: callIdOf(tool, context.call, index),
    type: 'function',
    function: { name: tool.tool, arguments: argumentsOf(tool) },
  }))
  const message = {
    role: 'assistant',
    content: reply.text ?? null,
    refusal: reply.refusal ?? null,
    ...(reply.reasoning !== undefined && { reasoning_content: reply.reasoning }),
    ...(calls?.length && { tool_calls: calls }),
  }
  return {
    id: `chatcmpl-${context.call}`,
    object: 'chat.completion',
    created,
    model: context.model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReasons[finishReasonOf(reply)] }],
    ...(usage && { usage: chatUsage(usage) }),
  }
}

/** A reply as the events of a text-completions stream, framed. */
export function textEvents(reply: ScriptedReply, context: WireContext): string[] {
  const event = (more: object): string => `data: ${JSON.stringify({ ...textHead(context), ...more })}\n\n`
  const choice = (text: string, reason: string | null) => ({ choices: [{ text, index: 0, logprobs: null, finish_reason: reason }] })
  const events = splitText(reply.text ?? '', context.pieceLength).map((piece) => event(choice(piece, null)))
  events.push(event(choice('', finishReasons[finishReasonOf(reply)])))
  const usage = context.includeUsage ? usageOf(reply, context.requestLength) : undefined
  if (usage) events.push(event({ choices: [], usage: chatUsage(usage) }))
  events.push('data: [DONE]\n\n')
  return events
}

/** A reply as the body of a text completion that was not streamed. */
export function textBody(reply: ScriptedReply, context: WireContext): Record<string, unknown> {
  const usage = usageOf(reply, context.requestLength)
  const choice = { text: reply.text ?? '', index: 0, logprobs: null, finish_reason: finishReasons[finishReasonOf(reply)] }
  return { ...textHead(context), choices: [choice], ...(usage && { usage: chatUsage(usage) }) }
}

function textHead({ call, model }: WireContext) {
  return { id: `cmpl-${call}`, object: 'text_completion', created, model }
}

function chatUsage(usage: Usage) {
  return {
    prompt_tokens: usage.inputTokens,
    completion_tokens: usage.outputTokens,
    total_tokens: usage.inputTokens + usage.outputTokens,
    ...(usage.cachedInputTokens !== undefined && { prompt_tokens_details: { cached_tokens: usage.cachedInputTokens } }),
    ...(usage.reasoningTokens !== undefined && { completion_tokens_details: { reasoning_tokens: usage.reasoningTokens } }),
  }
}

type Item = Readonly<Record<string, unknown>>

/** The output items of a responses-API reply, complete. */
function outputItems(reply: ScriptedReply, { call }: WireContext): Item[] {
  const items: Item[] = []
  if (reply.opaque) items.push(...(reply.opaque as Item[]))
  else if (reply.reasoning !== undefined) {
    const summary = [{ type: 'summary_text', text: reply.reasoning }]
    items.push({ type: 'reasoning', id: `rs_${call}`, summary, encrypted_content: `scripted-${call}` })
  }
  const content: Item[] = []
  if (reply.text) content.push({ type: 'output_text', text: reply.text, annotations: [], logprobs: [] })
  if (reply.refusal) content.push({ type: 'refusal', refusal: reply.refusal })
  if (content.length > 0) items.push({ type: 'message', id: `msg_${call}`, role: 'assistant', status: 'completed', content })
  for (const [index, tool] of (reply.toolCalls ?? []).entries())
    items.push({
      type: 'function_call',
      id: `fc_${call}_${index}`,
      call_id: callIdOf(tool, call, index),
      name: tool.tool,
      arguments: argumentsOf(tool),
      status: 'completed',
    })
  return items
}

/** A reply as the body of a response that was not streamed, and as the last event of one that was. */
export function responseBody(reply: ScriptedReply, context: WireContext): Record<string, unknown> {
  const reason = finishReasonOf(reply)
  const incomplete = reason === 'length' ? 'max_output_tokens' : reason === 'content-filter' ? 'content_filter' : undefined
  const usage = usageOf(reply, context.requestLength)
  return {
    ...emptyResponse(context, incomplete ? 'incomplete' : 'completed'),
    incomplete_details: incomplete ? { reason: incomplete } : null,
    output: outputItems(reply, context),
    ...(usage && { usage: responseUsage(usage) }),
  }
}

function emptyResponse(context: WireContext, status: string) {
  return {
    id: `resp_${context.call}`,
    object: 'response',
    created_at: created,
    model: context.model,
    status,
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    output: [] as Item[],
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: 'auto',
    tools: [],
    top_p: 1,
  }
}

function responseUsage(usage: Usage) {
  return {
    input_tokens: usage.inputTokens,
    input_tokens_details: { cached_tokens: usage.cachedInputTokens ?? 0, cache_write_tokens: usage.cacheWriteTokens ?? 0 },
    output_tokens: usage.outputTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens ?? 0 },
    total_tokens: usage.inputTokens + usage.outputTokens,
  }
}

/** A reply as the events of a responses-API stream, framed. */
export function responseEvents(reply: ScriptedReply, context: WireContext): string[] {
  const events: string[] = []
  const push = (type: string, data: Item) => {
    events.push(`event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: events.length, ...data })}\n\n`)
  }
  push('response.created', { response: emptyResponse(context, 'in_progress') })
  push('response.in_progress', { response: emptyResponse(context, 'in_progress') })
  for (const [index, item] of outputItems(reply, context).entries()) pushItem(push, item, index, context.pieceLength)
  const response = responseBody(reply, context)
  push(response.status === 'incomplete' ? 'response.incomplete' : 'response.completed', { response })
  return events
}

type Push = (type: string, data: Item) => void

function pushItem(push: Push, item: Item, index: number, pieceLength: number): void {
  const at = { item_id: item.id, output_index: index }
  if (item.type === 'function_call') {
    push('response.output_item.added', { output_index: index, item: { ...item, arguments: '', status: 'in_progress' } })
    for (const delta of splitText(String(item.arguments), pieceLength)) push('response.function_call_arguments.delta', { ...at, delta })
    push('response.function_call_arguments.done', { ...at, name: item.name, arguments: item.arguments })
  } else if (item.type === 'message') {
    push('response.output_item.added', { output_index: index, item: { ...item, content: [], status: 'in_progress' } })
    for (const [part, content] of (item.content as Item[]).entries()) pushPart(push, { ...at, content_index: part }, content, pieceLength)
  } else if (item.type === 'reasoning') {
    push('response.output_item.added', { output_index: index, item: { ...item, summary: [] } })
    for (const [part, { text }] of ((item.summary ?? []) as { text: string }[]).entries()) {
      const place = { ...at, summary_index: part }
      push('response.reasoning_summary_part.added', { ...place, part: { type: 'summary_text', text: '' } })
      for (const delta of splitText(text, pieceLength)) push('response.reasoning_summary_text.delta', { ...place, delta })
      push('response.reasoning_summary_text.done', { ...place, text })
      push('response.reasoning_summary_part.done', { ...place, part: { type: 'summary_text', text } })
    }
  }
  push('response.output_item.done', { output_index: index, item })
}

function pushPart(push: Push, place: Item, content: Item, pieceLength: number): void {
  const field = content.type === 'refusal' ? 'refusal' : 'text'
  const text = String(content[field])
  const logprobs = field === 'text' ? { logprobs: [] } : {}
  const prefix = field === 'text' ? 'response.output_text' : 'response.refusal'
  push('response.content_part.added', { ...place, part: { ...content, [field]: '' } })
  for (const delta of splitText(text, pieceLength)) push(`${prefix}.delta`, { ...place, delta, ...logprobs })
  push(`${prefix}.done`, { ...place, [field]: text, ...logprobs })
  push('response.content_part.done', { ...place, part: content })
}

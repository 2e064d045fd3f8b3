import type { ModelMessage, ModelRequest } from '@baton-sdk/core/plugin'
import { ModelError } from '@baton-sdk/core/plugin'
import type { UserPart } from './wire.ts'
import { isObject, sendableArguments } from './wire.ts'

/** What mapping a request depends on. */
export interface AiSdkTarget {
  readonly id: string
  readonly version: 'v2' | 'v3' | 'v4'
  readonly providerOptions?: Readonly<Record<string, unknown>> | undefined
}

/** A request as the options of `doStream`, without the signal. */
export function aiSdkCallOptions(request: ModelRequest, target: AiSdkTarget): object {
  const { tools = [], toolChoice, responseSchema, maxOutputTokens, temperature, reasoningEffort } = request
  return {
    prompt: prompt(request.messages, target),
    ...(maxOutputTokens !== undefined && { maxOutputTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, parameters }) => ({ type: 'function', name, description, inputSchema: parameters })),
    }),
    ...(tools.length > 0 && toolChoice !== undefined && { toolChoice: choice(toolChoice) }),
    ...(responseSchema && { responseFormat: { type: 'json', name: responseSchema.name, schema: responseSchema.schema } }),
    // Older versions know it as an option of each provider's own.
    ...(target.version === 'v4' && reasoningEffort !== undefined && { reasoning: reasoningEffort }),
    ...(target.providerOptions && { providerOptions: target.providerOptions }),
  }
}

function choice(toolChoice: NonNullable<ModelRequest['toolChoice']>): object {
  return typeof toolChoice === 'string' ? { type: toolChoice } : { type: 'tool', toolName: toolChoice.tool }
}

/** The messages. Results of tools that follow each other become one message, as the interface has it. */
function prompt(messages: readonly ModelMessage[], target: AiSdkTarget): object[] {
  const out: { role: string; content: unknown }[] = []
  for (const message of messages) {
    const last = out.at(-1)
    if (message.role === 'tool') {
      const result = toolResult(message)
      if (last?.role === 'tool' && Array.isArray(last.content)) last.content.push(result)
      else out.push({ role: 'tool', content: [result] })
    } else if (message.role === 'system') out.push({ role: 'system', content: message.text })
    else if (message.role === 'user') out.push({ role: 'user', content: message.parts.map((part) => userPart(part, target)) })
    else out.push({ role: 'assistant', content: assistantParts(message, target) })
  }
  return out
}

function toolResult({ callId, tool, text, failed }: Extract<ModelMessage, { role: 'tool' }>): object {
  return { type: 'tool-result', toolCallId: callId, toolName: tool, output: { type: failed ? 'error-text' : 'text', value: text } }
}

function userPart(part: UserPart, { id, version }: AiSdkTarget): object {
  if (part.type === 'text') return { type: 'text', text: part.text }
  if (part.type === 'image-ref')
    throw new ModelError('bad-request', `${id}: the image ${part.blob.sha256} is a reference; its bytes have to be in the request`)
  const data = version === 'v4' ? { type: 'data', data: part.data } : part.data
  return { type: 'file', mediaType: part.mediaType, data }
}

/** What this model wrote, with the signatures that its provider wants back; what another wrote, without. */
function assistantParts(message: Extract<ModelMessage, { role: 'assistant' }>, { id }: AiSdkTarget): object[] {
  const own = message.opaque?.filter(({ producer }) => producer === id).map(({ data }) => data) ?? []
  const signed = own.flatMap((data) => (isObject(data) && data.type === 'ai-sdk-reasoning' ? [reasoningPart(data)] : []))
  const metadata = new Map(
    own.flatMap((data) => (isObject(data) && data.type === 'ai-sdk-call' ? [[Number(data.index), data.providerOptions] as const] : [])),
  )
  return [
    ...(signed.length > 0 ? signed : message.reasoning ? [{ type: 'reasoning', text: message.reasoning }] : []),
    ...(message.text === '' ? [] : [{ type: 'text', text: message.text }]),
    ...message.toolCalls.map((call, index) => ({
      type: 'tool-call',
      toolCallId: call.callId,
      toolName: call.tool,
      input: JSON.parse(sendableArguments(call)) as unknown,
      ...(metadata.has(index) && { providerOptions: metadata.get(index) }),
    })),
  ]
}

function reasoningPart({ text, providerOptions }: Readonly<Record<string, unknown>>): object {
  return { type: 'reasoning', text: typeof text === 'string' ? text : '', providerOptions }
}

import type { MessagePart, ModelMessage, ModelRequest, ToolDefinition } from './model.ts'

/** UTF-8 bytes in a token of code and English, on the low side; counted in bytes, other scripts come out fair too. */
const bytesPerToken = 2.6
/** Role, delimiters and ids around a message or a call. */
const overhead = 4
/** An image of about 1024 by 1024 pixels at high detail. */
const imageTokens = 1_100

/** A fair estimate of a text's tokens, without a tokenizer: for windows and budgets, not for bills. */
export function estimateTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / bytesPerToken)
}

/** The same for one message; a prompt's estimate is the sum over its messages and {@link estimateToolTokens}. */
export function estimateMessageTokens(message: ModelMessage): number {
  switch (message.role) {
    case 'system':
    case 'tool':
      return overhead + estimateTokens(message.text)
    case 'user':
      return message.parts.reduce((sum, part) => sum + estimatePart(part), overhead)
    case 'assistant': {
      let sum = overhead + estimateTokens(message.text) + estimateTokens(message.reasoning ?? '')
      for (const call of message.toolCalls) sum += overhead + estimateTokens(call.tool) + estimateTokens(call.arguments)
      for (const part of message.opaque ?? []) sum += estimateTokens(JSON.stringify(part.data) ?? '')
      return sum
    }
  }
}

function estimatePart(part: MessagePart): number {
  return part.type === 'text' ? estimateTokens(part.text) : imageTokens
}

const toolTokens = new WeakMap<ToolDefinition, number>()

/** The same for the tools of a request. Remembered per definition, since every step sends the same ones. */
export function estimateToolTokens(tools: readonly ToolDefinition[]): number {
  let sum = 0
  for (const tool of tools) {
    let tokens = toolTokens.get(tool)
    if (tokens === undefined) {
      tokens = overhead + estimateTokens(tool.name + tool.description + JSON.stringify(tool.parameters))
      toolTokens.set(tool, tokens)
    }
    sum += tokens
  }
  return sum
}

/** The same for a whole request. */
export function estimateRequestTokens(request: ModelRequest): number {
  let sum = estimateToolTokens(request.tools ?? [])
  for (const message of request.messages) sum += estimateMessageTokens(message)
  if (request.responseSchema) sum += estimateTokens(JSON.stringify(request.responseSchema.schema))
  return sum
}

import { z } from 'zod'

/** How an endpoint differs from the others. Unset ones follow from the host of the base URL. */
export interface OpenAIQuirks {
  /** Field for the output limit on chat completions. Default `max_completion_tokens` on api.openai.com, else `max_tokens`. */
  readonly maxTokensField?: 'max_tokens' | 'max_completion_tokens' | undefined
  /** Role of system messages. Default `system`. */
  readonly systemRole?: 'system' | 'developer' | undefined
  /** Asks for usage at the end of chat-completions streams (`stream_options.include_usage`). Default true. */
  readonly streamUsage?: boolean | undefined
  /** Sends `prompt_cache_key`. Default: only to api.openai.com, since others may reject a field that they don't know. */
  readonly promptCacheKey?: boolean | undefined
  /**
   * Field in which chat completions take a message's reasoning back; `none` sends none. Default `reasoning_content` on api.deepseek.com, which
   * refuses tool calls without it, `reasoning` on openrouter.ai, else `none`. What a reply calls it is recognised without being told.
   */
  readonly reasoningField?: 'reasoning_content' | 'reasoning' | 'none' | undefined
  /** Replaces ids of tool calls by nine letters and digits. Default: only for api.mistral.ai, which takes no others. */
  readonly shortCallIds?: boolean | undefined
  /** Asks the responses API for summaries of its reasoning. Default: none, as OpenAI gives them to verified organisations only. */
  readonly reasoningSummary?: 'auto' | 'concise' | 'detailed' | undefined
}

export const OpenAIQuirksSchema = z.strictObject({
  maxTokensField: z.enum(['max_tokens', 'max_completion_tokens']).optional(),
  systemRole: z.enum(['system', 'developer']).optional(),
  streamUsage: z.boolean().optional(),
  promptCacheKey: z.boolean().optional(),
  reasoningField: z.enum(['reasoning_content', 'reasoning', 'none']).optional(),
  shortCallIds: z.boolean().optional(),
  reasoningSummary: z.enum(['auto', 'concise', 'detailed']).optional(),
})

/** {@link OpenAIQuirks} with every default filled in. */
export interface ResolvedQuirks {
  readonly maxTokensField: 'max_tokens' | 'max_completion_tokens'
  readonly systemRole: 'system' | 'developer'
  readonly streamUsage: boolean
  readonly promptCacheKey: boolean
  readonly reasoningField: 'reasoning_content' | 'reasoning' | 'none'
  readonly shortCallIds: boolean
  readonly reasoningSummary: 'auto' | 'concise' | 'detailed' | undefined
}

/** Fills in what follows from the host. */
export function resolveQuirks(host: string, quirks: OpenAIQuirks): ResolvedQuirks {
  const isOpenAI = host === 'api.openai.com'
  const reasoningField = host === 'api.deepseek.com' ? 'reasoning_content' : host === 'openrouter.ai' ? 'reasoning' : 'none'
  return {
    maxTokensField: quirks.maxTokensField ?? (isOpenAI ? 'max_completion_tokens' : 'max_tokens'),
    systemRole: quirks.systemRole ?? 'system',
    streamUsage: quirks.streamUsage ?? true,
    promptCacheKey: quirks.promptCacheKey ?? isOpenAI,
    reasoningField: quirks.reasoningField ?? reasoningField,
    shortCallIds: quirks.shortCallIds ?? host === 'api.mistral.ai',
    reasoningSummary: quirks.reasoningSummary,
  }
}

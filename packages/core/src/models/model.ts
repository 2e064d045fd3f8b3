import { z } from 'zod'
import type { BatonErrorOptions } from '../errors.ts'
import { BatonError } from '../errors.ts'
import type { BlobRef } from '../events/envelope.ts'
import { Sensitivity } from '../events/envelope.ts'
import type { FinishReason, JudgeSpend, OpaquePart, ProposedCall, Usage } from '../events/model-events.ts'
import type { Abortable } from '../options.ts'

const Rates = z.object({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  /** Input read from the provider's cache. Default: `input`. */
  cachedInput: z.number().nonnegative().optional(),
  /** Input written to it. Default: `input`. */
  cacheWrite: z.number().nonnegative().optional(),
})

/** US dollars per million tokens. */
export const ModelPrice = Rates.extend({
  /** Prices of calls with long inputs, in any order. The whole call is charged by the highest tier that its input is above. */
  tiers: z
    .array(
      Rates.extend({
        /** Input tokens, those read from a cache included; a call with exactly as many is not in the tier. */
        aboveInputTokens: z.int().nonnegative(),
      }),
    )
    .optional(),
})
export type ModelPrice = z.infer<typeof ModelPrice>

/** How much a model may be sent by one Baton. Where several share an account, give each its part. */
export const ModelLimits = z.object({
  requestsPerMinute: z.number().positive().optional(),
  /** Input and output together. */
  tokensPerMinute: z.number().positive().optional(),
})
export type ModelLimits = z.infer<typeof ModelLimits>

/** What is known of a model before it is called. */
export const ModelInfo = z.object({
  /** Tokens, input and output together. */
  contextWindow: z.int().positive(),
  maxOutputTokens: z.int().positive().optional(),
  capabilities: z.object({
    tools: z.boolean(),
    images: z.boolean(),
    /** Answers that keep to a JSON Schema. */
    jsonSchema: z.boolean(),
    reasoning: z.boolean(),
    /** `complete`: fill in the middle. */
    fim: z.boolean(),
  }),
  /** Absent is unknown, never free. */
  price: ModelPrice.optional(),
  /** Where it runs: on this host, on infrastructure that the user's organisation controls, or in somebody's cloud. */
  location: z.enum(['local', 'private', 'public']),
  /** The highest label it may see. Default by location: local → restricted, private → confidential, public → internal. */
  clearance: Sensitivity.optional(),
  /** Kept to before each send: a call goes to another model of its route, or waits. Default: none; what the provider refuses is waited for as it asks. */
  limits: ModelLimits.optional(),
})
export type ModelInfo = z.infer<typeof ModelInfo>

/** A piece of a message. */
export type MessagePart =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image'; readonly mediaType: string; readonly data: Uint8Array }
  | { readonly type: 'image-ref'; readonly mediaType: string; readonly blob: BlobRef }

/** A tool call in an assistant's message. */
export interface MessageToolCall {
  readonly callId: string
  readonly tool: string
  /** The arguments as JSON text; what the model itself wrote where they were malformed. */
  readonly arguments: string
}

/** One message of a prompt. */
export type ModelMessage =
  | { readonly role: 'system'; readonly text: string }
  | { readonly role: 'user'; readonly parts: readonly MessagePart[] }
  | {
      readonly role: 'assistant'
      readonly text: string
      readonly toolCalls: readonly MessageToolCall[]
      /** Shown to models that take reasoning back. */
      readonly reasoning?: string | undefined
      readonly opaque?: readonly OpaquePart[] | undefined
    }
  | { readonly role: 'tool'; readonly callId: string; readonly tool: string; readonly text: string; readonly failed: boolean }

/** A tool as a model sees it. */
export interface ToolDefinition {
  readonly name: string
  readonly description: string
  /** JSON Schema (draft 2020-12) of the input; an object. */
  readonly parameters: Readonly<Record<string, unknown>>
}

/** What a model is asked. Unset options are the provider's defaults. */
export interface ModelRequest {
  readonly messages: readonly ModelMessage[]
  readonly tools?: readonly ToolDefinition[] | undefined
  readonly toolChoice?: 'auto' | 'none' | 'required' | { readonly tool: string } | undefined
  /** Ask for JSON that keeps to this schema. */
  readonly responseSchema?: { readonly name: string; readonly schema: Readonly<Record<string, unknown>> } | undefined
  readonly maxOutputTokens?: number | undefined
  readonly temperature?: number | undefined
  readonly reasoningEffort?: 'minimal' | 'low' | 'medium' | 'high' | undefined
  /** Requests of one conversation share it, so that a provider can find its prompt cache. */
  readonly cacheKey?: string | undefined
}

/** Fill in the middle. */
export interface CompletionRequest {
  readonly prefix: string
  readonly suffix: string
  readonly maxOutputTokens?: number | undefined
  readonly stop?: readonly string[] | undefined
}

/**
 * A piece of a reply. A stream ends with exactly one `finish`; one that ends without it was cut, and counts as failed.
 * `tool-call` pieces with one `index` belong to one call: `id` and `name` come with the first, `arguments` are concatenated.
 */
export type ModelChunk =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  | { readonly type: 'refusal'; readonly text: string }
  | {
      readonly type: 'tool-call'
      readonly index: number
      readonly id?: string | undefined
      readonly name?: string | undefined
      readonly arguments: string
    }
  | { readonly type: 'opaque'; readonly data: unknown }
  | { readonly type: 'finish'; readonly reason: FinishReason; readonly usage?: Usage | undefined }

/** A model behind whatever API. Conformance: `testModel` in `@baton-sdk/core/testing`. */
export interface Model {
  /** `provider/name`, for example `openai/gpt-5.4-mini`; unique within a router. */
  readonly id: string
  readonly info: ModelInfo
  /**
   * Sends one request and streams the reply. Makes no retries of its own: the executor does. Stops the transfer when the signal aborts
   * or the reader stops reading. Throws {@link ModelError}.
   */
  generate(request: ModelRequest, options: Abortable): AsyncIterable<ModelChunk>
  /** Fill in the middle, where the model can. */
  complete?(request: CompletionRequest, options: Abortable): AsyncIterable<ModelChunk>
}

/** What kind of failure a provider met; it decides on retries. */
export type ModelErrorKind =
  | 'rate-limited'
  | 'overloaded'
  | 'server'
  | 'network'
  | 'timeout'
  | 'cut-stream'
  | 'unauthorized'
  | 'unknown-model'
  | 'context-too-long'
  | 'bad-request'
  | 'quota'
  | 'content-filter'

/** A model call that failed. */
export class ModelError extends BatonError {
  override readonly name = 'ModelError'
  readonly kind: ModelErrorKind
  /** HTTP status, where there was one. */
  readonly status: number | undefined
  /** What the provider asked for, in milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(
    kind: ModelErrorKind,
    message: string,
    options: BatonErrorOptions & { status?: number | undefined; retryAfterMs?: number | undefined } = {},
  ) {
    super(kind === 'unknown-model' ? 'UNKNOWN_MODEL' : 'MODEL_FAILED', message, {
      ...options,
      details: { ...options.details, kind, ...(options.status !== undefined && { status: options.status }) },
    })
    this.kind = kind
    this.status = options.status
    this.retryAfterMs = options.retryAfterMs
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return retryableKinds.has(this.kind)
  }
}

const retryableKinds: ReadonlySet<ModelErrorKind> = new Set(['rate-limited', 'overloaded', 'server', 'network', 'timeout', 'cut-stream'])

/** A whole reply. */
export interface ModelReply {
  readonly modelCallId: string
  readonly model: string
  /** 1 for the first attempt. */
  readonly attempt: number
  readonly text: string
  readonly reasoning?: string | undefined
  readonly refusal?: string | undefined
  readonly opaque?: readonly OpaquePart[] | undefined
  /** With ids minted by Baton. */
  readonly toolCalls: readonly ProposedCall[]
  readonly finishReason: FinishReason
  readonly usage?: Usage | undefined
  /** US dollars; absent where price or usage is unknown. */
  readonly costUsd?: number | undefined
  /** What judging it took; not part of `usage` and `costUsd`. */
  readonly judge?: JudgeSpend | undefined
  readonly ms: number
  readonly firstChunkMs?: number | undefined
}

import { z } from 'zod'
import { ErrorRecord, Sensitivity } from './envelope.ts'

/** Tokens of one call. Absent means that the provider did not say. */
export const Usage = z.object({
  /** All input tokens, those read from a cache included. */
  inputTokens: z.int().nonnegative(),
  /** All output tokens, reasoning included. */
  outputTokens: z.int().nonnegative(),
  /** The part of the input that was read from the provider's cache. */
  cachedInputTokens: z.int().nonnegative().optional(),
  /** The part of the input that was written to it. */
  cacheWriteTokens: z.int().nonnegative().optional(),
  /** The part of the output that was reasoning. */
  reasoningTokens: z.int().nonnegative().optional(),
})
export type Usage = z.infer<typeof Usage>

/** Why a model was or was not taken. */
export const Consideration = z.object({
  model: z.string(),
  /** Place in the ranking from 1, where it is eligible. */
  rank: z.int().positive().optional(),
  /** A stable word: `preferred`, `not-cleared`, `lacks-tools`, `window-too-small`, `over-budget`, `price-unknown`, `unhealthy`, `rate-limited`, … */
  reason: z.string(),
  detail: z.string().optional(),
})
export type Consideration = z.infer<typeof Consideration>

/** A model is about to be asked. Where the actor is a person, that is for a suggestion: the call is no part of the agent's conversation and steps, and is paid by the task. */
export const ModelCalled = z.object({
  modelCallId: z.string(),
  /** What the call is for: `code`, `plan`, `summarize`, `complete`, `edit`, … */
  role: z.string(),
  /** The model tried first. */
  model: z.string(),
  why: z.array(Consideration),
  sensitivity: Sensitivity,
  /** `log`: the prompt is the projection of this log; `own`: the caller brought its own messages. */
  prompt: z.enum(['log', 'own']),
  /** The last seq that its prompt includes. */
  upTo: z.int().nonnegative(),
  /** Which projection of the log the prompt is; it rises with a compaction or a restore. */
  projection: z.int().nonnegative(),
  estimatedTokens: z.int().nonnegative(),
})
export type ModelCalled = z.infer<typeof ModelCalled>

/** A tool call as the model proposed it. */
export const ProposedCall = z.object({
  /** Minted by Baton. */
  callId: z.string(),
  tool: z.string(),
  input: z.unknown(),
  /** Set where the arguments were no JSON; `input` is then their text. */
  malformed: z.string().optional(),
  /** The provider's own id, as data. */
  providerCallId: z.string().optional(),
})
export type ProposedCall = z.infer<typeof ProposedCall>

/** Content that only its producer understands (encrypted reasoning, signatures); sent back to that producer only. */
export const OpaquePart = z.object({ producer: z.string(), data: z.unknown() })
export type OpaquePart = z.infer<typeof OpaquePart>

export const FinishReason = z.enum(['stop', 'length', 'tool-calls', 'content-filter', 'refusal', 'other'])
export type FinishReason = z.infer<typeof FinishReason>

/** What it took to have a reply judged by a model. */
export const JudgeSpend = z.object({
  model: z.string(),
  usage: Usage.optional(),
  /** US dollars; absent where the price or the usage is unknown. */
  costUsd: z.number().nonnegative().optional(),
})
export type JudgeSpend = z.infer<typeof JudgeSpend>

/** The whole reply that was taken. */
export const ModelFinished = z.object({
  modelCallId: z.string(),
  role: z.string(),
  model: z.string(),
  /** 1 for the first attempt. */
  attempt: z.int().positive(),
  text: z.string(),
  reasoning: z.string().optional(),
  refusal: z.string().optional(),
  opaque: z.array(OpaquePart).optional(),
  toolCalls: z.array(ProposedCall),
  finishReason: FinishReason,
  usage: Usage.optional(),
  /** US dollars; absent where the price or the usage is unknown. */
  costUsd: z.number().nonnegative().optional(),
  /** What judging the reply took, where a model did; not part of `usage` and `costUsd`. */
  judge: JudgeSpend.optional(),
  ms: z.number().nonnegative(),
  firstChunkMs: z.number().nonnegative().optional(),
})
export type ModelFinished = z.infer<typeof ModelFinished>

/** One attempt failed. With `final`, the call has failed with it. */
export const ModelFailed = z.object({
  modelCallId: z.string(),
  model: z.string(),
  attempt: z.int().positive(),
  error: ErrorRecord,
  /** What the failed attempt used, where the provider said. */
  usage: Usage.optional(),
  costUsd: z.number().nonnegative().optional(),
  /** What judging the reply took, where a model did; not part of `usage` and `costUsd`. */
  judge: JudgeSpend.optional(),
  ms: z.number().nonnegative(),
  final: z.boolean(),
})
export type ModelFailed = z.infer<typeof ModelFailed>

/** What came before is replaced by a summary in every later prompt. The log itself keeps everything. */
export const ContextCompacted = z.object({
  /** The projection that begins here. */
  projection: z.int().positive(),
  /** The last seq that the summary stands for. */
  upTo: z.int().nonnegative(),
  summary: z.string(),
  tokensBefore: z.int().nonnegative(),
  /** Highest label of the parts that it sums up. */
  sensitivity: Sensitivity,
})
export type ContextCompacted = z.infer<typeof ContextCompacted>

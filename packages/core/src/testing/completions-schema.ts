import { z } from 'zod'
import type { SchemaCheck } from './openai-schemas.ts'

const sampling = { temperature: z.number().min(0).max(2).nullish(), top_p: z.number().min(0).max(1).nullish() }
const stop = z.union([z.string(), z.array(z.string()).min(1).max(4)]).nullish()

/** `CreateCompletionRequest` of OpenAI's published API (github.com/openai/openai-openapi), which the schema folder does not hold. */
const CompletionsRequest = z.strictObject({
  model: z.string(),
  prompt: z.union([z.string(), z.array(z.string()), z.array(z.int()), z.array(z.array(z.int()))]).nullable(),
  suffix: z.string().nullish(),
  max_tokens: z.int().min(0).nullish(),
  stop,
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.boolean().optional() }).nullish(),
  ...sampling,
  n: z.int().min(1).max(128).nullish(),
  best_of: z.int().min(0).max(20).nullish(),
  echo: z.boolean().nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z.record(z.string(), z.int()).nullish(),
  logprobs: z.int().min(0).max(5).nullish(),
  seed: z.int().nullish(),
  user: z.string().optional(),
})

/** `FIMCompletionRequest` of Mistral's published API (github.com/mistralai/client-python, docs/models/fimcompletionrequest.md). */
const FimRequest = z.strictObject({
  model: z.string(),
  prompt: z.string(),
  suffix: z.string().nullish(),
  max_tokens: z.int().min(0).nullish(),
  min_tokens: z.int().min(0).nullish(),
  stop: z.union([z.string(), z.array(z.string())]).nullish(),
  stream: z.boolean().optional(),
  random_seed: z.int().min(0).nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
  ...sampling,
})

/** What is wrong with a request for a text completion. */
export const checkCompletionsRequest: SchemaCheck = (value) => problemsOf(CompletionsRequest, value)

/** What is wrong with a request of Mistral's to fill in the middle. */
export const checkFimRequest: SchemaCheck = (value) => problemsOf(FimRequest, value)

function problemsOf(schema: z.ZodType, value: unknown): string[] {
  return schema.safeParse(value).error?.issues.map(({ path, message }) => `/${path.join('/')} ${message}`) ?? []
}

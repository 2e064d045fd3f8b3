import { setTimeout as wait } from 'node:timers/promises'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { FinishReason, Usage } from '../events/model-events.ts'
import type { ModelErrorKind } from '../models/model.ts'

/** A tool call that a script makes: with its input, or with the text of the arguments where they should be malformed. */
export type ScriptedToolCall = {
  readonly tool: string
  /** The provider's own id. Default: `call_REQUEST_INDEX`. */
  readonly id?: string | undefined
} & ({ readonly input: unknown } | { readonly arguments: string })

/** An answer to play. */
export interface ScriptedReply {
  readonly text?: string | undefined
  readonly reasoning?: string | undefined
  readonly refusal?: string | undefined
  readonly toolCalls?: readonly ScriptedToolCall[] | undefined
  /** Content that only its producer understands. A server plays it as reasoning items of the responses API, and not at all on chat completions. */
  readonly opaque?: readonly unknown[] | undefined
  /** Default: one token for four characters. `null` plays a provider that does not say. */
  readonly usage?: Usage | null | undefined
  /** Default: `tool-calls` where there are any, `refusal` where there is one, else `stop`. */
  readonly finishReason?: FinishReason | undefined
  /** Milliseconds before the first piece. */
  readonly delayMs?: number | undefined
  /** Breaks the stream off after so many pieces, without a finish. */
  readonly cutAfter?: number | undefined
  /** Falls silent after so many pieces until the caller gives up. 0 is before the first. */
  readonly stallAfter?: number | undefined
}

/** A call that fails before it answers. */
export interface ScriptedFailure {
  readonly error: {
    readonly kind: ModelErrorKind
    readonly message?: string | undefined
    readonly status?: number | undefined
    readonly retryAfterMs?: number | undefined
  }
  readonly delayMs?: number | undefined
}

/** What a scripted model does with one request. */
export type ScriptedStep = ScriptedReply | ScriptedFailure

/** Steps in the order in which requests arrive, each one fixed or made from the request; or one function for all requests. `call` counts from 1. */
export type Script<Step, Request> = readonly (Step | StepFunction<Step, Request>)[] | StepFunction<Step, Request>
type StepFunction<Step, Request> = (request: Request, call: number) => Step | Promise<Step>

/** Accepts a {@link Script}; what is in the steps is left to the types. */
export const ScriptSchema = z.custom<Script<never, never>>(
  (value) =>
    typeof value === 'function' ||
    (Array.isArray(value) && value.every((step) => typeof step === 'function' || (typeof step === 'object' && step !== null))),
  { error: 'expected a list of steps or a function that makes one from each request' },
)

/** Reads a script: returns the step for the next request. Its error says how many steps there were. */
export function playScript<Step, Request>(
  where: string,
  script: Script<Step, Request>,
  loop: boolean,
): (request: Request, call: number) => Promise<Step> {
  return async (request, call) => {
    if (typeof script === 'function') return script(request, call)
    const step = script[loop && script.length > 0 ? (call - 1) % script.length : call - 1]
    if (step === undefined)
      throw new BatonError('INVALID_STATE', `${where}: request ${call} came, and the script has ${script.length} steps`, {
        details: { steps: script.length, call },
      })
    return typeof step === 'function' ? (step as StepFunction<Step, Request>)(request, call) : step
  }
}

/** Splits a text into pieces of at most so many characters, never within one. */
export function splitText(text: string, characters: number): string[] {
  if (text.length <= characters) return text === '' ? [] : [text]
  return text.match(new RegExp(`.{1,${characters}}`, 'gsu')) ?? []
}

/** The arguments of a call as JSON text. */
export function argumentsOf(call: ScriptedToolCall): string {
  return 'arguments' in call ? call.arguments : JSON.stringify(call.input)
}

/** The provider's id of a call. */
export function callIdOf(call: ScriptedToolCall, request: number, index: number): string {
  return call.id ?? `call_${request}_${index}`
}

/** How a reply ends. */
export function finishReasonOf(reply: ScriptedReply): FinishReason {
  return reply.finishReason ?? (reply.toolCalls?.length ? 'tool-calls' : reply.refusal ? 'refusal' : 'stop')
}

/** What a reply says it used, from the request's length in characters. */
export function usageOf(reply: ScriptedReply, requestLength: number): Usage | undefined {
  if (reply.usage !== undefined) return reply.usage ?? undefined
  let length = (reply.text?.length ?? 0) + (reply.reasoning?.length ?? 0) + (reply.refusal?.length ?? 0)
  for (const call of reply.toolCalls ?? []) length += call.tool.length + argumentsOf(call).length
  return { inputTokens: Math.ceil(requestLength / 4), outputTokens: Math.ceil(length / 4) }
}

/** Waits that long, or for ever where no time is given; rejects with the signal's reason when it aborts. */
export async function pause(ms: number | undefined, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  try {
    if (ms !== undefined) return await wait(ms, undefined, signal ? { signal } : {})
    // Unlike a bare promise, a timer keeps the process alive until somebody gives up.
    for (;;) await wait(60_000, undefined, signal ? { signal } : {})
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}

import type { z } from 'zod'
import type { Sensitivity } from '../events/envelope.ts'
import type { BuiltInEventTypes, EventTypes } from '../events/event.ts'
import type { ToolEffect } from '../events/tool-events.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'

/** A tool call on its way. */
export interface ToolCall {
  /** Unique within the task; the same id again returns the same outcome. */
  readonly callId: string
  readonly tool: string
  readonly input: unknown
  /** Set where the model's arguments were no JSON: what was wrong with them. */
  readonly malformed?: string | undefined
}

/** What a tool has around it. */
export interface ToolContext {
  readonly taskId: string
  readonly callId: string
  /** Aborts when the run is cancelled. */
  readonly signal: AbortSignal
  /** The task's sandbox; started when the first tool asks for it. */
  sandbox(): Promise<Sandbox>
  /** Shows output while the tool runs. Not stored. */
  output(stream: 'stdout' | 'stderr', text: string): void
  /** Adds a fact to the log, such as `file.changed`, `command.started`, or one of a type of your own. */
  record(record: ToolRecord): Promise<void>
  /** Asks a person and waits for the answer. */
  ask(question: string, options?: { readonly options?: readonly string[] }): Promise<string>
  /** Bytes of a result's text that the model is shown; beyond that core leaves out the middle. A tool that shows things piece by piece fits its pieces to it. */
  readonly maxOutputBytes: number
  /**
   * Memory of this task in this process: lost with it, so for what can be found out again. Values with a `Symbol.dispose` method are disposed of when
   * the task closes here.
   */
  readonly memory: Map<string, unknown>
  /** The whole output of an earlier call, by its id, where it was too long for the prompt. */
  wholeOutput(callId: string): Promise<Uint8Array | undefined>
}

/** What a tool may add to the log: these of Baton's own types, and every type that a plugin has registered. */
export type ToolRecord = { [K in RecordableType]: { readonly type: K; readonly data: EventTypes[K] } }[RecordableType]
type RecordableType =
  | 'file.changed'
  | 'command.started'
  | 'command.finished'
  | 'warning.raised'
  | Exclude<keyof EventTypes, keyof BuiltInEventTypes>

/** A tool's own result, where a plain value is not enough. */
export interface ToolOutput {
  /** What the model reads. Core bounds it, keeping head and tail. */
  readonly text: string
  /** For a user interface. */
  readonly data?: unknown
  /** The tool did its work and the answer is a failure, such as an edit that matched nothing. */
  readonly failed?: boolean | undefined
}

/** Something an agent can do. */
export interface Tool<I = unknown, O = unknown> {
  /** Letters, digits, `_` and `-`; at most 64. Unique within a Baton. */
  readonly name: string
  /** For the model. */
  readonly description: string
  readonly input: z.ZodType<I>
  readonly output?: z.ZodType<O> | undefined
  /** The most that running it can do. Policy goes by it, and only a `read` is ever run again unasked. */
  readonly effect: ToolEffect
  /**
   * Where the content of the result comes from, as `file:PATH` or `host:NAME`: for its sensitivity label. Given the output too, as the input alone
   * does not tell what a search found.
   */
  sources?(input: I, output: O): readonly string[]
  /** What remembering an approval of this input covers, in words. Default: exactly this input. */
  scope?(input: I): string
  /** Runs it. A string or {@link ToolOutput} is shown to the model as it is, anything else as JSON. Throwing makes the call `failed`. */
  run(input: I, context: ToolContext): Promise<O>
}

/** Gives a tool's `run` the types of its schemas. */
export function defineTool<I, O>(tool: Tool<I, O>): Tool<I, O> {
  return tool
}

/** The outcome of a call, as an agent gets it. */
export interface ToolResult {
  readonly callId: string
  readonly outcome: 'ok' | 'failed' | 'invalid' | 'denied' | 'rejected' | 'interrupted' | 'cancelled'
  /** What the model reads. */
  readonly output: string
  readonly data?: unknown
}

/** What a policy can see of the task. */
export interface PolicyContext extends Abortable {
  readonly taskId: string
  readonly autonomy: 'assist' | 'supervised' | 'autonomous'
  readonly sensitivity: Sensitivity
  /** Undefined for a tool that does not exist. */
  readonly effect: ToolEffect
}

/** What may happen with a call. `reason` reaches the person who is asked, or the agent that is denied. */
export type Decision = { readonly decision: 'allow' | 'ask' | 'deny'; readonly reason?: string | undefined }

/** Decides on each tool call before it runs. One that throws denies. */
export interface Policy {
  decide(call: ToolCall, context: PolicyContext): Decision | Promise<Decision>
}

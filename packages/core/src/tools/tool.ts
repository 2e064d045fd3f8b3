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
  /**
   * What the call writes is not written but proposed to a person, as where the task is `assist`: `sandbox()` is a layer over the real one then. Whatever the
   * tool keeps in `memory` of the files that it writes belongs into {@link Tool.remember} in that case.
   */
  readonly proposes?: boolean | undefined
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
  /**
   * The most that running it can do. Policy goes by it, and only a `read` is ever run again unasked. One of effect `write` changes files by
   * `context.sandbox()` and does nothing else: where its writes are to be proposed, it is run to see what they are.
   */
  readonly effect: ToolEffect
  /**
   * Where the content of the result comes from, as `file:PATH` or `host:NAME`: for its sensitivity label. Given the output too, as the input alone
   * does not tell what a search found.
   */
  sources?(input: I, output: O): readonly string[]
  /** What remembering an approval of this input covers, in words. Default: exactly this input. */
  scope?(input: I): string
  /**
   * The command line that it would run, for rules about commands: all of it, as a shell takes it. What decides where it runs belongs to it, such as
   * `cd FOLDER && ` before it.
   */
  command?(input: I): string
  /**
   * The files that it would read or write, from the workdir or absolute, for rules about paths. A folder with all that is in it ends in `/`; the workdir is
   * `./`.
   */
  paths?(input: I): readonly string[]
  /** Told of each file that a proposal of this tool was about, once it is clear what it holds: for what the tool keeps in memory. */
  remember?(file: SettledFile, memory: ToolContext['memory']): void
  /** Runs it. A string or {@link ToolOutput} is shown to the model as it is, anything else as JSON. Throwing makes the call `failed`. */
  run(input: I, context: ToolContext): Promise<O>
}

/** A file after a proposal about it was decided and written, or was found to be no longer about what is there. */
export interface SettledFile {
  /** Relative to the workdir. */
  readonly path: string
  /** What it holds; undefined where there is none. */
  readonly content: Uint8Array | undefined
  /** Whether the agent knows all of that: it is as proposed, or the whole difference from what it knew or proposed is in the result. */
  readonly shown: boolean
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
  readonly effect: ToolEffect
  /** The command line that the call would run, where its tool tells. */
  readonly command?: string | undefined
  /** The files that it would read or write, where its tool tells: relative to the workdir, or absolute or with `../` where they lead out of it. */
  readonly paths?: readonly string[] | undefined
}

/**
 * What may happen with a call. `propose`: its writes are proposed to a person and not made; for tools of effect `write`, for others it is `ask`. `reason`
 * reaches the person who is asked, or the agent that is denied.
 */
export type Decision = { readonly decision: 'allow' | 'ask' | 'deny' | 'propose'; readonly reason?: string | undefined }

/** Decides on each tool call before it runs. One that throws denies. */
export interface Policy {
  decide(call: ToolCall, context: PolicyContext): Decision | Promise<Decision>
}

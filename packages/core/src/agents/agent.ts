import type { Actor } from '../events/envelope.ts'
import type { LoggedEvent } from '../events/event.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { ProposedCall } from '../events/model-events.ts'
import type { CheckSpec, RunOutcome, Spend, TaskLimits, WorkspaceInstructions } from '../events/task-events.ts'
import type { ModelMessage, ModelReply, ModelRequest } from '../models/model.ts'
import type { Tool, ToolCall, ToolResult } from '../tools/tool.ts'

/** How a turn ended: the agent has nothing more to do. */
export interface TurnEnd {
  /** Its last words. */
  readonly text: string
}

/**
 * Does the work of a task. Agents are re-entered, not replayed: after a crash the same `run` is called on the same events and goes on from
 * what they say. Conformance: `testAgent` in `@baton-sdk/core/testing`.
 */
export interface Agent {
  /** Stable name, kept in the log. */
  readonly name: string
  /**
   * One turn: works until it has nothing more to do. Everything it knows it reads from the context; everything it does it does through it.
   * Running it again on the same events continues the work. What the context throws has to be passed on.
   */
  run(context: AgentContext): Promise<TurnEnd>
}

/** The events of a task as an agent reads them: live, never a copy. */
export interface EventView {
  readonly lastSeq: number
  read(options?: { readonly after?: number; readonly limit?: number }): AsyncIterable<LoggedEvent>
}

/** The task as an agent sees it. */
export interface TaskView {
  readonly id: string
  readonly goal: string
  readonly checks: readonly CheckSpec[]
  readonly limits: TaskLimits
  /** What the workspace tells every agent (AGENTS.md). */
  readonly instructions: readonly WorkspaceInstructions[]
  readonly metadata: Readonly<Record<string, string>>
  /** As of now. */
  readonly summary: TaskSummary
}

/** When a prompt made from the log is cut down to a summary. */
export interface Compaction {
  /** Share of the model's context window at which it happens. Default 0.8. */
  readonly at?: number | undefined
  /** Share of the window that is kept word for word, latest first. Default 0.2. */
  readonly keep?: number | undefined
}

/** A model call of an agent. */
export interface ModelCall extends Omit<ModelRequest, 'messages' | 'tools' | 'cacheKey'> {
  /** What it is for; the router goes by it. Default `code`. */
  readonly role?: string | undefined
  /** Standing instructions, the first message of the prompt. Keep them the same from call to call. */
  readonly instructions?: string | undefined
  /** The whole prompt. Default: the projection of the task's log, whose prefix stays the same from call to call. */
  readonly messages?: readonly ModelMessage[] | undefined
  /** Names of the tools to offer. Default: all with a prompt from the log, none with an own one. */
  readonly tools?: readonly string[] | undefined
  /** For prompts from the log; `false` turns it off. */
  readonly compaction?: Compaction | false | undefined
}

/** A sub-task. */
export interface SubTask {
  readonly goal: string
  /** Name of the agent. Default: the parent's. */
  readonly agent?: string | undefined
  /** The slice of the parent's budget. Fields that are left out take what the parent has left. */
  readonly limits?: TaskLimits | undefined
  readonly checks?: readonly CheckSpec[] | undefined
  /** Work in the parent's sandbox instead of one of its own. Default false. */
  readonly shareSandbox?: boolean | undefined
}

/** What a sub-task came to. */
export interface SubTaskResult {
  readonly taskId: string
  readonly outcome: RunOutcome
  readonly text: string
  readonly spent: Spend
}

/** How a tool is called. */
export interface ToolCallOptions {
  /** Names of the tools it may be; a call of another one is refused like that of a tool that does not exist. Default: all. */
  readonly tools?: readonly string[] | undefined
}

/** What became of an offer of control. */
export interface HandOverResult {
  /** Somebody had control and gave it back; else it was declined. */
  readonly taken: boolean
  readonly by: Actor
  /** Their words, where they left any. What they changed is in the next prompt from the log. */
  readonly note?: string | undefined
}

/** What an agent has to work with. Every method may throw to end the turn (a limit, a cancel, a lost lease): pass it on. */
export interface AgentContext {
  readonly task: TaskView
  readonly events: EventView
  /** Calls of this run's last reply that have no result yet, in order. */
  readonly openCalls: readonly ProposedCall[]
  /** This run's last reply to a prompt from the log. */
  readonly lastReply: { readonly text: string; readonly toolCalls: readonly ProposedCall[] } | undefined
  /** Messages for the agent that are in no prompt from the log that was answered. Of use to agents that ask models by such prompts. */
  readonly unseen: number
  readonly tools: readonly Tool[]
  /** Aborts when the run is cancelled or this process lets go of the task. */
  readonly signal: AbortSignal
  /** Asks a model. Waits while the run is paused; messages that came in meanwhile are in the prompt. */
  model(call?: ModelCall): Promise<ModelReply>
  /** Runs a tool, with what the policy says first. A call id that has an outcome returns it; one that waits for approval joins the wait. */
  tool(call: ToolCall, options?: ToolCallOptions): Promise<ToolResult>
  /** Says something to the people of the task. A key that is in the log already: does nothing. */
  say(text: string, options: { readonly key: string }): Promise<void>
  /** Asks a person and waits. A key that is in the log already: returns that answer, or joins that wait. */
  ask(question: string, options: { readonly key: string; readonly options?: readonly string[] | undefined }): Promise<string>
  /**
   * Offers control to a person, to the one named or to anyone, and waits until somebody has had it and gives it back, or declines. A key that is in the log
   * already: returns what became of it, or joins that wait.
   */
  handOver(options: { readonly key: string; readonly reason: string; readonly to?: string | undefined }): Promise<HandOverResult>
  /** Gives a part of the work to another task and waits for it. A key that is in the log already: returns that result, or goes on with that task. */
  delegate(spec: SubTask, options: { readonly key: string }): Promise<SubTaskResult>
}

import { z } from 'zod'
import { Autonomy, ErrorRecord, Sensitivity } from './envelope.ts'

/** What a task may use up. A limit that is absent does not bind. */
export const TaskLimits = z.object({
  /** US dollars, over all runs and sub-tasks. With it set, a model of unknown price is not eligible. */
  costUsd: z.number().nonnegative().optional(),
  /** Model calls in one run. */
  steps: z.int().positive().optional(),
  /** Input and output tokens together, over all runs. */
  tokens: z.int().positive().optional(),
  /** Wall time of one run in milliseconds, without the time it waited for a person. */
  timeMs: z.int().positive().optional(),
})
export type TaskLimits = z.infer<typeof TaskLimits>

/** What was used up. */
export const Spend = z.object({
  /** US dollars; of calls whose price is known. */
  costUsd: z.number().nonnegative(),
  /** Model calls. */
  steps: z.int().nonnegative(),
  inputTokens: z.int().nonnegative(),
  outputTokens: z.int().nonnegative(),
})
export type Spend = z.infer<typeof Spend>

/** Which files a task works on. */
export const WorkspaceSpec = z.object({
  /** A folder on the host. It is copied into the sandbox, without what git ignores. */
  path: z.string().min(1),
  /** Work in the folder itself; needs the local sandbox. */
  inPlace: z.boolean().optional(),
})
export type WorkspaceSpec = z.infer<typeof WorkspaceSpec>

/** A command that has to succeed before a run counts as done. */
export const CheckSpec = z.object({
  name: z.string().min(1),
  /** Runs in a shell, in the workdir. */
  command: z.string().min(1),
  timeoutMs: z.int().positive().optional(),
})
export type CheckSpec = z.infer<typeof CheckSpec>

/** Text that the workspace gives every agent, such as its AGENTS.md. */
export const WorkspaceInstructions = z.object({ source: z.string(), text: z.string(), truncated: z.boolean().optional() })
export type WorkspaceInstructions = z.infer<typeof WorkspaceInstructions>

/** The task as it was asked for. Always the first event of a log. */
export const TaskCreated = z.object({
  goal: z.string().min(1),
  /** Name of the agent that runs it. */
  agent: z.string().min(1),
  autonomy: Autonomy,
  sensitivity: Sensitivity,
  workspace: WorkspaceSpec.optional(),
  /** Name of the sandbox provider. */
  sandbox: z.string().optional(),
  checks: z.array(CheckSpec),
  /** How often failing checks go back to the agent. */
  checkRounds: z.int().nonnegative(),
  limits: TaskLimits,
  instructions: z.array(WorkspaceInstructions),
  /** Higher goes first in the queue. */
  priority: z.int(),
  /** The task that delegated this one, and under which key. */
  parent: z.object({ taskId: z.string(), key: z.string() }).optional(),
  metadata: z.record(z.string(), z.string()).optional(),
  /** On whose account it is, for budgets. */
  tenant: z.string().optional(),
})
export type TaskCreated = z.infer<typeof TaskCreated>

/** The task goes on from a place in another one. */
export const TaskForked = z.object({ from: z.object({ taskId: z.string(), seq: z.int().positive() }) })
export type TaskForked = z.infer<typeof TaskForked>

/** A sub-task gets a slice of the budget. Stands before the sub-task exists. */
export const TaskDelegated = z.object({
  key: z.string(),
  childId: z.string(),
  goal: z.string(),
  /** The slice of this task's budget that the child may use. */
  reserved: TaskLimits,
  /** The agent that works on it in this task's own sandbox, where it does. */
  sharesSandbox: z.string().optional(),
})
export type TaskDelegated = z.infer<typeof TaskDelegated>

/** How a run ended. `limit` and `failed` are outcomes, not exceptions. */
export const RunOutcome = z.enum(['done', 'checks-failed', 'limit', 'cancelled', 'failed'])
export type RunOutcome = z.infer<typeof RunOutcome>

/** What a sub-task came to; what it did not use is free again. */
export const TaskSettled = z.object({
  key: z.string(),
  childId: z.string(),
  outcome: RunOutcome,
  text: z.string(),
  spent: Spend,
  /** The sub-task's label: what it says may be as closely held as what it saw. */
  sensitivity: Sensitivity.optional(),
})
export type TaskSettled = z.infer<typeof TaskSettled>

/** The task is over for good. */
export const TaskClosed = z.object({ reason: z.string().optional() })
export type TaskClosed = z.infer<typeof TaskClosed>

/** The agent begins to work. */
export const RunStarted = z.object({
  runId: z.string(),
  /** What set it off: a call of start(), or a message to an idle task. */
  trigger: z.enum(['start', 'message']),
})
export type RunStarted = z.infer<typeof RunStarted>

/** A request to stop at the next safe point; nothing begins until `run.resumed`. */
export const RunPaused = z.object({
  runId: z.string(),
  reason: z.enum(['requested', 'stuck']),
  detail: z.string().optional(),
})
export type RunPaused = z.infer<typeof RunPaused>

/** The run goes on. */
export const RunResumed = z.object({ runId: z.string() })
export type RunResumed = z.infer<typeof RunResumed>

/** A request to end the run; its driver answers with `run.finished`. */
export const RunCancelled = z.object({ runId: z.string(), reason: z.string().optional() })
export type RunCancelled = z.infer<typeof RunCancelled>

/** How the run ended; exactly one for each `run.started`. */
export const RunFinished = z.object({
  runId: z.string(),
  outcome: RunOutcome,
  /** The agent's last words. */
  text: z.string(),
  /** Which limit was reached. */
  limit: TaskLimits.keyof().optional(),
  /** Whose, where it is `costUsd`: the task's own, its tenant's for the day, or that of all tasks for the day. */
  limitScope: z.enum(['task', 'tenant', 'day']).optional(),
  error: ErrorRecord.optional(),
  /** What this run used, without its sub-tasks. */
  spent: Spend,
  ms: z.number().nonnegative(),
})
export type RunFinished = z.infer<typeof RunFinished>

/** Something a person should know that is no failure: a weak isolation, a repaired log. */
export const WarningRaised = z.object({ code: z.string(), message: z.string() })
export type WarningRaised = z.infer<typeof WarningRaised>

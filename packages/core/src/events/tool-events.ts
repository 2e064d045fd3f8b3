import { z } from 'zod'
import { Actor, BlobRef, ErrorRecord, Finding, Sensitivity } from './envelope.ts'

/** What running a tool can do: look, change files of the sandbox, run commands in it, or reach beyond it. */
export const ToolEffect = z.enum(['read', 'write', 'execute', 'external'])
export type ToolEffect = z.infer<typeof ToolEffect>

/** A call as the agent proposes it. */
export const ToolCalled = z.object({
  callId: z.string(),
  tool: z.string(),
  /** As proposed. */
  input: z.unknown(),
  effect: ToolEffect.optional(),
})
export type ToolCalled = z.infer<typeof ToolCalled>

/** A call waits for a person. */
export const ApprovalRequested = z.object({
  approvalId: z.string(),
  callId: z.string(),
  tool: z.string(),
  input: z.unknown(),
  /** Why it is asked. */
  reason: z.string(),
  /** What `remember` would cover. */
  scope: z.string(),
  /** When it is rejected by itself, ISO 8601 in UTC. Absent: it waits for as long as its run is open. */
  expiresAt: z.string().optional(),
})
export type ApprovalRequested = z.infer<typeof ApprovalRequested>

/** What a person decided about a call that waits. */
export const ApprovalDecided = z.object({
  approvalId: z.string(),
  decision: z.enum(['approved', 'rejected']),
  /** The input to use instead of the proposed one. */
  input: z.unknown().optional(),
  /** `task`: the same scope is not asked again in this task; `workspace`: in no task on the same workspace. */
  remember: z.enum(['once', 'task', 'workspace']),
  /** What is remembered, where the input was changed. Absent: the scope of the request. */
  scope: z.string().optional(),
  /** Words for the agent. */
  feedback: z.string().optional(),
  /** Nobody decided in time. */
  expired: z.boolean().optional(),
})
export type ApprovalDecided = z.infer<typeof ApprovalDecided>

/** A scope is asked about again from here on in this task. */
export const ApprovalForgotten = z.object({ scope: z.string() })
export type ApprovalForgotten = z.infer<typeof ApprovalForgotten>

/** An approval given before, by which a call runs that would have been asked about. */
export const RememberedCall = z.object({
  /** How far it reaches. */
  for: z.enum(['task', 'workspace']),
  /** Of the request that was approved in this task; of the entry in the memory of the workspace. */
  id: z.string(),
  scope: z.string(),
  /** Who gave it. */
  by: Actor,
})
export type RememberedCall = z.infer<typeof RememberedCall>

/** Durable before the tool runs. */
export const ToolStarted = z.object({
  callId: z.string(),
  /** The input it runs with: after defaults, and after an approval that changed it. */
  input: z.unknown(),
  /** Why nobody was asked, where the policy wanted it. */
  remembered: RememberedCall.optional(),
})
export type ToolStarted = z.infer<typeof ToolStarted>

/** How a call ended. `invalid`: the input did not fit; `denied`: by policy; `rejected`: by a person; `interrupted`: its process ended first. */
export const ToolOutcome = z.enum(['ok', 'failed', 'invalid', 'denied', 'rejected', 'interrupted', 'cancelled'])
export type ToolOutcome = z.infer<typeof ToolOutcome>

/** The outcome of a call; exactly one for each `tool.called`. */
export const ToolFinished = z.object({
  callId: z.string(),
  tool: z.string(),
  outcome: ToolOutcome,
  /** What the model reads; bounded. */
  output: z.string(),
  /** The whole of it, where `output` leaves something out. */
  whole: BlobRef.optional(),
  /** The result as data, for a user interface; bounded too. */
  data: z.unknown().optional(),
  error: ErrorRecord.optional(),
  sensitivity: Sensitivity.optional(),
  /** What the classifier found in the whole of the output: the first hundred. */
  findings: z.array(Finding).optional(),
  ms: z.number().nonnegative(),
})
export type ToolFinished = z.infer<typeof ToolFinished>

import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import type { EventTypes } from '../events/event.ts'
import { parseOptions } from '../options.ts'
import { rememberForWorkspace, scopeOf } from './remembered.ts'
import type { TaskRuntime } from './runtime.ts'
import type { ApprovalState } from './task-state.ts'

/** A decision as it is to be written down. */
export type ApprovalDecision = Omit<EventTypes['approval.decided'], 'approvalId'>

/**
 * Finds a request that waits for a decision.
 *
 * @throws BatonError `UNKNOWN_REQUEST` naming those that wait, where it was decided, has expired, or never was
 */
export function requireWaiting({ id, state }: TaskRuntime, approvalId: string): ApprovalState {
  const approval = state.approvals.get(approvalId)
  const expired = approval !== undefined && isExpired(approval)
  if (approval && !approval.decision && !expired) return approval
  const waiting = [...state.approvals.values()].filter((one) => !one.decision && !isExpired(one)).map(({ request }) => request.approvalId)
  const hint = waiting.length === 0 ? 'Nothing waits for approval.' : `Waiting: ${waiting.join(', ')}.`
  const why = !approval
    ? `no approval "${approvalId}" waits`
    : expired && !approval.decision
      ? `it expired at ${approval.request.expiresAt}`
      : 'it was decided already'
  throw new BatonError('UNKNOWN_REQUEST', `Task ${id}: ${why}. ${hint}`, { details: { waiting } })
}

/** Whether the time to decide is over. */
export function isExpired({ request }: ApprovalState): boolean {
  return request.expiresAt !== undefined && Date.parse(request.expiresAt) <= Date.now()
}

/** The input that a person put in place of the proposed one, with its defaults. Undefined where only another process has the tool. */
function changedInput({ parts }: TaskRuntime, { request }: ApprovalState, input: unknown): unknown {
  const tool = parts.tools.get(request.tool)
  return tool && parseOptions(`approve: input of ${tool.name}`, tool.input, input)
}

/** What has to hold at the moment in which a decision is written down. */
export function requireDecidable(runtime: TaskRuntime, approvalId: string, { input }: ApprovalDecision): void {
  const approval = requireWaiting(runtime, approvalId)
  if (input !== undefined) changedInput(runtime, approval, input)
}

/**
 * Makes ready what an approval is to be remembered by: what it covers where the input was changed, and the workspace's memory. `undo` takes that back where the decision
 * is not written down after all.
 *
 * @throws BatonError `UNKNOWN_REQUEST`, `INVALID_OPTIONS`, `INVALID_WORKSPACE`, and what the memory says
 */
export async function prepareRemembering(
  runtime: TaskRuntime,
  approvalId: string,
  decision: ApprovalDecision,
  by: Actor,
): Promise<{ readonly decision: ApprovalDecision; undo(): Promise<void> }> {
  const { input, remember } = decision
  const approval = requireWaiting(runtime, approvalId)
  const { tool, scope: proposed } = approval.request
  const scope = input === undefined ? proposed : changedScope(runtime, approval, input)
  const undo = remember === 'workspace' ? await rememberForWorkspace(runtime, { tool, scope, by }) : async () => {}
  return { decision: { ...decision, ...(input !== undefined && { scope }) }, undo }
}

/** What was proposed is not what was approved. */
function changedScope(runtime: TaskRuntime, approval: ApprovalState, input: unknown): string {
  const parsed = changedInput(runtime, approval, input)
  const tool = runtime.parts.tools.get(approval.request.tool)
  if (tool) return scopeOf(tool, parsed)
  throw new BatonError(
    'INVALID_OPTIONS',
    `approve: remember: this process has no tool "${approval.request.tool}" to say what the changed input covers; approve it once, or where the tool is`,
  )
}

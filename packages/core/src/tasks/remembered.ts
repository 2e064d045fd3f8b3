import { realpath } from 'node:fs/promises'
import { v7 as uuidv7 } from 'uuid'
import { BatonError, messageOf } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { RememberedCall } from '../events/tool-events.ts'
import type { Tool } from '../tools/tool.ts'
import type { TaskRuntime } from './runtime.ts'

/** What remembering an approval of this input covers. */
export function scopeOf(tool: Tool, input: unknown): string {
  const exactly = JSON.stringify(input)
  try {
    return `${tool.name}: ${tool.scope?.(input) ?? exactly}`
  } catch {
    return `${tool.name}: ${exactly}`
  }
}

/** An approval given before that covers a scope: for this task, or for its workspace. A memory that cannot be read remembers nothing, and says so. */
export async function findRemembered(
  { state, parts }: TaskRuntime,
  tool: Tool,
  scope: string,
): Promise<{ readonly remembered?: RememberedCall; readonly warning?: EventDraft }> {
  const own = state.remembered.get(scope)
  if (own) return { remembered: own }
  const path = state.created.workspace?.path
  if (path === undefined) return {}
  try {
    const all = await parts.approvals.list({ workspace: await realpath(path) })
    const found = all.find((one) => one.scope === scope && one.tool === tool.name)
    return found ? { remembered: { for: 'workspace', id: found.id, scope, by: found.by } } : {}
  } catch (error) {
    const message = `What was approved for the workspace cannot be read, so a person is asked: ${messageOf(error)}`
    return { warning: { type: 'warning.raised', actor: systemActor, data: { code: 'APPROVALS_UNREADABLE', message } } }
  }
}

/**
 * Keeps an approval for the workspace of a task. Returns how to take it back.
 *
 * @throws BatonError `INVALID_OPTIONS` without a workspace, `INVALID_WORKSPACE`, and what the memory says
 */
export async function rememberForWorkspace(
  { id, state, parts }: TaskRuntime,
  { tool, scope, by }: { readonly tool: string; readonly scope: string; readonly by: Actor },
): Promise<() => Promise<void>> {
  const path = state.created.workspace?.path
  if (path === undefined) {
    throw new BatonError('INVALID_OPTIONS', `approve: remember: task ${id} has no workspace to remember it for; use 'task', or 'once'`)
  }
  const workspace = await realpath(path).catch((cause: unknown) => {
    throw new BatonError('INVALID_WORKSPACE', `approve: remember: the workspace ${path} cannot be found here: ${messageOf(cause)}`, {
      cause,
    })
  })
  const known = await parts.approvals.list({ workspace })
  if (known.some((one) => one.scope === scope && one.tool === tool)) return async () => {}
  const entry = { id: uuidv7(), workspace, scope, tool, by, time: new Date().toISOString() }
  await parts.approvals.add(entry)
  return async () => void (await parts.approvals.revoke(entry.id))
}

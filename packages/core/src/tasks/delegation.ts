import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import type { SubTask, SubTaskResult } from '../agents/agent.ts'
import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { TaskSummary } from '../events/event-store.ts'
import { CheckSpec, TaskLimits } from '../events/task-events.ts'
import { parseOptions } from '../options.ts'
import { remaining } from './limits.ts'
import { lookBack } from './look-around.ts'
import type { ActiveRun } from './run-context.ts'
import { isLetGo, ready } from './run-context.ts'
import type { SubTaskOutcome } from './runtime.ts'
import type { DelegationState } from './task-state.ts'
import { noSpend } from './task-summary.ts'

const SubTaskOptions = z.strictObject({
  goal: z.string().min(1, 'expected some text'),
  agent: z.string().optional(),
  limits: TaskLimits.strict().optional(),
  checks: z.array(CheckSpec).optional(),
  shareSandbox: z.boolean().optional(),
})

/** Reserves a slice of the budget, has another task do the work, and settles what it used. Under a key that is known it goes on from where that is. */
export async function delegate(active: ActiveRun, spec: SubTask, key: string): Promise<SubTaskResult> {
  const { runtime, hold } = active
  parseOptions('delegate', SubTaskOptions, spec)
  await ready(active)
  await lookBack(active)
  const { childId, reserved, settled } = runtime.state.delegations.get(key) ?? (await reserve(active, spec, key))
  if (settled) return { taskId: childId, outcome: settled.outcome, text: settled.text, spent: settled.spent }
  const outcome = await hold.yieldFor(() => runOrFail(active, { childId, key, spec, limits: reserved }))
  await runtime.drive([{ type: 'task.settled', actor: systemActor, data: { key, childId, ...outcome } }])
  return { taskId: childId, outcome: outcome.outcome, text: outcome.text, spent: outcome.spent }
}

async function reserve({ runtime }: ActiveRun, spec: SubTask, key: string): Promise<DelegationState> {
  const { agents } = runtime.parts
  if (spec.agent !== undefined && !agents.has(spec.agent))
    throw new BatonError('UNKNOWN_AGENT', `delegate: agent: there is no agent "${spec.agent}"; known: ${[...agents.keys()].join(', ')}.`)
  const shares = spec.shareSandbox ? { sharesSandbox: spec.agent ?? runtime.state.created.agent } : {}
  const data = { key, childId: uuidv7(), goal: spec.goal, reserved: {} as TaskLimits, ...shares }
  // Cut where all others are in the log, so that two at the same moment do not get the same slice.
  await runtime.drive([{ type: 'task.delegated', actor: runtime.agentActor, data }], () => {
    data.reserved = slice(runtime, spec.limits ?? {})
  })
  return data
}

/** A sub-task that cannot even begin has failed; its slice must not stay reserved for ever. */
async function runOrFail(
  active: ActiveRun,
  request: { childId: string; key: string; spec: SubTask; limits: TaskLimits },
): Promise<SubTaskOutcome> {
  const { runtime, signal } = active
  try {
    return await runtime.parts.runSubTask(active, { ...request, signal })
  } catch (error) {
    if (isLetGo(signal)) throw signal.reason
    if (BatonError.isInstance(error) && ['CLOSED', 'LOST_OWNERSHIP', 'STORE_FULL', 'STORE_FAILED'].includes(error.code)) throw error
    return { outcome: 'failed', text: messageOf(error), spent: noSpend }
  }
}

/** What of the parent's budget a sub-task gets: what it asks for, where there is that much. */
function slice({ state, stream }: ActiveRun['runtime'], asked: TaskLimits): TaskLimits {
  const left = remaining(state, (stream.summary as TaskSummary).spent)
  for (const limit of ['costUsd', 'tokens'] as const) {
    const available = left[limit]
    const wanted = asked[limit]
    if (available === undefined) continue
    if (available === 0 || (wanted !== undefined && wanted > available)) {
      throw new BatonError('LIMIT_REACHED', `The sub-task asks for ${wanted ?? 'a part'} of ${limit}, and ${available} are left.`, {
        details: { limit, available },
      })
    }
  }
  return {
    ...(left.costUsd !== undefined && { costUsd: left.costUsd }),
    ...(left.tokens !== undefined && { tokens: left.tokens }),
    ...asked,
  }
}

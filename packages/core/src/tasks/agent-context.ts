import { v7 as uuidv7 } from 'uuid'
import type { AgentContext, SubTask, SubTaskResult } from '../agents/agent.ts'
import { BatonError } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { TaskLimits } from '../events/task-events.ts'
import type { ToolResult } from '../tools/tool.ts'
import { remaining } from './limits.ts'
import { callModel } from './model-calls.ts'
import { ask } from './questions.ts'
import type { ActiveRun } from './run-context.ts'
import { ready } from './run-context.ts'
import { callTool } from './tool-calls.ts'

/** What an agent gets for one run. */
export function createAgentContext(active: ActiveRun): AgentContext {
  const { runtime, signal } = active
  const { state, stream, parts } = runtime
  const underWay = new Map<string, Promise<ToolResult>>()
  return {
    task: {
      id: runtime.id,
      goal: state.created.goal,
      checks: state.created.checks,
      instructions: state.created.instructions,
      metadata: state.created.metadata ?? {},
      get limits() {
        return state.limits
      },
      get summary() {
        return stream.summary as TaskSummary
      },
    },
    events: {
      get lastSeq() {
        return stream.lastSeq
      },
      read: (options) => stream.read(options),
    },
    signal,
    tools: [...parts.tools.values()],
    get openCalls() {
      return (state.run?.lastReply?.toolCalls ?? []).filter(({ callId }) => state.calls.get(callId)?.finishedSeq === undefined)
    },
    get lastReply() {
      return state.run?.lastReply
    },
    get unseen() {
      return state.unseen
    },
    model: (call) => callModel(active, call),
    tool(call) {
      const same = underWay.get(call.callId)
      if (same !== undefined) return same
      const result = callTool(active, call).finally(() => underWay.delete(call.callId))
      underWay.set(call.callId, result)
      return result
    },
    async say(text, { key }) {
      await ready(active)
      if (state.saidKeys.has(key)) return
      await runtime.drive([{ type: 'message.sent', actor: runtime.agentActor, data: { text, key } }])
    },
    ask: (question, options) => ask(active, question, options),
    delegate: (spec, { key }) => delegate(active, spec, key),
  }
}

async function delegate(active: ActiveRun, spec: SubTask, key: string): Promise<SubTaskResult> {
  const { runtime, hold, signal } = active
  const { state, parts } = runtime
  await ready(active)
  let delegation = state.delegations.get(key)
  if (!delegation) {
    const reserved = slice(active, spec.limits ?? {})
    await runtime.drive([
      { type: 'task.delegated', actor: runtime.agentActor, data: { key, childId: uuidv7(), goal: spec.goal, reserved } },
    ])
    delegation = state.delegations.get(key)
  }
  if (!delegation) throw new BatonError('CORRUPT_LOG', `Task ${runtime.id}: the sub-task "${key}" was written and is not there.`)
  const { childId, reserved } = delegation
  if (!delegation.settled) {
    const outcome = await hold.yieldFor(() => parts.runSubTask(active, { childId, key, spec, limits: reserved, signal }))
    await runtime.drive([{ type: 'task.settled', actor: systemActor, data: { key, childId, ...outcome } }])
  }
  const { outcome, text, spent } = delegation.settled ?? {
    outcome: 'failed' as const,
    text: '',
    spent: (runtime.stream.summary as TaskSummary).spent,
  }
  return { taskId: childId, outcome, text, spent }
}

/** What of the parent's budget a sub-task gets: what it asks for, where there is that much. */
function slice({ runtime }: ActiveRun, asked: TaskLimits): TaskLimits {
  const left = remaining(runtime.state, (runtime.stream.summary as TaskSummary).spent)
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

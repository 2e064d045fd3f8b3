import { BatonError } from '../errors.ts'
import type { Spend, TaskLimits } from '../events/task-events.ts'
import type { TaskState } from './task-state.ts'

/** What a task has left of its limits. Absent fields do not bind; nothing is below zero. */
export function remaining(state: TaskState, spent: Spend): TaskLimits {
  const { limits } = state
  const open = [...state.delegations.values()].filter(({ settled }) => !settled)
  const reserved = (field: 'costUsd' | 'tokens'): number => open.reduce((sum, { reserved: slice }) => sum + (slice[field] ?? 0), 0)
  const tokens = spent.inputTokens + spent.outputTokens
  return {
    ...(limits.costUsd !== undefined && { costUsd: Math.max(0, limits.costUsd - spent.costUsd - reserved('costUsd')) }),
    ...(limits.tokens !== undefined && { tokens: Math.max(0, limits.tokens - tokens - reserved('tokens')) }),
    ...(limits.steps !== undefined && { steps: Math.max(0, limits.steps - (state.run?.spent.steps ?? 0)) }),
    ...(limits.timeMs !== undefined && { timeMs: limits.timeMs }),
  }
}

/**
 * Refuses the next model call once a limit is reached.
 *
 * @throws BatonError `LIMIT_REACHED` with `details.limit`
 */
export function checkLimits(state: TaskState, spent: Spend, activeMs: number): void {
  const left = remaining(state, spent)
  for (const limit of ['steps', 'costUsd', 'tokens'] as const) {
    // With nothing to spend from the beginning, models that cost nothing may still be called; the router leaves out the others.
    const freeOnly = limit === 'costUsd' && state.limits.costUsd === 0 && spent.costUsd === 0
    if (left[limit] === 0 && !freeOnly) throw limitReached(limit, state.limits[limit] as number)
  }
  if (left.timeMs !== undefined && activeMs >= left.timeMs) throw limitReached('timeMs', left.timeMs)
}

/** The error that ends a run at a limit. */
export function limitReached(limit: keyof TaskLimits, value: number): BatonError {
  return new BatonError(
    'LIMIT_REACHED',
    `The run has reached its limit of ${value} ${limit}. Raise it with task.setLimits() and start again.`,
    {
      details: { limit, value },
    },
  )
}

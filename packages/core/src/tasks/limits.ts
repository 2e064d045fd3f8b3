import { BatonError } from '../errors.ts'
import type { TaskSummary } from '../events/event-store.ts'
import type { Spend, TaskLimits } from '../events/task-events.ts'
import type { CostBudget } from './budgets.ts'
import type { TaskRuntime } from './runtime.ts'
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

/** The budgets that hold for a task's next model call. */
export function costBudgets({ state, stream, parts }: TaskRuntime): readonly CostBudget[] {
  const { spent } = stream.summary as TaskSummary
  const { costUsd: budgetUsd } = state.limits
  const { costUsd: leftUsd = 0 } = remaining(state, spent)
  return [
    ...(budgetUsd === undefined ? [] : [{ scope: 'task' as const, budgetUsd, spentUsd: spent.costUsd, leftUsd }]),
    ...(parts.spending?.budgetsOf(state.created.tenant) ?? []),
  ]
}

/** The budget with the least left; undefined where none holds. */
export function leastLeft(budgets: readonly CostBudget[]): CostBudget | undefined {
  return budgets.reduce<CostBudget | undefined>((least, budget) => (least && least.leftUsd <= budget.leftUsd ? least : budget), undefined)
}

/**
 * Refuses the next model call once a limit is reached.
 *
 * @throws BatonError `LIMIT_REACHED` with `details.limit`, and `details.scope` where that is the cost
 */
export function checkLimits(runtime: TaskRuntime, activeMs: number): void {
  const { state, stream } = runtime
  const left = remaining(state, (stream.summary as TaskSummary).spent)
  if (left.steps === 0) throw limitReached('steps', state.limits.steps as number)
  checkSpend(runtime)
  if (left.timeMs !== undefined && activeMs >= left.timeMs) throw limitReached('timeMs', left.timeMs)
}

/** The part of {@link checkLimits} that holds for every call of the task, in a run or not: cost and tokens. */
export function checkSpend(runtime: TaskRuntime): void {
  const { state, stream } = runtime
  // With nothing to spend from the beginning, models that cost nothing may still be called; the router leaves out the others.
  const usedUp = costBudgets(runtime).find(({ leftUsd, budgetUsd, spentUsd }) => leftUsd === 0 && !(budgetUsd === 0 && spentUsd === 0))
  if (usedUp) throw budgetUsedUp(usedUp, state.created.tenant)
  const { tokens } = remaining(state, (stream.summary as TaskSummary).spent)
  if (tokens === 0) throw limitReached('tokens', state.limits.tokens as number)
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

/** The error that ends a run where a budget does not pay for the next call. */
export function budgetUsedUp({ scope, budgetUsd }: CostBudget, tenant: string | undefined): BatonError {
  const details = { limit: 'costUsd', value: budgetUsd, scope }
  if (scope === 'task') return new BatonError('LIMIT_REACHED', limitReached('costUsd', budgetUsd).message, { details })
  const [whose, field] = scope === 'day' ? ['all tasks', 'perDayUsd'] : [`the tasks of "${tenant}"`, 'perTenantPerDayUsd']
  return new BatonError(
    'LIMIT_REACHED',
    `What ${whose} may cost in a day ($${budgetUsd}) is spent. Raise budgets.${field} of createBaton(), or start again after midnight UTC.`,
    { details },
  )
}

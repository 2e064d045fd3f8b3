import { z } from 'zod'
import type { EventStore, TaskSummary } from '../events/event-store.ts'

const usd = z.number().nonnegative()

/** What all tasks of a store together may cost in a day. Days are those of UTC. With any of them set, a model of unknown price is not eligible where it holds. */
export const Budgets = z.strictObject({
  /** US dollars per day, over all tasks. */
  perDayUsd: usd.optional(),
  /** US dollars per day over the tasks of a tenant: the same for each, or by name. A tenant without a name in it, and a task without a tenant, are held by `perDayUsd` alone. */
  perTenantPerDayUsd: z
    .union([usd, z.record(z.string().min(1), usd)], 'expected US dollars of at least 0, or an object with as much for each tenant')
    .optional(),
})
export type Budgets = z.infer<typeof Budgets>

/** A budget that holds for a task, as it stands now. */
export interface CostBudget {
  readonly scope: 'task' | 'tenant' | 'day'
  readonly budgetUsd: number
  readonly spentUsd: number
  /** Never below zero. */
  readonly leftUsd: number
}

/** What was spent today, over all tasks of a store. */
export interface SpendLedger {
  /** Reads what other processes spent, where that is due; undefined where what is known is new enough. */
  refresh(): Promise<void> | undefined
  /** Takes in how a task stands. */
  note(summary: TaskSummary): void
  /** The budgets of the day that hold for a tenant's tasks, or for a task without one. */
  budgetsOf(tenant: string | undefined): readonly CostBudget[]
}

/** What other processes spent is known this late at most, or so many times later than the reading took: it costs 2 % of a process's time at most. */
const rereadMs = 5_000
const rereadFactor = 50

/**
 * Adds up what tasks spent today from their summaries, so that no log is read: those of the whole store once at first and then now and then, and those
 * of this process's tasks with each call that cost something. A task that was deleted stays counted in a process that has seen it.
 */
export function createSpendLedger({ store, budgets }: { store: Pick<EventStore, 'tasks'>; budgets: Budgets }): SpendLedger {
  const { perDayUsd, perTenantPerDayUsd } = budgets
  const byTask = new Map<string, number>()
  const byTenant = new Map<string, number>()
  let all = 0
  let day = ''
  let lastReadAt = Number.NEGATIVE_INFINITY
  let validMs = rereadMs
  let reading: Promise<void> | undefined

  function turnDay(): void {
    const today = new Date().toISOString().slice(0, 10)
    if (today === day) return
    day = today
    byTask.clear()
    byTenant.clear()
    all = 0
    lastReadAt = Number.NEGATIVE_INFINITY
  }

  function note({ taskId, tenant, today }: TaskSummary): void {
    turnDay()
    if (today?.day !== day) return
    // What a task spent only rises within a day, so an older summary changes nothing.
    const more = today.costUsd - (byTask.get(taskId) ?? 0)
    if (more <= 0) return
    byTask.set(taskId, today.costUsd)
    all += more
    if (tenant !== undefined) byTenant.set(tenant, (byTenant.get(tenant) ?? 0) + more)
  }

  async function read(): Promise<void> {
    const begun = Date.now()
    for await (const summary of store.tasks()) note(summary)
    lastReadAt = Date.now()
    validMs = Math.max(rereadMs, rereadFactor * (lastReadAt - begun))
  }

  function tenantBudget(tenant: string): number | undefined {
    if (typeof perTenantPerDayUsd !== 'object') return perTenantPerDayUsd
    return Object.hasOwn(perTenantPerDayUsd, tenant) ? perTenantPerDayUsd[tenant] : undefined
  }

  return {
    refresh() {
      turnDay()
      // The wall clock may be set back.
      if (reading === undefined && Math.abs(Date.now() - lastReadAt) < validMs) return undefined
      reading ??= read().finally(() => {
        reading = undefined
      })
      return reading
    },
    note,
    budgetsOf(tenant) {
      turnDay()
      const forTenant = tenant === undefined ? undefined : tenantBudget(tenant)
      return [
        ...(tenant === undefined || forTenant === undefined ? [] : [budgetOf('tenant', forTenant, byTenant.get(tenant) ?? 0)]),
        ...(perDayUsd === undefined ? [] : [budgetOf('day', perDayUsd, all)]),
      ]
    },
  }
}

function budgetOf(scope: CostBudget['scope'], budgetUsd: number, spentUsd: number): CostBudget {
  return { scope, budgetUsd, spentUsd, leftUsd: Math.max(0, budgetUsd - spentUsd) }
}

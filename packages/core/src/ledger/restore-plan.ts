import type { Abortable } from '../options.ts'
import type { Ledger } from './ledger.ts'
import type { PlanConflict, PlannedWrite, WritePlan } from './write-plan.ts'
import { foldersAbove, planOf } from './write-plan.ts'

/** What {@link planRestore} goes by. */
export interface RestoreOptions extends Abortable {
  readonly ledger: Ledger
  /** The present state. */
  readonly from: string
  /** The state to come back to. */
  readonly to: string
  /** Files, or folders with all that is in them. Default: everything. */
  readonly paths?: readonly string[] | undefined
}

/** Plans how to bring the files, or some of them, back to an earlier state. A file that differs, and of which only the hash was kept, is a conflict. */
export async function planRestore({ ledger, from, to, paths, signal }: RestoreOptions): Promise<WritePlan> {
  const asked = paths && new Set(paths)
  const writes: PlannedWrite[] = []
  const conflicts: PlanConflict[] = []
  for (const { path, before, after } of await ledger.compare(from, to, { signal })) {
    if (asked && ![path, ...foldersAbove(path)].some((place) => asked.has(place))) continue
    if (after?.hashOnly) conflicts.push({ path, kind: 'not-kept' })
    else writes.push({ path, expect: before, to: after })
  }
  return planOf(writes, await ledger.files(from, { signal }), conflicts)
}

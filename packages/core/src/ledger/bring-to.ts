import { BatonError } from '../errors.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { applyPlan } from './apply-plan.ts'
import type { Ledger } from './ledger.ts'
import { createWorkspaceWatch } from './workspace-watch.ts'

/**
 * Brings the files of a sandbox to a state of the ledger, whatever they are; what git ignores is left alone.
 *
 * @throws BatonError `CONFLICT` when files change while it writes, or the content of one is not kept; nothing is written then
 */
export async function bringTo(ledger: Ledger, sandbox: Sandbox, commit: string, options: Abortable = {}): Promise<void> {
  const { changes } = await createWorkspaceWatch({ ledger }).look(sandbox, commit, options)
  const writes = changes.map(({ path, before, after }) => ({ path, expect: after, to: before }))
  const { conflicts } = await applyPlan(sandbox, ledger, writes, options)
  if (conflicts.length === 0) return
  const paths = conflicts.map(({ path }) => path)
  throw new BatonError('CONFLICT', `These files could not be brought to the earlier state: ${paths.join(', ')}.`, { details: { paths } })
}

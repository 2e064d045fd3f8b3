import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BatonError } from '../errors.ts'
import type { Repository } from './repository.ts'
import { operationInProgress } from './repository-layout.ts'

/** The branch that commits go onto. */
export interface CommitTarget {
  readonly ref: string
  /** Where it is; none: it has no commit yet, or is not there. */
  readonly tip: string | undefined
  /** Where it begins, if it is not there. */
  readonly start: string | undefined
  /** Whether it is checked out in this work tree. */
  readonly checkedOut: boolean
}

/** Finds the branch and refuses what would harm it, or what a person is in the middle of. */
export async function findTarget(repository: Repository, branch: string | undefined): Promise<CommitTarget> {
  const head = await repository.head()
  const ref = branch === undefined ? head.ref : `refs/heads/${branch}`
  if (branch !== undefined && !isBranchName(branch))
    throw new BatonError(
      'INVALID_OPTIONS',
      `commitWork: branch: ${JSON.stringify(branch)} is no name for a branch (git-check-ref-format).`,
      {
        details: { issues: [{ field: 'branch', problem: 'no name for a branch' }] },
      },
    )
  if (ref === undefined) throw refused('HEAD is detached. Check out a branch, or name one.', { state: 'detached' })
  const checkedOut = ref === head.ref
  const busy = operationInProgress(repository.gitDir)
  if (busy !== undefined && (checkedOut || (await rebasedBranch(repository.gitDir)) === ref))
    throw refused(`A ${busy} is in progress. Finish or abort it first.`, { state: busy })
  const elsewhere = await repository.checkedOutElsewhere(ref)
  if (elsewhere.length > 0)
    throw refused(`${ref} is checked out in ${elsewhere.join(', ')}. Commit from there, or name another branch.`, { elsewhere })
  const tip = checkedOut ? head.commit : await repository.resolve(ref)
  return { ref, tip, start: tip ?? head.commit, checkedOut }
}

function refused(why: string, details: Record<string, unknown>): BatonError {
  return new BatonError('INVALID_STATE', `The work cannot be committed: ${why}`, { details })
}

async function rebasedBranch(gitDir: string): Promise<string | undefined> {
  for (const folder of ['rebase-merge', 'rebase-apply']) {
    const name = await readFile(join(gitDir, folder, 'head-name'), 'utf8').catch(() => undefined)
    if (name !== undefined) return name.trim()
  }
  return undefined
}

/** Source: git-check-ref-format(1). */
function isBranchName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what a name must not have
  if (/[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|\.$|\/$|^[-/]|\.lock(\/|$)|(^|\/)\./.test(name)) return false
  return name !== '@' && name !== 'HEAD'
}

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BatonError } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { pathFromBytes } from '../sandbox/path-bytes.ts'
import type { CommitPlan, PlannedCommit } from './commit-plan.ts'
import { plannedCommit } from './commit-plan.ts'
import type { TreeEntry } from './git-objects.ts'
import { writeObjects } from './git-objects.ts'
import { gitOutput, runGitHook, splitBytes } from './git-process.ts'
import type { RefMove, Repository } from './repository.ts'
import { editTree } from './tree-edit.ts'
import { putAllInPlace, underIndexLock } from './update-work-tree.ts'

/**
 * Makes the commit as `git commit` does: the work is put in place and staged, the hooks run, then the branch moves. Where a hook refuses, the work stays
 * staged, as it does with git. Returns the commit as the hooks left it; undefined: something is not as it was planned with, and nothing was written.
 *
 * @throws BatonError `HOOK_REFUSED`
 */
export async function commitWithHooks(
  repository: Repository,
  plan: CommitPlan,
  holdBranch: (to: PlannedCommit) => Promise<RefMove | undefined>,
  options: Abortable,
): Promise<CommitPlan | undefined> {
  const [planned] = plan.commits
  const done = await underIndexLock(repository, async () => {
    if (!(await plan.isCurrent())) return undefined
    await putAllInPlace(repository, plan)
    if (!planned) return plan
    const commit = await throughHooks(repository, planned, options)
    await writeObjects(`${repository.commonDir}/objects`, repository.objectFormat, new Map([[commit.oid, async () => commit.object]]))
    await putAllInPlace(repository, { files: [], index: await changedByHooks(repository, planned, commit, options) })
    const move = await holdBranch(commit)
    if (!move) throw new BatonError('INVALID_STATE', 'The branch moved while hooks ran. The work is staged, and not committed.')
    await move.commit()
    return { ...plan, commits: [commit] }
  })
  const { gitDir, root } = repository
  // It has no say.
  if (done && planned) await runGitHook('post-commit', [], { cwd: root, env: { GIT_DIR: gitDir, GIT_WORK_TREE: root } }).catch(() => {})
  return done
}

/**
 * Sends a commit through the hooks `pre-commit`, `prepare-commit-msg` and `commit-msg` as `git commit` does: with an index of the commit alone, and with the
 * message in a file. Returns the commit as the hooks leave it. Source: githooks(5), git-commit(1).
 *
 * @throws BatonError `HOOK_REFUSED`
 */
async function throughHooks(repository: Repository, commit: PlannedCommit, { signal }: Abortable): Promise<PlannedCommit> {
  const { gitDir, root } = repository
  const folder = await mkdtemp(join(gitDir, 'baton-index-'))
  const env = { GIT_INDEX_FILE: join(folder, 'index'), GIT_DIR: gitDir, GIT_WORK_TREE: root, GIT_PREFIX: '' }
  const options = { cwd: root, signal, env }
  const hook = async (name: string, ...args: string[]): Promise<void> => {
    const { code, output } = await runGitHook(name, args, options)
    if (code !== 0)
      throw new BatonError('HOOK_REFUSED', `The hook ${name} refused the commit (exit code ${code}): ${output.trim().slice(-2000)}`, {
        details: { hook: name, exitCode: code },
      })
  }
  try {
    await gitOutput(['read-tree', commit.tree], options)
    await hook('pre-commit')
    const tree = (await gitOutput(['write-tree'], options)).toString().trim()
    const file = join(gitDir, 'COMMIT_EDITMSG')
    await writeFile(file, `${commit.parts.message.trimEnd()}\n`)
    await hook('prepare-commit-msg', file, 'message')
    await hook('commit-msg', file)
    return plannedCommit(repository, { ...commit.parts, tree, message: (await readFile(file, 'utf8')).trim() }, commit)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What the hooks changed in the files of a commit, by path. */
async function changedByHooks(
  repository: Repository,
  before: PlannedCommit,
  after: PlannedCommit,
  { signal }: Abortable,
): Promise<Map<string, TreeEntry | undefined>> {
  const changed = new Map<string, TreeEntry | undefined>()
  if (before.tree === after.tree) return changed
  const args = [`--git-dir=${repository.gitDir}`, 'diff-tree', '-r', '-z', '--name-only', '--no-renames', before.tree, after.tree]
  const names = splitBytes(await gitOutput(args, { cwd: repository.root, signal }), 0)
  const tree = await editTree(repository, after.tree)
  for (const name of names) changed.set(pathFromBytes(name), await tree.get(pathFromBytes(name)))
  return changed
}

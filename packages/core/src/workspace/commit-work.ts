import { z } from 'zod'
import { BatonError, throwIfAborted } from '../errors.ts'
import { Actor } from '../events/envelope.ts'
import type { Abortable } from '../options.ts'
import { parseOptions } from '../options.ts'
import { commitWithHooks } from './commit-hooks.ts'
import type { CommitPlan } from './commit-plan.ts'
import { planCommits } from './commit-plan.ts'
import type { CommitTarget } from './commit-target.ts'
import { findTarget } from './commit-target.ts'
import { writeNotes } from './git-note.ts'
import { writeObjects } from './git-objects.ts'
import { openRepository } from './open-repository.ts'
import type { GitIdentity, RefMove, Repository } from './repository.ts'
import { updateWorkTree } from './update-work-tree.ts'

/** A file as the work has it: its content is what stands in the folder, before git converts anything. */
export interface WorkFile {
  /** An ordinary file, one that can be run, or a link (whose content is its target). */
  readonly mode: '100644' | '100755' | '120000'
  /** May be called more than once, and gives the same each time. */
  content(): Promise<Uint8Array>
}

/** A part of the work that one actor did. */
export interface WorkStage {
  readonly actor: Actor
  /** How git is to name the actor. */
  readonly author: GitIdentity & { readonly time?: Date | undefined }
  /** Subject, and after an empty line what else there is to say. */
  readonly message: string
  /** What is different after it, by path in the workspace; undefined: it is gone. */
  readonly files: ReadonlyMap<string, WorkFile | undefined>
}

/** A file to merge: its content as git stores it, or a link's target. */
export interface MergeableFile {
  readonly mode: WorkFile['mode']
  readonly content: Uint8Array
}

/** Merges what the branch (`ours`) and the work (`theirs`) made of a file; undefined where it is not there. The ledger's `mergeFiles` is one. */
export type MergeFiles = (sides: {
  readonly base: MergeableFile | undefined
  readonly ours: MergeableFile | undefined
  readonly theirs: MergeableFile | undefined
}) => { readonly file: MergeableFile | undefined; readonly conflict?: undefined } | { readonly conflict: unknown }

/** A commit that was made, for the one who writes its note. */
export interface MadeCommit {
  readonly oid: string
  /** None: it is the first of its branch. */
  readonly parent: string | undefined
  /** The content of a path of the workspace as the commit has it; undefined: it is not there. */
  read(path: string): Promise<Uint8Array | undefined>
  /** Paths of the workspace that are different in it. */
  readonly paths: readonly string[]
}

/** Options of {@link commitWork}. */
export interface CommitWorkOptions extends Abortable {
  /** The workspace: a folder in a work tree of the repository. */
  readonly path: string
  /** The work in its order. */
  readonly stages: readonly WorkStage[]
  /** The workspace as it was copied, by path: at least the paths that the work touches, where they were there. */
  readonly base: ReadonlyMap<string, WorkFile>
  readonly merge: MergeFiles
  /** In place of the stages' own messages. */
  readonly message?: string | undefined
  /** Short name of the branch. Default: the one that is checked out. Another one is made from the current commit where it is not there, and no file is touched. */
  readonly branch?: string | undefined
  /** One commit for each run of an actor, in place of one for all. Default false. */
  readonly perActor?: boolean | undefined
  /** A line for the end of the message of each commit that an actor has a part in, such as `Reviewed-by: …`. */
  readonly trailer?: ((actor: Actor) => string | undefined) | undefined
  /** Default: `user.name` and `user.email` of the repository's configuration. */
  readonly committer?: GitIdentity | undefined
  /** A text for `refs/notes/ai`, such as {@link toGitAiNote} makes; nothing is written there without. */
  readonly note?: ((commit: MadeCommit) => Promise<string | undefined>) | undefined
  /**
   * Whether the repository's hooks `pre-commit`, `prepare-commit-msg`, `commit-msg` and `post-commit` run, as with `git commit`. Default false. Needs the
   * git command line, one commit, and the branch that is checked out. Where a hook refuses, the work stays in the work tree, staged.
   */
  readonly hooks?: boolean | undefined
  /** Whether the git command line may be used. Default true. */
  readonly commandLine?: boolean | undefined
}

/** Why a path cannot be committed as the work has it. */
export interface CommitConflict {
  /** In the workspace. */
  readonly path: string
  /**
   * `branch`: the branch has other changes of the same lines, or removed the file. `index`, `work-tree`: something there is neither as it was copied nor as
   * it will be. `obstructed`: a folder, a link or a submodule is in the way. `lfs`: Git LFS is not installed here. `filter`: git would change the content by
   * a filter that is not run. `name`: git forbids the name.
   */
  readonly reason: 'branch' | 'index' | 'work-tree' | 'obstructed' | 'lfs' | 'filter' | 'name'
}

/** What came of {@link commitWork}. */
export interface CommitResult {
  readonly branch: string
  /** None where the branch has all of it already. */
  readonly commits: readonly { readonly oid: string; readonly author: Actor }[]
  /** With any of these, nothing was written. */
  readonly conflicts: readonly CommitConflict[]
}

const fileMap = z.instanceof(Map)
const identity = z.object({ name: z.string().min(1), email: z.string() })
const CommitWorkSchema = z.object({
  path: z.string().min(1),
  stages: z.array(z.object({ actor: Actor, author: z.looseObject(identity.shape), message: z.string().min(1), files: fileMap })),
  base: fileMap,
  merge: z.function(),
  message: z.string().min(1).optional(),
  branch: z.string().min(1).optional(),
  perActor: z.boolean().optional(),
  trailer: z.function().optional(),
  committer: identity.optional(),
  note: z.function().optional(),
  hooks: z.boolean().optional(),
  commandLine: z.boolean().optional(),
})

/** How often the branch may move, or a file change, while the work is put onto it. */
const attempts = 3

/**
 * Puts the work onto a branch of the user's repository. Whatever is in the way is returned as a conflict, and then nothing is written at all.
 *
 * In this order: the objects, durably; the files of the work tree; the index; and last the branch, if it still is where it was. A process that dies on the
 * way leaves the branch as it was and all or a part of the work as uncommitted changes, never the other way round, and the same call completes it.
 * No filter program runs, no hook unless it is asked for, and commits are not signed.
 *
 * @throws BatonError `INVALID_WORKSPACE`, `UNSUPPORTED_REPOSITORY`; `INVALID_STATE` where HEAD is detached and no branch is named, in the middle of a merge
 * or rebase, where the branch is checked out in another work tree, or another git command is at work; `HOOK_REFUSED`; `INVALID_OPTIONS`; `ABORTED`.
 */
export async function commitWork(options: CommitWorkOptions): Promise<CommitResult> {
  parseOptions('commitWork', CommitWorkSchema, options)
  const repository = await openRepository(options.path, options)
  try {
    for (let attempt = 1; ; attempt++) {
      throwIfAborted(options.signal, 'commitWork')
      const target = await findTarget(repository, options.branch)
      checkHooks(repository, target, options)
      const plan = await planCommits(repository, target, options)
      const branch = target.ref.slice('refs/heads/'.length)
      if (plan.conflicts.length > 0) return { branch, commits: [], conflicts: plan.conflicts }
      const done = await carryOut(repository, target, plan, options)
      if (done) {
        if (options.note) await writeNotes(repository, done, options.note)
        return { branch, commits: done.commits.map(({ oid, author }) => ({ oid, author })), conflicts: [] }
      }
      if (attempt === attempts)
        throw new BatonError('INVALID_STATE', `The branch ${branch} keeps changing. Commit when nothing else works on it.`, {
          details: { branch },
        })
    }
  } finally {
    await repository.close()
  }
}

/** The plan as it was carried out; undefined: something changed since it was made, and nothing was written but objects that nothing names. */
async function carryOut(
  repository: Repository,
  target: CommitTarget,
  plan: CommitPlan,
  options: CommitWorkOptions,
): Promise<CommitPlan | undefined> {
  await writeObjects(`${repository.commonDir}/objects`, repository.objectFormat, plan.objects)
  await plan.storeLfs()
  throwIfAborted(options.signal, 'commitWork')
  const hold = async (to: CommitPlan['commits'][number] | undefined): Promise<RefMove | undefined> => {
    if (!to) return { commit: async () => {}, abort: async () => {} }
    const log = `commit${target.tip === undefined ? ' (initial)' : ''}: ${to.subject}`
    return repository.holdRef(target.ref, { from: target.tip, to: to.oid, log, by: plan.committer })
  }
  const last = plan.commits.at(-1)
  if (options.hooks === true) return commitWithHooks(repository, plan, hold, options)
  if (target.checkedOut) return (await updateWorkTree(repository, plan, () => hold(last))) ? plan : undefined
  const move = await hold(last)
  await move?.commit()
  return move && plan
}

/** Hooks see one commit of what is checked out, as they do with git. */
function checkHooks(repository: Repository, target: CommitTarget, { hooks, perActor }: CommitWorkOptions): void {
  const problem =
    repository.kind !== 'git'
      ? 'need the git command line'
      : perActor === true
        ? 'run for one commit; leave perActor out'
        : !target.checkedOut
          ? 'run for the branch that is checked out; leave branch out'
          : undefined
  if (hooks === true && problem !== undefined)
    throw new BatonError('INVALID_OPTIONS', `commitWork: hooks: ${problem}.`, { details: { issues: [{ field: 'hooks', problem }] } })
}

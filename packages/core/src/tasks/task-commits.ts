import type { Actor } from '../events/envelope.ts'
import type { LoggedEvent } from '../events/event.ts'
import { isAside, isKnown } from '../events/event.ts'

/** A state of the ledger as the log tells of it. */
export interface TaskCommit {
  readonly commit: string
  readonly parent: string
  readonly seq: number
  /** ISO 8601 in UTC. */
  readonly time: string
  readonly actor: Actor
  /** The model that answered last before it. */
  readonly model: string | undefined
  /** It takes back, and is nobody's change. */
  readonly reverts: boolean
}

/** The history of a task's files. */
export interface TaskCommits {
  /** The workspace as the task found it, which is nobody's change. */
  readonly first: string | undefined
  /** The commits since, oldest first. */
  readonly commits: readonly TaskCommit[]
  /** Those whose changes were taken back, or that a restore set aside. */
  readonly undone: ReadonlySet<string>
  /** By branch of the user's repository: the commit up to which it has the work. */
  readonly committed: ReadonlyMap<string, string>
}

/** Reads the history of a task's files from its log. */
export async function readCommits(events: AsyncIterable<LoggedEvent>): Promise<TaskCommits> {
  let undone: ReadonlySet<string> = new Set()
  /** What did not count in each state. */
  const undoneIn = new Map<string, ReadonlySet<string>>()
  const committed = new Map<string, string>()
  let commits: TaskCommit[] = []
  let first: string | undefined
  let model: string | undefined
  for await (const event of events) {
    if (!isKnown(event)) continue
    if (event.type === 'model.finished' && !isAside(event)) model = event.data.model
    if (event.type === 'changes.undone') {
      undone = new Set([...undone, ...event.data.commits])
      const last = commits.at(-1)
      if (last) undoneIn.set(last.commit, undone)
    }
    if (event.type === 'workspace.committed') committed.set(event.data.branch, event.data.upTo)
    if (event.type !== 'checkpoint.created') continue
    const { commit, reason, restores } = event.data
    if (event.data.parent === undefined) {
      // Where the ledger was lost the history begins anew.
      first = commit
      commits = []
      committed.clear()
      continue
    }
    const target = commits.findLastIndex((earlier) => earlier.commit === restores)
    // Of what was set aside before, that counts again which counted then.
    if (restores !== undefined) {
      undone = new Set([...(undoneIn.get(restores) ?? []), ...commits.slice(target + 1).map((setAside) => setAside.commit)])
    }
    const { seq, time, actor } = event
    const { parent } = event.data
    if (commit === parent) continue
    undoneIn.set(commit, undone)
    commits.push({ commit, parent, seq, time, actor, model, reverts: reason === 'undo' || reason === 'restore' })
  }
  return { first, commits, undone, committed }
}

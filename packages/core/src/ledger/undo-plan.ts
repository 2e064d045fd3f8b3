import { throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import type { Ledger, LedgerChange, LedgerFile } from './ledger.ts'
import type { FileChange, MergeFile } from './merge-files.ts'
import { changeBetween, composeChanges, mergeFiles, sameFile } from './merge-files.ts'
import type { PlanConflict, PlannedWrite, WritePlan } from './write-plan.ts'
import { planOf } from './write-plan.ts'

/** One commit of a task. */
export interface UndoCommit {
  readonly commit: string
  /** The state that it began with; undefined: an empty workspace. */
  readonly parent: string | undefined
}

/** What {@link planUndo} goes by. */
export interface UndoOptions extends Abortable {
  readonly ledger: Ledger
  /** The commits of the task, oldest first, each of one actor. What is different between one and the parent of the next counts as somebody else's. */
  readonly commits: readonly UndoCommit[]
  /** The commits to take back, out of these. Leave out those that were taken back before. */
  readonly undo: ReadonlySet<string>
  /** Commits that were taken back before, and those by which that was done. Where they lead back to where they began, they count as never made. */
  readonly settled?: ReadonlySet<string> | undefined
  /** The present state. */
  readonly now: string
}

/** A file before and after a commit. */
interface Step extends LedgerChange {
  readonly settled: boolean
  /** The commit, where it is to be taken back. */
  readonly undone?: string | undefined
}

/**
 * Plans how to take commits back and keep all others: what is written is what there would be had those never been made. Goes from the newest to the oldest,
 * and follows every line that somebody else changed on its way back through each commit. A conflict is given instead where the others' changes touch the same
 * lines, where it cannot be told among lines that repeat whether they do, and where a file is not a text on both sides.
 */
export async function planUndo(options: UndoOptions): Promise<WritePlan> {
  const { ledger, now } = options
  const histories = await historiesOf(options)
  const present = await ledger.files(now, options)
  const writes: PlannedWrite[] = []
  const conflicts: PlanConflict[] = []
  for (const [path, steps] of histories) {
    throwIfAborted(options.signal, 'planning an undo')
    const outcome = await takeBack(ledger, path, withoutDetours(steps))
    if ('kind' in outcome) conflicts.push(outcome)
    else if (outcome.to !== outcome.expect) writes.push(outcome)
  }
  return planOf(writes, present, conflicts)
}

/** For each path that is touched by what is to be taken back, all that happened to it since. */
async function historiesOf(options: UndoOptions): Promise<ReadonlyMap<string, readonly Step[]>> {
  const steps = await stepsOf(options)
  const histories = new Map<string, Step[]>()
  for (const step of steps) {
    const history = histories.get(step.path)
    if (history) history.push(step)
    else if (step.undone !== undefined) histories.set(step.path, [step])
  }
  return histories
}

async function stepsOf({ ledger, commits, undo, settled, now, signal }: UndoOptions): Promise<Step[]> {
  const first = commits.findIndex(({ commit }) => undo.has(commit))
  if (first < 0) return []
  const steps: Step[] = []
  const add = async (from: string | undefined, to: string, undone?: string): Promise<void> => {
    const isSettled = settled?.has(to) ?? false
    for (const change of await changesBetween(ledger, from, to, { signal })) steps.push({ ...change, undone, settled: isSettled })
  }
  let at = commits[first]?.parent
  for (const { commit, parent } of commits.slice(first)) {
    if (parent !== undefined && parent !== at) await add(at, parent)
    await add(parent, commit, undo.has(commit) ? commit : undefined)
    at = commit
  }
  if (at !== now) await add(at, now)
  return steps
}

async function changesBetween(ledger: Ledger, from: string | undefined, to: string, options: Abortable): Promise<readonly LedgerChange[]> {
  if (from !== undefined) return ledger.compare(from, to, options)
  return [...(await ledger.files(to, options))].map(([path, after]) => ({ path, after }))
}

/** Leaves out what was made and taken back again. */
function withoutDetours(steps: readonly Step[]): readonly Step[] {
  const kept: Step[] = []
  for (const step of steps) {
    kept.push(step)
    if (!step.settled) continue
    // The longest way that is settled and comes back to where it began.
    const first = kept.findLastIndex(({ settled }) => !settled) + 1
    const begin = kept.findIndex(({ before }, index) => index >= first && isSame(before, step.after))
    if (begin !== -1) kept.splice(begin)
  }
  return kept
}

function isSame(a: LedgerFile | undefined, b: LedgerFile | undefined): boolean {
  return a?.oid === b?.oid && a?.mode === b?.mode
}

async function takeBack(ledger: Ledger, path: string, steps: readonly Step[]): Promise<PlannedWrite | PlanConflict> {
  const load = createLoader(ledger)
  const expect = steps.at(-1)?.after
  const present = await load(expect)
  let file = present
  let others: FileChange = { content: 'same', mode: false }
  for (const { before, after, undone } of [...steps].reverse()) {
    const [old, base] = [await load(before), await load(after)]
    if (undone === undefined) others = composeChanges(changeBetween(old, base), base, others)
    else {
      const merged = mergeFiles({ base, ours: file, theirs: old, change: others })
      if (merged.conflict) return { path, commit: undone, ...merged.conflict }
      file = merged.file
      others = merged.change
    }
  }
  if (sameFile(file, present)) return { path, expect, to: expect }
  if (file?.hashOnly) return { path, kind: 'not-kept', commit: steps[0]?.undone }
  return { path, expect, to: file && ledger.put(file.content, file.mode) }
}

/** Reads each content once. */
function createLoader(ledger: Ledger): (file: LedgerFile | undefined) => Promise<MergeFile | undefined> {
  const contents = new Map<string, Promise<Uint8Array>>()
  return async (file) => {
    if (!file) return undefined
    const content = contents.get(file.oid) ?? ledger.read(file)
    contents.set(file.oid, content)
    return { mode: file.mode, content: await content, hashOnly: file.hashOnly }
  }
}

import type { Actor } from '../events/envelope.ts'
import { actorKey, unknownActor } from '../events/envelope.ts'
import type { FileChanged } from '../events/workspace-events.ts'
import type { LedgerFile } from '../ledger/ledger.ts'
import type { Writer } from './writers.ts'

/** A state of one path: a file of the ledger, where its content is known, and the SHA-256 of its content; both undefined where there is no file. */
export interface PathState {
  readonly file: LedgerFile | undefined
  readonly sha256: string | undefined
}

/** A change of one path that was recorded by who made it. */
export interface RecordedWrite {
  readonly actor: Actor
  /** SHA-256 before and after, as they were recorded. */
  readonly before: string | undefined
  readonly after: string | undefined
  /** What it wrote, where that was caught. */
  readonly file: LedgerFile | undefined
}

/** What is known of one path when a window closes. */
export interface PathWindow {
  readonly path: string
  readonly before: PathState
  readonly now: PathState
  readonly recorded: readonly RecordedWrite[]
}

/** Whose a change is that nobody recorded, and how that is known. */
export interface Verdict {
  readonly actor: Actor
  readonly evidence: FileChanged['evidence']
  readonly candidates?: readonly string[] | undefined
  readonly callId?: string | undefined
}

/** A change that nobody recorded. */
export interface FoundWrite {
  readonly path: string
  readonly from: PathState
  readonly to: PathState
  readonly verdict: Verdict
}

/** One step in the history of a path. */
export interface PathStep {
  readonly path: string
  readonly actor: Actor
  readonly file: LedgerFile | undefined
}

/** A window, told apart by who did what. */
export interface Attribution {
  /** In order; each path's steps lead from what it was to what it is. */
  readonly steps: readonly PathStep[]
  readonly found: readonly FoundWrite[]
}

/** Somebody that Baton does not see, in a list of candidates. */
export const outside = 'outside'

/**
 * Says whose a change is that was found between two looks. It is somebody's only where nobody else could have written: a person's who had control
 * alone, an agent's whose calls alone ran. Else it is unknown, with all who may have done it; there is no guess.
 *
 * @param writers - who may have written in between, other than by what is recorded
 * @param shared - somebody outside may write at any time, as in a folder that is worked on in place
 */
export function judge(writers: readonly Writer[], shared: boolean): Verdict {
  const [only] = writers
  const holder = writers.find(({ holds }) => holds)
  if (writers.length === 1 && only?.holds) return { actor: only.actor, evidence: 'lease' }
  // What is written from outside while a person has control is that person's.
  if (writers.length === 1 && only && !only.unsure && !shared) {
    return { actor: only.actor, evidence: 'window', ...(only.callId !== undefined && { callId: only.callId }) }
  }
  const candidates = writers.map(({ actor }) => actorKey(actor))
  return { actor: unknownActor, evidence: 'window', candidates: holder ? candidates : [...candidates, outside] }
}

/** Tells a window apart: what was recorded goes to who recorded it, in order, and what is left over to whom the verdict names. */
export function attribute(windows: readonly PathWindow[], verdict: Verdict): Attribution {
  const steps: PathStep[] = []
  const found: FoundWrite[] = []
  for (const { path, before, now, recorded } of windows) {
    let state = before
    for (const write of recorded) {
      // It was seen already, by a look between the write and its record.
      if (write.after === state.sha256 && write.before !== state.sha256) continue
      // Between the look and what was recorded somebody else was at it; what it looked like then is known by its hash alone.
      if (write.before !== state.sha256) found.push({ path, from: state, to: { file: undefined, sha256: write.before }, verdict })
      const content = write.file ?? (write.after === now.sha256 ? now.file : undefined)
      // Writing keeps the mode; what else is different in the end is left over.
      const file = content && { ...content, mode: before.file?.mode ?? now.file?.mode ?? content.mode }
      state = { file, sha256: write.after }
      if (file !== undefined || write.after === undefined) steps.push({ path, actor: write.actor, file })
    }
    if (state.sha256 === now.sha256 && sameFile(state.file ?? now.file, now.file)) continue
    found.push({ path, from: state, to: now, verdict })
    steps.push({ path, actor: verdict.actor, file: now.file })
  }
  return { steps, found }
}

/** Steps of one actor after the other belong together. */
export function byActor(steps: readonly PathStep[]): { actor: Actor; files: Map<string, LedgerFile | undefined> }[] {
  const groups: { actor: Actor; files: Map<string, LedgerFile | undefined> }[] = []
  for (const { path, actor, file } of steps) {
    const taken = (group: { files: Map<string, unknown> }): boolean => group.files.has(path)
    // The steps of other paths do not depend on each other, so a path may join any group behind the last one that has it.
    const last = groups.findLastIndex(taken)
    const home = groups.findIndex((group, index) => index >= last && actorKey(group.actor) === actorKey(actor))
    if (home === -1) groups.push({ actor, files: new Map([[path, file]]) })
    else groups[home]?.files.set(path, file)
  }
  return groups
}

function sameFile(a: LedgerFile | undefined, b: LedgerFile | undefined): boolean {
  return a?.oid === b?.oid && a?.mode === b?.mode
}

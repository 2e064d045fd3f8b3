import type { LedgerFile } from './ledger.ts'
import type { ConflictHunk, MergeConflictKind } from './merge-files.ts'

/** One file that is to be other than it is. */
export interface PlannedWrite {
  readonly path: string
  /** How it is now; undefined: it is not there. */
  readonly expect: LedgerFile | undefined
  /** How it is to be; undefined: gone. */
  readonly to: LedgerFile | undefined
}

/** Why nothing can be written, for one path. */
export interface PlanConflict {
  readonly path: string
  /**
   * What two sides made of it does not go together ({@link MergeConflictKind}); or a file would have to be where a folder is, or the other way round
   * (`in-the-way`); or it is no longer as it was when that was planned (`changed`).
   */
  readonly kind: MergeConflictKind | 'in-the-way' | 'changed'
  /** The commit that cannot be taken back here, since what others did after it touches the same. In `hunks` it is the base. */
  readonly commit?: string | undefined
  readonly hunks?: readonly ConflictHunk[] | undefined
}

/** What is to be written, or why that cannot be. Where there are conflicts, there are no writes. */
export interface WritePlan {
  readonly writes: readonly PlannedWrite[]
  readonly conflicts: readonly PlanConflict[]
}

/** A plan of these writes, in byte order of their paths as far as strings have one, if nothing speaks against it. */
export function planOf(
  writes: readonly PlannedWrite[],
  now: ReadonlyMap<string, LedgerFile>,
  conflicts: readonly PlanConflict[],
): WritePlan {
  const all = [...conflicts, ...obstructions(writes, now)].sort(byPath)
  return { writes: all.length > 0 ? [] : [...writes].sort(byPath), conflicts: all }
}

/** The paths of new files that would be where a folder is, or below a file. */
function obstructions(writes: readonly PlannedWrite[], now: ReadonlyMap<string, LedgerFile>): PlanConflict[] {
  const created = writes.filter(({ expect, to }) => to && !expect)
  if (created.length === 0) return []
  const files = new Set(now.keys())
  for (const { path, to } of writes) {
    if (to) files.add(path)
    else files.delete(path)
  }
  const folders = new Set<string>()
  for (const path of files) for (const folder of foldersAbove(path)) folders.add(folder)
  return created
    .filter(({ path }) => folders.has(path) || foldersAbove(path).some((folder) => files.has(folder)))
    .map(({ path }) => ({ path, kind: 'in-the-way' }))
}

/** The folders that a path is in, the innermost first. */
export function foldersAbove(path: string): string[] {
  const folders: string[] = []
  for (let slash = path.lastIndexOf('/'); slash > 0; slash = path.lastIndexOf('/', slash - 1)) folders.push(path.slice(0, slash))
  return folders
}

function byPath(a: { readonly path: string }, b: { readonly path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0
}

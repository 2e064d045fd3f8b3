import type { TreeEntry } from './git-tree.ts'

/** The trees that were used last, so that a commit on top of the one before reads nothing. */
export interface TreeCache {
  get(oid: string): readonly TreeEntry[] | undefined
  set(oid: string, entries: readonly TreeEntry[]): void
}

/** @param maxEntries - of all trees together */
export function createTreeCache(maxEntries: number): TreeCache {
  const trees = new Map<string, readonly TreeEntry[]>()
  let count = 0

  function remove(oid: string): void {
    count -= trees.get(oid)?.length ?? 0
    trees.delete(oid)
  }

  return {
    get(oid) {
      const entries = trees.get(oid)
      if (!entries) return undefined
      trees.delete(oid)
      trees.set(oid, entries)
      return entries
    },
    set(oid, entries) {
      remove(oid)
      if (entries.length > maxEntries) return
      trees.set(oid, entries)
      count += entries.length
      for (const oldest of trees.keys()) {
        if (count <= maxEntries) return
        remove(oldest)
      }
    },
  }
}

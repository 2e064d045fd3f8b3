import type { Stats } from 'node:fs'
import { statfsSync } from 'node:fs'

/** What was in folders when they were read last, as paths. Saves reading again those whose change time says that nothing came or went. */
export interface FolderNames {
  /** The entries of a folder that looks like this now; undefined when it has to be read. */
  entriesOf(folder: string, stats: Stats): readonly string[] | undefined
  /** Keeps what a folder had, where it can be told later whether that still holds. `readAtMs`: a moment before it was read. */
  keep(folder: string, stats: Stats, entries: readonly string[], readAtMs: number): void
  /** Forgets folders that were neither asked for nor kept since this was called last. */
  sweep(): void
}

interface KeptFolder {
  readonly inode: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly entries: readonly string[]
}

/**
 * File systems of Linux on which a folder's change time rises with every entry that comes or goes: ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, overlayfs.
 * Git tests the file system for the same before it trusts one (`git update-index --test-untracked-cache`). Source: statfs(2).
 */
const trusted = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0x01021994, 0x794c7630])

/** The clock that stamps files stands still for up to 10 ms (a tick of 100 Hz); twice that. */
const grainMs = 20

/** About 10 MiB of names; what is beyond is read each time. */
const maxEntries = 100_000

/** A memory for one workdir. On a file system that is not known to be good for it, it keeps nothing. */
export function createFolderNames(workdir: string): FolderNames {
  let kept = new Map<string, KeptFolder>()
  let next = new Map<string, KeptFolder>()
  let count = 0
  let device: number | undefined
  const isTrusted = (folder: string, stats: Stats): boolean => {
    if (folder === '') device = trusted.has(statfsSync(workdir).type) ? stats.dev : undefined
    return stats.dev === device
  }
  const add = (folder: string, known: KeptFolder): void => {
    const before = next.get(folder)?.entries.length ?? 0
    if (count - before + known.entries.length > maxEntries) return
    count += known.entries.length - before
    next.set(folder, known)
  }
  return {
    entriesOf(folder, stats) {
      if (!isTrusted(folder, stats)) return undefined
      const known = next.get(folder) ?? kept.get(folder)
      if (known?.inode !== stats.ino || known.ctimeMs !== stats.ctimeMs || known.mtimeMs !== stats.mtimeMs) return undefined
      add(folder, known)
      return known.entries
    },
    keep(folder, stats, entries, readAtMs) {
      // Changed this very moment: what comes next might get the same time.
      if (!isTrusted(folder, stats) || stats.ctimeMs >= readAtMs - grainMs) return
      add(folder, { inode: stats.ino, mtimeMs: stats.mtimeMs, ctimeMs: stats.ctimeMs, entries })
    },
    sweep() {
      kept = next
      next = new Map()
      count = 0
    },
  }
}

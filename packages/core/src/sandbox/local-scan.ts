import type { Stats } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { throwIfAborted } from '../errors.ts'
import { isAsideName } from './aside-name.ts'
import type { FolderNames } from './folder-names.ts'
import { createFolderNames } from './folder-names.ts'
import { codeOf, holdFolder, holdPlace, lstatOf, namesIn, notFoundError } from './local-folder.ts'
import { fsPath } from './path-bytes.ts'
import type { FileStat, Sandbox, ScanOptions } from './sandbox.ts'

/** An entry of a scan, with what the system says of it. */
export interface ScannedEntry {
  /** Relative to the workdir, with forward slashes. */
  readonly path: string
  readonly stats: Stats
  /** A folder that could not be entered. */
  readonly unlisted?: true
}

/** How long the event loop may be held by one piece of a scan, in milliseconds. */
const pieceMs = 10

interface Skip {
  readonly names: ReadonlySet<string>
  readonly paths: ReadonlySet<string>
}

/** The scan of one sandbox. It remembers what was in folders, so that scanning again takes little more than looking at each file. */
export function createLocalScanner(workdir: string): Required<Pick<Sandbox, 'scan' | 'scanBatches'>> {
  const names = createFolderNames(workdir)
  const scanBatches = async function* (options: ScanOptions = {}): AsyncGenerator<readonly FileStat[]> {
    for await (const entries of walkLocal(workdir, options, names)) yield entries.map(statOf)
    if (options.path === undefined) names.sweep()
  }
  return {
    scanBatches,
    async *scan(options) {
      for await (const batch of scanBatches(options)) yield* batch
    },
  }
}

/**
 * Walks the workdir, or a folder of it, without following links; a folder comes before what is in it. What vanishes meanwhile is left out.
 *
 * @throws BatonError `FILE_NOT_FOUND` where `path` is not there; for a file or link it gives that alone.
 */
export async function* walkLocal(workdir: string, options: ScanOptions = {}, names?: FolderNames): AsyncGenerator<ScannedEntry[]> {
  const skip = { names: new Set(options.skip), paths: new Set(options.skipPaths) }
  const start = startOf(workdir, options.path ?? '.')
  if (!start.stats.isDirectory()) return yield [start]
  const folders = [start]
  while (folders.length > 0) {
    throwIfAborted(options.signal, 'the scan')
    const entries: ScannedEntry[] = []
    for (const until = performance.now() + pieceMs; performance.now() < until; ) {
      const folder = folders.pop()
      if (folder === undefined) break
      const inside = entriesIn(workdir, folder, skip, names)
      if (folder.path !== '') entries.push(inside === undefined ? { ...folder, unlisted: true } : folder)
      for (const entry of inside ?? []) (entry.stats.isDirectory() ? folders : entries).push(entry)
    }
    yield entries
    if (folders.length > 0) await setImmediate()
  }
}

function statOf({ path, stats, unlisted }: ScannedEntry): FileStat {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'other'
  return {
    path,
    kind,
    size: stats.size,
    mode: stats.mode & 0o7777,
    mtimeMs: stats.mtimeMs,
    ctimeMs: stats.ctimeMs,
    inode: stats.ino,
    ...(unlisted && { unlisted }),
  }
}

function startOf(workdir: string, path: string): ScannedEntry {
  const place = holdPlace(workdir, path, { followLast: false })
  try {
    if (place.stats === undefined) throw notFoundError(path)
    return { path: place.path, stats: place.stats }
  } finally {
    place.close()
  }
}

/** What is in a folder, but for what is skipped; undefined where it may not be entered. */
function entriesIn(workdir: string, folder: ScannedEntry, skip: Skip, names: FolderNames | undefined): ScannedEntry[] | undefined {
  try {
    const entries: ScannedEntry[] = []
    for (const path of pathsIn(workdir, folder, names)) {
      // By path and not through the open folder, which takes twice the time: a swap at this moment can show size and times, no content.
      const stats = lstatOf(fsPath(`${workdir}/${path}`))
      if (stats !== undefined && !(stats.isDirectory() && isSkipped(path, skip))) entries.push({ path, stats })
    }
    return entries
  } catch (error) {
    if (folder.path !== '' && ['EACCES', 'EPERM'].includes(codeOf(error))) return undefined
    throw error
  }
}

function isSkipped(folder: string, { names, paths }: Skip): boolean {
  return paths.has(folder) || names.has(folder.slice(folder.lastIndexOf('/') + 1))
}

function pathsIn(workdir: string, { path, stats }: ScannedEntry, names: FolderNames | undefined): readonly string[] {
  const known = names?.entriesOf(path, stats)
  if (known !== undefined) return known
  const readAtMs = Date.now()
  const held = holdFolder(workdir, path)
  if (held === undefined) return []
  try {
    const prefix = path === '' ? '' : `${path}/`
    const entries = namesIn(held).flatMap((name) => (isAsideName(name) ? [] : prefix + name))
    names?.keep(path, stats, entries, readAtMs)
    return entries
  } finally {
    held.close()
  }
}

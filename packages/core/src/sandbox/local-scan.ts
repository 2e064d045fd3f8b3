import type { Stats } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { throwIfAborted } from '../errors.ts'
import { holdFolder, holdPlace, lstatOf, namesIn, notFoundError } from './local-folder.ts'
import { fsPath } from './path-bytes.ts'
import type { FileStat, ScanOptions } from './sandbox.ts'

/** An entry of a scan, with what the system says of it. */
export interface ScannedEntry {
  /** Relative to the workdir, with forward slashes. */
  readonly path: string
  readonly stats: Stats
}

/** How long the event loop may be held by one piece of a scan, in milliseconds. */
const pieceMs = 10

/**
 * Walks the workdir, or a folder of it, without following links; a folder comes before what is in it. What vanishes meanwhile is left out.
 *
 * @throws BatonError `FILE_NOT_FOUND` where `path` is not there; for a file or link it gives that alone.
 */
export async function* walkLocal(workdir: string, options: ScanOptions = {}): AsyncGenerator<ScannedEntry[]> {
  const skip = new Set(options.skip)
  const start = startOf(workdir, options.path ?? '.')
  if (start.entry !== undefined) yield [start.entry]
  const folders = start.folder === undefined ? [] : [start.folder]
  while (folders.length > 0) {
    throwIfAborted(options.signal, 'the scan')
    const entries: ScannedEntry[] = []
    for (const until = performance.now() + pieceMs; folders.length > 0 && performance.now() < until; ) {
      const folder = folders.pop() ?? ''
      for (const entry of readFolder(workdir, folder, skip)) {
        entries.push(entry)
        if (entry.stats.isDirectory()) folders.push(entry.path)
      }
    }
    yield entries
    if (folders.length > 0) await setImmediate()
  }
}

/** {@link walkLocal}, one {@link FileStat} at a time. */
export async function* scanLocal(workdir: string, options: ScanOptions = {}): AsyncGenerator<FileStat> {
  for await (const entries of walkLocal(workdir, options)) for (const { path, stats } of entries) yield statOf(path, stats)
}

function statOf(path: string, stats: Stats): FileStat {
  const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'other'
  return {
    path,
    kind,
    size: stats.size,
    mode: stats.mode & 0o7777,
    mtimeMs: stats.mtimeMs,
    ctimeMs: stats.ctimeMs,
    inode: stats.ino,
  }
}

function startOf(workdir: string, path: string): { folder?: string; entry?: ScannedEntry } {
  const place = holdPlace(workdir, path, { followLast: false })
  try {
    if (place.name === '') return { folder: '' }
    if (place.stats === undefined) throw notFoundError(path)
    const entry = { path: place.path, stats: place.stats }
    return place.stats.isDirectory() ? { folder: place.path, entry } : { entry }
  } finally {
    place.close()
  }
}

function readFolder(workdir: string, folder: string, skip: ReadonlySet<string>): ScannedEntry[] {
  const held = holdFolder(workdir, folder)
  if (held === undefined) return []
  try {
    const entries: ScannedEntry[] = []
    for (const name of namesIn(held)) {
      const path = folder === '' ? name : `${folder}/${name}`
      // By path and not through the open folder, which takes twice the time: a swap at this moment can show size and times, no content.
      const stats = lstatOf(fsPath(`${workdir}/${path}`))
      if (stats !== undefined && !(skip.has(name) && stats.isDirectory())) entries.push({ path, stats })
    }
    return entries
  } finally {
    held.close()
  }
}

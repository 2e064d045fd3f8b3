import {
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  fsync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { dirname, resolve } from 'node:path'
import { promisify } from 'node:util'
import { codeOf } from './store-errors.ts'

/**
 * Whether logs are opened with O_DSYNC: a write and its sync are then one trip to the thread pool, and neither blocks the event loop.
 * Elsewhere fdatasync does more (macOS: F_FULLFSYNC), or the flag is not there.
 */
export const syncsOnWrite = process.platform === 'linux'

/** Codes of a folder that cannot be synced: on Windows and on some file systems. Names are durable there by themselves, or not at all. */
const noFolderSync: ReadonlySet<string | undefined> = new Set(['EISDIR', 'EPERM', 'EACCES', 'EINVAL', 'ENOTSUP'])

/** Makes a folder and those above it, so that they are still there after a power loss. */
export function makeDurableFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true })
  if (first === undefined) return
  const top = dirname(resolve(first))
  for (let folder = dirname(resolve(path)); ; folder = dirname(folder)) {
    syncNamesNow(folder)
    if (folder === top || folder === dirname(folder)) return
  }
}

function syncNamesNow(folder: string): void {
  let fd: number | undefined
  try {
    fd = openSync(folder, 'r')
    fsyncSync(fd)
  } catch (error) {
    if (!noFolderSync.has(codeOf(error))) throw error
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Makes the names in a folder durable: a file is safe only once its name is. Source: fsync(2). */
export async function syncNames(folder: string): Promise<void> {
  let fd: number | undefined
  try {
    // Only the sync takes long enough to be worth another thread.
    fd = openSync(folder, 'r')
    await promisify(fsync)(fd)
  } catch (error) {
    if (!noFolderSync.has(codeOf(error))) throw error
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}

/** Writes all of it at the end of a log, and says how far it came. What counts as written is on the disk only without an error, or with {@link syncsOnWrite}. */
export async function writeDurably(fd: number, data: Uint8Array): Promise<{ readonly written: number; readonly error?: unknown }> {
  let written = 0
  try {
    while (written < data.length) written += await writeSome(fd, data, written)
    if (!syncsOnWrite) await promisify(fdatasync)(fd)
    return { written }
  } catch (error) {
    return { written, error }
  }
}

function writeSome(fd: number, data: Uint8Array, from: number): Promise<number> {
  return new Promise((done, fail) => {
    write(fd, data, from, data.length - from, null, (error, written) => (error ? fail(error) : done(written)))
  })
}

/** Copies a part of a file to a new file whose name ends in a number, and returns its path. */
export function keepAside(fd: number, from: number, to: number, prefix: string): string {
  const { copy, path } = createNumbered(prefix)
  try {
    const buffer = Buffer.allocUnsafe(Math.min(to - from, 1_048_576))
    for (let position = from; position < to; ) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.length, to - position), position)
      if (count === 0) break
      for (let done = 0; done < count; ) done += writeSync(copy, buffer, done, count - done)
      position += count
    }
    fdatasyncSync(copy)
    return path
  } catch (error) {
    removeFile(path)
    throw error
  } finally {
    closeSync(copy)
  }
}

function createNumbered(prefix: string): { copy: number; path: string } {
  for (let number = 1; ; number++) {
    try {
      return { copy: openSync(`${prefix}${number}`, 'wx'), path: `${prefix}${number}` }
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
    }
  }
}

/** The files that {@link keepAside} made. */
export function numberedFiles(prefix: string): string[] {
  const paths: string[] = []
  while (existsSync(`${prefix}${paths.length + 1}`)) paths.push(`${prefix}${paths.length + 1}`)
  return paths
}

/** Removes a file that may be gone already. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

import { createHash } from 'node:crypto'
import type { Stats } from 'node:fs'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { link, open, rename, unlink } from 'node:fs/promises'
import { BatonError, throwIfAborted } from '../errors.ts'
import { newAsideName } from './aside-name.ts'
import type { HeldPlace } from './local-folder.ts'
import { codeOf, holdPlace, notAFileError, notFoundError } from './local-folder.ts'
import type { ReadOptions, Sandbox, WriteOptions } from './sandbox.ts'

const { O_CREAT, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
const readFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
const largestFile = 2 ** 31 - 1

/**
 * Reading and writing files of a workdir on this host, confined to it also against a process that swaps files for links meanwhile.
 * Writing puts a new file in the place of the old one, so a hard link to the old one keeps the old content, and a watcher sees one change.
 */
export function createLocalFiles(workdir: string): Pick<Sandbox, 'readFile' | 'writeFile'> {
  let turn: Promise<unknown> = Promise.resolve()
  /** Conditional writes take turns, so that of two with the same condition only one is done. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = turn.then(work, work)
    turn = result.catch(() => undefined)
    return result
  }
  return {
    async readFile(path, options = {}) {
      throwIfAborted(options.signal, `reading ${path}`)
      const place = holdPlace(workdir, path)
      try {
        return await readPlace(place, path, options)
      } finally {
        place.close()
      }
    },
    async writeFile(path, data, options = {}) {
      throwIfAborted(options.signal, `writing ${path}`)
      const write = () => writeTo(workdir, path, data, options)
      await (options.ifSha256 === undefined ? write() : inTurn(write))
    },
  }
}

async function readPlace(place: HeldPlace, path: string, options: ReadOptions): Promise<Uint8Array> {
  if (place.stats === undefined) throw notFoundError(path)
  requireFile(place.stats, path)
  const handle = await openFile(place, path)
  try {
    const stats = await handle.stat()
    requireFile(stats, path)
    const limit = Math.min(options.maxBytes ?? largestFile, largestFile)
    if (stats.size > limit) throw tooLargeError(path, stats.size, limit)
    return await readUpTo(handle, stats.size, limit, path, options)
  } finally {
    await handle.close()
  }
}

async function openFile(place: HeldPlace, path: string): Promise<FileHandle> {
  try {
    return await open(place.entry(place.name), readFlags)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw notFoundError(path)
    if (['ELOOP', 'ENXIO', 'ENOTDIR'].includes(codeOf(error))) throw notAFileError(path, 'something else by now')
    throw error
  }
}

/** Reads to the end, also of a file that grows meanwhile, as far as the limit. */
async function readUpTo(handle: FileHandle, expected: number, limit: number, path: string, options: ReadOptions): Promise<Uint8Array> {
  let buffer = Buffer.allocUnsafeSlow(expected + 1)
  let length = 0
  for (;;) {
    throwIfAborted(options.signal, `reading ${path}`)
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length)
    if (bytesRead === 0) return new Uint8Array(buffer.buffer, 0, length)
    length += bytesRead
    if (length > limit) throw tooLargeError(path, length, limit)
    if (length === buffer.length) buffer = Buffer.concat([buffer], length * 2)
  }
}

async function writeTo(workdir: string, path: string, data: Uint8Array, options: WriteOptions): Promise<void> {
  const place = holdPlace(workdir, path, { makeFolders: true })
  try {
    if (place.name === '') throw notAFileError(path, 'a folder')
    if (place.stats !== undefined) requireFile(place.stats, path)
    await writePlace(place, path, data, options)
  } finally {
    place.close()
  }
}

async function writePlace(place: HeldPlace, path: string, data: Uint8Array, options: WriteOptions): Promise<void> {
  const aside = place.entry(newAsideName())
  const target = place.entry(place.name)
  const handle = await open(aside, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)
  try {
    try {
      await handle.writeFile(data, { signal: options.signal })
      await handle.chmod((options.mode ?? place.stats?.mode ?? 0o644) & 0o777)
      await keepOwner(handle, place.stats)
    } finally {
      await handle.close()
    }
    throwIfAborted(options.signal, `writing ${path}`)
    if (options.ifSha256 === null) await link(aside, target)
    else {
      if (options.ifSha256 !== undefined) await requireHash(place, path, options.ifSha256)
      await rename(aside, target)
    }
  } catch (error) {
    if (codeOf(error) === 'EEXIST') throw changedError(path, 'it exists')
    if (codeOf(error) === 'EISDIR') throw notAFileError(path, 'a folder')
    throwIfAborted(options.signal, `writing ${path}`)
    throw error
  } finally {
    await unlink(aside).catch(() => undefined)
  }
}

/** Root that edits someone's file leaves it theirs. */
async function keepOwner(handle: FileHandle, before: Stats | undefined): Promise<void> {
  if (before === undefined || process.getuid?.() !== 0 || (before.uid === 0 && before.gid === 0)) return
  await handle.chown(before.uid, before.gid)
}

async function requireHash(place: HeldPlace, path: string, expected: string): Promise<void> {
  const handle = await openFile(place, path).catch((error: unknown) => {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) throw changedError(path, 'it is gone')
    throw error
  })
  try {
    const hash = createHash('sha256')
    for await (const chunk of handle.createReadStream({ autoClose: false })) hash.update(chunk as Buffer)
    const found = hash.digest('hex')
    if (found !== expected) throw changedError(path, `its SHA-256 is ${found}`)
  } finally {
    await handle.close()
  }
}

function requireFile(stats: Stats, path: string): void {
  if (!stats.isFile()) throw notAFileError(path, stats.isDirectory() ? 'a folder' : 'a device, pipe or socket')
}

function tooLargeError(path: string, size: number, limit: number): BatonError {
  return new BatonError('FILE_TOO_LARGE', `${JSON.stringify(path)} has ${size} bytes or more; at most ${limit} were asked for.`, {
    details: { path, size, limit },
  })
}

function changedError(path: string, how: string): BatonError {
  return new BatonError('FILE_CHANGED', `${JSON.stringify(path)} is not as expected: ${how}. Read it again before writing.`, {
    details: { path },
  })
}

import { closeSync, constants, fchmodSync, futimesSync, openSync, unlinkSync, writeFileSync } from 'node:fs'
import { link, mkdir, open, symlink, unlink } from 'node:fs/promises'
import type { Extract, Header } from 'tar-stream'
import { extract } from 'tar-stream'
import { abortedError, BatonError, messageOf, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import type { HeldPlace } from './local-folder.ts'
import { holdPlace, notAFileError, outsideError } from './local-folder.ts'
import { fsPath, pathFromBytes } from './path-bytes.ts'

const createFlags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW
/** A file up to this size is written at once and synchronously, which takes a tenth of the time. */
const smallBytes = 64 * 1024
/** An option that the types of tar-stream do not know. */
const latin1Names: object = { filenameEncoding: 'latin1' }
const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

interface Member {
  /** Relative to the workdir; empty for the workdir itself. */
  readonly path: string
  readonly type: string
  readonly target: string
  readonly size: number
  readonly mode: number
  readonly mtime: Date
  readonly content: AsyncIterable<Uint8Array>
}

/**
 * Unpacks a tar stream, member by member, no faster than the disk takes it. Files and links that are in the way are replaced, folders are
 * joined. Owners are not taken over, nor the setuid, setgid and sticky bits. A link is made as it is, wherever it points; no member is written
 * through one that leads out. What was unpacked before a member that is refused stays.
 *
 * @throws BatonError `PATH_OUTSIDE_WORKDIR` for a member or hard link that would lead out, `NOT_A_FILE` for a pipe or device, or a file where
 * a folder is; `SANDBOX_FAILED` for a stream that is no whole tar.
 */
export async function unpackLocal(workdir: string, tar: ReadableStream<Uint8Array>, options: Abortable = {}): Promise<void> {
  const extracting = extract(latin1Names)
  const folders = new Map<string, Member>()
  extracting.on('error', () => undefined)
  const reader = tar.getReader()
  const stop = (): void => void extracting.destroy(abortedError(options.signal as AbortSignal, 'unpacking'))
  options.signal?.addEventListener('abort', stop, { once: true })
  try {
    throwIfAborted(options.signal, 'unpacking')
    const feeding = feed(reader, extracting)
    for await (const entry of extracting) {
      const member = memberOf(workdir, entry.header, entry as unknown as AsyncIterable<Uint8Array>)
      if (member.type === 'directory') folders.set(member.path, member)
      await unpackMember(workdir, member)
      entry.resume()
    }
    await feeding
    for (const folder of [...folders.values()].reverse()) await finishFolder(workdir, folder)
  } catch (error) {
    throwIfAborted(options.signal, 'unpacking')
    throw BatonError.isInstance(error) ? error : new BatonError('SANDBOX_FAILED', `unpacking failed: ${messageOf(error)}`, { cause: error })
  } finally {
    options.signal?.removeEventListener('abort', stop)
    extracting.destroy(null)
    await reader.cancel().catch(() => undefined)
  }
}

async function feed(reader: ReadableStreamDefaultReader<Uint8Array>, extracting: Extract): Promise<void> {
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (extracting.destroyed) return
      if (!extracting.write(value)) await drained(extracting)
    }
    extracting.end(null)
  } catch (error) {
    extracting.destroy(error instanceof Error ? error : new Error(messageOf(error)))
  }
}

function drained(extracting: Extract): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      extracting.off('drain', done)
      extracting.off('close', done)
      resolve()
    }
    extracting.on('drain', done)
    extracting.on('close', done)
  })
}

function memberOf(workdir: string, header: Header, content: AsyncIterable<Uint8Array>): Member {
  const { name, linkname, type, size, mode, mtime, pax } = header
  // Names in headers are bytes, read as Latin-1; those in pax records are UTF-8 by definition.
  const records: { path?: unknown; linkpath?: unknown } = pax ?? {}
  const path = records.path === undefined ? fromLatin1(name) : name
  const target = records.linkpath === undefined ? fromLatin1(linkname ?? '') : (linkname ?? '')
  return {
    path: requireInside(workdir, path),
    type: type ?? 'unknown',
    target: type === 'link' ? requireInside(workdir, target) : target,
    size,
    mode: mode & 0o777,
    mtime,
    content,
  }
}

function fromLatin1(name: string): string {
  return pathFromBytes(Buffer.from(name, 'latin1'))
}

/** Unlike the paths that callers give, a member's name may not be absolute nor have `..` in it, wherever that would lead. */
function requireInside(workdir: string, name: string): string {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0')) throw outsideError(name, workdir)
  return parts.join('/')
}

async function unpackMember(workdir: string, member: Member): Promise<void> {
  const place = holdPlace(workdir, member.path, { makeFolders: true, followLast: false })
  try {
    if (member.type === 'directory') return await unpackFolder(place)
    if (place.name === '' || place.stats?.isDirectory()) throw notAFileError(member.path, 'a folder')
    if (member.type === 'file' || member.type === 'contiguous-file') await unpackFile(place, member)
    else if (member.type === 'symlink') await replace(place, (entry) => symlink(fsPath(member.target), entry))
    else if (member.type === 'link') await unpackHardLink(workdir, place, member)
    else throw notAFileError(member.path, `a ${member.type} in the archive`)
  } finally {
    place.close()
  }
}

async function unpackFolder(place: HeldPlace): Promise<void> {
  if (place.name === '' || place.stats?.isDirectory()) return
  await replace(place, (entry) => mkdir(entry, 0o755))
}

async function unpackFile(place: HeldPlace, member: Member): Promise<void> {
  if (member.size <= smallBytes) return unpackSmallFile(place, member, await wholeOf(member.content))
  await replace(place, async (entry) => {
    const handle = await open(entry, createFlags, 0o600)
    try {
      for await (const chunk of member.content) await handle.writeFile(chunk)
      await handle.chmod(member.mode)
      await handle.utimes(member.mtime, member.mtime)
    } finally {
      await handle.close()
    }
  })
}

async function wholeOf(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of content) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function unpackSmallFile(place: HeldPlace, member: Member, content: Buffer): void {
  const entry = place.entry(place.name)
  if (place.stats !== undefined) unlinkSync(entry)
  const fd = openSync(entry, createFlags, 0o600)
  try {
    writeFileSync(fd, content)
    fchmodSync(fd, member.mode)
    futimesSync(fd, member.mtime, member.mtime)
  } finally {
    closeSync(fd)
  }
}

async function unpackHardLink(workdir: string, place: HeldPlace, member: Member): Promise<void> {
  const source = holdPlace(workdir, member.target, { followLast: false })
  try {
    if (!source.stats?.isFile()) throw notAFileError(member.target, 'what a hard link in the archive points to, and it is no file there')
    if (source.stats.ino === place.stats?.ino && source.stats.dev === place.stats.dev) return
    await replace(place, (entry) => link(source.entry(source.name), entry))
  } finally {
    source.close()
  }
}

/** Makes an entry, in the place of a file or link that is there. */
async function replace(place: HeldPlace, make: (entry: string | Buffer) => Promise<unknown>): Promise<void> {
  const entry = place.entry(place.name)
  if (place.stats !== undefined) await unlink(entry)
  await make(entry)
}

/** Permissions and times of a folder come last: while it is being filled they would be in the way. */
async function finishFolder(workdir: string, member: Member): Promise<void> {
  const place = holdPlace(workdir, member.path, { followLast: false })
  try {
    if (place.name === '' || !place.stats?.isDirectory()) return
    const handle = await open(place.entry(place.name), folderFlags)
    try {
      await handle.chmod(member.mode)
      await handle.utimes(member.mtime, member.mtime)
    } finally {
      await handle.close()
    }
  } finally {
    place.close()
  }
}

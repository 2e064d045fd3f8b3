import type { Extract, Header } from 'tar-stream'
import { extract } from 'tar-stream'
import { abortedError, BatonError, messageOf, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { outsideError } from './local-folder.ts'
import { pathFromBytes } from './path-bytes.ts'

/** An option that the types of tar-stream do not know. */
const latin1Names: object = { filenameEncoding: 'latin1' }

/** A member of a tar stream, its names checked. */
export interface TarMember {
  /** Relative to the workdir, with forward slashes; empty for the workdir itself. */
  readonly path: string
  readonly type: 'file' | 'folder' | 'link' | 'hardlink' | 'other'
  /** Where a link points, as it is; where a hard link points, relative to the workdir. */
  readonly target: string
  readonly size: number
  /** Permission bits, without setuid, setgid and sticky. */
  readonly mode: number
  readonly mtime: Date
  /** To be read, if at all, before the next member. */
  readonly content: AsyncIterable<Uint8Array>
}

const types: Record<string, TarMember['type']> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'folder',
  symlink: 'link',
  link: 'hardlink',
}

/**
 * Hands the members of a tar stream to `onMember`, one after the other, reading no faster than that takes them.
 *
 * @throws BatonError `PATH_OUTSIDE_WORKDIR` for a name, or a hard link's target, that is absolute or has `..` in it; `SANDBOX_FAILED` for a
 * stream that is no whole tar.
 */
export async function readTar(
  tar: ReadableStream<Uint8Array>,
  workdir: string,
  options: Abortable,
  onMember: (member: TarMember) => Promise<void>,
): Promise<void> {
  const { signal } = options
  const extracting = extract(latin1Names)
  extracting.on('error', () => undefined)
  const reader = tar.getReader()
  const stop = (): void => void (signal && extracting.destroy(abortedError(signal, 'unpacking')))
  signal?.addEventListener('abort', stop, { once: true })
  try {
    throwIfAborted(signal, 'unpacking')
    const feeding = feed(reader, extracting)
    for await (const entry of extracting) {
      await onMember(memberOf(workdir, entry.header, entry as unknown as AsyncIterable<Uint8Array>))
      entry.resume()
    }
    await feeding
  } catch (error) {
    throwIfAborted(signal, 'unpacking')
    throw BatonError.isInstance(error) ? error : new BatonError('SANDBOX_FAILED', `unpacking failed: ${messageOf(error)}`, { cause: error })
  } finally {
    signal?.removeEventListener('abort', stop)
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

function memberOf(workdir: string, header: Header, content: AsyncIterable<Uint8Array>): TarMember {
  const { name, linkname, type, size, mode, mtime, pax } = header
  // Names in headers are bytes, read as Latin-1; those in pax records are UTF-8 by definition.
  const records: { path?: unknown; linkpath?: unknown } = pax ?? {}
  const path = records.path === undefined ? fromLatin1(name) : name
  const target = records.linkpath === undefined ? fromLatin1(linkname ?? '') : (linkname ?? '')
  return {
    path: requireInside(workdir, path),
    type: types[type] ?? 'other',
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

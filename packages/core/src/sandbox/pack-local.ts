import { constants, readlinkSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { throwIfAborted } from '../errors.ts'
import { codeOf, holdFolder } from './local-folder.ts'
import type { ScannedEntry } from './local-scan.ts'
import { walkLocal } from './local-scan.ts'
import { pathToBytes } from './path-bytes.ts'
import type { PackOptions } from './sandbox.ts'
import type { TarHeader } from './tar-header.ts'
import { encodeTarHeader, tarEnd, tarPadding } from './tar-header.ts'

const chunkBytes = 256 * 1024

/**
 * The workdir, or the named paths of it, as a tar stream that reads no further than its reader does. Hard links stay hard links. Pipes, sockets
 * and devices are left out. A file that shrinks while it is read is filled up with zeros, as GNU tar does; one that vanishes is left out.
 */
export function packLocal(workdir: string, options: PackOptions = {}): ReadableStream<Uint8Array> {
  const members = packMembers(workdir, options)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await members.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await members.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

async function* packMembers(workdir: string, options: PackOptions): AsyncGenerator<Uint8Array> {
  const firstNames = new Map<string, Buffer>()
  const seen = new Set<string>()
  for (const path of options.paths ?? ['.']) {
    for await (const entries of walkLocal(workdir, { path, skip: options.skip, signal: options.signal })) {
      for (const entry of entries) {
        if (seen.has(entry.path)) continue
        seen.add(entry.path)
        throwIfAborted(options.signal, 'packing')
        yield* packEntry(workdir, entry, firstNames)
      }
    }
  }
  yield tarEnd()
}

async function* packEntry(workdir: string, { path, stats }: ScannedEntry, firstNames: Map<string, Buffer>): AsyncGenerator<Uint8Array> {
  const header = { name: pathToBytes(path), size: 0, mode: stats.mode, mtimeMs: stats.mtimeMs }
  if (stats.isDirectory()) yield encodeTarHeader({ ...header, type: 'folder' })
  else if (stats.isSymbolicLink()) {
    const target = await inFolder(workdir, path, (entry) => readlinkSync(entry, { encoding: 'buffer' }))
    if (target !== undefined) yield encodeTarHeader({ ...header, type: 'link', target })
  } else if (stats.isFile()) {
    const inode = `${stats.dev}:${stats.ino}`
    const target = firstNames.get(inode)
    if (target !== undefined) yield encodeTarHeader({ ...header, type: 'hardlink', target })
    else {
      let packed = false
      for await (const chunk of packFile(workdir, path, header)) {
        packed = true
        yield chunk
      }
      if (packed && stats.nlink > 1) firstNames.set(inode, header.name)
    }
  }
}

async function* packFile(workdir: string, path: string, header: Omit<TarHeader, 'type'>): AsyncGenerator<Uint8Array> {
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY
  const handle = await inFolder(workdir, path, (entry) => open(entry, flags))
  if (handle === undefined) return
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) return
    yield encodeTarHeader({ ...header, type: 'file', size: stats.size, mode: stats.mode })
    yield* contentOf(handle, stats.size)
    yield tarPadding(stats.size)
  } finally {
    await handle.close()
  }
}

/** Exactly as many bytes as the header promised. */
async function* contentOf(handle: FileHandle, size: number): AsyncGenerator<Uint8Array> {
  for (let left = size; left > 0; ) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(left, chunkBytes))
    const { bytesRead } = await handle.read(buffer, 0, buffer.length)
    if (bytesRead === 0) buffer.fill(0)
    const chunk = bytesRead === 0 ? buffer : buffer.subarray(0, bytesRead)
    left -= chunk.length
    yield chunk
  }
}

/** Does something with an entry by its open folder. Undefined when the entry or its folder is gone, or something else by now. */
async function inFolder<T>(workdir: string, path: string, run: (entry: string | Buffer) => T | Promise<T>): Promise<T | undefined> {
  const slash = path.lastIndexOf('/')
  const folder = holdFolder(workdir, path.slice(0, Math.max(0, slash)))
  try {
    return folder === undefined ? undefined : await run(folder.entry(path.slice(slash + 1)))
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'EINVAL', 'ENXIO', 'ENOTDIR'].includes(codeOf(error))) return undefined
    throw error
  } finally {
    folder?.close()
  }
}

import { createHash, randomBytes } from 'node:crypto'
import { closeSync, fsync, openSync, readSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { removeFile } from '../events/durable-file.ts'
import type { PackIndex } from './pack-index.ts'
import { encodePackIndex } from './pack-index.ts'

/** A pack that is being written, aside: nobody sees it before {@link publishPack}. Its writes go to the page cache and are synchronous. */
export interface PackWriter {
  /** Adds one object. */
  add(oid: string, packed: Buffer): void
  /** Adds objects that stand one after the other in another pack, which is open. */
  copy(fd: number, stretch: PackStretch): void
  /** Writes what is left and the index. */
  finish(): FinishedPack
  /** Gives up, and removes what was written. */
  discard(): void
}

/** Bytes of another pack, with the objects that begin in them. */
export interface PackStretch {
  readonly from: number
  readonly to: number
  readonly index: PackIndex
  /** Of the objects, in the index, in the order in which they stand. */
  readonly positions: Uint32Array
}

/** A whole pack that stands aside. */
export interface FinishedPack {
  /** What it is to be called, without extension. */
  readonly name: string
  readonly bytes: number
  /** The content of its index. */
  readonly index: Buffer
  readonly aside: PackPaths
}

/** The two files of a pack. */
interface PackPaths {
  readonly pack: string
  readonly index: string
}

const chunkBytes = 1_048_576
/** A signed 32-bit offset reaches no further. */
const largestPack = 0x7fffffff

/** Begins a pack of `count` objects in a folder. */
export function createPackWriter(folder: string, count: number): PackWriter {
  // git removes leftovers of this name too.
  const id = randomBytes(8).toString('hex')
  const aside = { pack: join(folder, `tmp_pack_${id}`), index: join(folder, `tmp_idx_${id}`) }
  const fd = openSync(aside.pack, 'wx')
  const hash = createHash('sha1')
  const entries = { oids: Buffer.alloc(count * 20), offsets: new Float64Array(count), crcs: new Uint32Array(count) }
  let waiting: Buffer[] = []
  let waitingBytes = 0
  let bytes = 0
  let added = 0
  let isOpen = true

  function write(buffer: Buffer): void {
    waiting.push(buffer)
    waitingBytes += buffer.length
    bytes += buffer.length
    if (bytes > largestPack) throw new RangeError('The pack would be larger than 2 GiB.')
    if (waitingBytes >= chunkBytes) drain()
  }

  function drain(): void {
    const chunk = Buffer.concat(waiting)
    waiting = []
    waitingBytes = 0
    hash.update(chunk)
    writeAll(chunk)
  }

  function writeAll(chunk: Buffer): void {
    for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done)
  }

  function note(oid: Uint8Array, offset: number, crc: number): void {
    entries.oids.set(oid, added * 20)
    entries.offsets[added] = offset
    entries.crcs[added++] = crc
  }

  function closeFile(): void {
    if (isOpen) closeSync(fd)
    isOpen = false
  }

  const header = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1')
  header.writeUInt32BE(count, 8)
  write(header)

  return {
    add(oid, packed) {
      note(Buffer.from(oid, 'hex'), bytes, crc32(packed))
      write(packed)
    },
    copy(source, { from, to, index, positions }) {
      for (const position of positions) note(index.oidAt(position), bytes + index.offsetAt(position) - from, index.crcAt(position))
      for (let at = from; at < to; ) {
        const chunk = Buffer.allocUnsafe(Math.min(chunkBytes, to - at))
        const length = readSync(source, chunk, 0, chunk.length, at)
        if (length === 0) throw new RangeError('The pack is shorter than its index says.')
        write(chunk.subarray(0, length))
        at += length
      }
    },
    finish() {
      if (added !== count) throw new RangeError(`The pack has ${added} objects in place of ${count}.`)
      drain()
      const checksum = hash.digest()
      writeAll(checksum)
      closeFile()
      const index = encodePackIndex(entries, checksum)
      writeFileSync(aside.index, index, { flag: 'wx' })
      return { name: `pack-${checksum.toString('hex')}`, bytes: bytes + 20, index, aside }
    },
    discard() {
      closeFile()
      discardPack({ aside })
    },
  }
}

/** Waits until a pack that stands aside is on the disk. */
export async function syncPack({ aside }: FinishedPack): Promise<void> {
  await Promise.all([syncFile(aside.pack), syncFile(aside.index)])
}

async function syncFile(path: string): Promise<void> {
  // Only the sync takes long enough to be worth another thread.
  const fd = openSync(path, 'r+')
  try {
    await promisify(fsync)(fd)
  } finally {
    closeSync(fd)
  }
}

/** Puts a pack in its place. The index comes last: readers look for it first. */
export function publishPack({ aside, name }: FinishedPack, folder: string): void {
  renameSync(aside.pack, join(folder, `${name}.pack`))
  renameSync(aside.index, join(folder, `${name}.idx`))
}

/** Removes a pack that stands aside. */
export function discardPack({ aside }: Pick<FinishedPack, 'aside'>): void {
  removeFile(aside.pack)
  removeFile(aside.index)
}

/** Removes a pack, the index first. One that cannot be removed (Windows keeps what is open) stays, which does no harm. */
export function removePack(folder: string, name: string): void {
  for (const extension of ['.idx', '.pack']) {
    try {
      removeFile(join(folder, name + extension))
    } catch {
      return
    }
  }
}

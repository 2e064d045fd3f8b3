import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { promisify } from 'node:util'
import { deflateSync, inflate, inflateSync } from 'node:zlib'
import type { ObjectType } from './git-object.ts'
import { damagedError } from './ledger-errors.ts'

/** An object as a pack has it. */
export interface PackedObject {
  readonly type: ObjectType
  /** Length of the content. */
  readonly size: number
  /** The content as a zlib stream; more may follow it. */
  readonly deflated: Buffer
}

/** An open pack. Source: gitformat-pack(5). */
export interface PackFile {
  readonly bytes: number
  /** What stands at an offset, as far as its first bytes tell. Throws `LEDGER_DAMAGED`. */
  headAt(offset: number): PackedHead
  readAt(offset: number): PackedObject
  close(): void
}

/** The first bytes of an object in a pack. */
export interface PackedHead {
  readonly type: ObjectType
  readonly size: number
  /** Where the content begins, from the start of the head. */
  readonly length: number
}

/** Most trees and many files are smaller, and so take one read. */
const firstRead = 4096
const types: readonly (ObjectType | undefined)[] = [undefined, 'commit', 'tree', 'blob', 'tag']

/** Opens a pack. Throws what the file system says, such as `ENOENT`. */
export function openPackFile(path: string, dir: string): PackFile {
  const fd = openSync(path, 'r')
  const bytes = fstatSync(fd).size

  function readSome(offset: number, length: number): Buffer {
    const buffer = Buffer.allocUnsafe(Math.max(0, Math.min(length, bytes - 20 - offset)))
    let done = 0
    while (done < buffer.length) {
      const count = readSync(fd, buffer, done, buffer.length - done, offset + done)
      if (count === 0) break
      done += count
    }
    return buffer.subarray(0, done)
  }

  function parseAt(buffer: Buffer, offset: number): PackedHead {
    const head = parseHead(buffer)
    if (head) return head
    throw damagedError(
      dir,
      `has something at byte ${offset} of ${path} that it did not write (a delta is undone with \`git repack -adF --window=0\`)`,
      { file: path, offset },
    )
  }

  return {
    bytes,
    headAt: (offset) => parseAt(readSome(offset, 16), offset),
    readAt(offset) {
      const start = readSome(offset, firstRead)
      const { type, size, length } = parseAt(start, offset)
      const whole = length + deflateBound(size)
      const packed = whole <= firstRead ? start : Buffer.concat([start, readSome(offset + start.length, whole - start.length)])
      return { type, size, deflated: packed.subarray(length) }
    },
    close: () => closeSync(fd),
  }
}

function parseHead(buffer: Buffer): PackedHead | undefined {
  const first = buffer[0]
  const type = first === undefined ? undefined : types[(first >> 4) & 7]
  if (first === undefined || type === undefined) return undefined
  let size = first & 15
  let length = 1
  for (let unit = 16, byte = first; byte & 0x80; unit *= 128) {
    byte = buffer[length++] ?? 0
    size += (byte & 0x7f) * unit
  }
  return { type, size, length }
}

/** The most that content of this size takes when deflated. Source: zlib's deflateBound. */
function deflateBound(size: number): number {
  return size + Math.floor(size / 1000) + 5 * Math.floor(size / 16_383) + 64
}

/** zlib allocates its output in chunks of this size: one is enough for most objects, and small ones need no large one. */
function chunkFor(bytes: number): number {
  return Math.max(64, Math.min(65_536, bytes + 64))
}

/** The bytes of an object in a pack. Level 3 is as fast as 1 here, and 6 takes twice as long to save an eighth. */
export function packObject(type: ObjectType, content: Uint8Array): Buffer {
  const head: number[] = []
  let rest = content.length
  let byte = (types.indexOf(type) << 4) | (rest & 15)
  for (rest = Math.floor(rest / 16); rest > 0; rest = Math.floor(rest / 128)) {
    head.push(byte | 0x80)
    byte = rest & 0x7f
  }
  const deflated = deflateSync(content, { level: 3, chunkSize: chunkFor(content.length) })
  // Not from Node's pool: a small object that is kept would keep all that was allocated beside it.
  const packed = Buffer.allocUnsafeSlow(head.length + 1 + deflated.length)
  packed.set([...head, byte])
  packed.set(deflated, head.length + 1)
  return packed
}

/** The inverse of {@link packObject}. */
export function unpackObject(packed: Buffer): PackedObject {
  const head = parseHead(packed)
  if (!head) throw new TypeError('Expected the bytes of an object in a pack.')
  return { type: head.type, size: head.size, deflated: packed.subarray(head.length) }
}

/** The content of an object, or undefined where it is damaged. */
export function inflateObject({ size, deflated }: PackedObject): Buffer | undefined {
  try {
    const content = inflateSync(deflated, { chunkSize: chunkFor(size) })
    return content.length === size ? content : undefined
  } catch {
    return undefined
  }
}

/** {@link inflateObject} that leaves large content to another thread. */
export async function inflateLater(object: PackedObject): Promise<Buffer | undefined> {
  if (object.size < 262_144) return inflateObject(object)
  const content = await promisify(inflate)(object.deflated).catch(() => undefined)
  return content?.length === object.size ? content : undefined
}

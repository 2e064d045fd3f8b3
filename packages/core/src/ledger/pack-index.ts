import { createHash } from 'node:crypto'
import { damagedError } from './ledger-errors.ts'

/** Where the objects of a pack are. Source: gitformat-pack(5), version 2 pack-*.idx files. */
export interface PackIndex {
  readonly count: number
  /** Memory that it takes, in bytes. */
  readonly bytes: number
  /** The place of an object in the order of ids, or -1. */
  position(oid: Uint8Array): number
  oidAt(position: number): Buffer
  offsetAt(position: number): number
  crcAt(position: number): number
}

/** Objects in the order in which they stand in a pack. */
export interface PackEntries {
  /** Twenty bytes each. */
  readonly oids: Buffer
  readonly offsets: Float64Array
  /** CRC-32 of the stored bytes. */
  readonly crcs: Uint32Array
}

const magic = 0xff744f63
const tablesAt = 8 + 256 * 4

/** Reads an index. Throws `LEDGER_DAMAGED`. */
export function parsePackIndex(content: Buffer, dir: string, file: string): PackIndex {
  const count = content.length >= tablesAt ? content.readUInt32BE(tablesAt - 4) : 0
  const crcsAt = tablesAt + count * 20
  const offsetsAt = crcsAt + count * 4
  const largeAt = offsetsAt + count * 4
  const bodyEnd = content.length - 20
  if (bodyEnd < largeAt + 20 || content.readUInt32BE(0) !== magic || content.readUInt32BE(4) !== 2)
    throw damagedError(dir, `has a pack index that is cut off or none of version 2: ${file}`, { file })
  if (!createHash('sha1').update(content.subarray(0, bodyEnd)).digest().equals(content.subarray(bodyEnd)))
    throw damagedError(dir, `has a pack index whose checksum does not fit: ${file}`, { file })
  return {
    count,
    bytes: content.length,
    position(oid) {
      const first = oid[0] ?? 0
      let low = first === 0 ? 0 : content.readUInt32BE(8 + (first - 1) * 4)
      let high = content.readUInt32BE(8 + first * 4)
      while (low < high) {
        const middle = (low + high) >>> 1
        const at = tablesAt + middle * 20
        const order = content.compare(oid, 0, 20, at, at + 20)
        if (order === 0) return middle
        if (order < 0) low = middle + 1
        else high = middle
      }
      return -1
    },
    oidAt: (position) => content.subarray(tablesAt + position * 20, tablesAt + position * 20 + 20),
    offsetAt(position) {
      const offset = content.readUInt32BE(offsetsAt + position * 4)
      return offset < 0x80000000 ? offset : Number(content.readBigUInt64BE(largeAt + (offset - 0x80000000) * 8))
    },
    crcAt: (position) => content.readUInt32BE(crcsAt + position * 4),
  }
}

/** The index of a pack whose offsets are all below 2 GiB. */
export function encodePackIndex({ oids, offsets, crcs }: PackEntries, packChecksum: Uint8Array): Buffer {
  const order = orderOf(oids)
  const count = order.length
  const content = Buffer.alloc(tablesAt + count * 28 + 40)
  content.writeUInt32BE(magic, 0)
  content.writeUInt32BE(2, 4)
  const counts = new Uint32Array(256)
  order.forEach((entry, position) => {
    const first = oids[entry * 20] ?? 0
    counts[first] = (counts[first] ?? 0) + 1
    oids.copy(content, tablesAt + position * 20, entry * 20, entry * 20 + 20)
    content.writeUInt32BE(crcs[entry] ?? 0, tablesAt + count * 20 + position * 4)
    content.writeUInt32BE(offsets[entry] ?? 0, tablesAt + count * 24 + position * 4)
  })
  let sum = 0
  counts.forEach((entries, first) => {
    sum += entries
    content.writeUInt32BE(sum, 8 + first * 4)
  })
  content.set(packChecksum, content.length - 40)
  createHash('sha1')
    .update(content.subarray(0, -20))
    .digest()
    .copy(content, content.length - 20)
  return content
}

/** The entries in the order of their ids. Ids are spread evenly, so sorting by a number made of their first bytes is nearly all there is to do. */
export function orderOf(oids: Buffer): Uint32Array {
  const count = oids.length / 20
  const keys = new Float64Array(count)
  for (let entry = 0; entry < count; entry++) keys[entry] = oids.readUInt32BE(entry * 20) * 0x200000 + entry
  keys.sort()
  const order = Uint32Array.from(keys, (key) => key % 0x200000)
  for (let at = 1; at < count; at++) {
    for (let back = at; back > 0 && compareEntries(oids, order[back - 1] ?? 0, order[back] ?? 0) > 0; back--) {
      const entry = order[back] ?? 0
      order[back] = order[back - 1] ?? 0
      order[back - 1] = entry
    }
  }
  return order
}

function compareEntries(oids: Buffer, a: number, b: number): number {
  return oids.compare(oids, b * 20, b * 20 + 20, a * 20, a * 20 + 20)
}

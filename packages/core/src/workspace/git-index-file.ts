import { createHash } from 'node:crypto'
import { BatonError } from '../errors.ts'
import { pathFromBytes, pathToBytes } from '../sandbox/path-bytes.ts'
import type { TreeEntry } from './git-objects.ts'
import type { IndexEntry } from './repository.ts'

interface Row {
  readonly path: string
  readonly name: Buffer
  readonly entry: IndexEntry
  /** As it stands in the file, padding and all. */
  readonly bytes: Buffer
}

const headerBytes = 12
/** Times, device, inode, mode, owner and size; then the id and the flags. */
const statBytes = 40
const idBytes = 20
const checksumBytes = 20

/**
 * The entries of an index file, version 2 or 3 with SHA-1. Source: gitformat-index(5).
 *
 * @throws BatonError `UNSUPPORTED_REPOSITORY` for one that has more in it than a list of files: version 4, a split or a sparse index.
 */
export function parseIndex(file: Uint8Array): ReadonlyMap<string, IndexEntry> {
  return new Map(readRows(file).map(({ path, entry }) => [path, entry]))
}

/** An index file with these entries in place of those that it has at their paths. What git only keeps there to be faster is left out. */
export function changeIndex(file: Uint8Array | undefined, changes: ReadonlyMap<string, TreeEntry | undefined>): Uint8Array {
  const kept = (file ? readRows(file) : []).filter(({ path }) => !changes.has(path))
  const added = [...changes].flatMap(([path, entry]) => (entry ? [encodeRow(path, entry)] : []))
  const rows = [...kept, ...added].sort((a, b) => Buffer.compare(a.name, b.name) || a.entry.stage - b.entry.stage)
  const header = Buffer.alloc(headerBytes)
  header.write('DIRC')
  // Flags of version 3 may stand in the rows that are kept.
  header.writeUInt32BE(file ? Buffer.from(file).readUInt32BE(4) : 2, 4)
  header.writeUInt32BE(rows.length, 8)
  const body = Buffer.concat([header, ...rows.map(({ bytes }) => bytes)])
  return Buffer.concat([body, createHash('sha1').update(body).digest()])
}

function readRows(file: Uint8Array): Row[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const version = bytes.length < headerBytes + checksumBytes ? 0 : bytes.readUInt32BE(4)
  if (bytes.toString('latin1', 0, 4) !== 'DIRC' || (version !== 2 && version !== 3)) throw unreadable(`version ${version}`)
  const rows: Row[] = []
  let at = headerBytes
  for (let count = bytes.readUInt32BE(8); count > 0; count--) {
    const flags = bytes.readUInt16BE(at + statBytes + idBytes)
    const start = at + statBytes + idBytes + 2 + ((flags & 0x4000) !== 0 ? 2 : 0)
    const end = bytes.indexOf(0, start)
    // One to eight NULs, so that rows begin at multiples of eight.
    const next = at + ((end - at + 8) & ~7)
    if (end < 0 || next > bytes.length - checksumBytes) throw unreadable('a row that ends beyond the file')
    const name = bytes.subarray(start, end)
    const mode = bytes
      .readUInt32BE(at + 24)
      .toString(8)
      .padStart(6, '0')
    const oid = bytes.toString('hex', at + statBytes, at + statBytes + idBytes)
    rows.push({ path: pathFromBytes(name), name, entry: { mode, oid, stage: (flags >> 12) & 3 }, bytes: bytes.subarray(at, next) })
    at = next
  }
  checkExtensions(bytes, at)
  return rows
}

/** Those whose name begins with a small letter change what the rows mean. */
function checkExtensions(bytes: Buffer, from: number): void {
  for (let at = from; at < bytes.length - checksumBytes; ) {
    const name = bytes.toString('latin1', at, at + 4)
    if (!/^[A-Z]/.test(name)) throw unreadable(`the extension ${JSON.stringify(name)}`)
    at += 8 + bytes.readUInt32BE(at + 4)
  }
}

/** A row without times and size, so that git looks at the file itself. */
function encodeRow(path: string, { mode, oid }: TreeEntry): Row {
  const name = pathToBytes(path)
  const length = statBytes + idBytes + 2 + name.length
  const bytes = Buffer.alloc((length + 8) & ~7)
  bytes.writeUInt32BE(Number.parseInt(mode, 8), 24)
  bytes.write(oid, statBytes, 'hex')
  bytes.writeUInt16BE(Math.min(name.length, 0xfff), statBytes + idBytes)
  name.copy(bytes, statBytes + idBytes + 2)
  return { path, name, entry: { mode, oid, stage: 0 }, bytes }
}

function unreadable(what: string): BatonError {
  return new BatonError(
    'UNSUPPORTED_REPOSITORY',
    `The index of the repository has ${what}. Install the git command line, which can write it.`,
    {
      details: { index: what },
    },
  )
}

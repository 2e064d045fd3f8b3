/**
 * File names are bytes, paths in this package are strings. A byte that is no UTF-8 stands in a string as a lone surrogate, U+DC80 for 0x80 to
 * U+DCFF for 0xFF, so that every name there is can be named, logged and given back. Source: PEP 383 (Python's `surrogateescape`).
 */
const escaped = /[\udc80-\udcff]/u

/** The string for a name made of these bytes. */
export function pathFromBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString()
  if (!text.includes('\ufffd')) return text
  let path = ''
  for (let at = 0; at < buffer.length; ) {
    const length = characterLength(buffer, at)
    path += length === 0 ? String.fromCharCode(0xdc00 + (buffer[at] ?? 0)) : buffer.toString('utf8', at, at + length)
    at += length || 1
  }
  return path
}

/** The bytes that a path string stands for. */
export function pathToBytes(path: string): Buffer {
  if (!escaped.test(path)) return Buffer.from(path)
  const parts: Buffer[] = []
  for (const character of path) {
    parts.push(escaped.test(character) ? Buffer.from([character.charCodeAt(0) - 0xdc00]) : Buffer.from(character))
  }
  return Buffer.concat(parts)
}

/** A path in the form that `node:fs` takes: a string wherever one can say it. */
export function fsPath(path: string): string | Buffer {
  return escaped.test(path) ? pathToBytes(path) : path
}

/** Bytes of the UTF-8 character that begins here; 0 where none does. */
function characterLength(buffer: Buffer, at: number): number {
  const lead = buffer[at] ?? 0
  const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0
  const slice = buffer.subarray(at, at + length)
  // Decoding bytes that are no UTF-8 gives U+FFFD, which encodes to other bytes.
  return slice.length === length && Buffer.from(slice.toString()).equals(slice) ? length : 0
}

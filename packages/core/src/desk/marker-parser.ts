/** Takes what is meant for this side out of a terminal's output. */
export interface MarkerParser {
  /** Gives back what is for the screen. What may be the beginning of a marker is held back until it is known. */
  feed(chunk: Uint8Array): Uint8Array
  /** What is still held back at the end. */
  flush(): Uint8Array
}

/** A marker may be this long; what is longer is none, and goes to the screen. */
const maxMarkerBytes = 256 * 1024
const bell = 0x07

/**
 * Finds `prefix`, text, BEL in a stream of bytes, across the borders of chunks, and hands the text to `onMarker` as fields, in order with what `feed` gives back.
 * Everything else passes byte for byte. The text has no control characters, `;` between its fields, and `%` with two hexadecimal digits for what these
 * rules exclude; what looks different is no marker.
 */
export function createMarkerParser(prefix: string, onMarker: (fields: readonly string[]) => void): MarkerParser {
  const start = Buffer.from(prefix)
  let held = Buffer.alloc(0)
  return {
    feed(chunk) {
      const data = held.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength) : Buffer.concat([held, chunk])
      const plain: Buffer[] = []
      let from = 0
      held = Buffer.alloc(0)
      while (from < data.length) {
        const found = data.indexOf(start, from)
        const at = found === -1 ? data.length - overlap(data.subarray(from), start) : found
        plain.push(data.subarray(from, at))
        from = at
        if (found === -1) {
          held = Buffer.from(data.subarray(at))
          break
        }
        const end = firstControl(data, at + start.length)
        if (end === -1 && data.length - at < maxMarkerBytes) {
          held = Buffer.from(data.subarray(at))
          break
        }
        if (end !== -1 && data[end] === bell && end - at < maxMarkerBytes) {
          onMarker(fieldsOf(data.subarray(at + start.length, end)))
          from = end + 1
        } else {
          const next = end === -1 ? data.length : end
          plain.push(data.subarray(at, next))
          from = next
        }
      }
      return plain.length === 1 && plain[0] ? plain[0] : Buffer.concat(plain)
    },
    flush() {
      const rest = held
      held = Buffer.alloc(0)
      return rest
    },
  }
}

/** How many bytes at the end of `data` may be the beginning of `start`. */
function overlap(data: Buffer, start: Buffer): number {
  for (let length = Math.min(data.length, start.length - 1); length > 0; length--) {
    if (data.subarray(data.length - length).equals(start.subarray(0, length))) return length
  }
  return 0
}

function firstControl(data: Buffer, from: number): number {
  for (let at = from; at < data.length; at++) if ((data[at] as number) < 0x20) return at
  return -1
}

function fieldsOf(payload: Buffer): string[] {
  return payload.toString('latin1').split(';').map(decode)
}

function decode(field: string): string {
  const bytes = field.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

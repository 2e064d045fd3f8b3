/** Builds a run of bytes. Numbers are little-endian. */
export interface ByteWriter {
  bytes(data: Uint8Array): void
  /** Whole, from 0; small ones take less room (LEB128). */
  count(value: number): void
  text(value: string): void
  float(value: number): void
  /** What was written. */
  done(): Uint8Array
}

/** Builds a {@link ByteWriter}. */
export function createByteWriter(): ByteWriter {
  let buffer = Buffer.alloc(1 << 16)
  let end = 0
  function room(size: number): number {
    if (end + size > buffer.length) buffer = Buffer.concat([buffer.subarray(0, end)], Math.max(buffer.length * 2, end + size))
    const at = end
    end += size
    return at
  }
  // Room first: the buffer may be another one after that.
  function byte(value: number): void {
    const at = room(1)
    buffer[at] = value
  }
  const writer: ByteWriter = {
    bytes(data) {
      const at = room(data.length)
      buffer.set(data, at)
    },
    count(value) {
      let rest = value
      for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) byte((rest % 0x80) | 0x80)
      byte(rest)
    },
    text(value) {
      const data = Buffer.from(value)
      writer.count(data.length)
      writer.bytes(data)
    },
    float(value) {
      const at = room(4)
      buffer.writeFloatLE(value, at)
    },
    done: () => buffer.subarray(0, end),
  }
  return writer
}

/** Reads what a {@link ByteWriter} wrote. Throws a RangeError where there is less. */
export interface ByteReader {
  readonly left: number
  bytes(size: number): Uint8Array
  count(): number
  text(): string
  float(): number
}

/** Builds a {@link ByteReader}. */
export function createByteReader(data: Uint8Array): ByteReader {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  let at = 0
  const take = (size: number): number => {
    if (size > buffer.length - at) throw new RangeError(`${size} bytes wanted at ${at}, and ${buffer.length - at} are left`)
    at += size
    return at - size
  }
  const reader: ByteReader = {
    get left() {
      return buffer.length - at
    },
    bytes(size) {
      const from = take(size)
      return buffer.subarray(from, from + size)
    },
    count() {
      let value = 0
      for (let scale = 1; scale < 2 ** 53; scale *= 0x80) {
        const byte = buffer[take(1)] as number
        value += (byte & 0x7f) * scale
        if (byte < 0x80) return value
      }
      throw new RangeError(`a number of more than 53 bits at ${at}`)
    },
    text: () => Buffer.from(reader.bytes(reader.count())).toString(),
    float: () => buffer.readFloatLE(take(4)),
  }
  return reader
}

const newline = 0x0a

/** Options of {@link createBoundedOutput}. */
export interface BoundedOutputOptions {
  /** Most bytes to keep: the first half of it from the beginning, the rest from the end. The note in between comes on top. */
  readonly maxBytes: number
}

/** Text of which the middle may have been left out. */
export interface BoundedText {
  /** Head and tail with a line such as `[… 12,345 bytes left out …]` between them; all of it where it fitted. */
  readonly text: string
  /** Bytes between head and tail that are not in `text`. */
  readonly droppedBytes: number
}

/** Keeps the head and the tail of a stream of any length, in memory of a fixed size. */
export interface BoundedOutput {
  /** Adds bytes, or text as UTF-8. What was passed is not kept, so the caller may use its buffer again. */
  write(chunk: Uint8Array | string): void
  /** What was kept so far. Bytes that are no UTF-8 show as U+FFFD; the cut never splits a character. */
  read(): BoundedText
  /** Bytes written so far. */
  readonly totalBytes: number
}

/** Collects output of which only the head and the tail are wanted. Its memory does not grow beyond `maxBytes`. */
export function createBoundedOutput(options: BoundedOutputOptions): BoundedOutput {
  const maxBytes = Math.max(0, Math.floor(options.maxBytes))
  const head = createGrowing(Math.ceil(maxBytes / 2))
  const tail = createRing(maxBytes - head.capacity)
  let totalBytes = 0
  return {
    get totalBytes() {
      return totalBytes
    },
    write(chunk) {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
      totalBytes += bytes.length
      const rest = head.write(bytes)
      if (rest.length > 0) tail.write(rest)
    },
    read: () => join(head.read(), tail.read(), totalBytes),
  }
}

/** Bounds a text that is already there, such as what a tool returned, as {@link createBoundedOutput} bounds a stream. */
export function boundText(text: string, maxBytes: number): BoundedText {
  if (Buffer.byteLength(text) <= maxBytes) return { text, droppedBytes: 0 }
  const output = createBoundedOutput({ maxBytes })
  output.write(text)
  return output.read()
}

function join(head: Buffer, tail: Buffer, totalBytes: number): BoundedText {
  if (head.length + tail.length === totalBytes) return { text: Buffer.concat([head, tail]).toString(), droppedBytes: 0 }
  const before = head.subarray(0, head.length - unfinishedAtEnd(head))
  const after = tail.subarray(unstartedAtStart(tail))
  const droppedBytes = totalBytes - before.length - after.length
  const note = `[… ${droppedBytes.toLocaleString('en-US')} bytes left out …]`
  const gap = before.length === 0 || before.at(-1) === newline ? '' : '\n'
  const end = after.length === 0 ? '' : after[0] === newline ? after.toString() : `\n${after.toString()}`
  return { text: `${before.toString()}${gap}${note}${end}`, droppedBytes }
}

/** How many bytes at the end begin a UTF-8 character that is not complete. */
function unfinishedAtEnd(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
  }
  return 0
}

/** How many bytes at the start belong to a UTF-8 character that began before. */
function unstartedAtStart(bytes: Buffer): number {
  let count = 0
  while (count < Math.min(3, bytes.length) && ((bytes[count] ?? 0) & 0xc0) === 0x80) count++
  return count
}

/** Takes bytes until it is full; `write` returns what did not fit. */
function createGrowing(capacity: number) {
  let buffer = Buffer.alloc(0)
  let length = 0
  return {
    capacity,
    write(bytes: Uint8Array): Uint8Array {
      const fitting = Math.min(bytes.length, capacity - length)
      if (length + fitting > buffer.length) {
        const larger = Buffer.alloc(Math.min(capacity, Math.max(4096, (length + fitting) * 2)))
        buffer.copy(larger, 0, 0, length)
        buffer = larger
      }
      buffer.set(bytes.subarray(0, fitting), length)
      length += fitting
      return bytes.subarray(fitting)
    },
    read: () => buffer.subarray(0, length),
  }
}

/** Keeps the last bytes written to it. */
function createRing(capacity: number) {
  let buffer: Buffer | undefined
  let end = 0
  let filled = 0
  return {
    write(bytes: Uint8Array): void {
      if (capacity === 0) return
      buffer ??= Buffer.alloc(capacity)
      const last = bytes.subarray(Math.max(0, bytes.length - capacity))
      const first = Math.min(last.length, capacity - end)
      buffer.set(last.subarray(0, first), end)
      buffer.set(last.subarray(first), 0)
      end = (end + last.length) % capacity
      filled = Math.min(capacity, filled + last.length)
    },
    read(): Buffer {
      if (buffer === undefined) return Buffer.alloc(0)
      if (filled < capacity) return buffer.subarray(0, filled)
      return Buffer.concat([buffer.subarray(end), buffer.subarray(0, end)])
    },
  }
}

import type { Readable, Writable } from 'node:stream'

/** Bytes that a stream holds for a reader that is slow; then the process is held back. */
const heldBytes = 65_536
/** After the process has ended: how long to wait for output that something else may still write, and how much of it to pass on. */
const graceMs = 100
const graceBytes = 4 * 1024 * 1024

/** A process's output as a web stream, and what the rest of its handle needs to know of it. */
export interface OutputStream {
  readonly stream: ReadableStream<Uint8Array>
  /** Resolves at the end of the stream. */
  readonly ended: Promise<void>
  /** Whether the reader is behind, so that the process cannot be blamed for silence. */
  readonly isHeldBack: () => boolean
  /** The process has ended. The stream ends when it has been drained, also when a background child keeps the pipe open. */
  finish(): void
}

/** Turns a child's pipe into a web stream with back-pressure. `onBytes` hears of every chunk. */
export function createOutputStream(source: Readable, onBytes: (count: number) => void): OutputStream {
  let controller: ReadableStreamDefaultController<Uint8Array>
  let done = false
  let finishing = false
  let passedSince = 0
  let timer: NodeJS.Timeout | undefined
  const { promise: ended, resolve } = Promise.withResolvers<void>()

  const end = (): void => {
    if (done) return
    done = true
    clearTimeout(timer)
    controller.close()
    resolve()
    // What still writes to the pipe, such as a server in the background, lives on; its output goes nowhere.
    source.resume()
    if ('unref' in source && typeof source.unref === 'function') source.unref()
  }
  const waitForMore = (): void => {
    clearTimeout(timer)
    if (finishing && !done && !source.isPaused()) timer = setTimeout(end, graceMs)
  }
  source.on('data', (chunk: Buffer) => {
    if (done) return
    onBytes(chunk.length)
    controller.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length))
    if (finishing) passedSince += chunk.length
    if (passedSince > graceBytes) return end()
    if ((controller.desiredSize ?? 0) <= 0) source.pause()
    waitForMore()
  })
  source.once('end', end)
  source.once('close', end)
  source.once('error', end)
  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given
        source.pause()
      },
      pull() {
        source.resume()
        waitForMore()
      },
      cancel() {
        done = true
        clearTimeout(timer)
        resolve()
        source.destroy()
      },
    },
    { highWaterMark: heldBytes, size: (chunk) => chunk.byteLength },
  )
  return {
    stream,
    ended,
    isHeldBack: () => !done && source.isPaused(),
    finish() {
      finishing = true
      waitForMore()
    },
  }
}

/** A child's input as a web stream. Writing to a process that has ended, or does not read, is harmless. */
export function createInputStream(target: Writable): WritableStream<Uint8Array> {
  target.on('error', () => undefined)
  return new WritableStream<Uint8Array>({
    write: (chunk) =>
      new Promise((resolve) => {
        if (target.destroyed || target.writableEnded) resolve()
        else target.write(chunk, () => resolve())
      }),
    close: () =>
      new Promise((resolve) => {
        if (target.destroyed || target.writableEnded) resolve()
        else target.end(() => resolve())
      }),
    abort: () => {
      target.destroy()
    },
  })
}

/** A stream that has ended before it began. */
export function emptyStream(text = ''): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      if (text !== '') controller.enqueue(Buffer.from(text))
      controller.close()
    },
  })
}

import type { SandboxProcess } from '../sandbox/sandbox.ts'

/** What is held for a reader that is slow, in bytes; then the process is held back. */
const heldBytes = 64 * 1024

/** One of the streams that {@link relay} passes on. */
export interface RelaySource {
  readonly stream: ReadableStream<Uint8Array>
  /** Sees each chunk and says what is passed on instead. */
  readonly look?: ((chunk: Uint8Array) => Uint8Array) | undefined
  /** What is passed on at the end. */
  readonly last?: (() => Uint8Array) | undefined
  /** Whether a reader that cancels cancels this too; else it is read on. */
  readonly cancels?: boolean | undefined
}

/** What {@link relay} makes. */
export interface Relay {
  readonly stream: ReadableStream<Uint8Array>
  /** Resolves when the sources have ended and all was looked at: soon after the process's end, whether anybody reads or not. */
  readonly done: Promise<void>
}

/**
 * Passes output of a process on as one stream and looks at it on its way. A reader that is slow holds the process back; when the process has ended, what it has
 * left behind, which is bounded, is taken at once.
 */
export function relay(process: Pick<SandboxProcess, 'exit'>, sources: readonly RelaySource[]): Relay {
  const readers = sources.map(({ stream }) => stream.getReader())
  let cancelled = false
  let room = Promise.withResolvers<void>()
  let controller: ReadableStreamDefaultController<Uint8Array>
  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given
      },
      pull() {
        room.resolve()
        room = Promise.withResolvers()
      },
      async cancel(reason) {
        cancelled = true
        room.resolve()
        await Promise.all(readers.map((reader, at) => (sources[at]?.cancels === true ? reader.cancel(reason) : undefined)))
      },
    },
    { highWaterMark: heldBytes, size: (chunk) => chunk.byteLength },
  )
  const show = (bytes: Uint8Array | undefined): void => {
    if (bytes !== undefined && bytes.length > 0 && !cancelled) controller.enqueue(bytes)
  }
  const pump = async ({ look, last }: RelaySource, reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> => {
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        show(look === undefined ? value : look(value))
        if (!cancelled && (controller.desiredSize ?? 0) <= 0) await Promise.race([room.promise, process.exit])
      }
    } catch {
      // A machine that was lost shows in the exit.
    }
    show(last?.())
  }
  const done = Promise.all(sources.map((source, at) => pump(source, readers[at] as ReadableStreamDefaultReader<Uint8Array>))).then(() => {
    if (!cancelled) controller.close()
  })
  return { stream, done }
}

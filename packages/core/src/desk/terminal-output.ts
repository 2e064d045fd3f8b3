import type { SandboxProcess } from '../sandbox/sandbox.ts'
import type { MarkerParser } from './marker-parser.ts'

/** What is held for a screen that does not read, in bytes; then the program in the terminal waits. */
const heldBytes = 64 * 1024

/** The output of a terminal, without what was meant for this side. */
export interface TerminalOutput {
  readonly stream: ReadableStream<Uint8Array>
  /** Resolves when all output was looked through, soon after the process has ended, whether it is read or not. */
  readonly done: Promise<void>
  /** From here on this parser looks for markers. */
  use(parser: MarkerParser): void
}

/** Reads a process's output through a parser. A reader that is slow holds the process back; one that cancels does not. */
export function createTerminalOutput(process: SandboxProcess, first: MarkerParser): TerminalOutput {
  let parser = first
  let cancelled = false
  let controller: ReadableStreamDefaultController<Uint8Array>
  let room = Promise.withResolvers<void>()
  const stream = new ReadableStream<Uint8Array>(
    {
      start(given) {
        controller = given
      },
      pull: () => room.resolve(),
      cancel() {
        cancelled = true
        room.resolve()
      },
    },
    { highWaterMark: heldBytes, size: (chunk) => chunk.byteLength },
  )
  const show = (bytes: Uint8Array): void => {
    if (bytes.length > 0 && !cancelled) controller.enqueue(bytes)
  }
  const pump = async (source: ReadableStream<Uint8Array>, look: (chunk: Uint8Array) => Uint8Array): Promise<void> => {
    try {
      for await (const chunk of source) {
        show(look(chunk))
        room = Promise.withResolvers()
        // What comes after the end is bounded by the process's own stream.
        if (!cancelled && (controller.desiredSize ?? 0) <= 0) await Promise.race([room.promise, process.exit])
      }
    } catch {
      // A machine that was lost shows in the exit.
    }
  }
  const done = Promise.all([pump(process.stdout, (chunk) => parser.feed(chunk)), pump(process.stderr, (chunk) => chunk)]).then(() => {
    show(parser.flush())
    if (!cancelled) controller.close()
  })
  return {
    stream,
    done,
    use(next) {
      show(parser.flush())
      parser = next
    },
  }
}

import { messageOf } from '../errors.ts'
import { requireSignal } from '../sandbox/local-process.ts'
import { watchLimits } from '../sandbox/process-limits.ts'
import type { ExitStatus, SandboxProcess, SpawnOptions } from '../sandbox/sandbox.ts'

/** What a scripted command reads and writes. */
export interface MemoryStreams {
  readonly stdin: ReadableStream<Uint8Array>
  /** Resolves when the reader has room for more. */
  readonly stdout: (data: Uint8Array | string) => Promise<void>
  readonly stderr: (data: Uint8Array | string) => Promise<void>
  /** Aborts when the process is killed. */
  readonly signal: AbortSignal
}

/** Runs a function as a process: with streams, limits and an exit. One that throws ends with 1 and its message on stderr. */
export function startMemoryProcess(id: string, run: (streams: MemoryStreams) => Promise<number>, options: SpawnOptions): SandboxProcess {
  const [stdin, stdout, stderr] = [createPipe(), createPipe(), createPipe()]
  const killed = new AbortController()
  const { promise: exit, resolve } = Promise.withResolvers<ExitStatus>()
  const end = (status: ExitStatus): void => {
    limits.stop()
    for (const pipe of [stdin, stdout, stderr]) pipe.close()
    resolve(status)
    killed.abort()
  }
  const limits = watchLimits(
    options,
    () => stdout.isFull() || stderr.isFull(),
    (reason) => end({ reason, code: null, signal: 'SIGKILL' }),
  )
  const writer = (pipe: Pipe) => async (data: Uint8Array | string) => {
    limits.touch()
    await pipe.write(typeof data === 'string' ? Buffer.from(data) : data)
  }
  const streams = { stdin: stdin.stream, stdout: writer(stdout), stderr: writer(stderr), signal: killed.signal }
  void run(streams)
    .catch(async (error: unknown) => {
      await stderr.write(Buffer.from(`${messageOf(error)}\n`))
      return 1
    })
    .then((code) => end({ reason: 'exited', code }))
  return {
    id,
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdin: new WritableStream({ write: (chunk) => stdin.write(chunk), close: () => stdin.close() }),
    exit,
    async kill(signal = 'SIGKILL') {
      end({ reason: 'signaled', code: null, signal: requireSignal(signal) })
    },
  }
}

interface Pipe {
  readonly stream: ReadableStream<Uint8Array>
  /** Resolves when there is room for more. After the end it does nothing. */
  write(chunk: Uint8Array): Promise<void>
  /** What was written is still read, then the stream ends. */
  close(): void
  isFull(): boolean
}

function createPipe(): Pipe {
  let controller: ReadableStreamDefaultController<Uint8Array>
  let closed = false
  let room = Promise.withResolvers<void>()
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (given) => {
        controller = given
      },
      pull: () => room.resolve(),
      cancel: () => {
        closed = true
        room.resolve()
      },
    },
    { highWaterMark: 65_536, size: (chunk) => chunk.byteLength },
  )
  const isFull = (): boolean => !closed && (controller.desiredSize ?? 0) <= 0
  return {
    stream,
    isFull,
    async write(chunk) {
      if (closed || chunk.length === 0) return
      controller.enqueue(chunk.slice())
      while (isFull()) {
        room = Promise.withResolvers()
        await room.promise
      }
    },
    close() {
      if (!closed) controller.close()
      closed = true
      room.resolve()
    },
  }
}

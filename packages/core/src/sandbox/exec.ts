import { z } from 'zod'
import { messageOf } from '../errors.ts'
import type { BlobStore } from '../events/blob-store.ts'
import type { BlobRef } from '../events/envelope.ts'
import { implementing, parseOptions } from '../options.ts'
import type { BoundedOutput } from './bounded-output.ts'
import { createBoundedOutput } from './bounded-output.ts'
import type { ExitStatus, Sandbox, SandboxProcess, SpawnOptions } from './sandbox.ts'

const positive = z.number().positive()

const ExecOptionsSchema = z.looseObject({
  input: z.union([z.string(), z.instanceof(Uint8Array)]).optional(),
  timeoutMs: z
    .union([positive, z.literal(Number.POSITIVE_INFINITY)], 'expected a number above 0, or Infinity for no limit')
    .default(600_000),
  silenceMs: positive.optional(),
  maxOutputBytes: z.int().nonnegative().default(65_536),
  blobs: implementing<BlobStore>('a blob store', 'put').optional(),
  maxWholeBytes: z
    .int()
    .positive()
    .default(16 * 1024 * 1024),
})

/** Options of {@link exec}. */
export interface ExecOptions extends Omit<SpawnOptions, 'tty' | 'detached'> {
  /** What the command reads on stdin; it is closed after that. Default: nothing. */
  readonly input?: string | Uint8Array | undefined
  /** The process tree is killed after this time. Default: 10 minutes; `Infinity` for none. */
  readonly timeoutMs?: number | undefined
  /** Most bytes to keep of each of `stdout`, `stderr` and `output`; head and tail. Default: 64 KiB. */
  readonly maxOutputBytes?: number | undefined
  /** Where the whole output is put when `output` leaves something out. */
  readonly blobs?: BlobStore | undefined
  /** Most bytes to put there; beyond that its middle is left out too, with a note. Held in memory while the command runs. Default: 16 MiB. */
  readonly maxWholeBytes?: number | undefined
  /** Hears the output as it comes, as text. What it throws is ignored. */
  readonly onOutput?: ((stream: 'stdout' | 'stderr', text: string) => void) | undefined
}

/** What a command came to. */
export interface ExecResult {
  /** How it ended. A command that failed, ran out of time or was aborted is a result like any other. */
  readonly exit: ExitStatus
  /** Each bounded by `maxOutputBytes`, with a note where something is left out. Bytes that are no UTF-8 show as U+FFFD. */
  readonly stdout: string
  readonly stderr: string
  /** Both, in the order in which they came. */
  readonly output: string
  /** Bytes that `output` leaves out. */
  readonly droppedBytes: number
  /** All that was written. */
  readonly stdoutBytes: number
  readonly stderrBytes: number
  /** The whole of `output`, where that leaves something out and `blobs` was given. */
  readonly whole?: BlobRef | undefined
  readonly ms: number
}

/** In which no program waits for a key to be pressed, nor opens an editor or a pager, nor asks for a password. */
export const unattendedEnv: Readonly<Record<string, string>> = {
  CI: '1',
  PAGER: 'cat',
  GIT_PAGER: 'cat',
  MANPAGER: 'cat',
  EDITOR: 'true',
  VISUAL: 'true',
  GIT_EDITOR: 'true',
  GIT_SEQUENCE_EDITOR: 'true',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ASKPASS: 'true',
  DEBIAN_FRONTEND: 'noninteractive',
  NO_COLOR: '1',
  TERM: 'dumb',
}

/**
 * Runs a command to its end in an environment in which nothing waits for a person ({@link unattendedEnv}, which `env` may override), and keeps
 * a bounded part of what it says. Rejects only where the machinery fails, the options are wrong, or the signal was aborted before it began.
 */
export async function exec(sandbox: Sandbox, command: string | readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const { input, timeoutMs, maxOutputBytes, blobs, maxWholeBytes } = parseOptions('exec', ExecOptionsSchema, options)
  const since = performance.now()
  const process = await sandbox.spawn(command, {
    cwd: options.cwd,
    user: options.user,
    silenceMs: options.silenceMs,
    signal: options.signal,
    timeoutMs: timeoutMs === Number.POSITIVE_INFINITY ? undefined : timeoutMs,
    env: { ...unattendedEnv, ...options.env },
  })
  const kept = createBoundedOutput({ maxBytes: maxOutputBytes })
  const whole = blobs && createBoundedOutput({ maxBytes: maxWholeBytes })
  const hear = (stream: 'stdout' | 'stderr', text: string): void => {
    kept.write(text)
    whole?.write(text)
    try {
      options.onOutput?.(stream, text)
    } catch {
      // A listener that fails is no reason for the command to.
    }
  }
  const [exit, stdout, stderr] = await Promise.all([
    process.exit,
    readStream(process.stdout, maxOutputBytes, (text) => hear('stdout', text)),
    readStream(process.stderr, maxOutputBytes, (text) => hear('stderr', text)),
    give(process, input),
  ])
  const { text: output, droppedBytes } = kept.read()
  return {
    exit,
    stdout: stdout.read().text,
    stderr: stderr.read().text,
    output,
    droppedBytes,
    stdoutBytes: stdout.totalBytes,
    stderrBytes: stderr.totalBytes,
    ...(droppedBytes > 0 && blobs && whole ? { whole: await blobs.put(Buffer.from(whole.read().text)) } : {}),
    ms: performance.now() - since,
  }
}

/** A stream that breaks off, as with a machine that is lost, gives what came before. */
async function readStream(stream: ReadableStream<Uint8Array>, maxBytes: number, hear: (text: string) => void): Promise<BoundedOutput> {
  const kept = createBoundedOutput({ maxBytes })
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const say = (text: string): void => {
    if (text !== '') hear(text)
  }
  try {
    for await (const chunk of stream) {
      kept.write(chunk)
      say(decoder.decode(chunk, { stream: true }))
    }
  } catch (error) {
    say(`\n[the output broke off: ${messageOf(error)}]\n`)
  }
  say(decoder.decode())
  return kept
}

/** A command that does not read its input, or not all of it, is none the worse for it. */
async function give(process: SandboxProcess, input: string | Uint8Array | undefined): Promise<void> {
  const writer = process.stdin.getWriter()
  const bytes = typeof input === 'string' ? Buffer.from(input) : input
  const writing = (async () => {
    if (bytes !== undefined) await writer.write(bytes)
    await writer.close()
  })().catch(() => undefined)
  await Promise.race([writing, process.exit])
}

import type { BatonError, Sandbox, SandboxProcess, ToolContext } from '@baton-sdk/core'
import { createBoundedOutput } from '@baton-sdk/core'
import type { ExitStatus } from './command-text.ts'

/** Most bytes of output that are kept between two readings of one command. */
const maxUnreadBytes = 64 * 1024

/** A command that goes on while the agent does other things. */
export interface BackgroundCommand {
  readonly id: string
  /** How it ended, once it has and all its output has come. */
  readonly ended: ExitStatus | undefined
  /** Bytes of output so far. */
  readonly stdoutBytes: number
  readonly stderrBytes: number
  /** Settles with {@link BackgroundCommand.ended}. */
  readonly end: Promise<ExitStatus>
  /** The output since the last reading; head and tail where there was much. */
  readNew(): string
  /** Waits until it has ended, the unread output holds `text`, or the time is over. Rejects when the signal aborts. */
  wait(options: { readonly timeoutMs: number; readonly text?: string | undefined; readonly signal: AbortSignal }): Promise<void>
  /** Ends it and all that it started: first by asking, then by force. Output that was not read can be read after that. */
  stop(): Promise<ExitStatus>
}

const key = '@baton-sdk/tools/background-commands'
/** How long a command may take to end when it is asked to. */
const stopGraceMs = 3000

/** The task's background commands, by id, in its memory. */
export function backgroundCommands(context: Pick<ToolContext, 'memory'>): Map<string, BackgroundCommand> {
  const existing = context.memory.get(key) as Map<string, BackgroundCommand> | undefined
  if (existing !== undefined) return existing
  const created = new Map<string, BackgroundCommand>()
  context.memory.set(key, created)
  return created
}

/**
 * The command of this id. One that an earlier program of the host started is found again where the sandbox can, its output from the beginning;
 * undefined where it is lost.
 */
export async function findBackgroundCommand(
  id: string,
  sandbox: Sandbox,
  context: Pick<ToolContext, 'memory'>,
): Promise<BackgroundCommand | undefined> {
  const commands = backgroundCommands(context)
  const known = commands.get(id)
  if (known !== undefined || sandbox.attachProcess === undefined) return known
  const process = await sandbox.attachProcess(id, { stdoutFrom: 0, stderrFrom: 0 }).catch((error: BatonError) => {
    if (error.code === 'CLOSED' || error.code === 'SANDBOX_LOST') throw error
    return undefined
  })
  if (process === undefined) return undefined
  const found = followProcess(process)
  commands.set(id, found)
  return found
}

/** Takes in a process's output as it comes, so that it is never held back, and keeps a bounded part of what nobody has read. */
export function followProcess(process: SandboxProcess): BackgroundCommand {
  let unread = createBoundedOutput({ maxBytes: maxUnreadBytes })
  let ended: ExitStatus | undefined
  const bytes = { stdout: 0, stderr: 0 }
  const listeners = new Set<(text: string) => void>()
  const pump = async (stream: 'stdout' | 'stderr'): Promise<void> => {
    const decoder = new TextDecoder()
    const take = (text: string): void => {
      unread.write(text)
      for (const listener of listeners) listener(text)
    }
    try {
      for await (const chunk of process[stream]) {
        bytes[stream] += chunk.length
        take(decoder.decode(chunk, { stream: true }))
      }
    } catch {
      take('\n[the output broke off]\n')
    }
    take(decoder.decode())
  }
  const end = Promise.all([process.exit, pump('stdout'), pump('stderr')]).then(([exit]) => {
    ended = exit
    return exit
  })
  return {
    id: process.id,
    end,
    get ended() {
      return ended
    },
    get stdoutBytes() {
      return bytes.stdout
    },
    get stderrBytes() {
      return bytes.stderr
    },
    readNew() {
      const { text } = unread.read()
      unread = createBoundedOutput({ maxBytes: maxUnreadBytes })
      return text
    },
    async wait({ timeoutMs, text, signal }) {
      signal.throwIfAborted()
      const limit = limitOf(timeoutMs, signal)
      const heard = text === undefined ? undefined : hearing(text, unread.read().text, listeners)
      try {
        await Promise.race([end, limit.over, ...(heard ? [heard.promise] : [])])
      } finally {
        limit.clear()
        heard?.stop()
      }
      signal.throwIfAborted()
    },
    async stop() {
      await process.kill('SIGTERM')
      const limit = limitOf(stopGraceMs)
      await Promise.race([process.exit, limit.over])
      limit.clear()
      // What it had started may have ignored the signal.
      await process.kill('SIGKILL')
      return end
    },
  }
}

/** Settles when the time is over or the signal aborts. */
function limitOf(timeoutMs: number, signal?: AbortSignal) {
  const { promise: over, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  const onAbort = (): void => resolve()
  signal?.addEventListener('abort', onAbort, { once: true })
  const clear = (): void => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  return { over, clear }
}

/** Settles when the text has come, also when in pieces. */
function hearing(wanted: string, before: string, listeners: Set<(text: string) => void>) {
  const { promise, resolve } = Promise.withResolvers<void>()
  let recent = ''
  const listener = (text: string): void => {
    const joined = recent + text
    if (joined.includes(wanted)) resolve()
    recent = joined.slice(-wanted.length)
  }
  listeners.add(listener)
  listener(before)
  return { promise, stop: () => listeners.delete(listener) }
}

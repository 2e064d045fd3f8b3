import type { Sandbox, ToolContext } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import type { SandboxProcess } from '@baton-sdk/core/plugin'
import { createBoundedOutput } from '@baton-sdk/core/plugin'
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
  /** Settles with {@link BackgroundCommand.ended}; with undefined when it was let go before. */
  readonly end: Promise<ExitStatus | undefined>
  /** The output since the last reading; head and tail where there was much. */
  readNew(): string
  /** Waits until it has ended, the unread output holds `text`, or the time is over. Rejects when the signal aborts. */
  wait(options: { readonly timeoutMs: number; readonly text?: string | undefined; readonly signal: AbortSignal }): Promise<void>
  /** Ends it and all that it started: first by asking, then by force. Output that was not read can be read after that. */
  stop(): Promise<void>
  /** Follows it no longer, and leaves it running. */
  letGo(): Promise<void>
}

const key = '@baton-sdk/tools/background-commands'
/** How long a command may take to end when it is asked to. */
const stopGraceMs = 3000
/** How long the output of a command that was found again may take to come. */
const attachMs = 500

/** The background commands of a task that are followed in this process. */
export interface BackgroundCommands extends Disposable {
  add(command: BackgroundCommand, sandbox: Sandbox): void
  /** The command of this id, looked for in the sandbox too, where one that was let go or started by an earlier process may be; else undefined. */
  find(id: string, sandbox: Sandbox, signal: AbortSignal): Promise<BackgroundCommand | undefined>
}

/** The task's background commands, in its memory. When the task closes here they are let go where they can be found again, and keep this process no longer. */
export function backgroundCommands(context: Pick<ToolContext, 'memory'>): BackgroundCommands {
  const existing = context.memory.get(key) as BackgroundCommands | undefined
  if (existing !== undefined) return existing
  const created = createBackgroundCommands()
  context.memory.set(key, created)
  return created
}

function createBackgroundCommands(): BackgroundCommands {
  const followed = new Map<string, { readonly command: BackgroundCommand; readonly canBeFound: boolean }>()
  return {
    add: (command, sandbox) => void followed.set(command.id, { command, canBeFound: sandbox.attachProcess !== undefined }),
    async find(id, sandbox, signal) {
      const known = followed.get(id)
      if (known !== undefined || sandbox.attachProcess === undefined) return known?.command
      const process = await sandbox.attachProcess(id, { stdoutFrom: 0, stderrFrom: 0 }).catch((error: unknown) => {
        if (BatonError.isInstance(error, 'CLOSED') || BatonError.isInstance(error, 'SANDBOX_LOST')) throw error
        return undefined
      })
      if (process === undefined) return undefined
      const command = followProcess(process)
      await command.wait({ timeoutMs: attachMs, text: '', signal })
      if (command.ended?.reason === 'lost') return undefined
      followed.set(id, { command, canBeFound: true })
      return command
    },
    [Symbol.dispose]() {
      for (const [id, { command, canBeFound }] of followed) {
        if (!canBeFound) continue
        followed.delete(id)
        command.letGo().catch(() => undefined)
      }
    },
  }
}

/** Takes in a process's output as it comes, so that it is never held back, and keeps a bounded part of what nobody has read. */
export function followProcess(process: SandboxProcess): BackgroundCommand {
  let unread = createBoundedOutput({ maxBytes: maxUnreadBytes })
  let ended: ExitStatus | undefined
  let isLetGo = false
  const bytes = { stdout: 0, stderr: 0 }
  const readers = { stdout: process.stdout.getReader(), stderr: process.stderr.getReader() }
  const listeners = new Set<(text: string) => void>()
  const pump = async (stream: 'stdout' | 'stderr'): Promise<void> => {
    const decoder = new TextDecoder()
    const take = (text: string): void => {
      if (text === '') return
      unread.write(text)
      for (const listener of listeners) listener(text)
    }
    try {
      for (let read = await readers[stream].read(); !read.done; read = await readers[stream].read()) {
        bytes[stream] += read.value.length
        take(decoder.decode(read.value, { stream: true }))
      }
    } catch {
      take('\n[the output broke off]\n')
    }
    take(decoder.decode())
  }
  const followToEnd = async (): Promise<ExitStatus | undefined> => {
    await Promise.all([pump('stdout'), pump('stderr')])
    // Asking for the end of a detached process watches for it, which would keep this program running.
    if (!isLetGo) ended = await process.exit
    return ended
  }
  const end = followToEnd()
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
      await end
    },
    async letGo() {
      isLetGo = true
      await Promise.all([readers.stdout.cancel(), readers.stderr.cancel()])
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

/** Settles when the text has come, also when in pieces; for an empty text, when any has. */
function hearing(wanted: string, before: string, listeners: Set<(text: string) => void>) {
  const { promise, resolve } = Promise.withResolvers<void>()
  let recent = ''
  const listener = (text: string): void => {
    const joined = recent + text
    if (joined !== '' && joined.includes(wanted)) resolve()
    recent = wanted === '' ? '' : joined.slice(-wanted.length)
  }
  listeners.add(listener)
  listener(before)
  return { promise, stop: () => listeners.delete(listener) }
}

import { randomUUID } from 'node:crypto'
import type { ExitStatus } from '../sandbox/sandbox.ts'
import { createTypedLine } from './typed-line.ts'

/** A command in a terminal starts or has ended. Each `commandId` comes once with each phase, started first; one ends before the next starts. */
export type TerminalCommand =
  | {
      readonly phase: 'started'
      readonly commandId: string
      /** What was typed; undefined where the shell cannot tell. Cut at 64 KiB. */
      readonly command?: string | undefined
      /** Absolute; undefined where the shell cannot tell. */
      readonly cwd?: string | undefined
    }
  | {
      readonly phase: 'finished'
      readonly commandId: string
      /** As the shell has it: 128 and its number after a signal. Null where nobody can tell, as when the shell was killed. */
      readonly code: number | null
      readonly ms: number
    }

/** Makes commands out of what a shell tells. */
export interface TerminalCommands {
  /** A marker: its kind and what belongs to it. */
  mark(fields: readonly string[]): void
  /** What is typed, which counts only where the shell tells no more than its prompts. */
  type(data: Uint8Array): void
  /** The terminal has ended. */
  end(exit: ExitStatus): void
}

/** How long a plain sh may take until its next prompt before its command is told as started; a prompt for a further line comes well before. */
const startedAfterMs = 1000

/**
 * The commands of one terminal. What `onCommand` throws is ignored. From a shell with hooks: `start;code before;cwd;text` and `end;code`. From a plain sh:
 * `prompt;code;cwd;history` and `more`; the text is then that of the history, else what was typed, where that is certain.
 */
export function createTerminalCommands(onCommand: (command: TerminalCommand) => void): TerminalCommands {
  let open: { commandId: string; since: number } | undefined
  let cwd: string | undefined
  let history: readonly string[] | undefined
  let timer: NodeJS.Timeout | undefined

  const tell = (command: TerminalCommand): void => {
    try {
      onCommand(command)
    } catch {
      // A listener that fails is no reason for the terminal to.
    }
  }
  const start = (command: string | undefined, where: string | undefined, since: number): void => {
    open = { commandId: randomUUID(), since }
    tell({ phase: 'started', commandId: open.commandId, command: command || undefined, cwd: where || undefined })
  }
  const finish = (code: number | null): void => {
    if (open === undefined) return
    const { commandId, since } = open
    open = undefined
    tell({ phase: 'finished', commandId, code, ms: performance.now() - since })
  }
  const typed = createTypedLine(() => {
    clearTimeout(timer)
    timer = setTimeout(startSent, startedAfterMs)
    timer.unref()
  })
  const startSent = (): void => {
    const line = typed.sent()
    if (line !== undefined && open === undefined) start(line.text, cwd, line.at)
  }
  const prompt = (code: number | null, now: string, list: string): void => {
    clearTimeout(timer)
    const line = typed.prompt()
    const entries = entriesOf(list)
    if (line !== undefined && open === undefined) start(textOf(line.text, history, entries), cwd, line.at)
    finish(code)
    cwd = now
    history = entries
  }
  return {
    type: (data) => typed.type(data),
    mark([kind, first = '', second = '', third = '']) {
      if (kind === 'start') {
        finish(codeOf(first))
        start(third, second, performance.now())
      } else if (kind === 'end') finish(codeOf(first))
      else if (kind === 'prompt') prompt(codeOf(first), second, third)
      else if (kind === 'more') {
        clearTimeout(timer)
        typed.more()
      }
    },
    end({ reason, code }) {
      clearTimeout(timer)
      if (cwd !== undefined) startSent()
      // `script` gives 128 and more when the shell was killed; then the command's own end is not known.
      finish(reason === 'exited' && code !== null && code <= 128 ? code : null)
    },
  }
}

function codeOf(field: string): number | null {
  return /^\d{1,3}$/.test(field) ? Number(field) : null
}

/** The lines of a `history` with numbers. */
function entriesOf(list: string): readonly string[] | undefined {
  if (list === '') return undefined
  return list
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => line.replace(/^ *\d+ /, ''))
}

/** What the history has gained is the command; where that is nothing, the command was the same as the one before, which is not kept twice. */
function textOf(typed: string | undefined, before: readonly string[] = [], now?: readonly string[]): string | undefined {
  if (typed !== undefined || now === undefined) return typed
  for (let gained = 0; gained < now.length; gained++) {
    const kept = now.slice(0, now.length - gained)
    if (kept.length > before.length || !kept.every((entry, at) => entry === before[before.length - kept.length + at])) continue
    return gained === 0 ? now.at(-1) : now.slice(-gained).join('\n')
  }
  return before.length === 0 ? now.join('\n') : undefined
}

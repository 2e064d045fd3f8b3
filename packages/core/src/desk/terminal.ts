import { randomBytes } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { abortedError, BatonError, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { implementing, parseOptions } from '../options.ts'
import type { ExitStatus, Sandbox, SandboxProcess } from '../sandbox/sandbox.ts'
import { createMarkerParser } from './marker-parser.ts'
import { relay } from './relay.ts'
import type { FoundShell } from './shell-integration.ts'
import { foundShell, launchOf, markerPrefix, openerOf } from './shell-integration.ts'
import type { TerminalCommand } from './terminal-commands.ts'
import { createTerminalCommands } from './terminal-commands.ts'

const size = z.int().min(1).max(65_535)

const TerminalOptionsSchema = z.looseObject({
  columns: size.default(80),
  rows: size.default(24),
  shell: z
    .union([
      z.enum(['bash', 'zsh', 'sh']),
      z
        .string()
        .startsWith('/')
        .refine((path) => !path.includes('\0')),
    ])
    .optional(),
  onCommand: z.custom<TerminalOptions['onCommand']>((value) => typeof value === 'function', 'expected a function'),
})

/** How a terminal is opened. */
export interface TerminalOptions extends Abortable {
  /** In characters. Default: 80 by 24. */
  readonly columns?: number | undefined
  readonly rows?: number | undefined
  /**
   * `bash`, `zsh`, `sh`, or the absolute path of a shell in the sandbox. Default: `$SHELL` where that is one of these, else the first of them that is
   * there. Another shell runs too, and says nothing of its commands.
   */
  readonly shell?: string | undefined
  /** Relative to the workdir. Default: the workdir. */
  readonly cwd?: string | undefined
  /** Added to the sandbox's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /**
   * Hears of each command that a person runs. What it throws is ignored. bash (4.4 and later) and zsh tell the text, the folder and the exit code, as it
   * happens. A plain sh tells of a command when its next prompt comes, or a second after it was typed: exit code, folder, and the text where its
   * history (busybox) or plain typing gives it for certain. Not seen: what runs in a shell, editor or debugger inside of the terminal, and what follows
   * when the person's own files put another shell in this one's place.
   */
  readonly onCommand: (command: TerminalCommand) => void
}

/** A terminal with a shell in it, in a sandbox. */
export interface Terminal {
  /** What the screen gets. It has to be read, or cancelled: the programs in the terminal wait for a screen that does neither. */
  readonly output: ReadableStream<Uint8Array>
  /** What is typed: a string, or bytes as a terminal sends them. Harmless when it has ended. */
  write(data: string | Uint8Array): Promise<void>
  resize(size: { readonly columns: number; readonly rows: number }): Promise<void>
  /** How the shell ended, settled after the last command was told. Never rejects. */
  readonly exit: Promise<ExitStatus>
  /** Hangs up, as closing a window does: what runs gets SIGHUP, and the shell saves its history if it is set to. Safe to call repeatedly. */
  close(): Promise<void>
}

/** How often a shell is told to hang up, and how long it may take each time. bash now and then misses one that comes just before it prompts. */
const hangUps = 10
const hangUpMs = 200

/**
 * Opens a terminal in a sandbox that has `tty`, and reports what a person runs there.
 *
 * The shell is interactive and reads the person's own files (bash `~/.bashrc`, zsh those of ZDOTDIR, sh that of ENV), none of which is touched; its hooks
 * come over the terminal itself, and what they tell goes back in its output as escape sequences that carry a secret of this terminal, which no child of the
 * shell has in its environment or arguments. The history file is what the person's files make it. Rejects with `UNSUPPORTED_SPEC` where the sandbox
 * has no terminals, or not this shell.
 */
export async function openTerminal(sandbox: Sandbox, options: TerminalOptions): Promise<Terminal> {
  const schema = z.object({ sandbox: implementing<Sandbox>('a sandbox', 'spawn'), options: TerminalOptionsSchema })
  const { columns, rows, shell, onCommand } = parseOptions('openTerminal', schema, { sandbox, options }).options
  const { cwd, env, signal } = options
  throwIfAborted(signal, 'opening a terminal')
  const process = await sandbox.spawn(openerOf(shell), { tty: { columns, rows }, cwd, env, signal })
  const hello = Promise.withResolvers<FoundShell | undefined>()
  const started = Promise.withResolvers<void>()
  let parser = createMarkerParser(`${markerPrefix}hello;`, ([version = '', path = '']) => hello.resolve(foundShell(version, path)))
  const output = relay(process, [
    { stream: process.stdout, look: (chunk) => parser.feed(chunk), last: () => parser.flush() },
    { stream: process.stderr },
  ])
  const commands = createTerminalCommands(onCommand)
  const exit = Promise.all([process.exit, output.done]).then(([status]) => {
    commands.end(status)
    return status
  })
  const writer = process.stdin.getWriter()
  const opened = await Promise.race([hello.promise, exit.then(() => 'ended' as const)])
  if (opened === undefined) {
    await process.kill()
    throw noShell(shell)
  }
  if (opened !== 'ended') {
    const nonce = randomBytes(16).toString('hex')
    // The opener says nothing between its hello and the rest, so no output falls between the two.
    const inner = createMarkerParser(`${markerPrefix}${nonce};`, (fields) =>
      fields[0] === 'go' ? started.resolve() : commands.mark(fields),
    )
    parser = {
      ...inner,
      feed(chunk) {
        const shown = inner.feed(chunk)
        // A shell that says something is there, also where files of the system keep it from the hooks.
        if (shown.length > 0) started.resolve()
        return shown
      },
    }
    await writer.write(Buffer.from(`${launchOf(opened, nonce)}\n.\n`))
    await Promise.race([started.promise, exit])
  }
  if (signal?.aborted) throw abortedError(signal, 'opening a terminal')
  return {
    output: output.stream,
    exit,
    async write(data) {
      const bytes = typeof data === 'string' ? Buffer.from(data) : data
      if (opened !== 'ended' && opened.kind === 'posix') commands.type(bytes)
      await writer.write(bytes)
    },
    async resize(to) {
      const parsed = parseOptions('resize', z.object({ columns: size, rows: size }), to)
      if (process.resize === undefined)
        throw new BatonError('UNSUPPORTED_SPEC', 'resize: the sandbox cannot change the size of a terminal.')
      await process.resize(parsed)
    },
    close: () => hangUp(process, exit),
  }
}

async function hangUp(process: SandboxProcess, exit: Promise<ExitStatus>): Promise<void> {
  const ended = exit.then(() => true)
  for (let sent = 0; sent < hangUps; sent++) {
    await process.kill('SIGHUP')
    if (await Promise.race([ended, setTimeout(hangUpMs, false, { ref: false })])) return
  }
  await process.kill()
  await exit
}

function noShell(shell: string | undefined): BatonError {
  const what = shell === undefined ? 'none of bash, zsh and sh' : `no ${shell}`
  return new BatonError('UNSUPPORTED_SPEC', `openTerminal: shell: there is ${what} in the sandbox.`, { details: { field: 'shell', shell } })
}

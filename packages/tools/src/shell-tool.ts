import type { Sandbox, Tool, ToolContext, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import type { SandboxProcess } from '@baton-sdk/core/plugin'
import { exec, parseOptions, unattendedEnv } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { backgroundCommands, followProcess } from './background-commands.ts'
import type { ExitStatus } from './command-text.ts'
import { describeExit, withRemark } from './command-text.ts'
import { failureOf } from './failure.ts'
import { normalisePath, ToolPath } from './tool-paths.ts'

/** Options of {@link createShellTool}. */
export interface ShellToolOptions {
  /** How long a command may run that is not in the background, unless the model says otherwise. Default: 120,000; at most 3,600,000. */
  readonly commandTimeoutMs?: number | undefined
}

const maxTimeoutMs = 3_600_000

/** What {@link ShellToolOptions} may be. */
export const ShellToolOptionsSchema = z.strictObject({ commandTimeoutMs: z.int().positive().max(maxTimeoutMs).default(120_000) })

/** Core shortens the text for the prompt and keeps all of this to be read. */
const maxOutputBytes = 1024 * 1024

const ShellInput = z.strictObject({
  command: z.string().min(1).describe('Command line for the shell'),
  cwd: ToolPath.optional().describe('Folder to run in. Default: the working folder'),
  timeoutMs: z.int().positive().max(maxTimeoutMs).optional().describe(`Time limit in milliseconds, at most ${maxTimeoutMs}`),
  background: z.boolean().default(false).describe('Return an id at once and let it run: for servers and watchers'),
})
type ShellInput = z.infer<typeof ShellInput>

/** How a command ended, and how much it said. */
type Ended = { readonly exit: ExitStatus; readonly stdoutBytes: number; readonly stderrBytes: number; readonly ms: number }

/**
 * A tool that runs a command line in the sandbox. A command that fails is an ordinary result, with its exit code.
 *
 * @throws BatonError `INVALID_OPTIONS`.
 */
export function createShellTool(options: ShellToolOptions = {}): Tool<ShellInput, ToolOutput> {
  const { commandTimeoutMs } = parseOptions('createShellTool', ShellToolOptionsSchema, options)
  return defineTool({
    name: 'shell',
    description:
      'Runs a command line in the sandbox and shows its output and exit code. Each call is a new shell in the working folder: cd and variables do not ' +
      `carry over. Input is closed and nothing can ask back. Killed after ${commandTimeoutMs / 1000} s unless timeoutMs says otherwise. With background, ` +
      'use shell_output and shell_stop with the id you get. Long output is shown with its middle left out.',
    input: ShellInput,
    effect: 'execute',
    command: ({ command, cwd = '.' }) =>
      normalisePath(cwd) === '.' ? command : `cd '${normalisePath(cwd).replaceAll("'", "'\\''")}' && ${command}`,
    scope: ({ command, cwd, background }) =>
      `exactly ${JSON.stringify(command)}${cwd === undefined ? '' : ` in ${JSON.stringify(normalisePath(cwd))}`}${background ? ', in the background' : ''}`,
    async run(input, context) {
      const sandbox = await context.sandbox()
      const cwd = input.cwd === undefined ? undefined : normalisePath(input.cwd, sandbox.workdir)
      const started = { commandId: context.callId, command: input.command, ...(cwd !== undefined && { cwd }), callId: context.callId }
      await context.record({ type: 'command.started', data: started })
      try {
        if (input.background) return await runInBackground(sandbox, { ...input, cwd }, context)
        return await runToEnd(sandbox, { ...input, cwd }, input.timeoutMs ?? commandTimeoutMs, context)
      } catch (error) {
        return failureOf(error, input.cwd ?? '.')
      }
    },
  })
}

type Command = Pick<ShellInput, 'command' | 'timeoutMs'> & { readonly cwd: string | undefined }

async function runToEnd(sandbox: Sandbox, { command, cwd }: Command, timeoutMs: number, context: ToolContext): Promise<ToolOutput> {
  const result = await recordingFailure(context, () =>
    exec(sandbox, command, { cwd, timeoutMs, maxOutputBytes, signal: context.signal, onOutput: context.output }),
  )
  await recordEnd(result, context)
  context.signal.throwIfAborted()
  const { exit, ms } = result
  const hint = exit.reason === 'timeout' ? '; for longer, set timeoutMs or use background' : ''
  const data = { ...exit, ms: Math.round(ms) }
  return { text: withRemark(result.output, `${describeExit(exit, timeoutMs)}${hint}`), data }
}

async function runInBackground(sandbox: Sandbox, { command, cwd, timeoutMs }: Command, context: ToolContext): Promise<ToolOutput> {
  const since = performance.now()
  const process = await recordingFailure(context, () =>
    // What is detached can be found again when this program was started anew.
    sandbox.spawn(command, { cwd, timeoutMs, env: unattendedEnv, detached: sandbox.attachProcess === undefined ? undefined : true }),
  )
  closeInput(process)
  const background = followProcess(process)
  backgroundCommands(context).add(background, sandbox)
  background.end
    .then((exit) => {
      const { stdoutBytes, stderrBytes } = background
      return exit && recordEnd({ exit, stdoutBytes, stderrBytes, ms: performance.now() - since }, context)
    })
    // By then the log may have another writer, or be closed; the end is then seen by shell_output only.
    .catch(() => undefined)
  const id = JSON.stringify(background.id)
  return {
    text: `Running in the background with id ${id}. Read its output with shell_output, end it with shell_stop.`,
    data: { id: background.id },
  }
}

function closeInput(process: SandboxProcess): void {
  process.stdin.close().catch(() => undefined)
}

/** So that a command that was recorded as started never stays so for ever. */
async function recordingFailure<T>(context: ToolContext, work: () => Promise<T>): Promise<T> {
  const since = performance.now()
  try {
    return await work()
  } catch (error) {
    await recordEnd(
      {
        exit: { reason: context.signal.aborted ? 'aborted' : 'lost', code: null },
        stdoutBytes: 0,
        stderrBytes: 0,
        ms: performance.now() - since,
      },
      context,
    )
    throw error
  }
}

function recordEnd({ exit, stdoutBytes, stderrBytes, ms }: Ended, context: ToolContext): Promise<void> {
  const { reason, code, signal } = exit
  const data = {
    commandId: context.callId,
    reason,
    code,
    ...(signal !== undefined && { signal }),
    stdoutBytes,
    stderrBytes,
    ms: Math.round(ms),
  }
  return context.record({ type: 'command.finished', data })
}

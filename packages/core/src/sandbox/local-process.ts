import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import { BatonError, messageOf } from '../errors.ts'
import { codeOf } from './local-folder.ts'
import type { StopReason } from './process-limits.ts'
import { watchLimits } from './process-limits.ts'
import { createInputStream, createOutputStream, emptyStream } from './process-streams.ts'
import type { TreeQuery } from './process-tree.ts'
import { identityOf, killTree, processMarker } from './process-tree.ts'
import type { ExitStatus, SandboxProcess, SpawnOptions } from './sandbox.ts'

/** A command as the system is asked to start it. */
export interface Launch {
  readonly id: string
  readonly argv: readonly string[]
  /** Absolute. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

/** A process, and what its sandbox needs to end it. */
export interface LocalProcess {
  readonly process: SandboxProcess
  readonly tree: TreeQuery
}

/**
 * Starts a command in a session of its own. What cannot be started is a process that says so on stderr and has ended: with 127 where there is
 * no such command, with 126 where it cannot be run, as shells do.
 *
 * `exit` settles when the command itself has ended. A child that it left in the background lives on until it is killed or the sandbox closes;
 * the streams then end 100 ms after the last output, and what that child writes later goes nowhere.
 */
export async function startLocalProcess(launch: Launch, options: SpawnOptions): Promise<LocalProcess> {
  const [file = '', ...args] = launch.argv
  const tree = { marker: [processMarker, launch.id] as const }
  try {
    const child = spawn(file, args, { cwd: launch.cwd, env: launch.env, detached: true, stdio: 'pipe' })
    if (child.pid === undefined) throw await new Promise((resolve) => child.once('error', resolve))
    const leader = identityOf(child.pid) ?? { pid: child.pid, startedAt: '' }
    return superviseChild(child, launch.id, { ...tree, leader }, options)
  } catch (error) {
    const failure = startFailure(file, error, launch.env.PATH ?? '')
    if (failure === undefined) throw error
    return { process: failedProcess(launch.id, failure.code, failure.message), tree }
  }
}

function superviseChild(child: ChildProcessWithoutNullStreams, id: string, tree: TreeQuery, options: SpawnOptions): LocalProcess {
  let stopped: StopReason | undefined
  let killed: NodeJS.Signals | undefined
  const stdout = createOutputStream(child.stdout, () => limits.touch())
  const stderr = createOutputStream(child.stderr, () => limits.touch())
  const limits = watchLimits(
    options,
    () => stdout.isHeldBack() || stderr.isHeldBack(),
    (reason) => {
      stopped = reason
      void killTree(tree)
    },
  )
  child.on('error', () => undefined)
  const exit = new Promise<ExitStatus>((resolve) => {
    child.once('exit', (code, signal) => {
      limits.stop()
      stdout.finish()
      stderr.finish()
      child.stdin.destroy()
      resolve(statusOf(code, signal, stopped, killed))
    })
  })
  const handle: SandboxProcess = {
    id,
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdin: createInputStream(child.stdin),
    exit,
    async kill(signal = 'SIGKILL') {
      const name = requireSignal(signal)
      if (child.exitCode === null && child.signalCode === null) killed = name
      await killTree(tree, name)
      if (name === 'SIGKILL') await exit
    },
  }
  return { process: handle, tree }
}

/** The name of a signal. Rejects with `INVALID_OPTIONS` what is none. */
export function requireSignal(signal: string): NodeJS.Signals {
  if (signal in constants.signals) return signal as NodeJS.Signals
  throw new BatonError('INVALID_OPTIONS', `kill: signal: expected a name such as SIGTERM or SIGKILL, received ${JSON.stringify(signal)}`)
}

function statusOf(code: number | null, signal: string | null, stopped: StopReason | undefined, killed: string | undefined): ExitStatus {
  if (stopped !== undefined) return { reason: stopped, code: null, signal: signal ?? 'SIGKILL' }
  if (signal !== null) return { reason: 'signaled', code: null, signal }
  // Under bubblewrap or a terminal a signal to the command arrives as a code; when it was sent from here it is known which it was.
  if (killed !== undefined && code === 128 + (constants.signals[killed as NodeJS.Signals] ?? 0))
    return { reason: 'signaled', code: null, signal: killed }
  return { reason: 'exited', code }
}

/** A process that has ended before it began, with a message on its stderr. */
export function failedProcess(id: string, code: number, message: string): SandboxProcess {
  return {
    id,
    stdout: emptyStream(),
    stderr: emptyStream(`${message}\n`),
    stdin: new WritableStream(),
    exit: Promise.resolve({ reason: 'exited', code }),
    kill: async (signal = 'SIGKILL') => void requireSignal(signal),
  }
}

/** What a shell would say of it; undefined where the fault is not the command's. */
function startFailure(file: string, error: unknown, path: string): { code: number; message: string } | undefined {
  const problem = codeOf(error)
  // A folder of the PATH that may not be entered gives EACCES too, when the command is in none.
  const unseen = problem === 'EACCES' && !file.includes('/') && !path.split(delimiter).some((folder) => existsSync(join(folder, file)))
  if (problem === 'ENOENT' || unseen) return { code: 127, message: `${file}: command not found` }
  if (problem === 'ERR_INVALID_ARG_VALUE') throw new BatonError('INVALID_OPTIONS', `spawn: ${messageOf(error)}`, { cause: error })
  if (['EACCES', 'EISDIR', 'ENOTDIR', 'ENOEXEC', 'E2BIG', 'ELOOP', 'ENAMETOOLONG'].includes(problem))
    return { code: 126, message: `${file}: cannot be run: ${messageOf(error)}` }
  return undefined
}

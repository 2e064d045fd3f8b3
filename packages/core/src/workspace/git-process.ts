import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { execFile, spawn } from 'node:child_process'
import { abortedError, BatonError, messageOf, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'

/** Options that go before the name of every git command: nothing that a repository names is run, whoever owns the repository. */
const safeArguments = ['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'safe.directory=*', '--no-pager']

/** Where the machine's and the user's own configuration is. */
const keptVariables: ReadonlySet<string> = new Set(['GIT_CONFIG_GLOBAL', 'GIT_CONFIG_SYSTEM', 'GIT_CONFIG_NOSYSTEM'])

/**
 * The environment of every git command: without what the process was told by `GIT_*` (another repository, another index, traces), without prompts,
 * pagers and editors, and with no way to the network, so that a partial clone fetches nothing. Source: git(1), "Environment Variables".
 */
function gitEnvironment(): NodeJS.ProcessEnv {
  return {
    ...ownEnvironment(),
    LC_ALL: 'C',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_TERMINAL_PROMPT: '0',
    GIT_ASKPASS: '',
    SSH_ASKPASS: '',
    GIT_EDITOR: ':',
    GIT_PAGER: 'cat',
    GIT_LITERAL_PATHSPECS: '1',
    GIT_ALLOW_PROTOCOL: 'none',
    GIT_NO_LAZY_FETCH: '1',
    GIT_NO_REPLACE_OBJECTS: '1',
  }
}

/** Without what the process was told of another repository. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_') || keptVariables.has(name)))
}

/** Options of {@link runGit} and {@link startGit}. */
export interface GitOptions extends Abortable {
  readonly cwd: string
  /** For stdin, which is closed after it. */
  readonly input?: Uint8Array | string | undefined
  readonly env?: Readonly<Record<string, string>> | undefined
}

/** How a git command ended that could be started. */
export interface GitResult {
  readonly code: number
  readonly stdout: Buffer
  readonly stderr: string
}

/**
 * Runs a git command to its end, whatever its exit code. No hook and no program that the repository configures is run.
 *
 * @throws BatonError `UNSUPPORTED_REPOSITORY` where there is no git command line; `ABORTED`.
 */
export function runGit(args: readonly string[], options: GitOptions): Promise<GitResult> {
  return runToEnd([...safeArguments, ...args], { ...gitEnvironment(), ...options.env }, options)
}

/**
 * Runs a hook of the repository, which a host has to have asked for, in the environment of this process. There is none: it succeeds.
 * Source: git-hook(1).
 */
export async function runGitHook(name: string, args: readonly string[], options: GitOptions): Promise<{ code: number; output: string }> {
  const env = { ...ownEnvironment(), GIT_EDITOR: ':', GIT_TERMINAL_PROMPT: '0', ...options.env }
  const command = ['-c', 'safe.directory=*', 'hook', 'run', '--ignore-missing', name, '--', ...args]
  const { code, stdout, stderr } = await runToEnd(command, env, options)
  return { code, output: `${stdout.toString()}${stderr}` }
}

async function runToEnd(args: readonly string[], env: NodeJS.ProcessEnv, { cwd, signal, input = '' }: GitOptions): Promise<GitResult> {
  throwIfAborted(signal, 'git')
  return new Promise<GitResult>((done, fail) => {
    const settings = { cwd, signal, env, maxBuffer: 2 ** 31 - 1, encoding: 'buffer' as const }
    const child = execFile('git', args, settings, (error, stdout, stderr) => {
      if (signal?.aborted) fail(abortedError(signal, 'git'))
      else if (error && typeof error.code !== 'number') fail(error.code === 'ENOENT' ? noGit(error) : error)
      else done({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr: stderr.toString() })
    })
    // A command that ends without reading all of its input says so by its exit code.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

/** The stdout of a git command that has to succeed. */
export async function gitOutput(args: readonly string[], options: GitOptions): Promise<Buffer> {
  const { code, stdout, stderr } = await runGit(args, options)
  if (code !== 0)
    throw gitFailed(args.find((arg) => /^[a-z-]+$/.test(arg) && !arg.startsWith('-')) ?? '', stderr.trim() || `exit code ${code}`)
  return stdout
}

/** Starts a git command that is spoken with. */
export function startGit(args: readonly string[], options: GitOptions): ChildProcessWithoutNullStreams {
  return spawn('git', [...safeArguments, ...args], { cwd: options.cwd, env: { ...gitEnvironment(), ...options.env }, stdio: 'pipe' })
}

/** The error for a git command that failed on a repository. */
export function gitFailed(what: string, why: string): BatonError {
  return new BatonError('UNSUPPORTED_REPOSITORY', `git ${what} failed: ${why}`, { details: { git: what } })
}

function noGit(cause: unknown): BatonError {
  return new BatonError('UNSUPPORTED_REPOSITORY', `git could not be started (${messageOf(cause)}). Install the git command line.`, {
    cause,
  })
}

/** The rows of an output that each end in the same byte. */
export function splitBytes(bytes: Buffer, separator: number): Buffer[] {
  const rows: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(separator, at)
    rows.push(bytes.subarray(at, end < 0 ? bytes.length : end))
    at = end < 0 ? bytes.length : end + 1
  }
  return rows
}

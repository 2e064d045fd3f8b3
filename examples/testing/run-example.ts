import { spawn } from 'node:child_process'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

/** What a program came to. */
export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A program under way. */
export interface RunningExample {
  readonly pid: number
  /** Resolves once standard output holds the text; rejects when the program ends without it. */
  saw(text: string): Promise<void>
  write(data: string): void
  kill(signal: NodeJS.Signals): void
  readonly finished: Promise<Finished>
}

/** How an example is run. */
export interface RunOptions {
  readonly args?: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

const folder = join(import.meta.dirname, '..')

/** The arguments with which Node runs a file of this folder from the sources. */
export function nodeArgs(file: string, args: readonly string[] = []): readonly string[] {
  return ['--conditions=@baton-sdk/source', join(folder, file), ...args]
}

/** Starts an example as a person would, in a process of its own. Nothing of this process's settings for Baton and models reaches it. */
export function startExample(file: string, { args, ...options }: RunOptions = {}): RunningExample {
  return startProgram(process.execPath, nodeArgs(file, args), options)
}

/** Starts any program. */
export function startProgram(command: string, args: readonly string[], { cwd, env }: RunOptions = {}): RunningExample {
  const clean = Object.entries(process.env).filter(([name]) => !/^(OPENAI_|BATON_|VITEST|NODE_V8_COVERAGE|FORCE_COLOR)/.test(name))
  const child = spawn(command, args, { cwd: cwd ?? folder, env: { ...Object.fromEntries(clean), ...env }, stdio: 'pipe' })
  const output = { stdout: '', stderr: '' }
  const watchers = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text
      for (const watch of watchers) watch()
    })
  }
  child.stdin.on('error', () => {})
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...output }))
  })
  onTestFinished(() => void child.kill('SIGKILL'))
  return {
    pid: child.pid ?? -1,
    saw: (text) =>
      new Promise((resolve, reject) => {
        const watch = (): void => {
          if (output.stdout.includes(text)) resolve()
        }
        watchers.add(watch)
        watch()
        void finished.then(() => reject(new Error(`ended without "${text}":\n${output.stdout}\n${output.stderr}`)), reject)
      }),
    write: (data) => void child.stdin.write(data),
    kill: (signal) => void child.kill(signal),
    finished,
  }
}

/** Runs an example to its end. */
export function runExample(file: string, options?: RunOptions): Promise<Finished> {
  return startExample(file, options).finished
}

/** An empty folder, gone after the test. */
export function temporaryFolder(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'baton-example-')))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

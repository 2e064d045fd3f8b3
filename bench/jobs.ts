import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Tasks run to their end. */
export interface TasksJob {
  readonly kind: 'tasks'
  readonly contestant: string
  readonly baseUrl: string
  /** Characters that the model says with each call; the server's usual few words without it. */
  readonly chars?: number
  readonly steps: number
  readonly tasks: number
  readonly concurrency: number
  /** Tasks run before measuring. */
  readonly warmUp: number
}

export interface TasksResult {
  /** Processor time in milliseconds: user and system, all threads. */
  readonly cpuMsPerStep: number
  readonly wallMsPerStep: number
  /** Processor time from the start of the process to the end of its first task. */
  readonly firstTaskCpuMs: number
}

/** The cost of a step at several places of long tasks. */
export interface GrowthJob {
  readonly kind: 'growth'
  readonly contestant: string
  readonly baseUrl: string
  /** Where to look: tasks of the length `to` are run, and the steps in between are measured. */
  readonly windows: readonly { readonly from: number; readonly to: number; readonly tasks: number }[]
}

export interface GrowthResult {
  /** In the order of the windows. */
  readonly cpuMsPerStep: readonly number[]
}

/** Tasks brought to where they wait for a person. */
export interface WaitingJob {
  readonly kind: 'waiting'
  readonly contestant: string
  readonly baseUrl: string
  readonly tasks: number
  /** Approved steps before the one that waits. */
  readonly stepsBefore: number
}

export interface WaitingResult {
  readonly heapBytesPerTask: number
  readonly rssBytesPerTask: number
}

/** Something with the log; see log.ts. */
export interface LogJob {
  readonly kind: 'log'
  readonly what: string
  readonly count: number
}

export interface LogResult {
  readonly perSecond: number
  readonly cpuMsPerThousand: number
  readonly bytesPerEvent: number
  /** Growth at its highest. */
  readonly rssBytes: number
}

/** Something with the history of files; see ledger.ts. */
export type LedgerJob = { readonly kind: 'ledger' } & (
  | { readonly what: 'scan'; readonly files: number; readonly rounds: number }
  | { readonly what: 'history'; readonly files: number; readonly marks: readonly number[] }
  | { readonly what: 'held'; readonly files: number; readonly tasks: number }
  | { readonly what: 'steps'; readonly steps: number; readonly ledger: boolean; readonly durable: boolean }
)

/** What was measured, by name: times in milliseconds. */
export type LedgerResult = Readonly<Record<string, number>>

interface Results {
  tasks: TasksResult
  growth: GrowthResult
  waiting: WaitingResult
  log: LogResult
  ledger: LedgerResult
}

export type Job = TasksJob | GrowthJob | WaitingJob | LogJob | LedgerJob

/** What a kind of job comes to. */
export type ResultOf<J extends Job> = Results[J['kind']]

/** Memory and processor time of one job must not be those of another, so each has a process and a folder of its own. */
export async function runJob<J extends Job>(job: J, folder: string): Promise<ResultOf<J>> {
  const dir = mkdtempSync(join(folder, 'job-'))
  const file = join(import.meta.dirname, job.kind === 'log' ? 'log.ts' : job.kind === 'ledger' ? 'ledger.ts' : 'measure.ts')
  const child = fork(file, [JSON.stringify(job), dir], {
    execArgv: ['--conditions=@baton-sdk/source', '--expose-gc'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  const output: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => output.push(chunk))
  try {
    return await new Promise((resolve, reject) => {
      let result: ResultOf<J> | undefined
      child.on('message', (message) => {
        result = message as ResultOf<J>
      })
      child.on('error', reject)
      child.on('close', (code, signal) => {
        if (result !== undefined && code === 0) resolve(result)
        else reject(new Error(`${JSON.stringify(job)} ended with ${signal ?? code}:\n${Buffer.concat(output).toString()}`))
      })
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** How a program that may die came to its end. */
export interface ProgramEnd {
  readonly killed: boolean
  /** From when it was ready to its end. */
  readonly ms: number
}

/** What {@link runProgram} starts, and how. */
export interface ProgramOptions<Report extends { readonly type: string }> {
  /** The program's file. */
  readonly file: string
  /** Its one argument, given as JSON. */
  readonly order: { readonly dir: string }
  /** Where compiled code is kept for the next one. */
  readonly cache: string
  /** Kill it from outside, so long after a report. */
  readonly kill?: { readonly after: Report['type']; readonly ms: number } | undefined
  /** Called with each line that it reports, a JSON object; the first of type `ready`. */
  onReport(report: Report): void
}

/** Runs a program until it ends or dies. Rejects where it ends with another code than 0. */
export async function runProgram<Report extends { readonly type: string }>(options: ProgramOptions<Report>): Promise<ProgramEnd> {
  const { file, order, cache, kill, onReport } = options
  const child = spawn(process.execPath, ['--conditions=@baton-sdk/source', file, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: order.dir, NODE_COMPILE_CACHE: cache, NODE_OPTIONS: '' },
  })
  let errors = ''
  child.stderr.on('data', (data) => {
    errors += data
  })
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  let timer: NodeJS.Timeout | undefined
  let since = 0
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as Report
    if (report.type === kill?.after) timer = setTimeout(() => child.kill('SIGKILL'), kill.ms)
    if (report.type === 'ready') since = performance.now()
    else onReport(report)
  }
  const { code, signal } = await exit
  clearTimeout(timer)
  if (signal === null && (code !== 0 || errors !== '')) throw new Error(`the program ended with ${code}: ${errors}`)
  return { killed: signal === 'SIGKILL', ms: performance.now() - since }
}

/** Works on several items at once. After a failure the others come to their end, so that no process is left. */
export async function forEachInLanes<T>(lanes: number, items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const failures: unknown[] = []
  const lane = async (): Promise<void> => {
    for (let next = iterator.next(); !next.done && failures.length === 0; next = iterator.next())
      await work(next.value).catch((error: unknown) => failures.push(error))
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  if (failures.length > 0) throw failures[0]
}

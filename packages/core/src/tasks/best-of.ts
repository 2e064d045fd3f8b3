import { z } from 'zod'
import { parseOptions } from '../options.ts'
import type { RunResult } from './run.ts'
import type { Task } from './task.ts'

/** One of several tries. */
export interface Try {
  readonly task: Task
  /** From 0. */
  readonly index: number
  readonly result: RunResult
}

/** Options of {@link runBestOf}. */
export interface BestOfOptions {
  /** How many tries. */
  readonly n: number
  /** Makes a try different from the others before it starts: tells the agent something, sets limits. */
  readonly vary?: ((task: Task, index: number) => void | Promise<void>) | undefined
  /** Picks the winner. Default: of those whose checks passed the one that changed the fewest lines, then the cheapest; undefined where none passed. */
  readonly judge?: ((tries: readonly Try[]) => Try | undefined | Promise<Try | undefined>) | undefined
}

const Options = z.strictObject({
  n: z.int().min(1).max(100),
  vary: z.custom<NonNullable<BestOfOptions['vary']>>((value) => typeof value === 'function', 'expected a function').optional(),
  judge: z.custom<NonNullable<BestOfOptions['judge']>>((value) => typeof value === 'function', 'expected a function').optional(),
})

/**
 * Forks a task several times, runs the forks at the same time, each in a sandbox of its own, and picks one. The others are ended: their sandboxes are
 * closed, their logs stay. The task itself is left as it is.
 *
 * @throws BatonError `INVALID_OPTIONS`; what a fork or `vary` throws, after all forks were ended
 */
export async function runBestOf(
  task: Task,
  options: BestOfOptions,
): Promise<{ readonly winner: Try | undefined; readonly tries: readonly Try[] }> {
  const { n, vary, judge = fewestLines } = parseOptions('runBestOf', Options, options)
  const forks: Task[] = []
  try {
    for (let index = 0; index < n; index++) forks.push(await task.fork())
    for (const [index, fork] of forks.entries()) await vary?.(fork, index)
    const tries = await Promise.all(forks.map(async (fork, index) => ({ task: fork, index, result: await fork.start().result })))
    const winner = await judge(tries)
    await Promise.all(forks.map((fork) => (fork.id === winner?.task.id ? undefined : fork.end({ reason: 'Another try was better.' }))))
    return { winner, tries }
  } catch (error) {
    await Promise.allSettled(forks.map((fork) => fork.end({ reason: 'The comparison failed.' })))
    throw error
  }
}

async function fewestLines(tries: readonly Try[]): Promise<Try | undefined> {
  const passed = tries.filter(({ result }) => result.outcome === 'done')
  const sized = await Promise.all(
    passed.map(async (one) => {
      const { files } = await one.task.briefing({ since: 0 })
      return { one, lines: files.reduce((sum, { addedLines = 0, removedLines = 0 }) => sum + addedLines + removedLines, 0) }
    }),
  )
  return sized.sort((a, b) => a.lines - b.lines || a.one.result.spent.costUsd - b.one.result.spent.costUsd)[0]?.one
}

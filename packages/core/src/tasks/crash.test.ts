import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Event } from '../events/event.ts'
import { checkEnd, checkLogs, linesOf, of } from '../testing/crash/check-crash.ts'
import type { CrashPeople } from '../testing/crash/crash-people.ts'
import { openCrashPeople } from '../testing/crash/crash-people.ts'
import type { CrashOrder, CrashReport } from '../testing/crash/crash-program.ts'
import { placesIn } from '../testing/crash/crash-scenario.ts'

const program = fileURLToPath(new URL('../testing/crash/crash-program.ts', import.meta.url))
/** Processes of the scenario at once. */
const lanes = 3
const timeout = 900_000
let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'baton-crash-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function prepare(name: string): Promise<string> {
  const dir = join(root, name)
  const { workspace } = placesIn(dir)
  await mkdir(workspace, { recursive: true })
  await writeFile(join(workspace, 'a.txt'), 'a')
  await writeFile(join(workspace, 'big.txt'), 'line\n'.repeat(10_000))
  return dir
}

interface Ended {
  readonly killed: boolean
  /** Set where it came to its end. */
  readonly places?: number
  /** From when it was ready to its end. */
  readonly ms: number
}

interface RunOrder extends CrashOrder {
  /** Kill it from outside, so long after it was ready. */
  readonly killAfterMs?: number
  /** What has to wait for a person when the task was opened, before anyone attends to it. */
  readonly expectWaiting?: readonly string[]
}

/** Runs the program until it ends or dies. */
async function runProgram({ killAfterMs, expectWaiting = [], ...order }: RunOrder): Promise<Ended> {
  const deathsBefore = linesOf(placesIn(order.dir).deaths).length
  const child = spawn(process.execPath, ['--conditions=@baton-sdk/source', program, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: order.dir, NODE_COMPILE_CACHE: join(root, 'compile-cache'), NODE_OPTIONS: '' },
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
  let people: Promise<CrashPeople> | undefined
  let places: number | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    const report = JSON.parse(line) as CrashReport
    if (report.type === 'ready') {
      since = performance.now()
      if (killAfterMs !== undefined) timer = setTimeout(() => child.kill('SIGKILL'), killAfterMs)
    } else if (report.type === 'open') {
      for (const id of expectWaiting) expect(report.waiting).toContain(id)
      people = openCrashPeople(order.dir, report.taskId, deathsBefore)
    } else {
      expect(report).toMatchObject({ outcome: 'done' })
      places = report.places
    }
  }
  const { code, signal } = await exit
  clearTimeout(timer)
  await (await people)?.close()
  if (signal === null) expect(`exit ${code} ${errors}`).toBe('exit 0 ')
  return { killed: signal === 'SIGKILL', ms: performance.now() - since, ...(places !== undefined && { places }) }
}

/** Works on several items at once. After a failure the others come to their end, so that no process is left. */
async function forEachInLanes<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]()
  const failures: unknown[] = []
  const lane = async (): Promise<void> => {
    for (let next = iterator.next(); !next.done && failures.length === 0; next = iterator.next())
      await work(next.value).catch((error: unknown) => failures.push(error))
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  if (failures.length > 0) throw failures[0]
}

/** One run of the scenario with all its crashes. */
interface Crashed {
  /** Where each process died. */
  readonly deaths: readonly string[]
  /** Calls that were interrupted. */
  readonly interrupted: number
  /** What waited for a person at the last crash, and still did after it. */
  readonly waited: readonly string[]
}

/** Goes on with what the last crash left, to the end, and checks everything. */
async function recover(dir: string, deaths: readonly string[]): Promise<Crashed> {
  try {
    const waiting = [...(await checkLogs(dir)).values()].flatMap(undecided)
    await runProgram({ dir, expectWaiting: waiting })
    const interrupted = await checkEnd(dir)
    await rm(dir, { recursive: true, force: true })
    return { deaths, interrupted, waited: waiting }
  } catch (error) {
    throw new Error(`${dir} was not right after it was killed: ${deaths.join('; ')}`, { cause: error })
  }
}

/** Ids of what waits for a person. */
function undecided(log: readonly Event[]): string[] {
  const decided = of(log, 'approval.decided').map(({ data }) => data.approvalId)
  const answered = of(log, 'question.answered').map(({ data }) => data.questionId)
  const requested = of(log, 'approval.requested').map(({ data }) => data.approvalId)
  const asked = of(log, 'question.asked').map(({ data }) => data.questionId)
  return [...requested, ...asked].filter((id) => !decided.includes(id) && !answered.includes(id))
}

describe('a task whose process is killed', () => {
  it('goes on and ends right, wherever between an append and a side effect it was', { timeout }, async () => {
    const crashes: Crashed[] = []
    let last = Number.POSITIVE_INFINITY
    function* placesUntilTheEnd(): Generator<number> {
      for (let place = 1; place < last; place++) yield place
    }
    await forEachInLanes(placesUntilTheEnd(), async (killAt) => {
      const dir = await prepare(`place-${killAt}`)
      const ended = await runProgram({ dir, killAt })
      if (ended.killed) crashes.push(await recover(dir, linesOf(placesIn(dir).deaths)))
      else {
        // Behind the last place nothing is left to kill: this one went through whole.
        last = Math.min(last, killAt)
        expect(await checkEnd(dir)).toBe(0)
      }
    })
    const labels = new Set(crashes.flatMap(({ deaths }) => deaths))
    console.info(`${crashes.length} places, ${labels.size} kinds of them`)
    expect(crashes.length).toBeGreaterThanOrEqual(last - 1)
    expect(crashes.length).toBeGreaterThan(150)
    expect(labels.size).toBeGreaterThan(40)
    const waited = crashes.flatMap((crash) => crash.waited)
    expect(
      waited.some((id) => id.startsWith('a-')),
      'an approval waited',
    ).toBe(true)
    expect(
      waited.some((id) => id.startsWith('q-')),
      'a question waited',
    ).toBe(true)
    expect(crashes.filter(({ interrupted }) => interrupted > 0).length).toBeGreaterThan(10)
  })

  it('goes on and ends right after 100 kills at random moments, some of them while it was recovering', { timeout }, async () => {
    const crashes: Crashed[] = []
    let kills = 0
    let wholeMs = 600
    function* untilEnoughKills(): Generator<number> {
      for (let run = 1; kills < 100; run++) yield run
    }
    await forEachInLanes(untilEnoughKills(), async (run) => {
      const dir = await prepare(`moment-${run}`)
      const deaths: string[] = []
      // The last ones recover in peace.
      while (deaths.length < 3) {
        const killAfterMs = Math.random() * wholeMs
        const ended = await runProgram({ dir, killAfterMs })
        if (!ended.killed) {
          if (deaths.length === 0) wholeMs = ended.ms
          break
        }
        deaths.push(`after ${Math.round(killAfterMs)} ms`)
        kills++
        await checkLogs(dir)
        if (Math.random() < 0.5) break
      }
      crashes.push(await recover(dir, deaths))
    })
    const died = crashes.flatMap(({ deaths }) => deaths).length
    console.info(
      `${died} kills in ${crashes.length} runs, ${crashes.filter(({ interrupted }) => interrupted > 0).length} with interrupted calls`,
    )
    expect(died).toBeGreaterThanOrEqual(100)
    expect(crashes.filter(({ deaths }) => deaths.length > 1).length).toBeGreaterThan(5)
  })
})

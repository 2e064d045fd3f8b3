import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkEnd, checkLogs, linesOf, undecided } from '../testing/crash/check-crash.ts'
import type { CrashPeople } from '../testing/crash/crash-people.ts'
import { openCrashPeople } from '../testing/crash/crash-people.ts'
import type { CrashOrder, CrashReport } from '../testing/crash/crash-program.ts'
import { placesIn } from '../testing/crash/crash-scenario.ts'
import type { ProgramEnd } from '../testing/crash/run-program.ts'
import { forEachInLanes, runProgram } from '../testing/crash/run-program.ts'

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

interface Ended extends ProgramEnd {
  /** Set where it came to its end. */
  readonly places?: number
}

interface RunOrder extends CrashOrder {
  /** Kill it from outside, so long after it was ready. */
  readonly killAfterMs?: number
  /** What has to wait for a person when the task was opened, before anyone attends to it. */
  readonly expectWaiting?: readonly string[]
}

/** Runs the program until it ends or dies. */
async function runScenario({ killAfterMs, expectWaiting = [], ...order }: RunOrder): Promise<Ended> {
  const deathsBefore = linesOf(placesIn(order.dir).deaths).length
  let people: Promise<CrashPeople> | undefined
  let places: number | undefined
  const onReport = (report: CrashReport): void => {
    if (report.type === 'open') {
      for (const id of expectWaiting) expect(report.waiting).toContain(id)
      people = openCrashPeople(order.dir, report.taskId, deathsBefore)
    } else {
      expect(report).toMatchObject({ outcome: 'done' })
      places = 'places' in report ? report.places : undefined
    }
  }
  const kill = killAfterMs === undefined ? undefined : ({ after: 'ready', ms: killAfterMs } as const)
  const ended = await runProgram({ file: program, order, cache: join(root, 'compile-cache'), kill, onReport })
  await (await people)?.close()
  return { ...ended, ...(places !== undefined && { places }) }
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
    await runScenario({ dir, expectWaiting: waiting })
    const interrupted = await checkEnd(dir)
    await rm(dir, { recursive: true, force: true })
    return { deaths, interrupted, waited: waiting }
  } catch (error) {
    throw new Error(`${dir} was not right after it was killed: ${deaths.join('; ')}`, { cause: error })
  }
}

describe('a task whose process is killed', () => {
  it('goes on and ends right, wherever between an append and a side effect it was', { timeout }, async () => {
    const crashes: Crashed[] = []
    let last = Number.POSITIVE_INFINITY
    function* placesUntilTheEnd(): Generator<number> {
      for (let place = 1; place < last; place++) yield place
    }
    await forEachInLanes(lanes, placesUntilTheEnd(), async (killAt) => {
      const dir = await prepare(`place-${killAt}`)
      const ended = await runScenario({ dir, killAt })
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
    await forEachInLanes(lanes, untilEnoughKills(), async (run) => {
      const dir = await prepare(`moment-${run}`)
      const deaths: string[] = []
      // The last ones recover in peace.
      while (deaths.length < 3) {
        const killAfterMs = Math.random() * wholeMs
        const ended = await runScenario({ dir, killAfterMs })
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

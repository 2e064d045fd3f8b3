import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { linesOf } from '../testing/crash/check-crash.ts'
import type { OpenEnds, TakeoverOutcome } from '../testing/crash/check-takeover.ts'
import { checkTakeoverEnd, checkTakeoverLog } from '../testing/crash/check-takeover.ts'
import type { ProgramEnd } from '../testing/crash/run-program.ts'
import { forEachInLanes, runProgram } from '../testing/crash/run-program.ts'
import { attendTakeover } from '../testing/crash/takeover-people.ts'
import type { TakeoverOrder, TakeoverReport } from '../testing/crash/takeover-program.ts'
import { driveTakeover, openTakeoverTask } from '../testing/crash/takeover-program.ts'
import { createTakeoverBaton, shared, sharedText, takeoverPlaces } from '../testing/crash/takeover-scenario.ts'
import { lacksGit } from '../testing/ledger-fixtures.ts'

const program = fileURLToPath(new URL('../testing/crash/takeover-program.ts', import.meta.url))
/** Processes of the scenario at once. */
const lanes = 4
const timeout = 900_000
let root: string

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'baton-takeover-crash-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function prepare(name: string): Promise<string> {
  const dir = join(root, name)
  const { workspace } = takeoverPlaces(dir)
  await mkdir(workspace, { recursive: true })
  await writeFile(join(workspace, shared), sharedText)
  return dir
}

interface Run extends TakeoverOrder {
  readonly kill?: { readonly after: 'ready' | 'open'; readonly ms: number } | undefined
}

/** Runs the program until it ends or dies. What was open when the one before it died is open again when it opens the task. */
async function runScenario({ kill, ...order }: Run, before?: OpenEnds): Promise<ProgramEnd> {
  const onReport = (report: TakeoverReport): void => {
    if (report.type !== 'open' || !before) return
    for (const id of before.waiting) expect(report.waiting).toContain(id)
    expect(report.leaseId).toBe(before.leaseId)
  }
  return runProgram({ file: program, order, cache: join(root, 'compile-cache'), kill, onReport })
}

/** One run of the scenario with all its crashes. */
interface Crashed extends TakeoverOutcome {
  readonly deaths: readonly string[]
  /** What was open after each of them. */
  readonly left: readonly OpenEnds[]
}

/** Goes on with what the last crash left, to the end, and checks everything. */
async function recover(dir: string, deaths: readonly string[], left: readonly OpenEnds[], end: () => Promise<unknown>): Promise<Crashed> {
  try {
    await end()
    const outcome = await checkTakeoverEnd(dir)
    await rm(dir, { recursive: true, force: true })
    return { deaths, left, ...outcome }
  } catch (error) {
    throw new Error(`${dir} was not right after it was killed: ${deaths.join('; ')}`, { cause: error })
  }
}

/** Kills processes at random moments, one after the other, until so many have died; of each run of the scenario the last one is left in peace. */
async function killAtRandom(role: TakeoverOrder['role'], wanted: number): Promise<readonly Crashed[]> {
  const crashes: Crashed[] = []
  let kills = 0
  const wholeMs = await measure(role)
  function* untilEnoughKills(): Generator<number> {
    for (let run = 1; kills < wanted; run++) yield run
  }
  await forEachInLanes(lanes, untilEnoughKills(), async (run) => {
    const dir = await prepare(`${role}-${run}`)
    const deaths: string[] = []
    const left: OpenEnds[] = []
    const other = role === 'both' ? undefined : await openOther(dir, role)
    let isOver = false
    while (deaths.length < 4) {
      // Opening is a part of recovering, and for the rest it would be in the way.
      const kill = { after: Math.random() < 0.2 ? 'ready' : 'open', ms: Math.random() * wholeMs } as const
      const ended = await runScenario({ dir, role, kill }, role === 'both' ? left.at(-1) : undefined)
      isOver = !ended.killed
      if (isOver) break
      deaths.push(`${Math.round(kill.ms)} ms after ${kill.after}`)
      kills++
      left.push(await checkTakeoverLog(dir))
      if (Math.random() < 0.3) break
    }
    const end = async (): Promise<void> => {
      if (!isOver) await runScenario({ dir, role }, role === 'both' ? left.at(-1) : undefined)
      await other?.done()
    }
    crashes.push(await recover(dir, deaths, left, end))
  })
  return crashes
}

/** How long the scenario takes here, in milliseconds, where nobody is killed. */
async function measure(role: TakeoverOrder['role']): Promise<number> {
  const dir = await prepare(`${role}-whole`)
  const other = role === 'both' ? undefined : await openOther(dir, role)
  const { ms } = await runScenario({ dir, role })
  await other?.done()
  await recover(dir, [], [], async () => {})
  return ms
}

/** The other side of the scenario in this process, which lives on while the program dies. */
async function openOther(dir: string, role: 'driver' | 'person'): Promise<{ done(): Promise<void> }> {
  const baton = createTakeoverBaton(dir)
  const task = await openTakeoverTask(baton, dir, role === 'person' ? 'driver' : 'observer')
  const work = role === 'person' ? driveTakeover(task) : attendTakeover(task)
  work.catch(() => {})
  return {
    async done() {
      await work
      await baton.close()
    },
  }
}

describe.skipIf(lacksGit)('a task that a person takes over', () => {
  it('loses nothing, wherever in a takeover, a hand-back or an approval its process is killed', { timeout }, async () => {
    const crashes: Crashed[] = []
    let last = Number.POSITIVE_INFINITY
    function* placesUntilTheEnd(): Generator<number> {
      for (let place = 1; place < last; place++) yield place
    }
    await forEachInLanes(lanes, placesUntilTheEnd(), async (killAt) => {
      const dir = await prepare(`place-${killAt}`)
      const ended = await runScenario({ dir, role: 'both', killAt })
      const deaths = linesOf(takeoverPlaces(dir).deaths)
      if (!ended.killed) {
        last = Math.min(last, killAt)
        await recover(dir, deaths, [], async () => {})
        return
      }
      const left = await checkTakeoverLog(dir)
      crashes.push(await recover(dir, deaths, [left], () => runScenario({ dir, role: 'both' }, left)))
    })
    const labels = new Set(crashes.flatMap(({ deaths }) => deaths))
    console.info(`${crashes.length} places, ${labels.size} kinds of them, ${tell(crashes)}`)
    expect(crashes.length).toBeGreaterThanOrEqual(last - 1)
    expect(crashes.length).toBeGreaterThan(80)
    expect(labels.size).toBeGreaterThan(30)
    expectAllKinds(crashes)
  })

  it.each([
    ['all of it in one process', 'both', 30],
    ["the agent's process, while the person works in another one", 'driver', 18],
    ["the person's process, while the agent's lives on", 'person', 12],
  ] as const)('loses nothing when what is killed at random moments is %s', { timeout }, async (_, role, kills) => {
    const crashes = await killAtRandom(role, kills)
    const died = crashes.flatMap(({ deaths }) => deaths).length
    console.info(`${died} kills in ${crashes.length} runs, ${tell(crashes)}`)
    expect(died).toBeGreaterThanOrEqual(kills)
  })
})

function tell(crashes: readonly Crashed[]): string {
  const ends = crashes.flatMap(({ left }) => left)
  const held = ends.filter(({ leaseId }) => leaseId !== undefined).length
  const waited = ends.filter(({ waiting }) => waiting.length > 0).length
  const unknown = crashes.reduce((sum, crash) => sum + crash.unknown, 0)
  return `control was held at ${held}, something waited at ${waited}, ${unknown} changes of unknown origin`
}

/** That the places were not all alike. */
function expectAllKinds(crashes: readonly Crashed[]): void {
  const ends = crashes.flatMap(({ left }) => left)
  expect(ends.filter(({ leaseId }) => leaseId !== undefined).length).toBeGreaterThan(20)
  for (const kind of ['a-', 'c-']) expect(ends.some(({ waiting }) => waiting.some((id) => id.startsWith(kind)))).toBe(true)
  expect(ends.some(({ leaseId, waiting }) => leaseId !== undefined && waiting.length > 0)).toBe(true)
  expect(crashes.some(({ interrupted }) => interrupted > 0)).toBe(true)
}

import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { expectClean, git, lacksGit, packsOf, stageOf, textsOf } from '../testing/ledger-fixtures.ts'
import { createLedger } from './git-ledger.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-ledger-processes-'))
afterAll(() => rmSync(root, { recursive: true }))

interface Committer {
  readonly child: ChildProcess
  /** Commits that the process said are durable, the first one first. */
  readonly acknowledged: string[]
  readonly ended: Promise<number | null>
}

/**
 * A process that commits to a task as fast as it can, says each commit, and lets the ref follow. A commit writes `log` (its number) and one file more, so
 * that a state tells what it should be.
 */
function startCommitter(dir: string, task: string, count: number): Committer {
  const program = `
    import { writeSync } from 'node:fs'
    import { createLedger } from ${JSON.stringify(new URL('git-ledger.ts', import.meta.url).href)}
    const ledger = createLedger({ dir: ${JSON.stringify(dir)} })
    const put = (text) => ledger.put(Buffer.from(text))
    let base = await ledger.head('${task}')
    for (let number = 1; number <= ${count}; number++) {
      const files = new Map([['log', put('${task} ' + number)], ['d' + number % 5 + '/f' + number % 11, put('x'.repeat(number % 3000))]])
      ;[base] = await ledger.commit(base, [{ author: { kind: 'agent', id: '${task}' }, message: '${task} ' + number, files }])
      writeSync(1, base + '\\n')
      await ledger.point('${task}', base)
    }
    await ledger.close()`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const acknowledged: string[] = []
  let rest = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    acknowledged.push(...lines)
  })
  return { child, acknowledged, ended: once(child, 'close').then(([code]) => code) }
}

async function acknowledgedSo(committer: Committer, count: number): Promise<void> {
  while (committer.acknowledged.length < count) await once(committer.child.stdout as NodeJS.ReadableStream, 'data')
}

/** Every commit is there with all it holds. */
async function expectWhole(dir: string, committers: readonly { task: string; acknowledged: readonly string[] }[]): Promise<void> {
  if (!lacksGit) expectClean(dir)
  const ledger = createLedger({ dir })
  for (const { task, acknowledged } of committers) {
    expect(acknowledged.length).toBeGreaterThan(0)
    for (const [index, commit] of acknowledged.entries()) expect((await textsOf(ledger, commit)).log).toBe(`${task} ${index + 1}`)
    const head = await ledger.head(task)
    if (acknowledged.length > 1) expect(acknowledged.slice(-2)).toContain(head)
  }
  await ledger.close()
}

describe('createLedger in several processes', () => {
  it('takes the commits of different tasks at once', { timeout: 120_000 }, async () => {
    const dir = join(mkdtempSync(join(root, 'case-')), 'ledger')
    const tasks = ['p', 'q', 'r']
    const committers = tasks.map((task) => startCommitter(dir, task, 40))
    expect(await Promise.all(committers.map(({ ended }) => ended))).toEqual([0, 0, 0])
    await expectWhole(
      dir,
      committers.map(({ acknowledged }, index) => ({ task: tasks[index]!, acknowledged })),
    )
    expect(packsOf(dir).length).toBeLessThan(40)
    if (!lacksGit) for (const task of tasks) expect(git(dir, 'rev-list', '--count', `refs/baton/${task}`).output.toString()).toBe('40\n')
  })

  it('loses nothing that was acknowledged when processes are killed while they commit and merge', { timeout: 240_000 }, async () => {
    const dir = join(mkdtempSync(join(root, 'case-')), 'ledger')
    const killed: { task: string; acknowledged: readonly string[] }[] = []
    const stays = startCommitter(dir, 'stays', 60)
    for (let round = 0; round < 12; round++) {
      const task = `killed${round}`
      const committer = startCommitter(dir, task, 1_000_000)
      // Merges begin after each eighth commit.
      await acknowledgedSo(committer, 5 + ((round * 5) % 13))
      await new Promise((done) => setImmediate(done))
      committer.child.kill('SIGKILL')
      await committer.ended
      killed.push({ task, acknowledged: committer.acknowledged })
    }
    expect(await stays.ended).toBe(0)
    await expectWhole(dir, [{ task: 'stays', acknowledged: stays.acknowledged }, ...killed])
  })

  it('prunes some tasks while others commit', { timeout: 120_000 }, async () => {
    const dir = join(mkdtempSync(join(root, 'case-')), 'ledger')
    const tasks = ['p', 'q']
    const committers = tasks.map((task) => startCommitter(dir, task, 60))
    let isRunning = true
    const all = Promise.all(committers.map(({ ended }) => ended)).finally(() => {
      isRunning = false
    })
    const ledger = createLedger({ dir })
    for (let number = 0; isRunning; number++) {
      // The same content as that of the others, which these find stored and rely on.
      const texts = Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`f${index}`, 'x'.repeat(index)]))
      const stages = [stageOf(ledger, { ...texts, log: `p ${number}` }), stageOf(ledger, { log: `q ${number + 1}` })]
      const [, going] = await ledger.commit(undefined, stages)
      await ledger.point('going', going!)
      const [, [mine]] = await Promise.all([ledger.prune(['going']), ledger.commit(undefined, [stageOf(ledger, { mine: `${number}` })])])
      expect(await textsOf(ledger, mine!)).toEqual({ mine: `${number}` })
    }
    expect(await all).toEqual([0, 0])
    await ledger.close()
    await expectWhole(
      dir,
      committers.map(({ acknowledged }, index) => ({ task: tasks[index]!, acknowledged })),
    )
  })

  it('keeps what refs need when a process is killed while it prunes, and the next prune cleans up', { timeout: 120_000 }, async () => {
    const dir = join(mkdtempSync(join(root, 'case-')), 'ledger')
    const ledger = createLedger({ dir })
    let staying: string | undefined
    let going: string | undefined
    for (let number = 0; number < 40; number++) {
      ;[staying] = await ledger.commit(staying, [stageOf(ledger, { [`s${number}`]: `${number}`, common: `${number}` })])
      ;[going] = await ledger.commit(going, [stageOf(ledger, { [`g${number}`]: `going ${number}`, common: `${number}` })])
    }
    await ledger.point('staying', staying!)
    const state = await textsOf(ledger, staying!)
    for (let round = 0; round < 8; round++) {
      await ledger.point('going', going!)
      await killWhilePruning(dir, round)
      expect(await textsOf(ledger, staying!)).toEqual(state)
      if (!lacksGit) expect(git(dir, 'fsck', '--strict', '--connectivity-only', '--no-dangling').status).toBe(0)
      await ledger.prune(['going'])
      if (!lacksGit) expectClean(dir)
      await expect(ledger.files(going!)).rejects.toMatchObject({ code: 'LEDGER_DAMAGED' })
      going = undefined
      for (let number = 0; number < 9; number++)
        [going] = await ledger.commit(going, [stageOf(ledger, { [`g${number}`]: `going ${round} ${number}`, common: `${number}` })])
    }
    await ledger.close()
  })
})

/** Starts a process that prunes, and kills it when it has come so far that refs are gone (and some turns later), or when it is done. */
async function killWhilePruning(dir: string, turns: number): Promise<void> {
  const program = `
    import { writeSync } from 'node:fs'
    import { createLedger } from ${JSON.stringify(new URL('git-ledger.ts', import.meta.url).href)}
    const ledger = createLedger({ dir: ${JSON.stringify(dir)} })
    await ledger.head('going')
    writeSync(1, 'ready\\n')
    await ledger.prune(['going'])
    await ledger.close()`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'close')
  await once(child.stdout, 'data')
  while (child.exitCode === null && readdirSync(join(dir, 'refs/baton')).includes('going')) await new Promise((done) => setImmediate(done))
  for (let turn = 0; turn < turns * 40; turn++) await new Promise((done) => setImmediate(done))
  child.kill('SIGKILL')
  await ended
}

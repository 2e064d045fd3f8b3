// Measures the history of files, in a process of its own: node ledger.ts '{"kind":"ledger",…}' FOLDER, as jobs.ts does.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BatonOptions, Model, Task } from '@baton-sdk/core'
import {
  createBaton,
  createFileEventStore,
  createLocalSandboxProvider,
  createPolicy,
  createSingleModelRouter,
  defineTool,
} from '@baton-sdk/core'
import { createWriteTool } from '@baton-sdk/tools'
import { z } from 'zod'
import { createLedger } from '../packages/core/src/ledger/git-ledger.ts'
import { createWorkspaceWatch } from '../packages/core/src/ledger/workspace-watch.ts'
import type { LedgerJob, LedgerResult } from './jobs.ts'
import { median, ratios } from './report.ts'

const job = JSON.parse(process.argv[2] ?? '') as LedgerJob
const dir = process.argv[3] ?? ''
const filesPerFolder = 20
const changed = 10
const provider = createLocalSandboxProvider({ isolation: 'none', root: join(dir, 'sandboxes') })

/** A file of about 4 kB that differs from all others. */
function contentOf(file: number, version: number): string {
  const lines = Array.from(
    { length: 95 },
    (_, line) => `  const value${line} = compute(${file * 97 + line}, "${(file * 7919 + line * 104_729) % 1_000_003}")`,
  )
  return [`// file ${file}, version ${version}`, ...lines].join('\n')
}

function pathOf(file: number): string {
  const folder = Math.floor(file / filesPerFolder)
  return `packages/p${Math.floor(folder / 50)}/src/f${folder % 50}/file${file % filesPerFolder}.ts`
}

function makeTree(root: string, files: number): void {
  for (let file = 0; file < files; file++) {
    const path = join(root, pathOf(file))
    if (file % filesPerFolder === 0) mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, contentOf(file, 0))
  }
}

/** Changes ten files, other ones each time, all over the tree. */
function change(root: string, files: number, version: number): void {
  for (let index = 0; index < changed; index++) {
    const file = (version * 7 + index * Math.floor(files / changed)) % files
    writeFileSync(join(root, pathOf(file)), contentOf(file, version))
  }
}

/** Clocks that stamp files stand still for some milliseconds: nothing measured here shall be about edits in the same instant. */
function settleDown(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 60))
}

function git(root: string, ...args: string[]): void {
  execFileSync('git', ['-C', root, '-c', 'user.name=bench', '-c', 'user.email=bench@localhost', ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).reduce(
    (sum, entry) => sum + (entry.isFile() ? statSync(join(entry.parentPath, entry.name)).size : 0),
    0,
  )
}

function packsIn(folder: string): number {
  return readdirSync(join(folder, 'objects/pack')).filter((name) => name.endsWith('.pack')).length
}

function memory(): { rss: number; heap: number } {
  for (let times = 0; times < 3; times++) globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss: rss / 1e6, heap: (heapUsed + external) / 1e6 }
}

/** The ledger alone beside the git command line, on equal trees, by turns. */
async function scan({ files, rounds }: Extract<LedgerJob, { what: 'scan' }>): Promise<LedgerResult> {
  const [own, theirs] = [join(dir, 'own'), join(dir, 'theirs')]
  makeTree(own, files)
  makeTree(theirs, files)
  git(theirs, 'init', '-q')
  git(theirs, 'add', '-A')
  git(theirs, 'commit', '-q', '-m', 'first')
  const ledger = createLedger({ dir: join(dir, 'ledger') })
  const watch = createWorkspaceWatch({ ledger })
  const sandbox = await provider.create({ labels: {}, inPlace: own })
  let commit: string | undefined
  const save = async (changes: Awaited<ReturnType<typeof watch.look>>['changes']): Promise<void> => {
    const stage = {
      author: { kind: 'agent', id: 'bench' },
      message: 'x\n',
      files: new Map(changes.map(({ path, after }) => [path, after])),
    } as const
    commit = (await ledger.commit(commit, [stage])).at(-1) as string
    watch.settle(commit)
    await ledger.point('bench', commit)
  }
  await save((await watch.look(sandbox, undefined)).changes)
  await watch.look(sandbox, commit)
  const times = { look: [] as number[], commit: [] as number[], status: [] as number[], stash: [] as number[] }
  for (let round = -2; round < rounds; round++) {
    const version = round + 3
    change(own, files, version)
    change(theirs, files, version)
    await settleDown()
    let found: Awaited<ReturnType<typeof watch.look>>['changes'] = []
    const ours = async (): Promise<readonly [number, number]> => [
      await timed(async () => (found = (await watch.look(sandbox, commit)).changes)),
      await timed(() => save(found)),
    ]
    const gits = async (): Promise<readonly [number, number]> => [
      await timed(() => git(theirs, 'status', '--porcelain')),
      await timed(() => git(theirs, 'stash', 'create')),
    ]
    const [first, second] = round % 2 === 0 ? [await ours(), await gits()] : [await gits(), await ours()]
    const [[look, write], [status, stash]] = round % 2 === 0 ? [first, second] : [second, first]
    if (found.length !== changed) throw new Error(`${found.length} changes were found`)
    git(theirs, 'commit', '-q', '-a', '-m', 'next')
    // The first rounds warm up.
    if (round < 0) continue
    times.look.push(look)
    times.commit.push(write)
    times.status.push(status)
    times.stash.push(stash)
  }
  const sum = (a: readonly number[], b: readonly number[]): number[] => a.map((value, index) => value + (b[index] ?? 0))
  const [whole, theirWhole] = [sum(times.look, times.commit), sum(times.status, times.stash)]
  return {
    look: median(times.look),
    status: median(times.status),
    lookRatio: median(ratios(times.look, times.status)),
    commit: median(times.commit),
    stash: median(times.stash),
    commitRatio: median(ratios(times.commit, times.stash)),
    both: median(whole),
    theirBoth: median(theirWhole),
    bothRatio: median(ratios(whole, theirWhole)),
  }
}

const nothingToRead = z.strictObject({})
/** Starts the sandbox, as the first tool that needs it does. */
const begin = defineTool({
  name: 'begin',
  description: 'Begins.',
  input: nothingToRead,
  effect: 'execute',
  run: async (_, context) => ((await context.sandbox()).workdir.length > 0 ? 'begun' : 'no'),
})

/** Calls a tool so often, without a request, and says so. */
function scripted(callAt: (step: number) => { readonly name: string; readonly input: unknown }, steps: number): Model {
  const capabilities = { tools: true, images: false, jsonSchema: false, reasoning: false, fim: false }
  return {
    id: 'inside/model',
    info: { contextWindow: 100_000_000, capabilities, location: 'local' },
    async *generate({ messages }) {
      const step = messages.filter(({ role }) => role === 'tool').length
      if (step < steps) {
        const { name, input } = callAt(step)
        yield { type: 'tool-call', index: 0, id: `call_${step}`, name, arguments: JSON.stringify(input) }
      } else yield { type: 'text', text: 'Done.' }
      yield { type: 'finish', reason: step < steps ? 'tool-calls' : 'stop', usage: { inputTokens: 100, outputTokens: 10 } }
    },
  }
}

function batonWith(model: Model, ledger: BatonOptions['ledger'], isDurable = true) {
  return createBaton({
    router: createSingleModelRouter(model),
    ...(isDurable && { store: createFileEventStore({ dir: join(dir, 'log') }) }),
    tools: [begin, createWriteTool()],
    policy: createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] }),
    sandboxes: [provider],
    ...(ledger !== undefined && { ledger }),
  })
}

async function run(task: Task): Promise<void> {
  const { outcome, error } = await task.start().result
  if (outcome !== 'done') throw new Error(`${outcome} ${error?.message}`)
}

/** A whole task, idle, whose files are changed from outside, snapshot after snapshot. */
async function history({ files, marks }: Extract<LedgerJob, { what: 'history' }>): Promise<LedgerResult> {
  const root = join(dir, 'workspace')
  makeTree(root, files)
  await settleDown()
  const ledger = { dir: join(dir, 'ledger') }
  const model = scripted(() => ({ name: 'begin', input: {} }), 1)
  let baton = batonWith(model, ledger)
  const before = memory()
  const task = await baton.createTask({ goal: 'x', workspace: { path: root, inPlace: true } })
  const result: Record<string, number> = {}
  result.first = await timed(() => run(task))
  result.firstMegabytes = bytesIn(ledger.dir) / 1e6
  const held = memory()
  result.heldRss = held.rss - before.rss
  result.heldHeap = held.heap - before.heap
  let current = task
  let version = 0
  const snapshot = async (): Promise<readonly [number, number]> => {
    change(root, files, ++version)
    await settleDown()
    const cpu = cpuMs()
    const wall = await timed(() => current.checkpoint())
    return [wall, cpuMs() - cpu]
  }
  for (const mark of marks) {
    while (version < mark) await snapshot()
    const atMark = memory()
    const samples: (readonly [number, number])[] = []
    for (let sample = 0; sample < 9; sample++) samples.push(await snapshot())
    result[`wall ${mark}`] = median(samples.map(([wall]) => wall))
    result[`cpu ${mark}`] = median(samples.map(([, cpu]) => cpu))
    result[`megabytes ${mark}`] = bytesIn(ledger.dir) / 1e6
    result[`packs ${mark}`] = packsIn(ledger.dir)
    result[`rss ${mark}`] = atMark.rss
    result[`heap ${mark}`] = atMark.heap
    const { summary } = current
    await baton.close()
    baton = batonWith(model, ledger)
    result[`open ${mark}`] = await timed(async () => (current = await baton.openTask(summary.taskId)))
    // Nothing is known of the files here yet: each is read again.
    result[`again ${mark}`] = await timed(() => current.checkpoint())
  }
  // Ten snapshots of what nobody owned up to, with all that came before.
  const since = current.summary.seq
  for (let index = 0; index < 10; index++) await snapshot()
  let conflicts = 0
  result.undo = await timed(async () => (conflicts = (await current.undo({ actor: 'unknown', since })).conflicts.length))
  result.undoConflicts = conflicts
  await baton.close()
  return result
}

/** What open tasks hold whose sandboxes were looked at, the second one and those after it: the first one brings what all share. */
async function held({ files, tasks }: Extract<LedgerJob, { what: 'held' }>): Promise<LedgerResult> {
  const baton = batonWith(
    scripted(() => ({ name: 'begin', input: {} }), 1),
    { dir: join(dir, 'ledger') },
  )
  const levels: ReturnType<typeof memory>[] = []
  for (let number = 0; number < tasks + 1; number++) {
    const path = join(dir, `workspace${number}`)
    makeTree(path, files)
    const task = await baton.createTask({ goal: 'x', workspace: { path, inPlace: true } })
    await run(task)
    await settleDown()
    await task.checkpoint()
    await task.checkpoint()
    levels.push(memory())
  }
  const [first, last] = [levels[0], levels.at(-1)]
  const each = (field: 'rss' | 'heap'): number => ((last?.[field] ?? 0) - (first?.[field] ?? 0)) / tasks
  await baton.close()
  return { heap: each('heap'), rss: each('rss'), whole: last?.rss ?? 0 }
}

/** Steps of an agent that writes one file in each. */
async function steps({ steps: count, ledger, durable }: Extract<LedgerJob, { what: 'steps' }>): Promise<LedgerResult> {
  const root = join(dir, 'workspace')
  makeTree(root, 60)
  const input = (step: number) => ({
    name: 'write',
    input: { path: `new/${step % 50}-${Math.floor(step / 50)}.ts`, content: contentOf(step, step) },
  })
  const baton = batonWith(
    scripted((step) => (step === 0 ? { name: 'begin', input: {} } : input(step)), count + 1),
    ledger ? (durable ? { dir: join(dir, 'ledger') } : undefined) : false,
    durable,
  )
  const once = async (): Promise<readonly [number, number]> => {
    const task = await baton.createTask({ goal: 'x', workspace: { path: root } })
    let at: readonly [number, number] = [0, 0]
    const started = task.on('tool.finished', () => {
      at = [cpuMs(), performance.now()]
      started()
    })
    await run(task)
    const [cpu, wall] = at
    const spent = [(cpuMs() - cpu) / count, (performance.now() - wall) / count] as const
    await task.close()
    return spent
  }
  await once()
  const samples = [await once(), await once(), await once()]
  await baton.close()
  return { cpu: median(samples.map(([cpu]) => cpu)), wall: median(samples.map(([, wall]) => wall)) }
}

const result =
  job.what === 'scan'
    ? await scan(job)
    : job.what === 'history'
      ? await history(job)
      : job.what === 'held'
        ? await held(job)
        : await steps(job)
process.send ? process.send(result, () => process.exit()) : console.log(result)

import { idleMachine } from './idle-machine.ts'
import type { GrowthJob, Job, LedgerJob, LedgerResult, LogJob, ResultOf, TasksJob, WaitingJob } from './jobs.ts'
import { runJob } from './jobs.ts'
import { count, median, ratios, spread, table } from './report.ts'

/** What all sections are run with. */
export interface BenchRun {
  /** A minute instead of a good while. */
  readonly short: boolean
  readonly rounds: number
  readonly contestants: readonly string[]
  readonly urls: { readonly usual: string; readonly long: string }
  readonly labels: ReadonlyMap<string, string>
  /** For logs: on a disk. */
  readonly folder: string
  /** How long to wait for an idle machine before each measurement. */
  readonly patienceMs: number
  /** Told of each measurement. */
  progress(text: string): void
}

/** One part of the benchmark. */
export interface Section {
  readonly name: string
  readonly title: string
  /** Left out of a short run. */
  readonly longOnly?: boolean
  run(bench: BenchRun): Promise<string>
}

/** The one that ratios are to. */
const base = 'ai'

/** Runs the same job for every contestant, one after the other, round after round, beginning with another one each time. */
async function interleave<J extends Job>(
  bench: BenchRun,
  section: string,
  names: readonly string[],
  jobFor: (name: string) => J,
  rounds = bench.rounds,
): Promise<Map<string, ResultOf<J>[]>> {
  const results = new Map<string, ResultOf<J>[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < names.length; place++) {
      const name = names[(place + round) % names.length] as string
      await idleMachine(bench.patienceMs)
      bench.progress(`${section}: round ${round + 1} of ${rounds}: ${name}`)
      results.get(name)?.push(await runJob(jobFor(name), bench.folder))
    }
  }
  return results
}

type Shape = Omit<TasksJob, 'kind' | 'contestant' | 'baseUrl'>

/** Processor and wall time of a step. */
function tasksSection(name: string, title: string, shape: { readonly full: Shape; readonly short?: Shape }): Section {
  return {
    name,
    title,
    longOnly: shape.short === undefined,
    async run(bench) {
      const job = (bench.short && shape.short) || shape.full
      const baseUrl = job.chars === undefined ? bench.urls.usual : bench.urls.long
      const results = await interleave(bench, name, bench.contestants, (contestant) => ({ kind: 'tasks', contestant, baseUrl, ...job }))
      const of = (contestant: string, field: 'cpuMsPerStep' | 'wallMsPerStep'): number[] =>
        (results.get(contestant) ?? []).map((result) => result[field])
      const rows = bench.contestants.map((contestant) => [
        bench.labels.get(contestant) ?? contestant,
        median(of(contestant, 'cpuMsPerStep')).toFixed(3),
        spread(ratios(of(contestant, 'cpuMsPerStep'), of(base, 'cpuMsPerStep'))),
        median(of(contestant, 'wallMsPerStep')).toFixed(3),
        spread(ratios(of(contestant, 'wallMsPerStep'), of(base, 'wallMsPerStep'))),
      ])
      return table(['', 'processor ms/step', '× ai', 'wall ms/step', '× ai'], rows)
    },
  }
}

/** What a process pays before its first task is done. */
const start: Section = {
  name: 'start',
  title: 'Start: processor time until the first task of 20 steps is done, from nothing',
  async run(bench) {
    const job: Shape = { steps: 20, tasks: 1, concurrency: 1, warmUp: 0 }
    const results = await interleave(
      bench,
      'start',
      bench.contestants,
      (contestant): TasksJob => ({ kind: 'tasks', contestant, baseUrl: bench.urls.usual, ...job }),
    )
    const of = (contestant: string): number[] => (results.get(contestant) ?? []).map(({ firstTaskCpuMs }) => firstTaskCpuMs)
    const rows = bench.contestants.map((contestant) => [
      bench.labels.get(contestant) ?? contestant,
      median(of(contestant)).toFixed(0),
      spread(ratios(of(contestant), of(base))),
    ])
    return table(['', 'processor ms', '× ai'], rows)
  },
}

/** Whether a step costs the same at the beginning and at the end of a long task. */
const growth: Section = {
  name: 'growth',
  title: 'A step early and late in a long task: processor ms',
  async run(bench) {
    const names = ['fetch', 'fetch-stream', 'ai', 'baton', 'baton-memory'].filter((name) => bench.contestants.includes(name))
    if (names.includes('baton')) names.push('baton-inside')
    const windows: GrowthJob['windows'] = bench.short
      ? [
          { from: 5, to: 15, tasks: 10 },
          { from: 190, to: 200, tasks: 2 },
        ]
      : [
          { from: 5, to: 15, tasks: 30 },
          { from: 90, to: 110, tasks: 10 },
          { from: 950, to: 1000, tasks: 3 },
        ]
    const rounds = Math.min(bench.rounds, 3)
    const results = await interleave(
      bench,
      'growth',
      names,
      (contestant): GrowthJob => ({ kind: 'growth', contestant, baseUrl: bench.urls.usual, windows }),
      rounds,
    )
    const at = (name: string): number[] =>
      windows.map((_, index) => median((results.get(name) ?? []).map((result) => result.cpuMsPerStep[index] as number)))
    const floor = at('fetch-stream')
    const last = windows.length - 1
    const rows = names.map((name) => {
      const costs = at(name)
      const grown = (costs[last] as number) - (costs[0] as number)
      return [
        bench.labels.get(name) ?? name,
        ...costs.map((cost) => cost.toFixed(3)),
        grown.toFixed(3),
        // What sends nothing cannot be compared with what sends.
        name === 'baton-inside' ? '' : (grown - ((floor[last] as number) - (floor[0] as number))).toFixed(3),
      ]
    })
    return table(['', ...windows.map(({ from, to }) => `steps ${from + 1}–${to}`), 'grown by', 'beyond streamed fetch'], rows)
  },
}

/** What a task costs that waits for a person. */
const waiting: Section = {
  name: 'waiting',
  title: 'Memory of a task that waits for an approval, 1,000 of them in one process: KB each, after garbage collection',
  async run(bench) {
    const tasks = bench.short ? 300 : 1000
    const kinds = [
      ...['ai', 'agents', 'pi', 'baton', 'baton-memory'].map((contestant) => ({ contestant, stepsBefore: 0 })),
      ...(bench.short ? [] : ['baton', 'baton-memory'].map((contestant) => ({ contestant, stepsBefore: 20 }))),
    ].filter(({ contestant }) => bench.contestants.includes(contestant))
    const name = ({ contestant, stepsBefore }: (typeof kinds)[number]): string => `${contestant}/${stepsBefore}`
    const byName = new Map(kinds.map((kind) => [name(kind), kind]))
    const rounds = Math.min(bench.rounds, 3)
    const results = await interleave(
      bench,
      'waiting',
      [...byName.keys()],
      (key): WaitingJob => ({ kind: 'waiting', baseUrl: bench.urls.usual, tasks, ...(byName.get(key) as (typeof kinds)[number]) }),
      rounds,
    )
    const rows = kinds.map((kind) => {
      const found = results.get(name(kind)) ?? []
      const kilobytes = (field: 'heapBytesPerTask' | 'rssBytesPerTask'): string =>
        (median(found.map((result) => result[field])) / 1000).toFixed(1)
      return [
        bench.labels.get(kind.contestant) ?? kind.contestant,
        kind.stepsBefore === 0 ? 'the first step' : `step ${kind.stepsBefore + 1}`,
        kilobytes('heapBytesPerTask'),
        kilobytes('rssBytesPerTask'),
      ]
    })
    return table(['', 'waits at', 'heap', 'resident'], rows)
  },
}

/** Appending to logs, and reading them. */
const log: Section = {
  name: 'log',
  title: 'The log: events a second, durable',
  async run(bench) {
    const appends = bench.short ? 1500 : 5000
    const kinds: readonly (readonly [what: string, label: string, floor?: string])[] = [
      ['bare-sequential', 'one writer: bare write + fdatasync'],
      ['sequential', 'one writer: Baton', 'bare-sequential'],
      ['bare-group', '100 writers, one log: bare, with group commit'],
      ['appenders', '100 writers, one log: Baton', 'bare-group'],
      ['bare-files', '100 writers, 100 logs: bare write + fdatasync'],
      ['tasks', '100 writers, 100 logs: Baton', 'bare-files'],
    ]
    const results = await interleave(
      bench,
      'log',
      kinds.map(([what]) => what),
      (what): LogJob => ({ kind: 'log', what, count: what.endsWith('group') || what === 'appenders' ? 4 * appends : appends }),
    )
    const of = (what: string): number[] => (results.get(what) ?? []).map(({ perSecond }) => perSecond)
    const appended = kinds.map(([what, label, floor]) => [
      label,
      count(median(of(what))),
      floor === undefined ? '' : spread(ratios(of(what), of(floor))),
      median((results.get(what) ?? []).map(({ cpuMsPerThousand }) => cpuMsPerThousand)).toFixed(0),
    ])
    return `${table(['appending', 'events/s', '× bare', 'processor ms per 1,000'], appended)}\n\n${await replay(bench)}`
  },
}

async function replay(bench: BenchRun): Promise<string> {
  const events = bench.short ? 50_000 : 1_000_000
  const kinds = [
    ['read', 'the store: parsed and checked'],
    ['open', 'openTask: the same, and folded'],
  ] as const
  const results = await interleave(
    bench,
    'replay',
    ['read', 'open'],
    (what): LogJob => ({ kind: 'log', what, count: events }),
    Math.min(bench.rounds, 2),
  )
  const rows = kinds.map(([what, label]) => {
    const found = results.get(what) ?? []
    return [
      label,
      count(median(found.map(({ perSecond }) => perSecond))),
      (events / median(found.map(({ perSecond }) => perSecond))).toFixed(1),
      (median(found.map(({ rssBytes }) => rssBytes)) / 1e6).toFixed(0),
    ]
  })
  return table([`reading ${count(events)} events of one task`, 'events/s', 'seconds', 'memory MB'], rows)
}

/** Keeping account of who changed which file. */
const ledger: Section = {
  name: 'ledger',
  title: 'The history of files',
  longOnly: true,
  async run(bench) {
    const files = bench.short ? 2_000 : 20_000
    const once = async (job: LedgerJob): Promise<LedgerResult> => {
      await idleMachine(bench.patienceMs)
      bench.progress(`ledger: ${job.what}`)
      return runJob(job, bench.folder)
    }
    const scan = await once({ kind: 'ledger', what: 'scan', files, rounds: bench.short ? 5 : 21 })
    const parts = [scanTable(scan, files), await stepsTable(bench)]
    // What takes long is only of use at its full size.
    if (!bench.short) {
      const marks = [1, 100, 1000]
      parts.push(historyTable(await once({ kind: 'ledger', what: 'history', files, marks }), files, marks))
      const held = await once({ kind: 'ledger', what: 'held', files, tasks: 3 })
      parts.push(`An open task whose sandbox of ${count(files)} files was looked at: ${fixed(held.heap)} MB of heap.`)
    }
    return parts.join('\n\n')
  },
}

function fixed(value: number | undefined, digits = 1): string {
  return (value ?? Number.NaN).toFixed(digits)
}

function scanTable(scan: LedgerResult, files: number): string {
  return table(
    [`${count(files)} files, 10 changed: ms`, 'Baton', 'git', 'Baton × git'],
    [
      ['look / git status', fixed(scan.look), fixed(scan.status), fixed(scan.lookRatio, 2)],
      ['commit, durable / git stash create', fixed(scan.commit), fixed(scan.stash), fixed(scan.commitRatio, 2)],
      ['both', fixed(scan.both), fixed(scan.theirBoth), fixed(scan.bothRatio, 2)],
    ],
  )
}

async function stepsTable(bench: BenchRun): Promise<string> {
  const kinds: readonly (readonly [label: string, durable: boolean, ledger: boolean])[] = [
    ['in memory, without', false, false],
    ['in memory, with a temporary ledger', false, true],
    ['durable log, without', true, false],
    ['durable log, with a durable ledger', true, true],
  ]
  const results = await interleave(
    bench,
    'ledger: steps',
    kinds.map(([label]) => label),
    (name): LedgerJob => {
      const [, durable = false, ledger = false] = kinds.find(([label]) => label === name) ?? []
      return { kind: 'ledger', what: 'steps', steps: bench.short ? 50 : 200, durable, ledger }
    },
    Math.min(bench.rounds, 3),
  )
  const of = (label: string, field: string): number => median((results.get(label) ?? []).map((result) => result[field] ?? Number.NaN))
  const rows = kinds.map(([label]) => [label, fixed(of(label, 'cpu'), 2), fixed(of(label, 'wall'), 2)])
  return table(['a step that writes one file', 'processor ms', 'wall ms'], rows)
}

function historyTable(result: LedgerResult, files: number, marks: readonly number[]): string {
  const row = (label: string, field: string, digits = 0): string[] => [
    label,
    ...marks.map((mark) => fixed(result[`${field} ${mark}`], digits)),
  ]
  const rows = [
    row('task.checkpoint, 10 files changed: processor ms', 'cpu'),
    row('the same: wall ms', 'wall'),
    row('ledger on disk: MB', 'megabytes', 1),
    row('its packs', 'packs'),
    row('heap of the process: MB', 'heap'),
    row('resident: MB', 'rss'),
    row('opening the task in a new Baton: ms', 'open'),
    row('its first checkpoint, which reads every file again: ms', 'again'),
  ]
  const first = `The first snapshot of ${count(files)} files, with the start of the task: ${fixed(result.first, 0)} ms, ${fixed(result.firstMegabytes)} MB.`
  const undo = `Taking back the last ten snapshots at the end: ${fixed(result.undo, 0)} ms.`
  return `${first} ${undo}\n\n${table(['after so many snapshots', ...marks.map(count)], rows)}`
}

/** All parts, in the order in which they are run. */
export const sections: readonly Section[] = [
  tasksSection('steps20', 'One task at a time, 20 steps', {
    full: { steps: 20, tasks: 60, concurrency: 1, warmUp: 40 },
    short: { steps: 20, tasks: 25, concurrency: 1, warmUp: 20 },
  }),
  tasksSection('steps200', 'One task at a time, 200 steps', { full: { steps: 200, tasks: 8, concurrency: 1, warmUp: 4 } }),
  tasksSection('parallel', '100 tasks at once, 20 steps', {
    full: { steps: 20, tasks: 200, concurrency: 100, warmUp: 100 },
    short: { steps: 20, tasks: 100, concurrency: 100, warmUp: 20 },
  }),
  tasksSection('replies', 'One task at a time, 20 steps, 2,000 characters of text with each call (where it is streamed, in 400 pieces)', {
    full: { steps: 20, tasks: 30, concurrency: 1, warmUp: 20, chars: 2000 },
  }),
  start,
  growth,
  waiting,
  log,
  ledger,
]

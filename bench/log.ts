import { randomUUID } from 'node:crypto'
import { closeSync, fdatasync, openSync, statSync, write } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Event, EventStore, TaskSummary } from '@baton-sdk/core'
import { createBaton, createFileEventStore } from '@baton-sdk/core'
import type { LogJob, LogResult } from './jobs.ts'

const { what, count } = JSON.parse(process.argv[2] ?? '') as LogJob
const dir = process.argv[3] ?? ''
const [writeAsync, fdatasyncAsync] = [promisify(write), promisify(fdatasync)]
const time = new Date().toISOString()

/** An event of the usual size: the result of a tool that says two lines. */
function eventAt(taskId: string, seq: number): Event {
  const output = 'Test Files  12 passed (12)\n     Tests  148 passed (148)\n  Duration  2.31s (transform 410ms, collect 1.02s, tests 3.11s)'
  const data = { callId: `m${seq}c0`, tool: 'shell', outcome: 'ok' as const, output, ms: 2412.3 }
  return {
    id: randomUUID(),
    taskId,
    seq,
    time,
    actor: { kind: 'system', id: 'baton' },
    epoch: 1,
    cause: randomUUID(),
    v: 1,
    type: 'tool.finished',
    data,
  }
}

/** What a log has to begin with. */
function firstEvent(taskId: string): Event {
  const data: Event<'task.created'>['data'] = {
    goal: 'Make the tests pass.',
    agent: 'coder',
    instructions: [],
    autonomy: 'supervised',
    sensitivity: 'internal',
    checks: [],
    checkRounds: 3,
    limits: {},
    priority: 0,
  }
  return { id: randomUUID(), taskId, seq: 1, time, actor: { kind: 'human', id: 'user' }, v: 1, type: 'task.created', data }
}

function summaryAt(taskId: string, seq: number): TaskSummary {
  return {
    ...{ taskId, seq, goal: 'Make the tests pass.', agent: 'coder', status: 'running', autonomy: 'supervised', sensitivity: 'internal' },
    ...{ waiting: [], runId: taskId, driver: { epoch: 1, owner: 'host/4711/0190a6f1' }, createdAt: time, updatedAt: time },
    spent: { costUsd: 0.1234, steps: seq, inputTokens: 100 * seq, outputTokens: 10 * seq },
  }
}

/** Runs `each` for every number below `count`, by so many workers at once. */
async function inParallel(workers: number, each: (worker: number) => Promise<void>): Promise<void> {
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      for (let done = 0; done < count / workers; done++) await each(worker)
    }),
  )
}

/** The least that a durable log of JSON lines has to do: a write and a sync for each event. */
async function bareLoop(files: number): Promise<void> {
  const fds = Array.from({ length: files }, (_, file) => openSync(join(dir, `${file}.jsonl`), 'a'))
  let seq = 0
  await inParallel(files, async (worker) => {
    const fd = fds[worker] as number
    await writeAsync(fd, `${JSON.stringify(eventAt(`bare${worker}`, ++seq))}\n`)
    await fdatasyncAsync(fd)
  })
  for (const fd of fds) closeSync(fd)
}

/** The same where everything that waits goes to the disk together. */
async function bareGroupCommit(appenders: number): Promise<void> {
  const fd = openSync(join(dir, 'group.jsonl'), 'a')
  let waiting: { line: string; done: () => void }[] = []
  let busy = false
  let seq = 0
  async function flush(): Promise<void> {
    busy = true
    while (waiting.length > 0) {
      const group = waiting
      waiting = []
      await writeAsync(fd, group.map(({ line }) => line).join(''))
      await fdatasyncAsync(fd)
      for (const { done } of group) done()
    }
    busy = false
  }
  await inParallel(
    appenders,
    () =>
      new Promise((done) => {
        waiting.push({ line: `${JSON.stringify(eventAt('group', ++seq))}\n`, done })
        if (!busy) void flush()
      }),
  )
  closeSync(fd)
}

/** Appends to Baton's store: so many appenders spread over so many tasks. */
async function storeAppends(store: EventStore, appenders: number, tasks: number): Promise<void> {
  const seqs = new Array<number>(tasks).fill(0)
  await inParallel(appenders, async (worker) => {
    const task = worker % tasks
    const after = seqs[task] as number
    seqs[task] = after + 1
    await store.append(`task${task}`, [eventAt(`task${task}`, after + 1)], { after, summary: summaryAt(`task${task}`, after + 1) })
  })
}

async function fill(store: EventStore): Promise<void> {
  const batch = 500
  for (let after = 0; after < count; after += batch) {
    const events = Array.from({ length: Math.min(batch, count - after) }, (_, index) =>
      after + index === 0 ? firstEvent('task0') : eventAt('task0', after + index + 1),
    )
    await store.append('task0', events, { after, summary: summaryAt('task0', after + events.length) })
  }
}

async function read(store: EventStore): Promise<void> {
  let events = 0
  for await (const event of store.read('task0')) {
    if (event.seq !== ++events) throw new Error(`seq ${event.seq} came as number ${events}`)
  }
  if (events !== count) throw new Error(`${events} of ${count} events came back`)
}

async function open(store: EventStore): Promise<void> {
  const task = await createBaton({ store }).openTask('task0', { as: 'observer' })
  if (task.summary.seq !== count) throw new Error(`the task was opened up to ${task.summary.seq}`)
}

const store = createFileEventStore({ dir })
const runs: Record<string, { prepare?: () => Promise<void>; run: () => Promise<void> }> = {
  'bare-sequential': { run: () => bareLoop(1) },
  'bare-group': { run: () => bareGroupCommit(100) },
  'bare-files': { run: () => bareLoop(100) },
  sequential: { run: () => storeAppends(store, 1, 1) },
  appenders: { run: () => storeAppends(store, 100, 1) },
  tasks: { run: () => storeAppends(store, 100, 100) },
  read: { prepare: () => fill(createFileEventStore({ dir })), run: () => read(store) },
  open: { prepare: () => fill(createFileEventStore({ dir })), run: () => open(store) },
}

const { prepare, run } = runs[what] ?? {}
if (!run) throw new Error(`there is no ${what}`)
await prepare?.()
globalThis.gc?.()
const rssBefore = process.memoryUsage.rss()
let rssBytes = 0
const sampler = setInterval(() => {
  rssBytes = Math.max(rssBytes, process.memoryUsage.rss() - rssBefore)
}, 20)
const cpu = process.cpuUsage()
const wall = performance.now()
await run()
const seconds = (performance.now() - wall) / 1000
const { user, system } = process.cpuUsage(cpu)
clearInterval(sampler)
const names = what.startsWith('bare') ? [] : [join(dir, 'task0.jsonl')]
const result: LogResult = {
  perSecond: count / seconds,
  cpuMsPerThousand: (user + system) / count,
  bytesPerEvent: names.reduce((sum, name) => sum + statSync(name).size, 0) / (count / (what === 'tasks' ? 100 : 1)),
  rssBytes: Math.max(rssBytes, process.memoryUsage.rss() - rssBefore),
}
process.send?.(result, () => process.exit())

import type { Contestant, Setup, Subject } from './contestant.ts'
import type { GrowthJob, GrowthResult, Job, TasksJob, TasksResult, WaitingJob, WaitingResult } from './jobs.ts'

const job = JSON.parse(process.argv[2] ?? '') as Exclude<Job, { kind: 'log' | 'ledger' }>
const dir = process.argv[3] ?? ''
let added = 0
let onAdd: (() => void) | undefined

function setup(steps: number, concurrency: number, model = `steps-${steps}`): Setup {
  return {
    baseUrl: job.baseUrl,
    model,
    steps,
    concurrency,
    dir,
    add({ a, b }) {
      added++
      onAdd?.()
      return a + b
    },
  }
}

/** Runs tasks, so many at once, and makes sure that they did what they should. */
async function runTasks(subject: Subject, steps: number, tasks: number, concurrency: number): Promise<void> {
  const before = added
  let left = tasks
  async function worker(): Promise<void> {
    while (left-- > 0) {
      const text = await subject.run()
      if (text !== `Done after ${steps} steps.`) throw new Error(`a task ended with ${JSON.stringify(text)}`)
    }
  }
  await Promise.all(Array.from({ length: Math.min(tasks, concurrency) }, worker))
  if (added - before !== tasks * steps) throw new Error(`the tool ran ${added - before} times instead of ${tasks * steps}`)
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

function collectGarbage(): void {
  globalThis.gc?.()
  globalThis.gc?.()
}

async function measureTasks(contestant: Contestant, { steps, tasks, concurrency, warmUp, chars }: TasksJob): Promise<TasksResult> {
  const subject = await contestant.open(setup(steps, concurrency, chars === undefined ? undefined : `steps-${steps}-chars-${chars}`))
  await runTasks(subject, steps, 1, 1)
  const firstTaskCpuMs = cpuMs()
  await runTasks(subject, steps, warmUp, concurrency)
  collectGarbage()
  const cpu = cpuMs()
  const wall = performance.now()
  await runTasks(subject, steps, tasks, concurrency)
  const cpuMsPerStep = (cpuMs() - cpu) / (tasks * steps)
  const wallMsPerStep = (performance.now() - wall) / (tasks * steps)
  await subject.close?.()
  return { cpuMsPerStep, wallMsPerStep, firstTaskCpuMs }
}

async function measureGrowth(contestant: Contestant, { windows }: GrowthJob): Promise<GrowthResult> {
  const warm = await contestant.open(setup(100, 1))
  await runTasks(warm, 100, 10, 1)
  const cpuMsPerStep: number[] = []
  for (const { from, to, tasks } of windows) {
    const subject = await contestant.open(setup(to, 1))
    let spent = 0
    for (let task = 0; task < tasks; task++) {
      const first = added
      let began = 0
      onAdd = () => {
        if (added - first === from) began = cpuMs()
        if (added - first === to) spent += cpuMs() - began
      }
      collectGarbage()
      await runTasks(subject, to, 1, 1)
    }
    cpuMsPerStep.push(spent / (tasks * (to - from)))
  }
  return { cpuMsPerStep }
}

async function measureWaiting(contestant: Contestant, { tasks, stepsBefore }: WaitingJob): Promise<WaitingResult> {
  if (!contestant.openWaiting) throw new Error(`${contestant.label} knows no waiting`)
  const subject = await contestant.openWaiting(setup(stepsBefore, 50, 'steps-100000'))
  const kept: unknown[] = []
  async function begin(count: number): Promise<void> {
    let left = count
    const worker = async (): Promise<void> => {
      while (left-- > 0) kept.push(await subject.begin())
    }
    await Promise.all(Array.from({ length: 50 }, worker))
    // Connections and timers of what has just ended are not the cost of waiting.
    await new Promise((resolve) => setTimeout(resolve, 500))
    collectGarbage()
  }
  await begin(100)
  const before = process.memoryUsage()
  await begin(tasks)
  const after = process.memoryUsage()
  if (kept.length !== tasks + 100) throw new Error('some tasks do not wait')
  return {
    heapBytesPerTask: (after.heapUsed + after.external - before.heapUsed - before.external) / tasks,
    rssBytesPerTask: (after.rss - before.rss) / tasks,
  }
}

const { default: contestant } = (await import(`./contestants/${job.contestant}.ts`)) as { default: Contestant }
const result =
  job.kind === 'tasks'
    ? await measureTasks(contestant, job)
    : job.kind === 'growth'
      ? await measureGrowth(contestant, job)
      : await measureWaiting(contestant, job)
process.send?.(result, () => process.exit())

import type { Baton } from '../../tasks/baton.ts'
import type { Task } from '../../tasks/task.ts'
import { createCrashPoints } from './crash-points.ts'
import type { CrashOrder } from './crash-program.ts'
import { attendTakeover } from './takeover-people.ts'
import { createTakeoverBaton, takeoverPlaces, takeoverTask } from './takeover-scenario.ts'

/** What the program is told. */
export interface TakeoverOrder extends CrashOrder {
  /** Which part of it: the agent's side, the person's, or both in one process. */
  readonly role: 'both' | 'driver' | 'person'
}

/** What it tells, a JSON line each. */
export type TakeoverReport =
  | { readonly type: 'ready' }
  /** The task is open here. */
  | { readonly type: 'open'; readonly taskId: string; readonly waiting: readonly string[]; readonly leaseId?: string | undefined }
  | { readonly type: 'finished'; readonly places: number }

function tell(report: TakeoverReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

/** Opens the task of the scenario, and makes it where it is not there yet. */
export async function openTakeoverTask(baton: Baton, dir: string, as: 'driver' | 'observer'): Promise<Task> {
  for await (const { taskId } of baton.tasks()) return baton.openTask(taskId, { as })
  return baton.createTask(takeoverTask(dir))
}

/** Drives the task until the run after the person's last words is over. */
export async function driveTakeover(task: Task): Promise<void> {
  let finished = 0
  // A run that is open goes on by itself, and another one is begun by what the person says.
  if (task.summary.runId === undefined && task.summary.outcome === undefined) task.start()
  for await (const event of task.events()) {
    if (event.type === 'run.finished' && ++finished === 2) return
  }
}

async function main({ dir, killAt, role }: TakeoverOrder): Promise<void> {
  tell({ type: 'ready' })
  const points = createCrashPoints(killAt, takeoverPlaces(dir), {
    distinct: true,
    ...(role !== 'person' && { from: 'before run of command' }),
  })
  const baton = createTakeoverBaton(dir, points)
  const task = await openTakeoverTask(baton, dir, role === 'person' ? 'observer' : 'driver')
  const { summary } = task
  tell({ type: 'open', taskId: task.id, waiting: summary.waiting.map(({ id }) => id), leaseId: summary.control?.leaseId })
  await Promise.all([role !== 'person' && driveTakeover(task), role !== 'driver' && attendTakeover(task, points)])
  await baton.close()
  tell({ type: 'finished', places: points.count })
}

if (process.argv[1] === import.meta.filename) await main(JSON.parse(process.argv[2] ?? '{}') as TakeoverOrder)

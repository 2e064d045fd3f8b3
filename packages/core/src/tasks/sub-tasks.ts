import { BatonError } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { TaskSummary } from '../events/event-store.ts'
import { until } from '../events/event-stream.ts'
import type { OpenTask } from './open-task.ts'
import type { ActiveRun } from './run-context.ts'
import { isHeld, isLetGo } from './run-context.ts'
import type { SubTaskOutcome, SubTaskRequest } from './runtime.ts'
import { createTaskHandle } from './task.ts'
import type { TaskSpec } from './task-options.ts'
import type { TaskSandbox } from './task-sandbox.ts'
import { noSpend } from './task-summary.ts'

/** How a task comes to be that another one delegated. */
export interface NewSubTask {
  readonly id: string
  readonly parent: { readonly taskId: string; readonly key: string }
  readonly sandbox?: TaskSandbox | undefined
}

/** What sub-tasks need of their Baton. */
export interface SubTaskHost {
  /** Whether it is open here already, for others too. */
  isOpen(id: string): boolean
  load(id: string, sandbox?: TaskSandbox): Promise<OpenTask>
  create(spec: TaskSpec, as: NewSubTask): Promise<OpenTask>
}

/** Opens or creates a sub-task and drives it to the end of its run. It is cancelled with the run above, and let go of with it. */
export async function runSubTask(host: SubTaskHost, active: ActiveRun, request: SubTaskRequest): Promise<SubTaskOutcome> {
  const { childId, signal } = request
  const wasOpen = host.isOpen(childId)
  const child = await openOrCreate(host, active, request)
  const { stream, state } = child.runtime
  const over = new AbortController()
  const stop = (): void => {
    if (isLetGo(signal)) void child.close()
    else {
      // The cancel of a run that is just beginning follows its begin.
      until(stream, () => state.run, over.signal, 'The cancel')
        .then(() => createTaskHandle(child, systemActor).cancel('The task above was stopped.'))
        .catch(() => {})
    }
  }
  const unlink = holdWith(active, child)
  try {
    await child.drive()
    const { outcome } = stream.summary as TaskSummary
    // A child that had ended when this process died has its outcome in its log.
    if (outcome !== undefined && !state.run) return await lastOutcome(child)
    if (isLetGo(signal)) throw signal.reason
    if (signal.aborted && !state.run) return { outcome: 'cancelled', text: '', spent: noSpend }
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    await child.start().result.catch((error: unknown) => endElsewhere(child, signal, error))
    return await lastOutcome(child)
  } finally {
    over.abort()
    unlink()
    signal.removeEventListener('abort', stop)
    if (!wasOpen) await child.close()
  }
}

/** The sub-task stands still while the task above does: while it is paused, or a person has control of it. */
function holdWith({ runtime: above }: ActiveRun, child: OpenTask): () => void {
  const handle = createTaskHandle(child, systemActor)
  let holding = false
  const follow = (): void => {
    const held = isHeld(above.state)
    if (held === holding) return
    holding = held
    // A run that is over, or was resumed by somebody else, needs neither.
    void (held ? handle.pause() : handle.resume()).catch(() => {})
  }
  const offs = (['control.taken', 'control.returned', 'run.paused', 'run.resumed'] as const).map((type) => above.stream.on(type, follow))
  const off = child.runtime.stream.on('run.started', () => {
    holding = false
    follow()
  })
  return () => {
    off()
    for (const stop of offs) stop()
  }
}

/** A person's program may have taken the sub-task over: then its end is waited for, wherever it runs. */
async function endElsewhere({ runtime: { stream, state } }: OpenTask, signal: AbortSignal, error: unknown): Promise<void> {
  if (!BatonError.isInstance(error, 'LOST_OWNERSHIP') || signal.aborted) throw error
  await until(stream, () => (state.run ? undefined : true), signal, 'The sub-task')
}

async function openOrCreate(host: SubTaskHost, active: ActiveRun, { childId, key, spec, limits }: SubTaskRequest): Promise<OpenTask> {
  const { runtime } = active
  const { created } = runtime.state
  const { autonomy, sensitivity } = runtime.stream.summary as TaskSummary
  const sandbox = spec.shareSandbox ? active.sandbox : undefined
  const there = await host.load(childId, sandbox).catch((error: unknown) => {
    if (BatonError.isInstance(error, 'UNKNOWN_TASK')) return undefined
    throw error
  })
  if (there) return there
  const given: TaskSpec = {
    goal: spec.goal,
    agent: spec.agent ?? created.agent,
    autonomy,
    sensitivity,
    ...(created.workspace && !spec.shareSandbox && { workspace: created.workspace }),
    ...(created.sandbox !== undefined && { sandbox: created.sandbox }),
    checks: [...(spec.checks ?? [])],
    limits,
    priority: created.priority,
    ...(created.tenant !== undefined && { tenant: created.tenant }),
  }
  return host.create(given, { id: childId, parent: { taskId: runtime.id, key }, ...(sandbox && { sandbox }) })
}

async function lastOutcome({ runtime: { id, stream } }: OpenTask): Promise<SubTaskOutcome> {
  let last: Pick<SubTaskOutcome, 'outcome' | 'text'> | undefined
  for await (const event of stream.read()) {
    if (event.type === 'run.finished') last = { outcome: event.data.outcome, text: event.data.text }
  }
  if (!last) throw new BatonError('CORRUPT_LOG', `Task ${id} should have a finished run and has none.`)
  const { spent, sensitivity } = stream.summary as TaskSummary
  return { ...last, spent, sensitivity }
}

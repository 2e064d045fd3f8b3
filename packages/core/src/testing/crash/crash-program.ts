import { createFileBlobStore } from '../../events/file-blob-store.ts'
import { createFileEventStore } from '../../events/file-event-store.ts'
import { createSingleModelRouter } from '../../models/single-model-router.ts'
import { createLocalSandboxProvider } from '../../sandbox/local-sandbox.ts'
import type { Baton } from '../../tasks/baton.ts'
import { createBaton } from '../../tasks/baton.ts'
import type { Task } from '../../tasks/task.ts'
import { createPolicy } from '../../tools/policy.ts'
import { createCrashPoints, watchBlobs, watchModel, watchSandboxes, watchStore, watchTool } from './crash-points.ts'
import { crashTask, createCrashAgents, createCrashTools, createPlannedModel, placesIn } from './crash-scenario.ts'

/** What the program is told, as JSON in its first argument. */
export interface CrashOrder {
  /** The folder of this run of the scenario; what an earlier process has left there is gone on with. */
  readonly dir: string
  /** Number of the place to die at. */
  readonly killAt?: number
}

/** What it tells, a JSON line each. */
export type CrashReport =
  | { readonly type: 'ready' }
  /** The task is open here. */
  | { readonly type: 'open'; readonly taskId: string; readonly waiting: readonly string[] }
  | { readonly type: 'finished'; readonly outcome: string | undefined; readonly error?: unknown; readonly places: number }

function tell(report: CrashReport): void {
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

async function openOrCreate(baton: Baton, dir: string): Promise<Task> {
  for await (const { taskId, parentId } of baton.tasks()) if (parentId === undefined) return baton.openTask(taskId)
  return baton.createTask(crashTask(dir))
}

async function main({ dir, killAt }: CrashOrder): Promise<void> {
  tell({ type: 'ready' })
  const places = placesIn(dir)
  const points = createCrashPoints(killAt, places)
  const baton = createBaton({
    store: watchStore(createFileEventStore({ dir: places.log, onWarning: () => {} }), points, places.acknowledged),
    blobs: watchBlobs(createFileBlobStore({ dir: places.blobs }), points),
    sandboxes: [watchSandboxes(createLocalSandboxProvider({ root: places.sandboxes, isolation: 'none' }), points)],
    router: createSingleModelRouter(watchModel(createPlannedModel(), points)),
    tools: createCrashTools(dir).map((tool) => watchTool(tool, points)),
    agents: createCrashAgents(),
    policy: createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] }),
  })
  const task = await openOrCreate(baton, dir)
  tell({ type: 'open', taskId: task.id, waiting: task.summary.waiting.map(({ id }) => id) })
  // A run that came to its end before the crash is not started again.
  const ended = task.summary.outcome !== undefined && task.summary.runId === undefined
  const { error } = ended ? {} : await task.start().result
  await baton.close()
  tell({ type: 'finished', outcome: task.summary.outcome, error, places: points.count })
}

await main(JSON.parse(process.argv[2] ?? '{}') as CrashOrder)

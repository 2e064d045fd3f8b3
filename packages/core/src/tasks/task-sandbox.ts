import { resolve } from 'node:path'
import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import { bringTo } from '../ledger/bring-to.ts'
import type { Sandbox, SandboxProvider } from '../sandbox/sandbox.ts'
import { copyIn } from '../workspace/workspace-copy.ts'
import type { TaskRuntime } from './runtime.ts'
import type { Snapshots } from './snapshots.ts'

/** The label by which a task's sandbox is found again. */
export const taskLabel = 'baton.task'

/** The sandbox of one task: started when it is first needed, found again after a restart. */
export interface TaskSandbox {
  get(signal: AbortSignal): Promise<Sandbox>
  /** The sandbox, if it was started here. */
  readonly started: Promise<Sandbox> | undefined
  /** Closes it for good. Returns the id of what was closed, where there was one. */
  end(): Promise<string | undefined>
}

/** Makes the handle; starts nothing. */
export function createTaskSandbox(runtime: TaskRuntime, snapshots: Snapshots, borrowed?: TaskSandbox): TaskSandbox {
  let current: Promise<Sandbox> | undefined
  return {
    get started() {
      return borrowed ? borrowed.started : current
    },
    async get(signal) {
      if (borrowed) return borrowed.get(signal)
      for (;;) {
        const joins = current !== undefined
        current ??= open(runtime, snapshots, signal)
        const attempt = current
        try {
          return await attempt
        } catch (error) {
          // A start that failed may be tried again.
          if (current === attempt) current = undefined
          // Whoever began it gave up; that is nothing to those who wait for it too.
          if (!joins || signal.aborted || !BatonError.isInstance(error, 'ABORTED')) throw error
        }
      }
    },
    async end() {
      const { sandbox } = runtime.state
      if (!sandbox || borrowed) return undefined
      const handle = current ?? runtime.parts.sandboxes.get(sandbox.provider)?.attach(sandbox.sandboxId)
      if (!handle) return undefined
      await handle.then((found) => found.close()).catch(ignoreGone)
      current = undefined
      return sandbox.sandboxId
    },
  }
}

function ignoreGone(error: unknown): void {
  if (!BatonError.isInstance(error, 'UNKNOWN_SANDBOX') && !BatonError.isInstance(error, 'SANDBOX_LOST')) throw error
}

function providerOf(runtime: TaskRuntime): SandboxProvider {
  const { sandboxes } = runtime.parts
  const name = runtime.state.created.sandbox
  const provider = name === undefined ? sandboxes.values().next().value : sandboxes.get(name)
  if (provider) return provider
  throw new BatonError(
    'UNKNOWN_SANDBOX',
    `There is no sandbox provider ${JSON.stringify(name)}; known: ${[...sandboxes.keys()].join(', ')}.`,
  )
}

async function open(runtime: TaskRuntime, snapshots: Snapshots, signal: AbortSignal): Promise<Sandbox> {
  const before = runtime.state.sandbox
  // Its driver may be about to start one, which must not be taken for an orphan.
  if (!before && runtime.epoch === undefined) {
    throw new BatonError(
      'INVALID_STATE',
      `Task ${runtime.id} has no sandbox, and only its driver can start one. Open it with { as: 'driver' }.`,
    )
  }
  if (before) {
    const provider = runtime.parts.sandboxes.get(before.provider) ?? providerOf(runtime)
    try {
      return await provider.attach(before.sandboxId, { signal })
    } catch (error) {
      if (!BatonError.isInstance(error, 'UNKNOWN_SANDBOX') && !BatonError.isInstance(error, 'SANDBOX_LOST')) throw error
      await runtime.drive([
        { type: 'sandbox.lost', actor: systemActor, data: { sandboxId: before.sandboxId, reason: messageOf(error) } },
        {
          type: 'message.sent',
          actor: systemActor,
          data: {
            text: (await snapshots.hasLast())
              ? 'The sandbox of this task was lost. A new one is made with the files as they were seen last; what git ignores, such as installed packages, is gone, and nothing runs in it.'
              : 'The sandbox of this task was lost. A new one is made from the workspace as it is now; earlier changes to files that were not brought back are gone.',
          },
        },
      ])
    }
  } else {
    await sweepOrphans(providerOf(runtime), runtime.id)
  }
  return create(runtime, snapshots, signal)
}

/** Closes what a process left that died between starting a sandbox and writing so. */
async function sweepOrphans(provider: SandboxProvider, taskId: string): Promise<void> {
  for await (const { id, labels } of provider.list()) {
    if (labels[taskLabel] === taskId) await provider.attach(id).then((orphan) => orphan.close(), ignoreGone)
  }
}

async function create(runtime: TaskRuntime, snapshots: Snapshots, signal: AbortSignal): Promise<Sandbox> {
  const provider = providerOf(runtime)
  const { workspace } = runtime.state.created
  // What the ledger has of the files goes before what the workspace holds by now.
  const known = await snapshots.hasLast()
  const begun = performance.now()
  const sandbox = await provider.create(
    { labels: { [taskLabel]: runtime.id }, ...(workspace?.inPlace && { inPlace: resolve(workspace.path) }) },
    { signal },
  )
  try {
    const files = workspace && !workspace.inPlace && !known ? await copyIn(workspace.path, sandbox, { signal }) : undefined
    const baseline = files && (await runtime.parts.blobs.put(Buffer.from(JSON.stringify(files))))
    const drafts: EventDraft[] = [
      {
        type: 'sandbox.started',
        actor: systemActor,
        data: {
          sandboxId: sandbox.id,
          provider: provider.name,
          isolation: sandbox.isolation,
          workdir: sandbox.workdir,
          fresh: true,
          ms: performance.now() - begun,
          ...(baseline && { baseline }),
        },
      },
    ]
    if (runtime.stream.summary?.autonomy === 'autonomous' && sandbox.isolation === 'none') drafts.push(isolationWarning(provider.name))
    await runtime.drive(drafts)
    await beginHistory(runtime, snapshots, sandbox, known, signal)
    return sandbox
  } catch (error) {
    await sandbox.close().catch(() => {})
    throw error
  }
}

/** The files as the task found them are its first state. A sandbox in place of one that was lost, or of another task's, is brought to the last state. */
async function beginHistory(
  runtime: TaskRuntime,
  snapshots: Snapshots,
  sandbox: Sandbox,
  known: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { ledger } = runtime.parts
  const { checkpoint, created } = runtime.state
  if (!ledger) return
  snapshots.reset()
  if (checkpoint && known && !created.workspace?.inPlace) await bringTo(ledger, sandbox, checkpoint.commit, { signal })
  await snapshots.take(sandbox, { reason: 'start', signal })
}

/** What people are told when an agent runs unasked with nothing around it. */
export function isolationWarning(provider: string): EventDraft<'warning.raised'> {
  return {
    type: 'warning.raised',
    actor: systemActor,
    data: {
      code: 'no-isolation',
      message: `This task is autonomous and its sandbox ("${provider}") isolates nothing: what the agent runs can reach whatever this user can. Use a sandbox with isolation, or supervise it.`,
    },
  }
}

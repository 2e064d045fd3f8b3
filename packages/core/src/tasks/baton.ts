import { hostname } from 'node:os'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import type { Agent } from '../agents/agent.ts'
import { createModelAgent } from '../agents/model-agent.ts'
import { BatonError } from '../errors.ts'
import type { BlobStore } from '../events/blob-store.ts'
import { Actor, systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { EventStore, TaskFilter, TaskSummary, WaitingItem } from '../events/event-store.ts'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { createModelHealthBook } from '../models/health.ts'
import type { ToolDefinition } from '../models/model.ts'
import { ModelTiming } from '../models/model-timing.ts'
import type { Router } from '../models/router.ts'
import type { Classifier } from '../models/sensitivity.ts'
import { implementing, parseOptions } from '../options.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { SandboxProvider } from '../sandbox/sandbox.ts'
import { wrapSandboxProvider } from '../sandbox/wrap-provider.ts'
import { createPolicy } from '../tools/policy.ts'
import type { Policy, Tool } from '../tools/tool.ts'
import { checkWorkspace, readInstructions } from '../workspace/workspace-files.ts'
import type { OpenTask } from './open-task.ts'
import { createOpenTask } from './open-task.ts'
import type { ActiveRun } from './run-context.ts'
import { createRunSlots } from './run-slots.ts'
import type { BatonParts, SubTaskOutcome, SubTaskRequest } from './runtime.ts'
import type { Task } from './task.ts'
import { createTaskHandle } from './task.ts'
import { TaskSpec } from './task-options.ts'

/** Options of {@link createBaton}. */
export interface BatonOptions {
  /** Which model takes which call. Without one, agents that ask no model still run. */
  readonly router?: Router | undefined
  /** Where logs are kept. It belongs to this Baton, which closes it. Default: in memory, gone with the process. */
  readonly store?: EventStore | undefined
  /** Where long outputs are kept. Default: in memory. Give a durable one with a durable store. */
  readonly blobs?: BlobStore | undefined
  /** Where code runs; the first is the default. Default: the local sandbox. */
  readonly sandboxes?: readonly SandboxProvider[] | undefined
  /** What agents can do. Default: nothing. */
  // biome-ignore lint/suspicious/noExplicitAny: a list of tools holds tools of any input, which no other type can say.
  readonly tools?: readonly Tool<any, any>[] | undefined
  /** What runs unasked. Default: `createPolicy()`. */
  readonly policy?: Policy | undefined
  /** Who does the work; the first is the default. Default: `createModelAgent()`. */
  readonly agents?: readonly Agent[] | undefined
  /** Labels content. Default: nothing raises a task's label. */
  readonly classifier?: Classifier | undefined
  /** In whose name things are done where `task.as()` says nothing else. Default: the human `user`. */
  readonly actor?: Actor | undefined
  /** Runs that are active at once; those that wait for a person do not count. Default 16. */
  readonly concurrency?: number | undefined
  /** Patience with models. */
  readonly timing?: z.input<typeof ModelTiming> | undefined
  /** When an agent that goes in circles is nudged, and paused. Default 3 and 5 repetitions. */
  readonly stuck?: { readonly nudgeAfter?: number; readonly pauseAfter?: number } | undefined
  /** Bytes of a tool's output that the model reads; the rest is kept aside. Default 16 KiB. */
  readonly maxToolOutputBytes?: number | undefined
}

/** Something that waits for a person. */
export interface InboxItem extends WaitingItem {
  readonly taskId: string
  readonly goal: string
}

/** Holds the parts together, and the tasks that are open in this process. */
export interface Baton {
  /** Writes a new task down; runs nothing yet. Rejects with `INVALID_OPTIONS`, `INVALID_WORKSPACE`, `UNKNOWN_AGENT`, `UNKNOWN_SANDBOX`. */
  createTask(spec: TaskSpec): Promise<Task>
  /**
   * Opens a task that is in the store. The driver takes the lease over from whoever had it, and goes on with an open run at once, unless it is
   * paused. An observer may watch and do all that people do. Default `driver`. Rejects with `UNKNOWN_TASK`.
   */
  openTask(id: string, options?: { readonly as?: 'driver' | 'observer' }): Promise<Task>
  /** The tasks of the store. */
  tasks(filter?: TaskFilter): AsyncIterable<TaskSummary>
  /** What waits for a person now, over all tasks. */
  inbox(): AsyncIterable<InboxItem>
  /** Ends a task and deletes its log. */
  deleteTask(id: string): Promise<void>
  /** Lets go of all tasks as they are, and closes the store. */
  close(): Promise<void>
}

const Options = z.strictObject({
  router: implementing<Router>('a Router', 'route').optional(),
  store: implementing<EventStore>('an EventStore', 'append', 'read', 'follow', 'tasks', 'delete', 'close').optional(),
  blobs: implementing<BlobStore>('a BlobStore', 'put', 'get').optional(),
  sandboxes: z
    .array(implementing<SandboxProvider>('a SandboxProvider', 'create', 'attach', 'list'))
    .min(1, 'expected at least one provider')
    .optional(),
  tools: z.array(implementing<Tool>('a Tool', 'run')).default([]),
  policy: implementing<Policy>('a Policy', 'decide').optional(),
  agents: z.array(implementing<Agent>('an Agent', 'run')).min(1, 'expected at least one agent').optional(),
  classifier: implementing<Classifier>('a Classifier', 'classify').optional(),
  actor: Actor.default({ kind: 'human', id: 'user' }),
  concurrency: z.int().positive().default(16),
  timing: ModelTiming.prefault({}),
  stuck: z.strictObject({ nudgeAfter: z.int().min(2).optional(), pauseAfter: z.int().min(3).optional() }).default({}),
  maxToolOutputBytes: z
    .int()
    .min(1000)
    .default(16 * 1024),
})

/**
 * Builds a Baton from its parts.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createBaton(options: BatonOptions = {}): Baton {
  const given = parseOptions('createBaton', Options, options)
  const store = given.store ?? createMemoryEventStore()
  const openTasks = new Map<string, Promise<OpenTask>>()
  const tools = byName('tools', given.tools)
  const agents = byName('agents', given.agents ?? [createModelAgent()])
  const sandboxes = byName(
    'sandboxes',
    (given.sandboxes ?? [createLocalSandboxProvider()]).map((provider) => wrapSandboxProvider(provider)),
  )
  const parts: BatonParts = {
    store,
    blobs: given.blobs ?? createMemoryBlobStore(),
    router: given.router,
    sandboxes,
    tools,
    toolDefinitions: new Map([...tools].map(([name, tool]) => [name, definitionOf(tool)])),
    policy: given.policy ?? createPolicy(),
    agents,
    classifier: given.classifier,
    health: createModelHealthBook(),
    timing: given.timing,
    slots: createRunSlots(given.concurrency),
    stuck: given.stuck,
    maxToolOutputBytes: given.maxToolOutputBytes,
    owner: `${hostname()}/${process.pid}/${uuidv7()}`,
    runSubTask,
  }
  let closed = false

  function assertOpen(): void {
    if (closed) throw new BatonError('CLOSED', 'This Baton is closed; create another one.')
  }

  function known(kind: 'agent' | 'sandbox provider', name: string | undefined, all: ReadonlyMap<string, unknown>): string {
    if (name === undefined) return all.keys().next().value as string
    if (all.has(name)) return name
    const code = kind === 'agent' ? 'UNKNOWN_AGENT' : 'UNKNOWN_SANDBOX'
    throw new BatonError(code, `There is no ${kind} "${name}"; known: ${[...all.keys()].join(', ')}.`)
  }

  async function create(
    spec: TaskSpec,
    more: { id?: string; parent?: { taskId: string; key: string }; sandbox?: OpenTask['sandbox'] } = {},
  ): Promise<OpenTask> {
    assertOpen()
    const task = parseOptions('createTask', TaskSpec, spec)
    const agent = known('agent', task.agent, agents)
    const sandbox = known('sandbox provider', task.sandbox, sandboxes)
    if (task.workspace) await checkWorkspace(task.workspace.path)
    const instructions = task.workspace ? await readInstructions(task.workspace.path) : []
    const id = more.id ?? uuidv7()
    const open = createOpenTask(parts, id, { sandbox: more.sandbox, onClosed: () => openTasks.delete(id) })
    const data = { ...task, agent, sandbox, instructions, checks: [...task.checks], ...(more.parent && { parent: more.parent }) }
    const draft: EventDraft = { type: 'task.created', actor: more.parent ? systemActor : given.actor, data }
    await open.runtime.stream.append([draft], { check: () => assertNew(open) })
    openTasks.set(id, Promise.resolve(open))
    await open.drive()
    open.runtime.stream.followOthers()
    return open
  }

  async function load(id: string, sandbox?: OpenTask['sandbox']): Promise<OpenTask> {
    assertOpen()
    const there = openTasks.get(id)
    if (there) return there
    const open = createOpenTask(parts, id, { sandbox, onClosed: () => openTasks.delete(id) })
    const opening = open.runtime.stream.catchUp().then(() => {
      if (open.runtime.stream.lastSeq === 0) throw new BatonError('UNKNOWN_TASK', `There is no task ${id} in the store.`)
      // Read once, so that a log that does not begin with the task is refused here.
      void open.runtime.state.created
      open.runtime.stream.followOthers()
      return open
    })
    openTasks.set(id, opening)
    opening.catch(() => openTasks.delete(id))
    return opening
  }

  async function runSubTask(active: ActiveRun, request: SubTaskRequest): Promise<SubTaskOutcome> {
    const { childId, key, spec, limits, signal } = request
    const { created } = active.runtime.state
    const sandbox = spec.shareSandbox ? active.sandbox : undefined
    const isThere = await load(childId, sandbox).catch((error: unknown) => {
      if (BatonError.isInstance(error, 'UNKNOWN_TASK')) return undefined
      throw error
    })
    const child =
      isThere ??
      (await create(
        {
          goal: spec.goal,
          agent: spec.agent ?? created.agent,
          autonomy: active.runtime.stream.summary?.autonomy,
          sensitivity: active.runtime.stream.summary?.sensitivity,
          ...(created.workspace && !spec.shareSandbox && { workspace: created.workspace }),
          ...(created.sandbox !== undefined && { sandbox: created.sandbox }),
          checks: [...(spec.checks ?? [])],
          limits,
          priority: created.priority,
        },
        { id: childId, parent: { taskId: active.runtime.id, key }, ...(sandbox && { sandbox }) },
      ))
    const handle = createTaskHandle(child, systemActor)
    const abort = (): void => void handle.cancel('The task above was stopped.').catch(() => {})
    signal.addEventListener('abort', abort, { once: true })
    try {
      await child.drive()
      const { outcome, runId } = child.runtime.stream.summary ?? {}
      // A child that had ended when this process died has its outcome in its log.
      if (outcome !== undefined && runId === undefined) return await lastOutcome(child)
      if (signal.aborted) abort()
      const result = await child.start().result
      return { outcome: result.outcome, text: result.text, spent: child.runtime.stream.summary?.spent ?? result.spent }
    } finally {
      signal.removeEventListener('abort', abort)
      await child.close()
    }
  }

  async function lastOutcome(child: OpenTask): Promise<SubTaskOutcome> {
    let last: SubTaskOutcome | undefined
    for await (const event of child.runtime.stream.read()) {
      if (event.type === 'run.finished') last = { outcome: event.data.outcome, text: event.data.text, spent: event.data.spent }
    }
    if (!last) throw new BatonError('CORRUPT_LOG', `Task ${child.runtime.id} should have a finished run and has none.`)
    return { ...last, spent: child.runtime.stream.summary?.spent ?? last.spent }
  }

  async function endEverything(): Promise<void> {
    for (const opening of [...openTasks.values()]) {
      const open = await opening.catch(() => undefined)
      await open?.close()
      // Without a store to find it again by, a sandbox that stays would stay for ever.
      if (given.store === undefined) await open?.sandbox.end().catch(() => {})
    }
  }

  return {
    async createTask(spec) {
      return createTaskHandle(await create(spec), given.actor)
    },
    async openTask(id, { as = 'driver' } = {}) {
      const open = await load(id)
      if (as === 'driver') await open.drive()
      return createTaskHandle(open, given.actor)
    },
    tasks: (filter) => store.tasks(filter),
    async *inbox() {
      for await (const { taskId, goal, waiting } of store.tasks({ waiting: true }))
        for (const item of waiting) yield { ...item, taskId, goal }
    },
    async deleteTask(id) {
      const open = await load(id)
      await open.drive()
      if (!open.runtime.state.closed) await createTaskHandle(open, given.actor).end({ reason: 'deleted' })
      await store.delete(id)
    },
    async close() {
      if (closed) return
      closed = true
      await endEverything()
      await store.close()
    },
  }
}

function assertNew({ runtime }: OpenTask): void {
  if (runtime.stream.lastSeq > 0) throw new BatonError('CONFLICT', `There is a task ${runtime.id} already.`)
}

function byName<T extends { readonly name: string }>(field: string, items: readonly T[]): ReadonlyMap<string, T> {
  const map = new Map<string, T>()
  for (const item of items) {
    if (map.has(item.name))
      throw new BatonError('INVALID_OPTIONS', `createBaton: ${field}: two are named "${item.name}"; names have to be unique`)
    map.set(item.name, item)
  }
  return map
}

function definitionOf(tool: Tool): ToolDefinition {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(tool.name)) {
    throw new BatonError('INVALID_OPTIONS', `createBaton: tools: "${tool.name}" is no tool name; use 1 to 64 letters, digits, _ and -`)
  }
  try {
    const { $schema: _, ...parameters } = z.toJSONSchema(tool.input, { io: 'input' })
    if (parameters.type !== 'object') throw new Error(`the input is of type ${String(parameters.type)}, and has to be an object`)
    return { name: tool.name, description: tool.description, parameters }
  } catch (cause) {
    throw new BatonError(
      'INVALID_OPTIONS',
      `createBaton: tools: the input schema of "${tool.name}" cannot be shown to a model: ${String(cause)}`,
      { cause },
    )
  }
}

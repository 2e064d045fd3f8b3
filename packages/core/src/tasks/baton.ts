import { realpath } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'
import { v7 as uuidv7 } from 'uuid'
import { z } from 'zod'
import type { Agent } from '../agents/agent.ts'
import { createModelAgent } from '../agents/model-agent.ts'
import { BatonError } from '../errors.ts'
import type { BlobStore } from '../events/blob-store.ts'
import type { Sensitivity } from '../events/envelope.ts'
import { Actor, systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { EventStore, TaskFilter, WaitingItem } from '../events/event-store.ts'
import { TaskSummary } from '../events/event-store.ts'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import type { WorkspaceInstructions } from '../events/task-events.ts'
import { ToolEffect } from '../events/tool-events.ts'
import { createLedger, createTemporaryLedger } from '../ledger/git-ledger.ts'
import { createLazyLedger } from '../ledger/lazy-ledger.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { createModelHealthBook } from '../models/health.ts'
import type { ToolDefinition } from '../models/model.ts'
import { ModelTiming } from '../models/model-timing.ts'
import type { Router } from '../models/router.ts'
import type { Classifier } from '../models/sensitivity.ts'
import { highestSensitivity } from '../models/sensitivity.ts'
import { implementing, parseOptions } from '../options.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { SandboxProvider } from '../sandbox/sandbox.ts'
import { wrapSandboxProvider } from '../sandbox/wrap-provider.ts'
import type { ApprovalMemory, RememberedApproval } from '../tools/approval-memory.ts'
import { createMemoryApprovals } from '../tools/approval-memory.ts'
import { createPolicy } from '../tools/policy.ts'
import type { Policy, Tool } from '../tools/tool.ts'
import { checkWorkspace, readInstructions } from '../workspace/workspace-files.ts'
import { Budgets, createSpendLedger } from './budgets.ts'
import { labelOf } from './labels.ts'
import type { OpenTask } from './open-task.ts'
import { createOpenTask } from './open-task.ts'
import { createRunSlots } from './run-slots.ts'
import type { BatonParts } from './runtime.ts'
import type { NewSubTask } from './sub-tasks.ts'
import { runSubTask } from './sub-tasks.ts'
import type { Task } from './task.ts'
import { createTaskHandle } from './task.ts'
import { TaskSpec } from './task-options.ts'
import type { TaskSandbox } from './task-sandbox.ts'

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
  /**
   * Keeps what people approve for a workspace. Processes that share tasks share it. Default: `createMemoryApprovals()`, gone with the process.
   */
  readonly approvals?: ApprovalMemory | undefined
  /** A call that nobody decided on for so long is rejected, in milliseconds. Default: it waits for as long as its run is open. */
  readonly approvalTimeoutMs?: number | undefined
  /** Who does the work; the first is the default. Default: `createModelAgent()`. */
  readonly agents?: readonly Agent[] | undefined
  /** Labels content. Default: nothing raises a task's label. */
  readonly classifier?: Classifier | undefined
  /** In whose name things are done where `task.as()` says nothing else. Default: the human `user`. */
  readonly actor?: Actor | undefined
  /** Runs that are active at once; those that wait for a person do not count. Default 16. */
  readonly concurrency?: number | undefined
  /**
   * What the tasks of the store may cost in a day (of UTC), all together or by tenant, beside the limits of each. Held before each model call, by what was
   * recorded: it is exceeded by what the calls under way cost at most. A run that meets one ends with the outcome `limit`. What other processes on the
   * store spent is known some 5 seconds later. Default: none.
   */
  readonly budgets?: Budgets | undefined
  /**
   * Where the history of the tasks' files is kept: a git repository of Baton's own. `false`: nowhere; then nobody is told who changed what, and there is no undo.
   * Default: beside the logs of a file event store; else in a temporary folder, gone with the process.
   */
  readonly ledger?: { readonly dir: string; readonly maxFileBytes?: number | undefined } | false | undefined
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
  /** What people approved for whole workspaces. */
  readonly approvals: {
    /** Oldest first; of all workspaces, or of the one in a folder. */
    list(filter?: { readonly workspace?: string }): Promise<readonly RememberedApproval[]>
    /** From now on a person is asked again, in tasks that run too. Says whether there was such an approval. */
    revoke(id: string): Promise<boolean>
  }
  /** Ends a task and deletes its log, and the history of its files. */
  deleteTask(id: string): Promise<void>
  /** Lets go of all tasks as they are, and closes the store. */
  close(): Promise<void>
}

/** The same schema, for something that has a name. */
function named<T extends { readonly name: string }>(schema: z.ZodType<T>): z.ZodType<T> {
  return schema.superRefine((value, context) => {
    const name: unknown = (value as Partial<T> | undefined)?.name
    if (typeof name !== 'string' || name === '') context.addIssue({ code: 'custom', path: ['name'], message: 'expected a name' })
  })
}

function checkTool(tool: Tool | undefined, context: z.RefinementCtx): void {
  const wrong = (field: keyof Tool, message: string): void => context.addIssue({ code: 'custom', path: [field], message })
  const { name, description, effect, input } = (tool ?? {}) as Partial<Tool>
  if (typeof name === 'string' && !/^[A-Za-z0-9_-]{1,64}$/.test(name)) wrong('name', 'expected 1 to 64 letters, digits, _ and -')
  if (typeof description !== 'string') wrong('description', 'expected words for the model')
  if (!ToolEffect.safeParse(effect).success) wrong('effect', `expected one of ${ToolEffect.options.join(', ')}`)
  if (typeof input?.safeParse !== 'function') wrong('input', 'expected a zod schema')
}

const OpenOptions = z.strictObject({ id: z.string().min(1), as: z.enum(['driver', 'observer']).default('driver') })
const Filter = z.strictObject({
  status: z.array(TaskSummary.shape.status).optional(),
  waiting: z.boolean().optional(),
  parentId: z.string().optional(),
})

const ApprovalsOfWorkspace = z.strictObject({ workspace: z.string().min(1).optional() })

const Options = z.strictObject({
  router: implementing<Router>('a Router', 'route').optional(),
  store: implementing<EventStore>('an EventStore', 'append', 'read', 'follow', 'tasks', 'delete', 'close').optional(),
  blobs: implementing<BlobStore>('a BlobStore', 'put', 'get').optional(),
  sandboxes: z
    .array(named(implementing<SandboxProvider>('a SandboxProvider', 'create', 'attach', 'list')))
    .min(1, 'expected at least one provider')
    .optional(),
  tools: z.array(named(implementing<Tool>('a Tool', 'run')).superRefine(checkTool)).default([]),
  policy: implementing<Policy>('a Policy', 'decide').optional(),
  approvals: implementing<ApprovalMemory>('an ApprovalMemory', 'list', 'add', 'revoke').optional(),
  approvalTimeoutMs: z
    .int()
    .positive()
    .max(10 ** 12)
    .optional(),
  agents: z
    .array(named(implementing<Agent>('an Agent', 'run')))
    .min(1, 'expected at least one agent')
    .optional(),
  classifier: implementing<Classifier>('a Classifier', 'classify').optional(),
  actor: Actor.default({ kind: 'human', id: 'user' }),
  concurrency: z.int().positive().default(16),
  budgets: Budgets.optional(),
  ledger: z
    .union([z.literal(false), z.strictObject({ dir: z.string().min(1, 'expected a folder'), maxFileBytes: z.int().positive().optional() })])
    .optional(),
  timing: ModelTiming.prefault({}),
  stuck: z
    .strictObject({ nudgeAfter: z.int().min(2).default(3), pauseAfter: z.int().min(3).default(5) })
    .refine(({ nudgeAfter, pauseAfter }) => pauseAfter > nudgeAfter, { path: ['pauseAfter'], message: 'expected more than nudgeAfter' })
    .prefault({}),
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
  const ledger = given.ledger === false ? undefined : ledgerOf(given.ledger, store.home)
  const parts: BatonParts = {
    store,
    blobs: given.blobs ?? createMemoryBlobStore(),
    router: given.router,
    sandboxes,
    tools,
    toolDefinitions: new Map([...tools].map(([name, tool]) => [name, definitionOf(tool)])),
    policy: given.policy ?? createPolicy(),
    approvals: given.approvals ?? createMemoryApprovals(),
    approvalTimeoutMs: given.approvalTimeoutMs,
    agents,
    classifier: given.classifier,
    health: createModelHealthBook(),
    timing: given.timing,
    spending: given.budgets && createSpendLedger({ store, budgets: given.budgets }),
    ledger,
    slots: createRunSlots(given.concurrency),
    stuck: given.stuck,
    maxToolOutputBytes: given.maxToolOutputBytes,
    owner: `${hostname()}/${process.pid}/${uuidv7()}`,
    runSubTask: (active, request) => runSubTask({ isOpen: (id) => openTasks.has(id), load, create }, active, request),
    async openFork(id) {
      const open = await load(id)
      await open.drive()
      return open
    },
    endSubTask: (id) => endTask(id, 'The task above was ended.'),
  }
  let closing: Promise<void> | undefined

  function assertOpen(): void {
    if (closing !== undefined) throw new BatonError('CLOSED', 'This Baton is closed; create another one.')
  }

  function known(kind: 'agent' | 'sandbox provider', name: string | undefined, all: ReadonlyMap<string, unknown>): string {
    if (name === undefined) return all.keys().next().value as string
    if (all.has(name)) return name
    const code = kind === 'agent' ? 'UNKNOWN_AGENT' : 'UNKNOWN_SANDBOX'
    throw new BatonError(code, `There is no ${kind} "${name}"; known: ${[...all.keys()].join(', ')}.`)
  }

  async function create(spec: TaskSpec, sub?: NewSubTask): Promise<OpenTask> {
    assertOpen()
    const task = parseOptions('createTask', TaskSpec, spec)
    const agent = known('agent', task.agent, agents)
    const sandbox = known('sandbox provider', task.sandbox, sandboxes)
    if (task.workspace) await checkWorkspace(task.workspace.path)
    const instructions = task.workspace ? await readInstructions(task.workspace.path) : []
    const sensitivity = await labelOfAll(task.sensitivity, task.goal, instructions)
    const id = sub?.id ?? uuidv7()
    const open = createOpenTask(parts, id, { sandbox: sub?.sandbox, onClosed: () => openTasks.delete(id) })
    const data = { ...task, agent, sandbox, sensitivity, instructions, checks: [...task.checks], ...(sub && { parent: sub.parent }) }
    const draft: EventDraft = { type: 'task.created', actor: sub ? systemActor : given.actor, data }
    assertOpen()
    openTasks.set(id, Promise.resolve(open))
    try {
      await open.runtime.stream.append([draft], { check: () => assertNew(open) })
      await open.drive()
    } catch (error) {
      await open.close()
      throw error
    }
    open.runtime.stream.followOthers()
    return open
  }

  async function labelOfAll(floor: Sensitivity, goal: string, instructions: readonly WorkspaceInstructions[]): Promise<Sensitivity> {
    const labels = [
      await labelOf(parts, goal, ['goal']),
      ...(await Promise.all(instructions.map(({ source, text }) => labelOf(parts, text, [`file:${source}`])))),
    ]
    return highestSensitivity(floor, ...labels.map((label) => label.sensitivity))
  }

  async function load(id: string, sandbox?: TaskSandbox): Promise<OpenTask> {
    assertOpen()
    const there = await openTasks.get(id)
    if (there?.closing) {
      await there.closing
      return load(id, sandbox)
    }
    return there ?? openTasks.get(id) ?? read(id, sandbox)
  }

  function read(id: string, sandbox?: TaskSandbox): Promise<OpenTask> {
    const open = createOpenTask(parts, id, { sandbox, onClosed: () => openTasks.delete(id) })
    const opening = open.runtime.stream.catchUp().then(() => {
      if (open.runtime.stream.lastSeq === 0) throw new BatonError('UNKNOWN_TASK', `There is no task ${id} in the store.`)
      // Read once, so that a log that does not begin with the task is refused here.
      void open.runtime.state.created
      open.runtime.stream.followOthers()
      return open
    })
    openTasks.set(id, opening)
    // It may have been created meanwhile.
    opening.catch(() => openTasks.get(id) === opening && openTasks.delete(id))
    return opening
  }

  /** Ends a task that may be open nowhere, without waking its agent up. */
  async function endTask(id: string, reason: string): Promise<void> {
    const open = await load(id)
    const handle = createTaskHandle(open, given.actor)
    if (open.runtime.state.closed) return open.close()
    if (open.runtime.state.run && !open.driving) await handle.cancel(reason)
    await open.drive()
    await handle.end({ reason })
  }

  async function endEverything(): Promise<void> {
    const all = await Promise.allSettled([...openTasks.values()])
    await Promise.all(all.map((opening) => opening.status === 'fulfilled' && opening.value.close()))
    // Without a store to find it again by, a sandbox that stays would stay for ever.
    if (given.store === undefined) {
      for await (const { taskId } of store.tasks())
        await read(taskId)
          .then((open) => open.sandbox.end().finally(() => open.close()))
          .catch(() => {})
    }
  }

  return {
    async createTask(spec) {
      return createTaskHandle(await create(spec), given.actor)
    },
    async openTask(id, options = {}) {
      const { as } = parseOptions('openTask', OpenOptions, { ...options, id })
      const open = await load(id)
      if (as === 'driver') await open.drive()
      return createTaskHandle(open, given.actor)
    },
    tasks(filter = {}) {
      parseOptions('tasks', Filter, filter)
      return store.tasks(filter)
    },
    async *inbox() {
      for await (const { taskId, goal, waiting } of store.tasks({ waiting: true }))
        for (const item of waiting) yield { ...item, taskId, goal }
    },
    approvals: {
      async list(filter = {}) {
        const { workspace } = parseOptions('approvals.list', ApprovalsOfWorkspace, filter)
        return parts.approvals.list(workspace === undefined ? {} : { workspace: await realpath(workspace).catch(() => resolve(workspace)) })
      },
      revoke: (id) => parts.approvals.revoke(id),
    },
    async deleteTask(id) {
      await endTask(id, 'deleted')
      await store.delete(id)
      await ledger?.prune([id])
    },
    close() {
      closing ??= endEverything()
        .finally(() => ledger?.close())
        .finally(() => store.close())
      return closing
    },
  }
}

function assertNew({ runtime }: OpenTask): void {
  if (runtime.stream.lastSeq > 0) throw new BatonError('CONFLICT', `There is a task ${runtime.id} already.`)
}

function ledgerOf(given: Exclude<BatonOptions['ledger'], false>, home: string | undefined): Ledger {
  if (given) return createLedger(given)
  return home === undefined ? createLazyLedger(createTemporaryLedger) : createLedger({ dir: join(home, '.ledger') })
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

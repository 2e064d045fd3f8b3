import assert from 'node:assert/strict'
import { z } from 'zod'
import type { Agent, AgentContext } from '../agents/agent.ts'
import type { BatonError } from '../errors.ts'
import type { Event, EventType, LoggedEvent } from '../events/event.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import type { ModelRequest } from '../models/model.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import { createBaton } from '../tasks/baton.ts'
import type { RunResult } from '../tasks/run.ts'
import type { Task } from '../tasks/task.ts'
import type { TaskSpec } from '../tasks/task-options.ts'
import { summarizeTask } from '../tasks/task-summary.ts'
import { createPolicy } from '../tools/policy.ts'
import type { Tool } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import { collect } from './conformance.ts'
import { plannedScript } from './planned-script.ts'
import type { ScriptedStep } from './script.ts'
import { scriptedModel } from './scripted-model.ts'

/** What {@link testAgent} needs. */
export interface TestAgentOptions {
  /** A new agent, as a process makes it when it starts: always of the same name. */
  create(): Agent
  /** What the task is for. Default: some words. */
  readonly goal?: string | undefined
  /** What the agent can use besides the suite's own tools: `look` (read), `change` (write) and `command` (execute), which take `{ step: string }`. */
  readonly tools?: readonly Tool[] | undefined
  /** Agents that it delegates to. */
  readonly agents?: readonly Agent[] | undefined
  /** The model, a function of the request alone. Default: one that works through a plan with the suite's own tools. */
  readonly model?: ((request: ModelRequest) => ScriptedStep) | undefined
  /** How people answer its questions. Default: `yes`. */
  readonly answer?: ((question: string) => string) | undefined
  /** How long a test waits for what has to happen. Default 5,000. */
  readonly patienceMs?: number | undefined
}

/** A tool that ran. */
interface TrialRun {
  readonly callId: string
  readonly tool: string
  readonly input: unknown
  readonly effect: Tool['effect']
}

/** How a turn of an agent ended. */
interface AgentTurn {
  readonly text?: unknown
  readonly error?: unknown
  /** Actions that it had begun and that had not ended. */
  readonly pending: number
}

/** How one run of an agent went. */
export interface Trial {
  readonly result: RunResult
  readonly log: readonly Event[]
  /** Tools of the task itself that ran in this process. */
  readonly runs: readonly TrialRun[]
  /** What the agent did with its context, in order. */
  readonly actions: readonly string[]
  /** Errors that the context threw to the agent. */
  readonly thrown: readonly unknown[]
  readonly turns: readonly AgentTurn[]
  /** Actions after the agent's last turn was over. */
  readonly late: number
}

/** How a trial differs from a plain run. */
export interface TrialSetup {
  /** The log that another process has left. */
  readonly prefix?: readonly LoggedEvent[]
  readonly limits?: TaskSpec['limits']
  /** Called for each event of the task. */
  readonly onEvent?: (event: Event, task: Task) => void
  /** Makes an action of the agent throw. */
  readonly fail?: (action: number) => BatonError | undefined
  /** Tools wait until they are stopped. */
  readonly hang?: boolean
}

/** More than any agent in its senses does in such a small task: it goes in circles, maybe without ever letting others run. */
const mostActions = 2_000

const Step = z.object({ step: z.string() })

/** What the default model does: of every effect, together and one after the other. */
const defaultPlan = {
  calls: [
    [
      { tool: 'look', input: { step: 'a' } },
      { tool: 'look', input: { step: 'b' } },
    ],
    [
      { tool: 'change', input: { step: 'c' } },
      { tool: 'look', input: { step: 'd' } },
      { tool: 'change', input: { step: 'e' } },
    ],
    [{ tool: 'command', input: { step: 'f' } }],
  ],
  text: 'All steps are done.',
}

/** An agent under observation, and what it did. */
interface Watch {
  readonly agent: Agent
  readonly actions: string[]
  readonly thrown: unknown[]
  readonly turns: AgentTurn[]
  readonly late: number
}

const methods = ['model', 'tool', 'say', 'ask', 'delegate'] as const

/** Puts an observer between an agent and its context. */
function watchAgent(agent: Agent, fail: TrialSetup['fail']): Watch {
  const actions: string[] = []
  const thrown: unknown[] = []
  const turns: AgentTurn[] = []
  let pending = 0
  let turning = 0
  let late = 0

  async function act<R>(name: string, work: () => Promise<R>): Promise<R> {
    if (turning === 0) late++
    const action = actions.push(name)
    if (action > mostActions) throw new Error('The agent acts without end.')
    pending++
    try {
      const error = fail?.(action)
      if (error) throw error
      return await work()
    } catch (error) {
      thrown.push(error)
      throw error
    } finally {
      pending--
    }
  }

  function watch(context: AgentContext): AgentContext {
    const watched = Object.create(context) as Record<string, unknown>
    for (const name of methods) {
      const method = context[name] as (...args: unknown[]) => Promise<unknown>
      watched[name] = (...args: unknown[]) => {
        const acting = act(name, () => method(...args))
        // Where the agent does not wait for it, the suite says so; it is not to end the program.
        acting.catch(() => {})
        return acting
      }
    }
    return watched as unknown as AgentContext
  }

  return {
    actions,
    thrown,
    turns,
    get late() {
      return late
    },
    agent: {
      name: agent.name,
      async run(context) {
        turning++
        try {
          const end = await agent.run(watch(context))
          turns.push({ text: end?.text, pending })
          return end
        } catch (error) {
          turns.push({ error, pending })
          throw error
        } finally {
          turning--
        }
      },
    },
  }
}

/** What trials of one agent share. */
export interface AgentTrials {
  /** Runs the agent on a task of its own. */
  run(setup?: TrialSetup): Promise<Trial>
  /** Runs one agent on several tasks at the same time. */
  runTogether(count: number): Promise<readonly Trial[]>
  /** What a promise resolves to, unless that takes too long. */
  within<T>(promise: Promise<T>, what: string): Promise<T>
}

/** Prepares trials. */
export function createAgentTrials(options: TestAgentOptions): AgentTrials {
  const { goal = 'Work through the steps.', patienceMs = 5_000, answer = () => 'yes' } = options

  function open(setup: TrialSetup) {
    const runs: (TrialRun & { readonly taskId: string })[] = []
    const watch = watchAgent(options.create(), setup.fail)
    const store = createMemoryEventStore()
    const tools = [...suiteTools(), ...(options.tools ?? [])].map((tool) => countRuns(tool, setup.hang ?? false, runs))
    const baton = createBaton({
      store,
      tools,
      agents: [watch.agent, ...(options.agents ?? [])],
      router: createSingleModelRouter(scriptedModel(options.model ?? plannedScript(() => defaultPlan))),
      policy: createPolicy({ rules: [{ decision: 'allow' }] }),
      timing: { triesPerAttempt: 1 },
    })
    return { baton, store, runs, watch }
  }

  function attend(task: Task, setup: TrialSetup): void {
    task.on('*', (event) => {
      setup.onEvent?.(event as Event, task)
      // What is too late to be answered, as after a cancel, is nobody's fault.
      if (event.type === 'question.asked') task.answer(event.data.questionId, answer(event.data.text)).catch(() => {})
    })
    for (const { kind, id, text } of task.summary.waiting) if (kind === 'question') task.answer(id, answer(text)).catch(() => {})
  }

  async function within<T>(promise: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new assert.AssertionError({ message: `waited ${patienceMs} ms for ${what}` })), patienceMs)
    })
    return Promise.race([promise, late]).finally(() => clearTimeout(timer))
  }

  async function run(setup: TrialSetup = {}): Promise<Trial> {
    const { baton, store, runs, watch } = open(setup)
    const [first] = setup.prefix ?? []
    if (first) await keepLog(store, setup.prefix ?? [])
    const task = first ? await baton.openTask(first.taskId) : await baton.createTask({ goal, limits: setup.limits })
    attend(task, setup)
    const result = await within(task.start().result, 'the end of the run')
    // What the agent has left running shows itself now.
    await new Promise((resolve) => setImmediate(resolve))
    const log = (await collect(store.read(task.id))) as Event[]
    await baton.close()
    const { actions, thrown, turns, late } = watch
    assert.ok(actions.length <= mostActions, `the agent acts without end: ${actions.slice(-3).join(', ')} …`)
    return { result, log, runs: runs.filter(({ taskId }) => taskId === task.id), actions, thrown, turns, late }
  }

  async function runTogether(count: number): Promise<readonly Trial[]> {
    const { baton, store, runs, watch } = open({})
    const tasks = await Promise.all(Array.from({ length: count }, () => baton.createTask({ goal })))
    const ending = tasks.map(async (task): Promise<Trial> => {
      attend(task, {})
      const result = await task.start().result
      const log = (await collect(store.read(task.id))) as Event[]
      return { ...watch, result, log, runs: runs.filter(({ taskId }) => taskId === task.id) }
    })
    const trials = await within(Promise.all(ending), 'the end of all runs')
    await baton.close()
    return trials
  }

  return { run, runTogether, within }
}

function suiteTools(): readonly Tool[] {
  const tool = (name: string, effect: Tool['effect']): Tool =>
    defineTool({ name, description: `Does ${name}.`, effect, input: Step, run: async ({ step }) => `${name} ${step}: done` })
  return [tool('look', 'read'), tool('change', 'write'), tool('command', 'execute')]
}

function countRuns(tool: Tool, hang: boolean, runs: (TrialRun & { readonly taskId: string })[]): Tool {
  return {
    ...tool,
    async run(input, context) {
      const { taskId, callId, signal } = context
      runs.push({ taskId, callId, tool: tool.name, input, effect: tool.effect })
      if (hang) await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
      return tool.run(input, context)
    },
  }
}

async function keepLog(store: ReturnType<typeof createMemoryEventStore>, prefix: readonly LoggedEvent[]): Promise<void> {
  let summary: Parameters<typeof summarizeTask>[0]
  for (const event of prefix) summary = summarizeTask(summary, event)
  if (summary) await store.append(summary.taskId, prefix, { after: 0, summary })
}

/** The events of one type. */
export function eventsOf<T extends EventType>(log: readonly Event[], type: T): readonly Event<T>[] {
  return log.filter((event) => event.type === type) as unknown as readonly Event<T>[]
}

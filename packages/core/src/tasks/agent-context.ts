import type { AgentContext } from '../agents/agent.ts'
import type { TaskSummary } from '../events/event-store.ts'
import { delegate } from './delegation.ts'
import { handOver } from './hand-over.ts'
import { callModel } from './model-calls.ts'
import { ask } from './questions.ts'
import type { ActiveRun } from './run-context.ts'
import { ready } from './run-context.ts'
import { callTool } from './tool-calls.ts'

/** A context, and how to wait until all that was begun through it is over. */
export interface TrackedContext {
  readonly context: AgentContext
  settled(): Promise<void>
}

/** What an agent gets for one turn. */
export function createAgentContext(active: ActiveRun): TrackedContext {
  const { runtime, signal } = active
  const { state, stream, parts } = runtime
  const underWay = new Set<Promise<unknown>>()
  const byKey = new Map<string, Promise<unknown>>()

  function track<T>(work: Promise<T>): Promise<T> {
    underWay.add(work)
    const over = (): void => void underWay.delete(work)
    work.then(over, over)
    return work
  }

  /** What is under way already is joined. */
  function once<T>(key: string, begin: () => Promise<T>): Promise<T> {
    const same = byKey.get(key)
    if (same !== undefined) return same as Promise<T>
    const work = track(begin().finally(() => byKey.delete(key)))
    byKey.set(key, work)
    return work
  }

  const context: AgentContext = {
    task: {
      id: runtime.id,
      goal: state.created.goal,
      checks: state.created.checks,
      instructions: state.created.instructions,
      metadata: state.created.metadata ?? {},
      get limits() {
        return state.limits
      },
      get summary() {
        return stream.summary as TaskSummary
      },
    },
    events: {
      get lastSeq() {
        return stream.lastSeq
      },
      read: (options) => stream.read(options),
    },
    signal,
    tools: [...parts.tools.values()],
    get openCalls() {
      return (state.run?.lastReply?.toolCalls ?? []).filter(({ callId }) => state.calls.get(callId)?.finishedSeq === undefined)
    },
    get lastReply() {
      return state.run?.lastReply
    },
    get unseen() {
      return state.unseen
    },
    model: (call) => track(callModel(active, call)),
    tool: (call, options) => once(`tool ${call.callId}`, () => callTool(active, call, options)),
    say: (text, { key }) => once(`say ${key}`, () => say(active, text, key)),
    ask: (question, options) => once(`ask ${options.key}`, () => ask(active, question, options)),
    handOver: (options) => once(`hand over ${options.key}`, () => handOver(active, options)),
    delegate: (spec, { key }) => once(`delegate ${key}`, () => delegate(active, spec, key)),
  }
  return {
    context,
    async settled() {
      while (underWay.size > 0) await Promise.allSettled([...underWay])
    },
  }
}

async function say(active: ActiveRun, text: string, key: string): Promise<void> {
  const { runtime } = active
  await ready(active)
  if (runtime.state.saidKeys.has(key)) return
  await runtime.drive([{ type: 'message.sent', actor: runtime.agentActor, data: { text, key } }])
}

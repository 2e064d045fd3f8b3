import { z } from 'zod'
import type { Event, EventType, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { ModelRequest } from '../models/model.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import type { Baton, BatonOptions } from '../tasks/baton.ts'
import { createBaton } from '../tasks/baton.ts'
import type { Task } from '../tasks/task.ts'
import type { Tool, ToolContext } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import type { Script, ScriptedReply, ScriptedStep } from './script.ts'
import type { ScriptedModel, ScriptedModelOptions } from './scripted-model.ts'
import { scriptedModel } from './scripted-model.ts'

/** A Baton over one scripted model. */
export function scriptedBaton(
  script: Script<ScriptedStep, ModelRequest>,
  { model: modelOptions, ...options }: Omit<BatonOptions, 'router'> & { model?: ScriptedModelOptions } = {},
): { readonly model: ScriptedModel; readonly baton: Baton } {
  const model = scriptedModel(script, modelOptions)
  return { model, baton: createBaton({ router: createSingleModelRouter(model), ...options }) }
}

/** A reply that calls tools. */
export function calling(...calls: readonly (readonly [tool: string, input?: unknown])[]): ScriptedReply {
  return { toolCalls: calls.map(([tool, input = {}]) => ({ tool, input })) }
}

/** All events of a task so far. */
export async function eventsOf(task: Task): Promise<LoggedEvent[]> {
  const { seq } = task.summary
  const events: LoggedEvent[] = []
  for await (const event of task.events()) {
    events.push(event)
    if (event.seq >= seq) break
  }
  return events
}

/** The events of one type so far. */
export async function eventsOfType<T extends EventType>(task: Task, type: T): Promise<Event<T>[]> {
  return (await eventsOf(task)).flatMap((event) => (event.type === type ? [event as Event as Event<T>] : []))
}

/** The types of all events so far, or of those that a pattern takes. */
export async function typesOf(task: Task, pattern = /./): Promise<string[]> {
  return (await eventsOf(task)).map(({ type }) => type).filter((type) => pattern.test(type))
}

/** Waits for an event, past or to come: the first of its type for which `where` holds. */
export async function happens<T extends EventType>(
  task: Task,
  type: T,
  where: (data: Event<T>['data']) => boolean = () => true,
): Promise<Event<T>> {
  for await (const event of task.events()) if (isKnown(event) && event.type === type && where(event.data as never)) return event as Event<T>
  throw new Error(`the task was closed, and there was no ${type}`)
}

/** The texts of a request's messages, one line each, such as `user: go on`. */
export function linesOf(request: ModelRequest | undefined): string[] {
  return (request?.messages ?? []).map((message) =>
    message.role === 'user'
      ? `user: ${message.parts.map((part) => (part.type === 'text' ? part.text : `[${part.type}]`)).join('')}`
      : `${message.role}: ${message.text}`,
  )
}

/** One call of a {@link probeTool} under way. */
export interface ProbeCall {
  readonly input: { readonly id?: string | undefined }
  readonly context: ToolContext
  finish(result: string): void
  fail(error: unknown): void
}

/** A tool whose calls end when the test says so. */
export interface Probe {
  readonly tool: Tool<{ id?: string | undefined }, string>
  readonly calls: readonly ProbeCall[]
  /** Waits for a call, from 1, to begin. */
  called(count: number): Promise<ProbeCall>
}

/** Builds a tool that a test holds in its hand. With `heeds`, a call rejects when its signal aborts. */
export function probeTool(name: string, effect: Tool['effect'], { heeds = true }: { heeds?: boolean } = {}): Probe {
  const calls: ProbeCall[] = []
  const waiting: { readonly count: number; resolve(call: ProbeCall): void }[] = []
  const tool = defineTool({
    name,
    description: `Does what ${name} does.`,
    input: z.strictObject({ id: z.string().optional() }),
    effect,
    run: (input, context) =>
      new Promise<string>((finish, fail) => {
        const call = { input, context, finish, fail }
        calls.push(call)
        if (heeds) context.signal.addEventListener('abort', () => fail(context.signal.reason), { once: true })
        for (const { count, resolve } of waiting) if (count === calls.length) resolve(call)
      }),
  })
  return {
    tool,
    calls,
    called(count) {
      const there = calls[count - 1]
      return there ? Promise.resolve(there) : new Promise((resolve) => waiting.push({ count, resolve }))
    },
  }
}

/** A tool that answers at once, and keeps what it was called with. */
export function instantTool(
  name: string,
  effect: Tool['effect'] = 'read',
): Tool<{ id?: string | undefined }, string> & { inputs: unknown[] } {
  const inputs: unknown[] = []
  const tool = defineTool({
    name,
    description: `Does what ${name} does.`,
    input: z.strictObject({ id: z.string().optional() }),
    effect,
    async run(input) {
      inputs.push(input)
      return `${name} ${input.id ?? 'did it'}`
    },
  })
  return { ...tool, inputs }
}

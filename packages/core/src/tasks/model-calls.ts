import type { ModelCall } from '../agents/agent.ts'
import { BatonError } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { TaskSummary } from '../events/event-store.ts'
import { noEligibleModel } from '../models/eligibility.ts'
import { estimateMessageTokens, estimateToolTokens } from '../models/estimate-tokens.ts'
import type { ExecutorOptions } from '../models/executor.ts'
import { executeRoute } from '../models/executor.ts'
import type { ModelMessage, ModelReply, ModelRequest, ToolDefinition } from '../models/model.ts'
import { ModelError } from '../models/model.ts'
import type { Route, RouteRequest } from '../models/router.ts'
import { compact, needsCompaction } from './compaction.ts'
import { budgetUsedUp, checkLimits, costBudgets, leastLeft } from './limits.ts'
import { lookAround } from './look-around.ts'
import type { ActiveRun } from './run-context.ts'
import { ready } from './run-context.ts'
import type { TaskRuntime } from './runtime.ts'

/** Makes a model call of an agent: waits while paused, keeps to the limits, notices circles, compacts, routes, and writes it all down. */
export async function callModel(active: ActiveRun, call: ModelCall = {}): Promise<ModelReply> {
  if (call.messages !== undefined) return send(active, call)
  await safePoint(active)
  await lookAround(active)
  const { projection, stream } = active.runtime
  if (projection.stale) await projection.rebuild((after) => stream.read({ after }))
  await breakCircles(active)
  if (needsCompaction(active.runtime, call, overheadOf(active.runtime, call))) await compact(active, call, send)
  try {
    return await send(active, call)
  } catch (error) {
    // The estimate was too low for this model. Once it is shorter, the same call may pass.
    if (!isTooLong(error) || call.compaction === false || !(await compact(active, call, send))) throw error
    return send(active, call)
  }
}

async function safePoint(active: ActiveRun): Promise<void> {
  const reading = active.runtime.parts.spending?.refresh()
  if (reading !== undefined) await reading
  await ready(active)
  checkLimits(active.runtime, active.hold.activeMs)
}

function isTooLong(error: unknown): boolean {
  if (error instanceof ModelError) return error.kind === 'context-too-long'
  const considered = BatonError.isInstance(error, 'NO_ELIGIBLE_MODEL') ? error.details.considered : undefined
  return Array.isArray(considered) && considered.some(({ reason }) => reason === 'window-too-small')
}

/** Tokens of what goes with every prompt from the log. */
function overheadOf(runtime: TaskRuntime, { instructions, tools }: ModelCall): number {
  const system = systemMessages(runtime, instructions).reduce((sum, message) => sum + estimateMessageTokens(message), 0)
  return system + estimateToolTokens(offered(runtime, tools, true))
}

/** First a nudge; if it goes on, a pause until a person has looked. */
async function breakCircles(active: ActiveRun): Promise<void> {
  const { runtime, runId } = active
  const { finding } = runtime.stuck
  if (!finding) return
  if (finding.action === 'nudge') {
    if (runtime.state.saidKeys.has(finding.key)) return
    const text = `You seem to be going in circles: ${finding.detail}. Stop and think about what you know; then try something different, or say what keeps you from going on.`
    await runtime.drive([{ type: 'message.sent', actor: systemActor, data: { text, key: finding.key } }])
    return
  }
  await runtime.drive([
    {
      type: 'run.paused',
      actor: systemActor,
      data: { runId, reason: 'stuck', detail: `The agent is going in circles: ${finding.detail}` },
    },
  ])
  await ready(active)
}

/** Sends one prompt. `includes` is the last seq that an own prompt stands for. */
async function send(active: ActiveRun, call: ModelCall, includes = 0): Promise<ModelReply> {
  const { runtime } = active
  await safePoint(active)
  const { parts, stream, projection } = runtime
  const { role = 'code', instructions, messages: own, tools, compaction: _, ...options } = call
  const upTo = own ? includes : stream.lastSeq
  if (!own) projection.advance(upTo)
  const definitions = offered(runtime, tools, own === undefined)
  const system = own ? [] : systemMessages(runtime, instructions)
  const messages = own ?? [...system, ...projection.messages]
  const request: ModelRequest = {
    ...options,
    messages: await withImages(runtime, messages),
    ...(definitions.length > 0 && { tools: definitions }),
    cacheKey: runtime.id,
  }
  const estimatedTokens = own
    ? own.reduce((sum, message) => sum + estimateMessageTokens(message), estimateToolTokens(definitions))
    : projection.tokens + overheadOf(runtime, call)
  const summary = stream.summary as TaskSummary
  const budgetUsd = leastLeft(costBudgets(runtime))?.leftUsd
  const facts = { taskId: runtime.id, role, request, sensitivity: summary.sensitivity, estimatedTokens, budgetUsd }
  const route = await findRoute(runtime, facts)

  const modelCallId = runtime.mintModelCall()
  const first = route.attempts[0]?.model.id ?? ''
  const called: EventDraft = {
    type: 'model.called',
    actor: runtime.agentActor,
    data: {
      ...{ modelCallId, role, model: first, why: [...route.considered], sensitivity: summary.sensitivity },
      ...{ prompt: own ? ('own' as const) : ('log' as const), upTo, projection: projection.number, estimatedTokens },
    },
  }
  const [event] = await runtime.drive([called])
  const cause = event?.id ?? ''
  const reply = await execute(runtime, {
    ...facts,
    route,
    modelCallId,
    health: parts.health,
    ...(budgetUsd !== undefined && { leftUsd: () => leastLeft(costBudgets(runtime))?.leftUsd }),
    timing: parts.timing,
    signal: active.signal,
    mintCallId: (index) => `${modelCallId}c${index}`,
    async onFailed(failure) {
      await runtime.drive([{ type: 'model.failed', actor: systemActor, cause, data: failure }])
    },
    onDelta(kind, text) {
      if (stream.watched) stream.sendLive({ taskId: runtime.id, after: stream.lastSeq, cause, type: 'model.delta', data: { kind, text } })
    },
    onOutcome: (outcome) => parts.router?.observe?.(outcome),
  })
  await runtime.drive([finishedDraft(active, reply, role, cause), ...(own ? [] : afterwords(reply))])
  return reply
}

async function findRoute(runtime: TaskRuntime, facts: RouteRequest): Promise<Route> {
  const { router, health } = runtime.parts
  if (!router) throw noEligibleModel([])
  const { lastModel, run } = runtime.state
  const previous = run?.judged ?? []
  const request = {
    ...facts,
    ...(lastModel !== undefined && { lastModel }),
    // A copy: what a router keeps does not change under its hands.
    ...(previous.length > 0 && { previous: [...previous] }),
    health: health.all,
  }
  return router.route(request).catch((error: unknown) => throwAsLimit(runtime, error))
}

function execute(runtime: TaskRuntime, options: ExecutorOptions): Promise<ModelReply> {
  return executeRoute(options).catch((error: unknown) => throwAsLimit(runtime, error))
}

/** Where nothing but the budget keeps every model from taking the call, the limit is what was reached. */
export function throwAsLimit(runtime: TaskRuntime, error: unknown): never {
  const considered = BatonError.isInstance(error, 'NO_ELIGIBLE_MODEL') ? error.details.considered : undefined
  const overBudget = Array.isArray(considered) && considered.length > 0 && considered.every(({ reason }) => reason === 'over-budget')
  const least = leastLeft(costBudgets(runtime))
  throw overBudget && least ? budgetUsedUp(least, runtime.state.created.tenant) : error
}

function finishedDraft({ runtime }: ActiveRun, reply: ModelReply, role: string, cause: string): EventDraft {
  const { toolCalls, opaque, ...rest } = reply
  return {
    type: 'model.finished',
    actor: runtime.agentActor,
    cause,
    data: { ...rest, role, toolCalls: [...toolCalls], ...(opaque && { opaque: [...opaque] }) },
  }
}

/** A reply that was cut at the output limit is no final answer. */
function afterwords(reply: ModelReply): EventDraft[] {
  if (reply.finishReason !== 'length' || reply.toolCalls.length > 0) return []
  return [
    { type: 'message.sent', actor: systemActor, data: { text: 'Your reply was cut off at the output limit. Go on from where it ended.' } },
  ]
}

function offered({ parts }: TaskRuntime, names: readonly string[] | undefined, all: boolean): readonly ToolDefinition[] {
  if (!names) return all ? [...parts.toolDefinitions.values()] : []
  return names.map((name) => {
    const definition = parts.toolDefinitions.get(name)
    if (definition) return definition
    throw new BatonError('INVALID_OPTIONS', `tools: there is no tool "${name}"; known: ${[...parts.toolDefinitions.keys()].join(', ')}`)
  })
}

/** The same text each time, so that the prompt's prefix does not change. */
export function systemMessages(runtime: TaskRuntime, instructions: string | undefined): ModelMessage[] {
  const texts = [
    ...(instructions === undefined ? [] : [instructions]),
    ...runtime.state.created.instructions.map(({ source, text }) => `The workspace's own instructions (${source}):\n\n${text}`),
  ]
  return texts.length === 0 ? [] : [{ role: 'system', text: texts.join('\n\n') }]
}

/** Reads the images that messages refer to. */
async function withImages({ parts }: TaskRuntime, messages: readonly ModelMessage[]): Promise<readonly ModelMessage[]> {
  const refers = (message: ModelMessage): boolean => message.role === 'user' && message.parts.some(({ type }) => type === 'image-ref')
  if (!messages.some(refers)) return messages
  return Promise.all(
    messages.map(async (message) => {
      if (message.role !== 'user' || !refers(message)) return message
      const resolved = message.parts.map(async (part) =>
        part.type === 'image-ref' ? { type: 'image' as const, mediaType: part.mediaType, data: await parts.blobs.get(part.blob) } : part,
      )
      return { ...message, parts: await Promise.all(resolved) }
    }),
  )
}

import type { ToolCallOptions } from '../agents/agent.ts'
import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { Event, EventDraft } from '../events/event.ts'
import { until } from '../events/event-stream.ts'
import type { RememberedCall, ToolFinished } from '../events/tool-events.ts'
import { normaliseCallPath } from '../tools/path-pattern.ts'
import type { Decision, PolicyContext, Tool, ToolCall, ToolContext, ToolResult } from '../tools/tool.ts'
import { lookAround, lookBack } from './look-around.ts'
import { proposeCall } from './proposals.ts'
import { findRemembered, scopeOf } from './remembered.ts'
import type { ActiveRun } from './run-context.ts'
import { isHeld, isLetGo, ready, throwIfStopped, withGrace } from './run-context.ts'
import type { TaskRuntime } from './runtime.ts'
import type { CallState } from './task-state.ts'
import { approvalIdOf, proposalIdOf } from './task-summary.ts'
import { createToolContext } from './tool-context.ts'
import type { CallOutcome } from './tool-output.ts'
import { presentResult, sealOutcome } from './tool-output.ts'

/** How long a tool may take to stop after an abort before it is left to itself. */
const abortGraceMs = 2_000
const pausedMeanwhile = Symbol('paused meanwhile')

const interruptedText =
  'What ran this call ended before the call did. It may have done all of its work, a part, or nothing. Look at what is there before you do it again.'

/** Closes a call that had started and whose outcome nobody knows. */
export function interruptedDraft(callId: string, tool: string): EventDraft {
  return { type: 'tool.finished', actor: systemActor, data: { callId, tool, outcome: 'interrupted', output: interruptedText, ms: 0 } }
}

/**
 * Runs a tool call in its steps: find it in the log, check it, decide, start, finish. Each step is in the log before the next, so that a
 * call that is made again after a crash goes on where it was.
 */
export async function callTool(active: ActiveRun, call: ToolCall, { tools }: ToolCallOptions = {}): Promise<ToolResult> {
  const { parts, state } = active.runtime
  const known = state.calls.get(call.callId)
  if (known?.finishedSeq !== undefined) return readResult(active, known.finishedSeq)
  // What had started before a crash goes on to its end: who takes control waits for that.
  if (known?.started) throwIfStopped(active)
  else await ready(active)
  const named = parts.tools.get(call.tool)
  const tool = tools && !tools.includes(call.tool) ? undefined : named
  const before = known ? [] : [calledDraft(active, named, call)]
  if (known?.started) return runAgain(active, tool, call, known)
  const parsed = parseInput(
    tool,
    call,
    [...parts.tools.keys()].filter((name) => tools?.includes(name) ?? true),
  )
  if ('problem' in parsed) return finish(active, call, { outcome: 'invalid', text: parsed.problem }, before)
  return decide(active, parsed.tool, { ...call, input: parsed.input }, known, before)
}

async function readResult({ runtime }: ActiveRun, seq: number): Promise<ToolResult> {
  for await (const event of runtime.stream.read({ after: seq - 1, limit: 1 })) {
    if (event.type === 'tool.finished') return toResult(event.data)
  }
  throw new BatonError('CORRUPT_LOG', `Task ${runtime.id}: the event ${seq} that should hold a tool's result is not there.`)
}

function toResult(data: ToolFinished): ToolResult {
  return { callId: data.callId, outcome: data.outcome, output: data.output, ...(data.data !== undefined && { data: data.data }) }
}

/** Calls that no tool can take go back to the model with what would have been right. */
function parseInput(
  tool: Tool | undefined,
  call: ToolCall,
  names: readonly string[],
): { tool: Tool; input: unknown } | { problem: string } {
  if (call.malformed !== undefined)
    return { problem: `The arguments are no valid JSON: ${call.malformed}. Call the tool again with correct JSON.` }
  if (!tool) return { problem: `There is no tool "${call.tool}". The tools are: ${names.join(', ') || 'none'}.` }
  const parsed = tool.input.safeParse(call.input)
  if (parsed.success) return { tool, input: parsed.data }
  const problems = parsed.error.issues.map(({ path, message }) => `- ${path.map(String).join('.') || 'input'}: ${message}`)
  return { problem: `The input does not fit the tool "${tool.name}":\n${problems.join('\n')}` }
}

function calledDraft({ runtime }: ActiveRun, tool: Tool | undefined, call: ToolCall): EventDraft {
  return {
    type: 'tool.called',
    actor: runtime.agentActor,
    data: { callId: call.callId, tool: call.tool, input: call.input, ...(tool && { effect: tool.effect }) },
  }
}

/** A call that had started before a crash: what only reads is read again, by the input that was decided on; anything else is not repeated unasked. */
async function runAgain(active: ActiveRun, tool: Tool | undefined, call: ToolCall, known: CallState): Promise<ToolResult> {
  const { runtime } = active
  if (tool?.effect !== 'read' || known.effect !== 'read') {
    await runtime.drive([interruptedDraft(call.callId, call.tool)])
    return { callId: call.callId, outcome: 'interrupted', output: interruptedText }
  }
  const { decision } = runtime.state.approvals.get(known.approvalId ?? '') ?? {}
  const parsed = parseInput(tool, { ...call, input: decision?.input ?? call.input }, [])
  if ('problem' in parsed) return finish(active, call, { outcome: 'invalid', text: parsed.problem })
  return run(active, tool, call, parsed.input, known.calledId)
}

async function decide(
  active: ActiveRun,
  tool: Tool,
  call: ToolCall,
  known: CallState | undefined,
  before: readonly EventDraft[],
): Promise<ToolResult> {
  const { runtime } = active
  let approvalId = known?.approvalId
  if (approvalId === undefined) {
    let { decision, reason } = runtime.state.proposals.has(proposalIdOf(call.callId)) ? proposes : await askPolicy(active, tool, call)
    if (decision === 'propose') {
      const run = (context: ToolContext): Promise<CallOutcome> => settle(active, tool, call.input, context)
      const settled = await proposeCall(active, { tool, call, before, run })
      if ('outcome' in settled) return finish(active, call, settled.outcome, settled.before)
      if ('instead' in settled) return start(active, settled.instead, call)
      ;({ before, ask: reason } = settled)
      decision = 'ask'
    }
    if (decision === 'deny') {
      const text = reason ?? 'The policy does not allow this call. Do it another way, or ask.'
      return finish(active, call, { outcome: 'denied', text }, before)
    }
    if (decision === 'allow') return start(active, tool, call, before)
    const scope = scopeOf(tool, call.input)
    const { remembered, warning } = await findRemembered(runtime, tool, scope)
    if (remembered) return start(active, tool, call, before, remembered)
    approvalId = approvalIdOf(call.callId)
    const about = { approvalId, callId: call.callId, tool: tool.name, input: call.input, scope, ...expiry(runtime) }
    const request = { ...about, reason: reason ?? `${tool.effect} needs approval` }
    await runtime.drive([...before, ...(warning ? [warning] : []), { type: 'approval.requested', actor: systemActor, data: request }])
  }
  const decided = await approval(active, approvalId)
  if (!decided) return finish(active, call, { outcome: 'cancelled', text: 'The run was cancelled.' })
  if (decided.decision === 'rejected') {
    return finish(active, call, { outcome: 'rejected', text: decided.feedback ?? 'A person rejected this call.' })
  }
  await ready(active)
  if (decided.input === undefined) return start(active, tool, call)
  // Checked where it was decided, maybe by a process with other tools; parsed again here for the defaults.
  const parsed = parseInput(tool, { ...call, input: decided.input }, [])
  if ('problem' in parsed) return finish(active, call, { outcome: 'invalid', text: `As a person changed it: ${parsed.problem}` })
  return start(active, tool, { ...call, input: parsed.input })
}

const proposes: Decision = { decision: 'propose' }

function expiry({ parts }: TaskRuntime): { readonly expiresAt?: string } {
  const { approvalTimeoutMs } = parts
  return approvalTimeoutMs === undefined ? {} : { expiresAt: new Date(Date.now() + approvalTimeoutMs).toISOString() }
}

async function askPolicy(active: ActiveRun, tool: Tool, call: ToolCall): Promise<Decision> {
  const { runtime, signal } = active
  const { summary } = runtime.stream
  const context = {
    taskId: runtime.id,
    autonomy: summary?.autonomy ?? 'supervised',
    sensitivity: summary?.sensitivity ?? 'internal',
    effect: tool.effect,
    signal,
  }
  try {
    const answer = await withGrace(
      describeCall(active, tool, call.input).then((described) => runtime.parts.policy.decide(call, { ...context, ...described })),
      signal,
      0,
    )
    if (['allow', 'ask', 'deny', 'propose'].includes(answer?.decision)) return answer
    throw new Error(`it decided ${JSON.stringify(answer)}, which is none of allow, ask and deny, nor propose`)
  } catch (error) {
    throwIfStopped(active)
    return { decision: 'deny', reason: `The policy failed, so the call was not made: ${messageOf(error)}` }
  }
}

/** What rules can go by beside the input. */
async function describeCall(
  { runtime, sandbox, signal }: ActiveRun,
  tool: Tool,
  input: unknown,
): Promise<Pick<PolicyContext, 'command' | 'paths'>> {
  const command = tool.command?.(input)
  const paths = tool.paths?.(input)
  // Whether an absolute path leads out is known only where the workdir is.
  const isAbsolute = paths?.some((path) => path.startsWith('/')) === true
  const workdir = isAbsolute ? (runtime.state.sandbox ?? (await sandbox.get(signal))).workdir : undefined
  return {
    ...(command !== undefined && { command }),
    ...(paths && { paths: paths.map((path) => normaliseCallPath(path, workdir)) }),
  }
}

/** Waits for a person's decision. Undefined where the run is cancelled; other reasons to stop leave the call open for whoever drives the task next. */
async function approval(active: ActiveRun, approvalId: string): Promise<Event<'approval.decided'>['data'] | undefined> {
  const { runtime, hold, signal } = active
  if (!runtime.state.approvals.get(approvalId)?.decision) await lookBack(active)
  try {
    return await hold.yieldFor(() => until(runtime.stream, () => runtime.state.approvals.get(approvalId)?.decision, signal, 'The approval'))
  } catch (error) {
    if (runtime.state.run?.cancelled && !isLetGo(signal)) return undefined
    throw error
  }
}

async function finish(
  { runtime }: ActiveRun,
  call: ToolCall,
  outcome: CallOutcome,
  before: readonly EventDraft[] = [],
  cause?: string,
): Promise<ToolResult> {
  const data = await sealOutcome(runtime.parts, call, outcome)
  await runtime.drive([...before, { type: 'tool.finished', actor: systemActor, cause, data }])
  return toResult(data)
}

/** Starts it: `tool.started` is durable before the tool runs. */
async function start(
  active: ActiveRun,
  tool: Tool,
  call: ToolCall,
  before: readonly EventDraft[] = [],
  remembered?: RememberedCall,
): Promise<ToolResult> {
  const { callId, input } = call
  const data = { callId, input, ...(remembered && { remembered }) }
  const started: EventDraft = { type: 'tool.started', actor: active.runtime.agentActor, data }
  const events = await appendUnpaused(active, [...before, started], tool.effect !== 'read')
  throwIfStopped(active)
  return run(active, tool, call, input, events.at(-1)?.id)
}

/** Where the work is more than reading, a pause or a person who takes control is waited for, if that gets into the log first. */
async function appendUnpaused(active: ActiveRun, drafts: readonly EventDraft[], careful: boolean): Promise<readonly Event[]> {
  const { runtime } = active
  const check = (): void => {
    if (isHeld(runtime.state)) throw pausedMeanwhile
  }
  for (;;) {
    // What is different before it starts is not its work.
    if (careful) await lookAround(active)
    try {
      return await runtime.drive(drafts, careful ? check : undefined)
    } catch (error) {
      if (error !== pausedMeanwhile) throw error
      await ready(active)
    }
  }
}

async function run(active: ActiveRun, tool: Tool, call: ToolCall, input: unknown, cause: string | undefined): Promise<ToolResult> {
  const begun = performance.now()
  const stop = stopOnTakeover(active)
  const outcome = await settle(active, tool, input, createToolContext({ ...active, signal: stop.signal }, call, cause)).finally(
    stop.release,
  )
  return finish(active, call, { ...outcome, ms: Math.round((performance.now() - begun) * 10) / 10 }, [], cause)
}

/** A signal for one call: aborts with the run, and when a person takes control and does not want to wait. */
function stopOnTakeover({ runtime, signal }: ActiveRun): { readonly signal: AbortSignal; release(): void } {
  const own = new AbortController()
  const abort = (): void => own.abort(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  const off = runtime.stream.on('control.taken', ({ data, actor }) => {
    if (data.running === 'cancel') own.abort(new BatonError('ABORTED', `${actor.name ?? actor.id} took control of the sandbox.`))
  })
  return {
    signal: own.signal,
    release() {
      off()
      signal.removeEventListener('abort', abort)
    },
  }
}

async function settle(active: ActiveRun, tool: Tool, input: unknown, context: ToolContext): Promise<CallOutcome> {
  const { signal } = active
  try {
    return presentResult(tool, input, await withGrace(Promise.resolve(tool.run(input, context)), context.signal, abortGraceMs))
  } catch (error) {
    // Nobody here may write about it: it is for the next driver to say that it was interrupted.
    if (isLetGo(signal)) throw signal.reason
    if (BatonError.isInstance(error, 'LOST_OWNERSHIP')) throw error
    if (context.signal.aborted) {
      const why = signal.aborted ? '' : ` ${messageOf(context.signal.reason)}`
      return { outcome: 'cancelled', text: `The call was stopped before it was finished; part of its work may be done.${why}` }
    }
    const code = BatonError.isInstance(error) ? error.code : 'TOOL_FAILED'
    return { outcome: 'failed', text: `${code}: ${messageOf(error)}`, error: { code, message: messageOf(error) } }
  }
}

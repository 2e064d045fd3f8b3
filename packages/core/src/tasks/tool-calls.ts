import { BatonError, messageOf } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { Event, EventDraft } from '../events/event.ts'
import { until } from '../events/event-stream.ts'
import type { ToolFinished } from '../events/tool-events.ts'
import { boundText } from '../sandbox/bounded-output.ts'
import type { Decision, Tool, ToolCall, ToolContext, ToolResult } from '../tools/tool.ts'
import { ask } from './questions.ts'
import type { ActiveRun } from './run-context.ts'
import { ready, throwIfStopped } from './run-context.ts'

/** Data of a result beyond this is left out of the event; the text stays. */
const maxDataBytes = 64 * 1024
/** How long a tool may take to stop after an abort before it is left to itself. */
const abortGraceMs = 2_000
const pausedMeanwhile = Symbol('paused meanwhile')

/**
 * Runs a tool call in its steps: find it in the log, check it, decide, start, finish. Each step is in the log before the next, so that a
 * call that is made again after a crash goes on where it was.
 */
export async function callTool(active: ActiveRun, call: ToolCall): Promise<ToolResult> {
  const known = active.runtime.state.calls.get(call.callId)
  if (known?.finishedSeq !== undefined) return readResult(active, known.finishedSeq)
  await ready(active)
  const tool = active.runtime.parts.tools.get(call.tool)
  if (!known) {
    const refusal = refuseUnusable(active, tool, call)
    if (refusal !== undefined) return refusal
  }
  // The tool may be gone after a restart with other options; what was asked then has no one to run it.
  if (!tool) return finish(active, call, { outcome: 'failed', output: `There is no tool "${call.tool}" any more.` })
  const input = known?.started ? known.input : tool.input.parse(call.input)
  if (known?.started) return run(active, tool, call, input, false)
  return decide(active, tool, { ...call, input })
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
function refuseUnusable(active: ActiveRun, tool: Tool | undefined, call: ToolCall): Promise<ToolResult> | undefined {
  const { parts } = active.runtime
  const problem =
    call.malformed !== undefined
      ? `The arguments are no valid JSON: ${call.malformed}. Call the tool again with correct JSON.`
      : !tool
        ? `There is no tool "${call.tool}". The tools are: ${[...parts.tools.keys()].join(', ') || 'none'}.`
        : describeProblems(tool, call.input)
  if (problem === undefined) return undefined
  return finish(active, call, { outcome: 'invalid', output: problem }, [calledDraft(active, tool, call)])
}

function describeProblems(tool: Tool, input: unknown): string | undefined {
  const parsed = tool.input.safeParse(input)
  if (parsed.success) return undefined
  const problems = parsed.error.issues.map(({ path, message }) => `- ${path.map(String).join('.') || 'input'}: ${message}`)
  return `The input does not fit the tool "${tool.name}":\n${problems.join('\n')}`
}

function calledDraft({ runtime }: ActiveRun, tool: Tool | undefined, call: ToolCall): EventDraft {
  return {
    type: 'tool.called',
    actor: runtime.agentActor,
    data: { callId: call.callId, tool: call.tool, input: call.input, ...(tool && { effect: tool.effect }) },
  }
}

async function decide(active: ActiveRun, tool: Tool, call: ToolCall): Promise<ToolResult> {
  const { runtime, hold, signal } = active
  const known = runtime.state.calls.get(call.callId)
  const called = known ? [] : [calledDraft(active, tool, call)]
  const scope = `${tool.name}: ${tool.scope?.(call.input) ?? JSON.stringify(call.input)}`
  let approvalId = known?.approvalId
  if (approvalId === undefined) {
    const { decision, reason } = await askPolicy(active, tool, call)
    if (decision === 'deny') {
      return finish(
        active,
        call,
        { outcome: 'denied', output: reason ?? 'The policy does not allow this call. Do it another way, or ask.' },
        called,
      )
    }
    if (decision === 'allow' || runtime.state.remembered.has(scope)) return run(active, tool, call, call.input, true, called)
    approvalId = `a-${call.callId}`
    const request = {
      approvalId,
      callId: call.callId,
      tool: tool.name,
      input: call.input,
      reason: reason ?? `${tool.effect} needs approval`,
      scope,
    }
    await runtime.drive([...called, { type: 'approval.requested', actor: systemActor, data: request }])
  }
  const id = approvalId
  const decided = await waitOrCancel(active, call, () =>
    hold.yieldFor(() => until(runtime.stream, () => runtime.state.approvals.get(id)?.decision, signal, 'The approval')),
  )
  if ('outcome' in decided) return decided
  if (decided.decision === 'rejected') {
    return finish(active, call, { outcome: 'rejected', output: decided.feedback ?? 'A person rejected this call.' })
  }
  await ready(active)
  if (decided.input === undefined) return run(active, tool, call, call.input, true)
  // Checked when it was decided; parsed again here for the defaults.
  return run(active, tool, call, tool.input.parse(decided.input), true)
}

async function askPolicy({ runtime, signal }: ActiveRun, tool: Tool, call: ToolCall): Promise<Decision> {
  const { summary } = runtime.stream
  try {
    return await runtime.parts.policy.decide(call, {
      taskId: runtime.id,
      autonomy: summary?.autonomy ?? 'supervised',
      sensitivity: summary?.sensitivity ?? 'internal',
      effect: tool.effect,
      signal,
    })
  } catch (error) {
    return { decision: 'deny', reason: `The policy failed, so the call was not made: ${messageOf(error)}` }
  }
}

/** A cancel while waiting closes the call; other reasons leave it open for whoever drives the task next. */
async function waitOrCancel<T>(active: ActiveRun, call: ToolCall, wait: () => Promise<T>): Promise<T | ToolResult> {
  try {
    return await wait()
  } catch (error) {
    if (active.runtime.state.run?.cancelled) return finish(active, call, { outcome: 'cancelled', output: 'The run was cancelled.' })
    throw error
  }
}

type Outcome = Pick<ToolFinished, 'outcome' | 'output'> & Partial<Pick<ToolFinished, 'data' | 'error' | 'ms' | 'whole' | 'sensitivity'>>

async function finish(
  { runtime }: ActiveRun,
  call: ToolCall,
  outcome: Outcome,
  before: readonly EventDraft[] = [],
  cause?: string,
): Promise<ToolResult> {
  const data = { callId: call.callId, tool: call.tool, ms: 0, ...outcome }
  await runtime.drive([...before, { type: 'tool.finished', actor: systemActor, cause, data }])
  return toResult(data)
}

/** Runs it: `tool.started` is durable before, unless a call that only reads is made again after a crash. */
async function run(
  active: ActiveRun,
  tool: Tool,
  call: ToolCall,
  input: unknown,
  start: boolean,
  before: readonly EventDraft[] = [],
): Promise<ToolResult> {
  const { runtime } = active
  let cause = runtime.state.calls.get(call.callId)?.calledId
  if (start) {
    const started: EventDraft = { type: 'tool.started', actor: runtime.agentActor, data: { callId: call.callId, input } }
    const events = await appendUnpaused(active, [...before, started], tool.effect !== 'read')
    cause = events.at(-1)?.id
    throwIfStopped(active)
  }
  const begun = performance.now()
  const outcome = await settle(active, tool, input, toolContext(active, call, cause))
  return finish(active, call, { ...outcome, ms: Math.round((performance.now() - begun) * 10) / 10 }, [], cause)
}

/** Where the work is more than reading, a pause that gets into the log first is waited for. */
async function appendUnpaused(active: ActiveRun, drafts: readonly EventDraft[], careful: boolean): Promise<readonly Event[]> {
  const { runtime } = active
  const check = (): void => {
    if (runtime.state.run?.paused) throw pausedMeanwhile
  }
  for (;;) {
    try {
      return await runtime.drive(drafts, careful ? check : undefined)
    } catch (error) {
      if (error !== pausedMeanwhile) throw error
      await ready(active)
    }
  }
}

async function settle(active: ActiveRun, tool: Tool, input: unknown, context: ToolContext): Promise<Outcome> {
  try {
    const result = await withGrace(tool.run(input, context), active.signal)
    return await present(active, tool, input, result, context.callId)
  } catch (error) {
    // The log itself has refused: nothing can be written about it either.
    if (BatonError.isInstance(error, 'LOST_OWNERSHIP') || BatonError.isInstance(error, 'CLOSED')) throw error
    if (active.signal.aborted) {
      if (!active.runtime.state.run?.cancelled && !BatonError.isInstance(active.signal.reason, 'LIMIT_REACHED')) throw active.signal.reason
      return { outcome: 'cancelled', output: 'The call was stopped before it was finished; part of its work may be done.' }
    }
    const code = BatonError.isInstance(error) ? error.code : 'TOOL_FAILED'
    return { outcome: 'failed', output: `${code}: ${messageOf(error)}`, error: { code, message: messageOf(error) } }
  }
}

/** Waits for a tool, but not for ever for one that does not listen to its signal. */
function withGrace<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const abort = (): void => {
      timer = setTimeout(() => reject(signal.reason), abortGraceMs)
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    })
  })
}

async function present({ runtime }: ActiveRun, tool: Tool, input: unknown, result: unknown, callId: string): Promise<Outcome> {
  const { parts } = runtime
  const output = tool.output ? tool.output.parse(result) : result
  const own = isToolOutput(output) ? output : undefined
  const text = own ? own.text : typeof output === 'string' ? output : (JSON.stringify(output) ?? '')
  const data = own ? own.data : typeof output === 'string' ? undefined : output
  const bounded = boundText(text, parts.maxToolOutputBytes)
  const whole = bounded.droppedBytes > 0 ? await parts.blobs.put(Buffer.from(text)) : undefined
  const sources = [`tool:${tool.name}`, ...(tool.sources?.(input, output) ?? [])]
  const sensitivity = await parts.classifier?.classify(text, sources)
  return {
    outcome: own?.failed ? 'failed' : 'ok',
    output: whole ? `${bounded.text}\n[All of it is kept under the call id ${JSON.stringify(callId)}]` : bounded.text,
    ...(whole && { whole }),
    ...(data !== undefined && (JSON.stringify(data)?.length ?? 0) <= maxDataBytes && { data }),
    ...(sensitivity && { sensitivity }),
  }
}

function isToolOutput(value: unknown): value is { text: string; data?: unknown; failed?: boolean } {
  return typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string'
}

function toolContext(active: ActiveRun, call: ToolCall, cause: string | undefined): ToolContext {
  const { runtime, memory, sandbox, signal } = active
  let asked = 0
  return {
    taskId: runtime.id,
    callId: call.callId,
    signal,
    memory,
    maxOutputBytes: runtime.parts.maxToolOutputBytes,
    sandbox: () => sandbox.get(signal),
    output(stream, text) {
      if (!runtime.stream.watched) return
      runtime.stream.sendLive({
        taskId: runtime.id,
        after: runtime.stream.lastSeq,
        cause: cause ?? call.callId,
        type: 'command.output',
        data: { stream, text },
      })
    },
    async record(record) {
      await runtime.drive([{ ...record, actor: runtime.agentActor, cause } as EventDraft])
    },
    ask: (question, options) => ask(active, question, { key: `${call.callId}/${asked++}`, callId: call.callId, ...options }),
    async wholeOutput(callId) {
      const seq = runtime.state.calls.get(callId)?.finishedSeq
      if (seq === undefined) return undefined
      for await (const event of runtime.stream.read({ after: seq - 1, limit: 1 })) {
        if (event.type !== 'tool.finished') break
        const { data } = event as Event<'tool.finished'>
        return data.whole ? runtime.parts.blobs.get(data.whole) : Buffer.from(data.output)
      }
      return undefined
    },
  }
}

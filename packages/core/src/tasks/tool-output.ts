import { messageOf } from '../errors.ts'
import type { ToolFinished } from '../events/tool-events.ts'
import { boundText } from '../sandbox/bounded-output.ts'
import type { Tool } from '../tools/tool.ts'
import { labelOf } from './labels.ts'
import type { BatonParts } from './runtime.ts'

/** Data of a result beyond this is left out of the event; the text stays. */
const maxDataBytes = 64 * 1024

/** What a call came to, before it is made fit for the log. */
export interface CallOutcome {
  readonly outcome: ToolFinished['outcome']
  readonly text: string
  readonly data?: unknown
  readonly error?: ToolFinished['error']
  readonly ms?: number
  /** Where the text comes from, besides the tool. */
  readonly sources?: readonly string[]
}

/** What a tool returned, as the model reads it and as data. */
export function presentResult(tool: Tool, input: unknown, result: unknown): CallOutcome {
  const parsed = tool.output?.safeParse(result)
  if (parsed && !parsed.success) {
    const message = `The tool ran, but its result does not fit its output schema: ${parsed.error.message}`
    return { outcome: 'failed', text: message, error: { code: 'TOOL_FAILED', message } }
  }
  const output = parsed ? parsed.data : result
  const sources = tool.sources?.(input, output)
  if (isToolOutput(output))
    return { outcome: output.failed ? 'failed' : 'ok', text: output.text, data: output.data, ...(sources && { sources }) }
  if (typeof output === 'string') return { outcome: 'ok', text: output, ...(sources && { sources }) }
  return { outcome: 'ok', text: JSON.stringify(output) ?? '', data: output, ...(sources && { sources }) }
}

function isToolOutput(value: unknown): value is { text: string; data?: unknown; failed?: boolean } {
  return typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string'
}

/** Makes an outcome fit for the log: labelled, and bounded with the whole kept aside. Content that cannot be labelled is withheld. */
export async function sealOutcome(
  parts: BatonParts,
  call: { readonly callId: string; readonly tool: string },
  { outcome, text, data, error, ms = 0, sources = [] }: CallOutcome,
): Promise<ToolFinished> {
  const { callId, tool } = call
  const label = await labelOf(parts, text, [`tool:${tool}`, ...sources]).catch((failure: unknown) => messageOf(failure))
  if (typeof label === 'string') {
    const message = `The result is withheld, since it could not be labelled: ${boundText(label, 500).text}`
    return { callId, tool, outcome: 'failed', output: message, error: { code: 'CLASSIFIER_FAILED', message }, ms }
  }
  return {
    callId,
    tool,
    outcome,
    ...(await bound(parts, callId, text)),
    ...(data !== undefined && (JSON.stringify(data)?.length ?? 0) <= maxDataBytes && { data }),
    ...(error && { error: { ...error, message: boundText(error.message, 2_000).text } }),
    ...label,
    ms,
  }
}

async function bound(
  { blobs, maxToolOutputBytes }: BatonParts,
  callId: string,
  text: string,
): Promise<Pick<ToolFinished, 'output' | 'whole'>> {
  const bounded = boundText(text, maxToolOutputBytes)
  if (bounded.droppedBytes === 0) return { output: text }
  try {
    const whole = await blobs.put(Buffer.from(text))
    return { output: `${bounded.text}\n[All of it is kept under the call id ${JSON.stringify(callId)}]`, whole }
  } catch (error) {
    // The work is done: that is not untrue for want of a place to keep all it said.
    return { output: `${bounded.text}\n[What was left out could not be kept: ${messageOf(error)}]` }
  }
}

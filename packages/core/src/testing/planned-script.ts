import type { ModelMessage, ModelRequest } from '../models/model.ts'
import type { ScriptedReply, ScriptedStep } from './script.ts'

/** A call of a plan. Within a plan, tool and input together are unique. */
export interface PlannedCall {
  readonly tool: string
  readonly input: unknown
}

/** What a planned model does: each group of calls is one reply; `text` is the last. */
export interface Plan {
  readonly calls: readonly (readonly PlannedCall[])[]
  readonly text: string
}

/**
 * A script that works through a plan and keeps nothing of its own: the next reply follows from the request alone, so that it is the same before
 * and after a crash. A call that was interrupted, or never run, is proposed again, as a new call.
 */
export function plannedScript(planFor: (request: ModelRequest) => Plan): (request: ModelRequest) => ScriptedStep {
  return (request) => {
    const plan = planFor(request)
    const done = doneCalls(request.messages)
    for (const group of plan.calls) {
      const left = group.filter((call) => !done.has(keyOf(call.tool, JSON.stringify(call.input))))
      if (left.length > 0) return { toolCalls: left } satisfies ScriptedReply
    }
    return { text: plan.text }
  }
}

/** The text of everything that people (and the system) have written in a request, joined. */
export function userText(request: ModelRequest): string {
  const texts = request.messages.flatMap((message) => (message.role === 'user' ? message.parts : []))
  return texts.map((part) => (part.type === 'text' ? part.text : '')).join('\n')
}

function doneCalls(messages: readonly ModelMessage[]): Set<string> {
  const keys = new Map<string, string>()
  const done = new Set<string>()
  for (const message of messages) {
    if (message.role === 'assistant')
      for (const { callId, tool, arguments: input } of message.toolCalls) keys.set(callId, keyOf(tool, input))
    const key = message.role === 'tool' ? keys.get(message.callId) : undefined
    if (key !== undefined && message.role === 'tool' && !/^\[(interrupted|cancelled)\]|^This call was not run/.test(message.text))
      done.add(key)
  }
  return done
}

function keyOf(tool: string, input: string): string {
  return `${tool} ${input}`
}

import type { Contestant, Setup } from '../contestant.ts'
import { goal, instructions, toolDescription, toolName, toolParameters } from '../contestant.ts'

interface Call {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

/** A message of the chat-completions API. */
export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string | null
  tool_calls?: Call[]
  tool_call_id?: string
}

export const tools = [{ type: 'function' as const, function: { name: toolName, description: toolDescription, parameters: toolParameters } }]

/** The loop that all have to run, and nothing else. */
export async function runLoop({ add }: Setup, ask: (messages: readonly ChatMessage[]) => Promise<ChatMessage>): Promise<string> {
  const messages: ChatMessage[] = [
    { role: 'system', content: instructions },
    { role: 'user', content: goal },
  ]
  for (;;) {
    const message = await ask(messages)
    messages.push(message)
    if (!message.tool_calls?.length) return message.content ?? ''
    for (const call of message.tool_calls)
      messages.push({ role: 'tool', tool_call_id: call.id, content: String(add(JSON.parse(call.function.arguments))) })
  }
}

/** Sends a request the way all floors do. */
export async function post({ baseUrl }: Setup, body: object): Promise<Response> {
  const response = await fetch(`${baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer none' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return response
}

export default {
  label: 'fetch',
  packages: [],
  path: 'bare fetch, not streamed: a floor',
  open: (setup) => ({
    run: () =>
      runLoop(setup, async (messages) => {
        const response = await post(setup, { model: setup.model, messages, tools })
        const { choices } = (await response.json()) as { choices: [{ message: ChatMessage }] }
        return choices[0].message
      }),
  }),
} satisfies Contestant

import type { Contestant } from '../contestant.ts'
import type { ChatMessage } from './fetch.ts'
import { post, runLoop, tools } from './fetch.ts'

interface Chunk {
  choices: {
    delta: { content?: string; tool_calls?: { index: number; id?: string; function?: { name?: string; arguments?: string } }[] }
  }[]
}

/** Reads a stream into one message with as little as possible. */
export async function readStream(response: Response): Promise<ChatMessage> {
  const message: ChatMessage = { role: 'assistant', content: null }
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of response.body ?? []) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.startsWith('data: ') && line !== 'data: [DONE]') take(message, JSON.parse(line.slice(6)))
  }
  return message
}

function take(message: ChatMessage, { choices }: Chunk): void {
  const delta = choices[0]?.delta
  if (delta?.content) message.content = (message.content ?? '') + delta.content
  for (const { index, id, function: target } of delta?.tool_calls ?? []) {
    message.tool_calls ??= []
    message.tool_calls[index] ??= { id: '', type: 'function', function: { name: '', arguments: '' } }
    const call = message.tool_calls[index]
    call.id ||= id ?? ''
    call.function.name ||= target?.name ?? ''
    call.function.arguments += target?.arguments ?? ''
  }
}

export default {
  label: 'fetch, streamed',
  packages: [],
  path: 'bare fetch, server-sent events parsed: the floor of all that stream',
  open: (setup) => ({
    run: () =>
      runLoop(setup, async (messages) =>
        readStream(await post(setup, { model: setup.model, messages, tools, stream: true, stream_options: { include_usage: true } })),
      ),
  }),
} satisfies Contestant

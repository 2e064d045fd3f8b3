import type { ModelRequest } from '@baton-sdk/core/plugin'

/** What a request is about: its first message from a user, which is the task's goal where the prompt is a task's log. */
export function taskText({ messages }: ModelRequest): string {
  const first = messages.find((message) => message.role === 'user')
  if (first?.role !== 'user') return ''
  return first.parts.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n')
}

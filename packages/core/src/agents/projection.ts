import type { Event, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { ModelFinished } from '../events/model-events.ts'
import { estimateMessageTokens, estimateTokens } from '../models/estimate-tokens.ts'
import type { MessagePart, ModelMessage } from '../models/model.ts'
import { describeOutsideWork, isOutsideWork, maxAccount } from './outside-work.ts'

/** A message with where it came from. */
interface Entry {
  readonly message: ModelMessage
  readonly tokens: number
  /** The last seq that was known when it was put in its place. */
  readonly upTo: number
  /** Begins with a reply of a model: a place where the list can be cut without tearing calls from their results. */
  readonly cut: boolean
}

/**
 * The prompt that a log stands for. It only grows, and only at model calls, so that each prompt begins with the one before it and
 * providers' prompt caches hit; a compaction starts it anew. Within a step: the reply, the results of its calls in call order, then what
 * else came in.
 */
export interface Projection {
  /** Rises with each compaction. */
  readonly number: number
  /** The messages up to the last `advance`. The array is replaced by a compaction, and only grows otherwise. */
  readonly messages: readonly ModelMessage[]
  /** Estimated size of `messages`. */
  readonly tokens: number
  /** Estimated size of what the next `advance` may add. */
  readonly pendingTokens: number
  apply(event: LoggedEvent): void
  /** Puts everything up to this seq in its place. */
  advance(upTo: number): void
  /**
   * The conversation was set back, which cannot be undone from what is in memory: `rebuild` has to be called before the next `advance`.
   */
  readonly stale: boolean
  /** Makes it anew from the log, without what was set back. */
  rebuild(read: (after: number) => AsyncIterable<LoggedEvent>): Promise<void>
  /** Where a compaction could cut so that at most `keepTokens` stay: the seq its summary would stand for, and the messages it replaces. */
  cutFor(keepTokens: number): { readonly upTo: number; readonly replaced: readonly ModelMessage[] } | undefined
}

/** Starts the projection of a log. */
export function createProjection(): Projection {
  let number = 0
  let entries: Entry[] = []
  let messages: ModelMessage[] = []
  let tokens = 0
  let goal: ModelMessage | undefined
  let agent: string | undefined
  let started = false
  let pending: Event[] = []
  let lastSeq = 0
  let stale = false
  const logPrompts = new Set<string>()

  function reset(): void {
    entries = []
    messages = []
    tokens = 0
    goal = undefined
    started = false
    pending = []
    logPrompts.clear()
  }

  function add(message: ModelMessage, upTo: number, cut = false): void {
    const size = estimateMessageTokens(message)
    entries.push({ message, tokens: size, upTo, cut })
    messages.push(message)
    tokens += size
  }

  function advance(upTo: number): void {
    if (pending.length === 0 || (pending[0] as Event).seq > upTo) return
    const due = pending.filter((event) => event.seq <= upTo)
    const returned = new Set(due.map((event) => (event.type === 'control.returned' ? event.data.leaseId : undefined)))
    // Who took control is told of with how it ended.
    const held = due.filter((event) => event.type === 'control.taken' && !returned.has(event.data.leaseId))
    const batch = due.filter((event) => !held.includes(event))
    pending = [...held, ...pending.filter((event) => event.seq > upTo)]
    const results = new Map<string, Event<'tool.finished'>>()
    for (const event of batch) if (event.type === 'tool.finished') results.set(event.data.callId, event)
    const placed = new Set<string>()
    for (const event of batch) {
      if (event.type !== 'model.finished') continue
      add(assistantMessage(event.data), upTo, true)
      for (const call of event.data.toolCalls) {
        placed.add(call.callId)
        const result = results.get(call.callId)
        add(
          {
            role: 'tool',
            callId: call.callId,
            tool: call.tool,
            text: result ? toolText(result.data) : 'This call was not run.',
            failed: result?.data.outcome !== 'ok',
          },
          upTo,
        )
      }
    }
    const outside = batch.filter((event) => isOutsideWork(event, agent))
    if (outside.length > 0) add(user(describeOutsideWork(outside, agent)), upTo)
    for (const event of batch) {
      if (event.type === 'tool.finished' && !placed.has(event.data.callId)) {
        add(user(`Result of the earlier call ${event.data.callId} (${event.data.tool}): ${toolText(event.data)}`), upTo)
      } else {
        const message = otherMessage(event, agent)
        if (message) add(message, upTo)
      }
    }
  }

  function apply(event: LoggedEvent): void {
    lastSeq = event.seq
    if (!isKnown(event)) return
    switch (event.type) {
      case 'task.created':
        goal = user(event.data.goal)
        agent = event.data.agent
        add(goal, event.seq)
        return
      case 'run.started':
        if (started && event.data.trigger === 'start') pending.push(event)
        started = true
        return
      case 'model.called':
        if (event.data.prompt === 'log') logPrompts.add(event.data.modelCallId)
        if (!stale) advance(event.data.upTo)
        return
      case 'model.finished':
        if (logPrompts.delete(event.data.modelCallId)) pending.push(event)
        return
      case 'tool.finished':
      case 'message.sent':
        pending.push(event)
        return
      case 'context.compacted':
        compactTo(event)
        return
      case 'checkpoint.restored':
        stale = true
        return
      default:
        if (isOutsideWork(event, agent)) pending.push(event)
    }
  }

  function compactTo({ data }: Event<'context.compacted'>): void {
    number = Math.max(number + 1, data.projection)
    const kept = entries.filter((entry) => entry.upTo > data.upTo)
    entries = []
    messages = []
    tokens = 0
    if (goal) add(goal, data.upTo)
    add(user(`What was done so far, in short, since the conversation became too long:\n\n${data.summary}`), data.upTo)
    for (const entry of kept) add(entry.message, entry.upTo, entry.cut)
  }

  return {
    get number() {
      return number
    },
    get stale() {
      return stale
    },
    async rebuild(read) {
      const log: LoggedEvent[] = []
      // What comes in while it is read belongs to it too; what the store has and nobody was told of yet is applied later, like everything.
      while ((log.at(-1)?.seq ?? 0) < lastSeq) {
        for await (const event of read(log.at(-1)?.seq ?? 0)) {
          if (event.seq > lastSeq) break
          log.push(event)
        }
      }
      const upTo = lastSeq
      const next = number + 1
      const said = withoutSetBack(log)
      reset()
      stale = false
      for (const event of said) apply(event)
      lastSeq = upTo
      number = Math.max(next, number)
    },
    get messages() {
      return messages
    },
    get tokens() {
      return tokens
    },
    get pendingTokens() {
      let outside = 0
      let rest = 0
      for (const event of pending) {
        if (isOutsideWork(event, agent)) outside += sizeOf(event)
        else rest += sizeOf(event)
      }
      // However much others did, the account of it is bounded.
      return rest + Math.min(outside, mostOutsideTokens)
    },
    advance,
    apply,
    cutFor(keepTokens) {
      let kept = 0
      let best: number | undefined
      for (let index = entries.length - 1; index > 1; index--) {
        const entry = entries[index] as Entry
        kept += entry.tokens
        if (kept > keepTokens) break
        // Everything before the cut has to be older by its `upTo`, since that is how the kept part is told apart on a replay.
        if (entry.cut && (entries[index - 1] as Entry).upTo < entry.upTo) best = index
      }
      const index = best ?? entries.length
      const last = entries[index - 1]
      return last && index > 2 ? { upTo: last.upTo, replaced: messages.slice(1, index) } : undefined
    },
  }
}

/** One event of a conversation, behind those before it. */
interface Said {
  readonly event: LoggedEvent
  readonly before: Said | undefined
}

/** The events that the conversation still stands on. Each time it was set back it is again as it was at that place, which may itself have been left out since. */
function withoutSetBack(log: readonly LoggedEvent[]): readonly LoggedEvent[] {
  const states = new Map<number, Said | undefined>()
  let last: Said | undefined
  for (const event of log) {
    if (isKnown(event) && event.type === 'checkpoint.restored') last = states.get(event.data.toSeq)
    else last = { event, before: last }
    states.set(event.seq, last)
  }
  const kept: LoggedEvent[] = []
  for (let said = last; said; said = said.before) kept.push(said.event)
  return kept.reverse()
}

function assistantMessage(reply: ModelFinished): ModelMessage {
  return {
    role: 'assistant',
    text: reply.refusal && !reply.text ? reply.refusal : reply.text,
    toolCalls: reply.toolCalls.map((call) => ({
      callId: call.callId,
      tool: call.tool,
      arguments: call.malformed !== undefined && typeof call.input === 'string' ? call.input : (JSON.stringify(call.input) ?? '{}'),
    })),
    ...(reply.reasoning !== undefined && { reasoning: reply.reasoning }),
    ...(reply.opaque !== undefined && { opaque: reply.opaque }),
  }
}

function sizeOf(event: Event): number {
  switch (event.type) {
    case 'model.finished':
      return estimateMessageTokens(assistantMessage(event.data))
    case 'tool.finished':
      return estimateTokens(event.data.output)
    case 'message.sent':
      return estimateTokens(event.data.text)
    case 'file.changed':
      return estimateTokens(event.data.path) + estimateTokens(event.data.diff ?? '')
    case 'command.started':
      return estimateTokens([event.data.command].flat().join(' '))
    case 'control.returned':
      return estimateTokens(event.data.note ?? '')
    default:
      return 0
  }
}

/** What the account of others' work can come to. */
const mostOutsideTokens = estimateTokens(' '.repeat(maxAccount))

function toolText(result: Event<'tool.finished'>['data']): string {
  return result.outcome === 'ok' || result.outcome === 'failed' ? result.output : `[${result.outcome}] ${result.output}`
}

function otherMessage(event: Event, agent: string | undefined): ModelMessage | undefined {
  if (event.type === 'run.started') return user('Go on with the task.')
  if (event.type !== 'message.sent') return undefined
  const { actor, data } = event
  if (actor.kind === 'agent' && actor.id === agent) return { role: 'assistant', text: data.text, toolCalls: [] }
  const name = actor.kind === 'system' ? undefined : (actor.name ?? (actor.id === 'user' ? undefined : actor.id))
  const images = (data.attachments ?? [])
    .filter(({ mediaType }) => mediaType.startsWith('image/'))
    .map(({ mediaType, blob }): MessagePart => ({ type: 'image-ref', mediaType, blob }))
  return { role: 'user', parts: [{ type: 'text', text: name === undefined ? data.text : `${name}: ${data.text}` }, ...images] }
}

function user(text: string): ModelMessage {
  return { role: 'user', parts: [{ type: 'text', text }] }
}

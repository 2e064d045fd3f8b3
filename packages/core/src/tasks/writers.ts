import type { Actor } from '../events/envelope.ts'
import { actorKey, systemActor } from '../events/envelope.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'

/** Somebody who may have written to the sandbox, other than by what is recorded. */
export interface Writer {
  readonly actor: Actor
  /** The tool call by which, where there is one. */
  readonly callId?: string | undefined
  /** It is a person who has control. */
  readonly holds?: boolean | undefined
}

/** Keeps account of who may have written between two looks at the files. Times are seqs, with fractions for what is not in the log. */
export interface Writers {
  apply(event: LoggedEvent): void
  /** All who may have written since the window was closed last. */
  current(): readonly Writer[]
  /** The time now, to close the window at. Take it right before a look. */
  mark(): number
  /** The files were looked at then: from there on only those count who were still at it, or began later. */
  closeWindow(mark: number): void
  /** Something outside of the log begins to write, as a check does; call what it returns when that is over. */
  begin(actor: Actor): () => void
}

interface Entry {
  readonly writer: Writer
  endedAt?: number
}

/** Commands that the SDK itself runs, as checks are. */
export const checksActor: Actor = systemActor
const tick = 1e-6

/** Starts the account. */
export function createWriters(): Writers {
  const entries = new Map<string, Entry>()
  const effects = new Map<string, string | undefined>()
  /** Calls that said themselves what they wrote. */
  const told = new Set<string>()
  let now = 0

  function begin(key: string, writer: Writer): void {
    entries.set(key, { writer })
  }

  function end(key: string): void {
    const entry = entries.get(key)
    if (entry) entry.endedAt ??= now
  }

  function endAll(kinds: readonly string[]): void {
    for (const key of entries.keys()) if (kinds.some((kind) => key.startsWith(kind))) end(key)
  }

  function closeWindow(mark: number): void {
    for (const [key, { endedAt }] of entries) if (endedAt !== undefined && endedAt <= mark) entries.delete(key)
  }

  type Handlers = { [K in Event['type']]?: (event: Event<K>) => void }
  const handlers: Handlers = {
    'tool.called': ({ data }) => void effects.set(data.callId, data.effect),
    'tool.started': ({ data, actor }) => {
      if (effects.get(data.callId) !== 'read') begin(`call ${data.callId}`, { actor, callId: data.callId })
    },
    'tool.finished': ({ data }) => {
      const key = `call ${data.callId}`
      // A tool that only changes files, and says which, has written nothing else.
      if (effects.get(data.callId) === 'write' && told.has(data.callId)) entries.delete(key)
      else end(key)
      effects.delete(data.callId)
      told.delete(data.callId)
    },
    'file.changed': ({ data }) => {
      if (data.evidence === 'tool' && data.callId !== undefined && effects.has(data.callId)) told.add(data.callId)
    },
    'command.started': ({ data, actor }) => begin(`command ${data.commandId}`, { actor, callId: data.callId }),
    'command.finished': ({ data }) => end(`command ${data.commandId}`),
    'control.taken': ({ data, actor }) => begin(`lease ${data.leaseId}`, { actor, holds: true }),
    'control.returned': ({ data }) => end(`lease ${data.leaseId}`),
    'task.delegated': ({ data }) => {
      if (data.sharesSandbox !== undefined) begin(`task ${data.childId}`, { actor: { kind: 'agent', id: data.sharesSandbox } })
    },
    'task.settled': ({ data }) => end(`task ${data.childId}`),
    'sandbox.lost': () => entries.clear(),
    'sandbox.closed': () => entries.clear(),
    'task.forked': () => entries.clear(),
    'run.finished': () => endAll(['call ', 'task ']),
    'checkpoint.created': ({ data }) => closeWindow(data.upTo),
  }

  return {
    closeWindow,
    apply(event) {
      now = event.seq
      if (isKnown(event)) (handlers[event.type] as ((event: Event) => void) | undefined)?.(event)
    },
    current() {
      const writers = new Map<string, Writer>()
      for (const { writer } of entries.values()) {
        const key = actorKey(writer.actor)
        const known = writers.get(key)
        if (!known) writers.set(key, writer)
        // Several calls of one actor: which of them it was cannot be said.
        else
          writers.set(key, {
            ...known,
            callId: known.callId === writer.callId ? known.callId : undefined,
            holds: known.holds || writer.holds,
          })
      }
      return [...writers.values()]
    },
    mark() {
      const mark = now
      now += tick
      return mark
    },
    begin(actor) {
      now += tick
      const key = `other ${now}`
      begin(key, { actor })
      return () => {
        now += tick
        end(key)
      }
    },
  }
}

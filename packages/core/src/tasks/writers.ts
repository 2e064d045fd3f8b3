import type { Actor } from '../events/envelope.ts'
import { actorKey } from '../events/envelope.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'

/** Somebody who may have written to the sandbox, other than by what is recorded. */
export interface Writer {
  readonly actor: Actor
  /** The tool call by which, where there is one. */
  readonly callId?: string | undefined
  /** It is a person who has control. */
  readonly holds?: boolean | undefined
  /** Nobody watched over it all the time, so that it cannot be said that nobody else wrote. */
  readonly unsure?: boolean | undefined
}

/** Keeps account of who may have written between two looks at the files. Times are seqs, with fractions for what is not in the log. */
export interface Writers {
  apply(event: LoggedEvent): void
  /**
   * All who may have written since the window was closed last. With the mark of a look, without who has taken control since: before they can work there is
   * another look.
   */
  current(mark?: number): readonly Writer[]
  /** The time now, to close the window at. Take it right before a look. */
  mark(): number
  /** The files were looked at then: from there on only those count who were still at it, or began later. */
  closeWindow(mark: number): void
  /** Commands that somebody began and that have not ended, as far as the log tells. */
  openCommands(actor: Actor): readonly string[]
}

interface Entry {
  readonly writer: Writer
  readonly begunAt: number
  endedAt?: number
  unsure?: boolean
}

const tick = 1e-6
const commandPrefix = 'command '

/** Starts the account. */
export function createWriters(): Writers {
  const entries = new Map<string, Entry>()
  const effects = new Map<string, string | undefined>()
  /** Calls that said themselves what they wrote. */
  const told = new Set<string>()
  let now = 0
  /** The last look failed, as far as the log says: what it should have told apart is not. */
  let blind = false
  let blindAt = 0

  function begin(key: string, writer: Writer): void {
    entries.set(key, { writer, begunAt: now })
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

  /** Each model call, and the end of a run, has a look before it, also where that found nothing to write down. */
  function forgetCalls(): void {
    if (blind || [...entries.keys()].some((key) => key.startsWith('lease '))) return
    for (const [key, { endedAt, unsure }] of entries) if (endedAt !== undefined && !unsure && /^(call|task) /.test(key)) entries.delete(key)
  }

  function doubt(key: string): void {
    const entry = entries.get(key)
    if (entry) entry.unsure = true
  }

  type Handlers = { [K in Event['type']]?: (event: Event<K>) => void }
  const handlers: Handlers = {
    'tool.called': ({ data }) => void effects.set(data.callId, data.effect),
    'tool.started': ({ data, actor }) => {
      if (effects.get(data.callId) !== 'read') begin(`call ${data.callId}`, { actor, callId: data.callId })
    },
    'tool.finished': ({ data }) => {
      const key = `call ${data.callId}`
      // Its command, where that has ended before it, is a part of it.
      for (const [other, { writer, endedAt }] of entries) {
        if (other !== key && writer.callId === data.callId && (endedAt !== undefined || data.outcome === 'interrupted'))
          entries.delete(other)
      }
      // What has become of it nobody knows; and a write that was refused has written nothing.
      if (data.outcome === 'interrupted' || (effects.get(data.callId) === 'write' && data.outcome !== 'ok')) doubt(key)
      // A tool that only changes files, and says which, has written nothing else, if it came to its end.
      if (effects.get(data.callId) === 'write' && told.has(data.callId) && data.outcome === 'ok') entries.delete(key)
      else end(key)
      // Nobody is there any more to say how its commands ended.
      if (data.outcome === 'interrupted') for (const [id, { writer }] of entries) if (writer.callId === data.callId) end(id)
      effects.delete(data.callId)
      told.delete(data.callId)
    },
    'file.changed': ({ data }) => {
      if (data.evidence === 'tool' && data.callId !== undefined && effects.has(data.callId)) told.add(data.callId)
    },
    'command.started': ({ data, actor }) => begin(commandPrefix + data.commandId, { actor, callId: data.callId }),
    'command.finished': ({ data }) => end(commandPrefix + data.commandId),
    'control.taken': ({ data, actor }) => begin(`lease ${data.leaseId}`, { actor, holds: true }),
    'control.returned': ({ data, seq }) => {
      const key = `lease ${data.leaseId}`
      // It is returned together with a look; what comes after that is not its holder's. Where that failed it may be.
      if (blindAt !== seq - 1) return void entries.delete(key)
      const entry = entries.get(key)
      if (entry) entries.set(key, { ...entry, writer: { actor: entry.writer.actor }, endedAt: seq, unsure: true })
    },
    'warning.raised': ({ data, seq }) => {
      if (data.code !== 'no-snapshot') return
      blind = true
      blindAt = seq
    },
    'model.called': ({ data }) => {
      if (data.prompt === 'log') forgetCalls()
    },
    // Between two drivers nobody watched.
    'driver.claimed': () => {
      for (const key of entries.keys()) if (!key.startsWith('lease ')) doubt(key)
    },
    'task.delegated': ({ data }) => {
      if (data.sharesSandbox !== undefined) begin(`task ${data.childId}`, { actor: { kind: 'agent', id: data.sharesSandbox } })
    },
    'task.settled': ({ data }) => end(`task ${data.childId}`),
    'sandbox.lost': () => entries.clear(),
    'sandbox.closed': () => entries.clear(),
    'task.forked': () => entries.clear(),
    'run.finished': () => {
      forgetCalls()
      endAll(['call ', 'task '])
    },
    'checkpoint.created': ({ data }) => {
      blind = false
      closeWindow(data.upTo)
    },
  }

  return {
    closeWindow,
    apply(event) {
      now = event.seq
      if (isKnown(event)) (handlers[event.type] as ((event: Event) => void) | undefined)?.(event)
    },
    current(mark = now) {
      const writers = new Map<string, Writer>()
      for (const { writer: plain, begunAt, unsure } of entries.values()) {
        if (plain.holds && begunAt > mark) continue
        const writer = unsure ? { ...plain, unsure } : plain
        const key = actorKey(writer.actor)
        const known = writers.get(key)
        if (!known) writers.set(key, writer)
        // Several calls of one actor: which of them it was cannot be said.
        else
          writers.set(key, {
            ...known,
            callId: known.callId === writer.callId ? known.callId : undefined,
            holds: known.holds || writer.holds,
            unsure: known.unsure || writer.unsure,
          })
      }
      return [...writers.values()]
    },
    openCommands(actor) {
      const open = [...entries].filter(([, { writer, endedAt }]) => endedAt === undefined && actorKey(writer.actor) === actorKey(actor))
      return open.flatMap(([key]) => (key.startsWith(commandPrefix) ? key.slice(commandPrefix.length) : []))
    },
    mark() {
      const mark = now
      now += tick
      return mark
    },
  }
}

import { z } from 'zod'
import type { Actor } from '../events/envelope.ts'
import { actorKey } from '../events/envelope.ts'
import type { Event, EventTypes, LoggedEvent } from '../events/event.ts'
import { isAside, isKnown } from '../events/event.ts'
import type { Spend } from '../events/task-events.ts'
import { parseOptions } from '../options.ts'
import type { OpenTask } from './open-task.ts'
import { addSpend, noSpend, spendOf } from './task-summary.ts'

/** What one file went through. */
export interface BriefedFile {
  readonly path: string
  /** From before the first change to after the last. */
  readonly change: 'created' | 'modified' | 'deleted'
  /** Who changed it, `kind:id`, each once. */
  readonly by: readonly string[]
  readonly addedLines?: number | undefined
  readonly removedLines?: number | undefined
  /** One unified diff after the other, as they were recorded. */
  readonly diffs: readonly string[]
}

/** A command that was run. */
export interface BriefedCommand {
  readonly by: Actor
  readonly command: string
  /** Null where there was no exit code; undefined while it runs. */
  readonly code: number | null | undefined
}

/** What was done on a task since a person last looked. */
export interface Briefing {
  /** Events behind this seq are told of, up to `upTo`: the next briefing begins there. */
  readonly since: number
  readonly upTo: number
  /** What others said. */
  readonly messages: readonly { readonly by: Actor; readonly text: string }[]
  readonly files: readonly BriefedFile[]
  readonly commands: readonly BriefedCommand[]
  readonly checks: readonly EventTypes['check.finished'][]
  /** How often each tool was called. */
  readonly tools: Readonly<Record<string, number>>
  readonly runs: readonly EventTypes['run.finished'][]
  readonly spent: Spend
  /** What waits for a person now. */
  readonly waiting: readonly string[]
  /** The same in words, bounded to about 8 KiB. */
  readonly text: string
}

/** Most characters of a briefing's text. */
const maxText = 8 * 1024
const BriefingOptions = z.strictObject({ since: z.int().nonnegative().optional() })

/**
 * Tells what others did since a person last looked: since their own last event, where nothing else is asked for.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export async function brief(
  { runtime, driving }: OpenTask,
  actor: Actor,
  options: { readonly since?: number | undefined },
): Promise<Briefing> {
  const { since } = parseOptions('briefing', BriefingOptions, options)
  const { stream } = runtime
  if (!driving) await stream.catchUp()
  const upTo = stream.lastSeq
  const from = since ?? (await lastSeqOf(stream.read(), actor))
  const fold = createFold(actor)
  for await (const event of stream.read({ after: from })) {
    if (event.seq > upTo) break
    if (isKnown(event)) fold.apply(event)
  }
  const waiting = stream.summary?.waiting.map(({ kind, text }) => `${kind}: ${text}`) ?? []
  const facts = { since: from, upTo, ...fold.facts(), waiting }
  return { ...facts, text: inWords(facts) }
}

async function lastSeqOf(events: AsyncIterable<LoggedEvent>, actor: Actor): Promise<number> {
  let last = 0
  for await (const event of events) if (actorKey(event.actor) === actorKey(actor)) last = event.seq
  return last
}

type Facts = Omit<Briefing, 'text'>

function createFold(reader: Actor): { apply(event: Event): void; facts(): Omit<Facts, 'since' | 'upTo' | 'waiting'> } {
  const messages: { by: Actor; text: string }[] = []
  const files = new Map<string, BriefedFile>()
  const commands = new Map<string, BriefedCommand>()
  const checks: EventTypes['check.finished'][] = []
  const tools: Record<string, number> = {}
  const runs: EventTypes['run.finished'][] = []
  let spent = noSpend

  function apply(event: Event): void {
    const cost = spendOf(event)
    if (cost) spent = addSpend(spent, cost)
    if (isAside(event)) return
    switch (event.type) {
      case 'message.sent':
        if (event.actor.kind !== 'system' && actorKey(event.actor) !== actorKey(reader))
          messages.push({ by: event.actor, text: event.data.text })
        return
      case 'model.finished':
        if (event.data.text !== '' && event.data.toolCalls.length === 0) messages.push({ by: event.actor, text: event.data.text })
        return
      case 'tool.called':
        tools[event.data.tool] = (tools[event.data.tool] ?? 0) + 1
        return
      case 'file.changed':
        files.set(event.data.path, merged(files.get(event.data.path), event))
        return
      case 'command.started': {
        const { command, commandId } = event.data
        commands.set(commandId, { by: event.actor, command: typeof command === 'string' ? command : command.join(' '), code: undefined })
        return
      }
      case 'command.finished': {
        const command = commands.get(event.data.commandId)
        if (command) commands.set(event.data.commandId, { ...command, code: event.data.code })
        return
      }
      case 'check.finished':
        checks.push(event.data)
        return
      case 'run.finished':
        runs.push(event.data)
        return
      default:
        return
    }
  }

  return { apply, facts: () => ({ messages, files: [...files.values()], commands: [...commands.values()], checks, tools, runs, spent }) }
}

function merged(before: BriefedFile | undefined, { actor, data }: Event<'file.changed'>): BriefedFile {
  const { path, change, addedLines, removedLines, diff } = data
  const sum = (a: number | undefined, b: number | undefined): number | undefined =>
    a === undefined && b === undefined ? undefined : (a ?? 0) + (b ?? 0)
  const whole = change === 'deleted' ? change : before?.change === 'created' ? 'created' : before ? 'modified' : change
  return {
    path,
    change: whole,
    by: [...new Set([...(before?.by ?? []), actorKey(actor)])],
    addedLines: sum(before?.addedLines, addedLines),
    removedLines: sum(before?.removedLines, removedLines),
    diffs: [...(before?.diffs ?? []), ...(diff === undefined ? [] : [diff])],
  }
}

function inWords({ messages, files, commands, checks, tools, runs, spent, waiting }: Facts): string {
  const list = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [`${title}:\n${lines.map((line) => `- ${line}`).join('\n')}`]
  const calls = Object.entries(tools).map(([tool, count]) => `${tool} ${count}×`)
  const failed = commands.filter(({ code }) => code !== 0 && code !== undefined).length
  const parts = [
    ...list('Waits for you', waiting),
    ...list(
      'Runs that ended',
      runs.map(({ outcome, text }) => (text === '' ? outcome : `${outcome}: ${text}`)),
    ),
    ...list(
      'Said',
      messages.map(({ by, text }) => `${by.name ?? by.id}: ${text}`),
    ),
    ...list(
      'Files',
      files.map(
        ({ path, change, by, addedLines, removedLines }) =>
          `${path} (${change} by ${by.join(', ')}${addedLines === undefined ? '' : `, +${addedLines} −${removedLines ?? 0}`})`,
      ),
    ),
    ...list(
      'Checks',
      checks.map(({ name, outcome }) => `${name}: ${outcome}`),
    ),
    ...list('Commands', commands.length === 0 ? [] : [`${commands.length} commands, ${failed} of them failed`]),
    ...list('Tool calls', calls.length === 0 ? [] : [calls.join(', ')]),
    ...(spent.steps === 0 ? [] : [`${spent.steps} model calls, $${spent.costUsd.toFixed(4)}.`]),
  ]
  const text = parts.length === 0 ? 'Nothing has happened since.' : parts.join('\n\n')
  return text.length <= maxText ? text : `${text.slice(0, maxText)}\n[${text.length - maxText} more characters]`
}

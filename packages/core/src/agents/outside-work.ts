import type { Actor } from '../events/envelope.ts'
import { actorKey, unknownActor } from '../events/envelope.ts'
import type { Event } from '../events/event.ts'

/** Most bytes of one file's difference, and of all together, in what the agent is told. */
const maxFileBytes = 6 * 1024
const maxDiffBytes = 24 * 1024
/** Most files that are named one by one, and most commands and git operations. */
const maxFiles = 200
const maxCommands = 50
const maxNote = 8 * 1024

/**
 * Whether an event is about what others did in the sandbox, so that the agent is to be told: changes of files that are not known to be its own,
 * commands and git operations of people, and who had control.
 */
export function isOutsideWork(event: Event, agent: string | undefined): boolean {
  const own = event.actor.kind === 'agent' && event.actor.id === agent
  switch (event.type) {
    case 'file.changed':
      // What a person made of the agent's proposal is in the result of its call.
      return !own && event.data.evidence !== 'tool'
    case 'git.changed':
    case 'changes.undone':
      return !own
    case 'command.started':
    case 'command.finished':
      return event.actor.kind === 'human'
    case 'control.taken':
    case 'control.returned':
      return true
    default:
      return false
  }
}

/**
 * The account of what others did, in the order in which it was recorded: who, when, their note, what changed in which file, commands with their exit
 * codes, git operations. Facts alone, no claim about intent. Bounded: what does not fit is counted.
 */
export function describeOutsideWork(events: readonly Event[]): string {
  const budget = { diffBytes: maxDiffBytes, files: maxFiles, commands: maxCommands }
  const parts = [...describeControl(events), ...describeFiles(events, budget), ...describeCommands(events, budget), ...describeGit(events)]
  return `What others did in the sandbox since your last step:\n\n${parts.join('\n\n')}`
}

function describeControl(events: readonly Event[]): string[] {
  const taken = new Map<string, Event<'control.taken'>>()
  const lines: string[] = []
  for (const event of events) {
    if (event.type === 'control.taken') taken.set(event.data.leaseId, event)
    if (event.type !== 'control.returned') continue
    const begin = taken.get(event.data.leaseId)
    taken.delete(event.data.leaseId)
    const who = begin ? nameOf(begin.actor) : nameOf(event.actor)
    const from = begin ? `${clock(begin.time)} to ` : 'until '
    const how = event.data.expired ? 'did not give it back: it ran out' : 'gave it back'
    const { note } = event.data
    lines.push(
      `${who} had control of the sandbox, ${from}${clock(event.time)} (UTC), and ${how}.${note === undefined ? '' : `\n${who} says: ${cut(note, maxNote)}`}`,
    )
  }
  // Whoever still has it is told of by what comes later.
  return lines
}

interface Budget {
  diffBytes: number
  files: number
  commands: number
}

function describeFiles(events: readonly Event[], budget: Budget): string[] {
  const changes = events.filter((event): event is Event<'file.changed'> => event.type === 'file.changed')
  const groups = new Map<string, Event<'file.changed'>[]>()
  for (const event of changes) {
    const key = `${actorKey(event.actor)} ${event.data.candidates?.join() ?? ''}`
    groups.set(key, [...(groups.get(key) ?? []), event])
  }
  return [...groups.values()].map((group) => {
    const [first] = group as [Event<'file.changed'>]
    const shown = group.slice(0, Math.max(0, budget.files))
    budget.files -= shown.length
    const lines = shown.map(({ data }) => describeFile(data, budget))
    const left = group.slice(shown.length)
    const rest = left.length === 0 ? [] : [`- and ${left.length} more files; read those that matter to you`]
    return [`${headingOf(first)}:`, ...lines, ...rest].join('\n')
  })
}

function headingOf({ actor, data }: Event<'file.changed'>): string {
  if (actorKey(actor) !== actorKey(unknownActor)) return `Files changed by ${nameOf(actor)}`
  const own = data.candidates?.some((candidate) => candidate.startsWith('agent:')) ?? false
  return own ? 'Files changed while your command ran, by it or by somebody else' : 'Files changed by somebody else; who it was is not known'
}

function describeFile(data: Event<'file.changed'>['data'], budget: Budget): string {
  const { path, change, diff, addedLines, removedLines } = data
  const counts = addedLines === undefined ? '' : `, +${addedLines} −${removedLines ?? 0}`
  const head = `- ${JSON.stringify(path).slice(1, -1)} (${change}${counts})`
  if (!diff) return change === 'deleted' || diff === '' ? head : `${head}: no difference can be shown; read it`
  const bytes = Buffer.byteLength(diff)
  if (bytes > Math.min(maxFileBytes, budget.diffBytes)) return `${head}: too long to show here; read the file for what it holds now`
  budget.diffBytes -= bytes
  return `${head}\n${diff.trimEnd()}`
}

function describeCommands(events: readonly Event[], budget: Budget): string[] {
  const started = events.filter((event): event is Event<'command.started'> => event.type === 'command.started')
  const finished = new Map(events.flatMap((event) => (event.type === 'command.finished' ? [[event.data.commandId, event]] : [])))
  const late = [...finished.values()].filter(({ data }) => !started.some((event) => event.data.commandId === data.commandId))
  if (started.length + late.length === 0) return []
  const shown = started.slice(0, budget.commands)
  const lines = shown.map(({ data, actor }) => {
    const end = finished.get(data.commandId)
    const text = typeof data.command === 'string' ? data.command : data.command.join(' ')
    const result = end ? exitOf(end.data) : 'not finished yet'
    return `- ${nameOf(actor)}: ${cut(text === '' ? '(the shell cannot tell)' : text, 500)} → ${result}`
  })
  const rest = started.length > shown.length ? [`- and ${started.length - shown.length} more commands`] : []
  const ended = late.slice(0, budget.commands).map(({ data }) => `- a command begun before → ${exitOf(data)}`)
  return [['Commands they ran:', ...lines, ...rest, ...ended].join('\n')]
}

function exitOf({ reason, code, signal }: Event<'command.finished'>['data']): string {
  return code !== null ? `exit code ${code}` : `ended by ${signal ?? reason}`
}

function describeGit(events: readonly Event[]): string[] {
  const changes = events.filter((event): event is Event<'git.changed'> => event.type === 'git.changed')
  const undone = events.filter((event): event is Event<'changes.undone'> => event.type === 'changes.undone')
  const lines = changes.slice(-maxCommands).map(({ data }) => {
    const where = data.branch === undefined ? 'no branch checked out' : `on ${data.branch}`
    return `- ${cut(data.message, 300)} (${where}, ${data.from.slice(0, 10)} → ${data.to.slice(0, 10)})`
  })
  const git = lines.length === 0 ? [] : [['What happened in git:', ...lines].join('\n')]
  const taken = undone.map(
    ({ actor, data }) => `${nameOf(actor)} took back changes of ${data.of.name ?? data.of.id} in: ${data.paths.join(', ')}`,
  )
  return [...git, ...taken.map((text) => cut(text, 2000))]
}

function nameOf({ kind, id, name }: Actor): string {
  if (kind === 'system' && id === 'baton') return 'the checks'
  return name ?? id
}

function clock(time: string): string {
  return time.slice(11, 19)
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)} [${text.length - most} more characters]`
}

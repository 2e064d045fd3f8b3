import type { Actor } from '../events/envelope.ts'
import { actorKey, systemActor, unknownActor } from '../events/envelope.ts'
import type { Event } from '../events/event.ts'

/** Most bytes of one file's difference, and of all together, in what the agent is told. */
const maxFileBytes = 6 * 1024
const maxDiffBytes = 24 * 1024
/** Most files that are named one by one, and most bytes of their names; most commands and git operations. */
const maxFiles = 200
const maxPathBytes = 16 * 1024
const maxCommands = 50
const maxCommand = 500
const maxCommandsText = 12 * 1024
/** Most bytes of one note, and of all. Of many leases, undos, and lists of files by whom, the last or first so many are told. */
const maxNote = 8 * 1024
const maxNotes = 16 * 1024
const maxLeases = 20
const maxUndos = 10
const maxGroups = 20
/** Most characters of the whole account. */
export const maxAccount = 64 * 1024

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
 *
 * @param agent - who is told
 */
export function describeOutsideWork(events: readonly Event[], agent?: string): string {
  const budget = { diffBytes: maxDiffBytes, pathBytes: maxPathBytes, files: maxFiles, commands: maxCommands }
  const parts = [
    ...describeControl(events),
    ...describeFiles(events, budget, agent),
    ...describeCommands(events, budget),
    ...describeGit(events),
  ]
  return cut(`What others did in the sandbox since your last step:\n\n${parts.join('\n\n')}`, maxAccount)
}

function describeControl(events: readonly Event[]): string[] {
  const taken = new Map<string, Event<'control.taken'>>()
  const ended: { readonly begin: Event<'control.taken'> | undefined; readonly end: Event<'control.returned'> }[] = []
  for (const event of events) {
    if (event.type === 'control.taken') taken.set(event.data.leaseId, event)
    if (event.type !== 'control.returned') continue
    ended.push({ begin: taken.get(event.data.leaseId), end: event })
  }
  // Whoever still has it is told of by what comes later.
  const shown = ended.slice(-maxLeases)
  const earlier = ended.length - shown.length
  let left = maxNotes
  const lines = shown.map(({ begin, end }) => {
    const who = begin ? nameOf(begin.actor) : nameOf(end.actor)
    const from = begin ? `${clock(begin.time)} to ` : 'until '
    const how = end.data.expired ? 'did not give it back: it ran out' : 'gave it back'
    const { note } = end.data
    const said = note === undefined ? '' : cut(note, Math.min(maxNote, left))
    left = Math.max(0, left - said.length)
    return `${who} had control of the sandbox, ${from}${clock(end.time)} (UTC), and ${how}.${note === undefined ? '' : `\n${who} says: ${said}`}`
  })
  return [...(earlier > 0 ? [`${earlier} times before that people had control, and gave it back.`] : []), ...lines]
}

interface Budget {
  diffBytes: number
  pathBytes: number
  files: number
  commands: number
}

function describeFiles(events: readonly Event[], budget: Budget, agent: string | undefined): string[] {
  const changes = events.filter((event): event is Event<'file.changed'> => event.type === 'file.changed')
  const groups = new Map<string, Event<'file.changed'>[]>()
  for (const event of changes) {
    const key = `${actorKey(event.actor)} ${event.data.candidates?.join() ?? ''}`
    const group = groups.get(key)
    if (group) group.push(event)
    else groups.set(key, [event])
  }
  const lists = [...groups.values()]
  const others = lists.slice(maxGroups).reduce((sum, group) => sum + group.length, 0)
  return [
    ...lists.slice(0, maxGroups).map((group) => describeGroup(group, budget, agent)),
    ...(others > 0 ? [`And ${others} more files were changed, by still others.`] : []),
  ]
}

function describeGroup(group: readonly Event<'file.changed'>[], budget: Budget, agent: string | undefined): string {
  const lines: string[] = []
  for (const { data } of group) {
    const bytes = Buffer.byteLength(data.path)
    if (budget.files === 0 || bytes > budget.pathBytes) break
    budget.files--
    budget.pathBytes -= bytes
    lines.push(describeFile(data, budget))
  }
  const left = group.length - lines.length
  const rest = left === 0 ? [] : [`- and ${left} more files; read those that matter to you`]
  return [`${headingOf(group[0] as Event<'file.changed'>, agent)}:`, ...lines, ...rest].join('\n')
}

function headingOf({ actor, data }: Event<'file.changed'>, agent: string | undefined): string {
  if (actorKey(actor) !== actorKey(unknownActor)) return `Files changed by ${nameOf(actor)}`
  const candidates = (data.candidates ?? []).map((candidate) => candidateName(candidate, agent))
  if (candidates.every((name) => name === somebody)) return 'Files changed by somebody else; who it was is not known'
  return `Files changed by ${candidates.join(' or ')}; which of them is not known`
}

const somebody = 'somebody else'

/** A candidate as `file.changed` has it, in words. */
function candidateName(candidate: string, agent: string | undefined): string {
  if (candidate === 'outside') return somebody
  if (candidate === `agent:${agent}`) return 'a command of yours'
  return candidate === actorKey(systemActor) ? 'the checks' : shown(candidate.slice(candidate.indexOf(':') + 1))
}

function describeFile(data: Event<'file.changed'>['data'], budget: Budget): string {
  const { path, change, diff, addedLines, removedLines } = data
  const counts = addedLines === undefined ? '' : `, +${addedLines} −${removedLines ?? 0}`
  const head = `- ${shown(path)} (${change}${counts})`
  if (!diff) return change === 'deleted' || diff === '' ? head : `${head}: no difference can be shown; read it`
  const bytes = Buffer.byteLength(diff)
  if (bytes > Math.min(maxFileBytes, budget.diffBytes)) return `${head}: too long to show here; read the file for what it holds now`
  budget.diffBytes -= bytes
  return `${head}\n${diff.trimEnd()}`
}

function describeCommands(events: readonly Event[], budget: Budget): string[] {
  const started = events.filter((event): event is Event<'command.started'> => event.type === 'command.started')
  const finished = new Map(events.flatMap((event) => (event.type === 'command.finished' ? [[event.data.commandId, event]] : [])))
  const begun = new Set(started.map(({ data }) => data.commandId))
  const late = [...finished.values()].filter(({ data }) => !begun.has(data.commandId))
  if (started.length + late.length === 0) return []
  const shown = started.slice(0, budget.commands)
  let left = maxCommandsText
  const lines = shown.map(({ data, actor }) => {
    const end = finished.get(data.commandId)
    const whole = typeof data.command === 'string' ? data.command : data.command.join(' ')
    const text = cut(whole, Math.max(80, Math.min(maxCommand, left)))
    left -= text.length
    const result = end ? exitOf(end.data) : 'not finished yet'
    return `- ${nameOf(actor)}: ${text === '' ? '(the shell cannot tell)' : text} → ${result}`
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
  const taken = undone
    .slice(-maxUndos)
    .map(({ actor, data }) => `${nameOf(actor)} took back changes of ${data.of.name ?? data.of.id} in: ${data.paths.map(shown).join(', ')}`)
  return [...git, ...taken.map((text) => cut(text, 2000))]
}

function nameOf({ kind, id, name }: Actor): string {
  if (kind === 'system' && id === 'baton') return 'the checks'
  return name ?? id
}

/** A path on one line. */
function shown(path: string): string {
  return JSON.stringify(path).slice(1, -1)
}

function clock(time: string): string {
  return time.slice(11, 19)
}

function cut(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most)} [${text.length - most} more characters]`
}

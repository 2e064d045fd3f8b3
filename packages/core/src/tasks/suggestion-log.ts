import { posix } from 'node:path'
import type { Sensitivity } from '../events/envelope.ts'
import type { LoggedEvent } from '../events/event.ts'
import { isKnown } from '../events/event.ts'
import type { EventStream } from '../events/event-stream.ts'

/** So many suggestions can be decided on: the latest ones. */
const maxSuggestions = 200
/** So many changes of files are kept to choose from, each with so many characters of its difference. */
const maxChanges = 64
const maxDiffLength = 4_096

/** A change of a file that somebody made lately. */
export interface RecentChange {
  readonly path: string
  /** Unified, without file headers; cut at a line's end. */
  readonly diff: string
  /** Of the difference, as far as its event has one. */
  readonly sensitivity: Sensitivity | undefined
}

/** What suggestions need to know of a task's log. */
export interface SuggestionLog {
  /** Oldest first. */
  readonly changes: readonly RecentChange[]
  /** Whether each of the latest suggestions was decided on, by its id. */
  readonly decided: ReadonlyMap<string, boolean>
}

/** Reads the log once and follows it from then on: a task that nobody asks for suggestions keeps nothing for them. */
export async function openSuggestionLog(stream: EventStream): Promise<SuggestionLog> {
  const fold = createFold()
  let late: LoggedEvent[] | undefined = []
  stream.on('*', (event) => {
    if (late) late.push(event)
    else fold.apply(event)
  })
  for await (const event of stream.read()) fold.apply(event)
  for (const event of late) fold.apply(event)
  late = undefined
  return fold
}

function createFold(): SuggestionLog & { apply(event: LoggedEvent): void } {
  const changes: RecentChange[] = []
  const decided = new Map<string, boolean>()
  let lastSeq = 0
  return {
    changes,
    decided,
    apply(event) {
      if (event.seq <= lastSeq) return
      lastSeq = event.seq
      if (!isKnown(event)) return
      if (event.type === 'suggestion.made') {
        decided.set(event.data.suggestionId, false)
        const [oldest] = decided.keys()
        if (decided.size > maxSuggestions && oldest !== undefined) decided.delete(oldest)
      } else if (event.type === 'suggestion.decided') {
        if (decided.has(event.data.suggestionId)) decided.set(event.data.suggestionId, true)
      } else if (event.type === 'file.changed' && event.data.diff && event.data.change !== 'deleted') {
        const { path, diff, sensitivity } = event.data
        changes.push({ path: posix.normalize(path), diff: cutLines(diff, maxDiffLength), sensitivity })
        if (changes.length > maxChanges) changes.shift()
      }
    },
  }
}

function cutLines(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, text.lastIndexOf('\n', length - 1) + 1)
}

/** The changes in the order in which they matter to somebody who edits a file: of that file, of its folder, then all others; newest first in each. */
export function byRelevance(changes: readonly RecentChange[], path: string): RecentChange[] {
  const own = posix.normalize(path)
  const distance = (change: RecentChange): number => {
    if (change.path === own) return 0
    return posix.dirname(change.path) === posix.dirname(own) ? 1 : 2
  }
  return changes.toReversed().sort((a, b) => distance(a) - distance(b))
}

import { closeSync, openSync, readdirSync, statSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import { TaskSummary } from './event-store.ts'
import { readTail } from './log-lines.ts'
import { identityOf } from './log-reader.ts'
import { codeOf } from './store-errors.ts'

/** Logs looked at between two turns of the event loop. */
const logsPerTurn = 64

/** What a listing needs of its store. */
export interface TaskSummariesOptions {
  readonly dir: string
  readonly extension: string
  /** A summary that this process wrote itself, when the log is still as it left it. */
  own(taskId: string, identity: string, size: number): unknown
  /** Told of a log whose summary cannot be read; the others are listed all the same. */
  onDamaged(taskId: string, path: string, reason: string): void
}

/** Finds the last summary of each log, which stands in its last lines. */
export function createTaskSummaries(options: TaskSummariesOptions): { list(): Promise<TaskSummary[]> } {
  const { dir, extension } = options
  let known = new Map<string, { readonly version: string; readonly summary: TaskSummary | undefined }>()

  /** `undefined` for a log that nothing was ever appended to, or that is damaged. */
  function load(taskId: string, path: string, identity: string, size: number): TaskSummary | undefined {
    try {
      const found = options.own(taskId, identity, size) ?? lastSummary(path, size)
      if (found === undefined && size > 0) options.onDamaged(taskId, path, 'there is no whole append in it')
      return found === undefined ? undefined : TaskSummary.parse(found)
    } catch (error) {
      options.onDamaged(taskId, path, `its last summary cannot be read: ${messageOf(error)}`)
      return undefined
    }
  }

  return {
    async list() {
      const next: typeof known = new Map()
      let count = 0
      for (const name of namesIn(dir)) {
        if (!name.endsWith(extension)) continue
        if (++count % logsPerTurn === 0) await nextTurn()
        const path = `${dir}/${name}`
        const stat = statSync(path, { throwIfNoEntry: false })
        if (!stat) continue
        const identity = identityOf(stat)
        const version = `${identity}:${stat.size}:${stat.mtimeMs}`
        const before = known.get(name)
        const summary = before?.version === version ? before.summary : load(name.slice(0, -extension.length), path, identity, stat.size)
        next.set(name, { version, summary })
      }
      known = next
      return [...next.values()].flatMap(({ summary }) => summary ?? [])
    },
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

function lastSummary(path: string, size: number): unknown {
  const fd = openSync(path, 'r')
  try {
    return readTail(fd, size).summary
  } finally {
    closeSync(fd)
  }
}

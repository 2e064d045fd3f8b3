import { resolve } from 'node:path'
import { z } from 'zod'
import { BatonError, messageOf } from '../errors.ts'
import { parseOptions } from '../options.ts'
import type { EventStore } from './event-store.ts'
import { byCreation, matchesFilter } from './event-store.ts'
import { createLockOwner } from './file-lock.ts'
import type { LogFile } from './log-file.ts'
import { createLogFile } from './log-file.ts'
import type { LogPlace } from './log-followers.ts'
import { createLogFollowers } from './log-followers.ts'
import type { LogStretch } from './log-reader.ts'
import { readLog } from './log-reader.ts'
import { fileError, storeClosedError, unknownTaskError } from './store-errors.ts'
import { createTaskSummaries } from './task-summaries.ts'

const extension = '.jsonl'
/** Logs that are kept open; the least recently used one goes first. */
const openLogs = 512
/** Logs that are written to at the same time; the others wait, without a file open. */
const writtenAtOnce = 256

/** Something about a log that a person should know; no call fails for it. */
export interface StoreWarning {
  /** `torn-log`: a crash left half an append at the end; it was cut off and kept. `damaged-log`: the task is left out of a listing. */
  readonly code: 'torn-log' | 'damaged-log'
  readonly taskId: string
  /** The log. */
  readonly file: string
  readonly message: string
  /** Where what was cut off is kept. */
  readonly keptAs?: string
}

/** Options of {@link createFileEventStore}. */
export interface FileEventStoreOptions {
  /** A folder, made when needed. Several processes may use the same one at once. */
  readonly dir: string
  /** Told of what was found wrong and lived with. Default: a process warning. */
  readonly onWarning?: ((warning: StoreWarning) => void) | undefined
}

const Options = z.object({
  dir: z.string().min(1, 'expected the path of a folder'),
  onWarning: z.custom<(warning: StoreWarning) => void>((value) => typeof value === 'function', 'expected a function').optional(),
})

const taskIdPattern = /^[A-Za-z0-9_-]{1,128}$/
const Position = z.object({ after: z.int().nonnegative().default(0), limit: z.int().nonnegative().default(Number.MAX_SAFE_INTEGER) })

/**
 * Keeps each task's log in a file of its own, `<dir>/<taskId>.jsonl`: an event a line, appended and synced to the disk before an append
 * resolves. Appends that wait for the same log go to the disk together. Processes share the folder by a lock that is held for one write;
 * a dead process's lock is taken over at once, one whose owner cannot be checked (another machine or container) after 10 seconds.
 *
 * A process that follows a log stays alive until that ends.
 */
export function createFileEventStore(options: FileEventStoreOptions): EventStore {
  const parsed = parseOptions('createFileEventStore', Options, options)
  const dir = resolve(parsed.dir)
  const locks = createLockOwner(`${dir}/.locks`)
  const logs = new Map<string, LogFile>()
  const waiting: (() => void)[] = []
  let writing = 0
  let closing: Promise<void> | undefined

  const followers = createLogFollowers({ dir, extension, read: readStretches, isWriting: (taskId) => logs.get(taskId)?.writing ?? false })
  const summaries = createTaskSummaries({
    dir,
    extension,
    own: (taskId, identity, size) => logs.get(taskId)?.summaryOf(identity, size),
    onDamaged: (taskId, file, reason) =>
      warn({ code: 'damaged-log', taskId, file, message: `${file} is left out of the list: ${reason}.` }),
  })

  function warn(warning: StoreWarning): void {
    try {
      if (parsed.onWarning) parsed.onWarning(warning)
      else process.emitWarning(warning.message, 'BatonWarning')
    } catch (error) {
      // A listener is a guest: its fault must not fail an append.
      process.emitWarning(`onWarning threw: ${messageOf(error)}`, 'BatonWarning')
    }
  }

  function pathOf(taskId: string): string {
    return `${dir}/${taskId}${extension}`
  }

  function logOf(taskId: string): LogFile {
    const log = logs.get(taskId) ?? openLog(taskId)
    logs.delete(taskId)
    logs.set(taskId, log)
    return log
  }

  function openLog(taskId: string): LogFile {
    const path = pathOf(taskId)
    return createLogFile({
      taskId,
      path,
      locks,
      enter,
      leave,
      onCommit: (commit) => followers.deliver(taskId, commit),
      onTorn: ({ bytes, keptAs }) => {
        const message = `${path} ended in ${bytes} bytes of an append that was never finished. They were cut off and are kept in ${keptAs}.`
        warn({ code: 'torn-log', taskId, file: path, message, keptAs })
      },
    })
  }

  function enter(): Promise<void> {
    if (writing === writtenAtOnce) return new Promise((go) => waiting.push(go))
    writing++
    return Promise.resolve()
  }

  function leave(): void {
    const next = waiting.shift()
    if (next) next()
    else writing--
    closeOldest()
  }

  function closeOldest(): void {
    for (const [taskId, log] of logs) {
      if (logs.size <= openLogs) return
      if (log.busy) continue
      log.close()
      logs.delete(taskId)
    }
  }

  function checkOpen(taskId?: string): void {
    if (closing !== undefined) throw storeClosedError()
    if (taskId === undefined || (typeof taskId === 'string' && taskIdPattern.test(taskId))) return
    throw new BatonError('INVALID_OPTIONS', `taskId: expected 1 to 128 letters, digits, "_" or "-", received ${JSON.stringify(taskId)}`)
  }

  async function* readStretches(taskId: string, after: number, place?: LogPlace): AsyncGenerator<LogStretch, void, void> {
    const log = logOf(taskId)
    for await (const stretch of readLog({
      taskId,
      path: pathOf(taskId),
      after,
      start(identity) {
        if (!place) return log.before(identity, after)
        if (place.identity === identity) return place.cursor
        // The task was deleted, and another one of that name began.
        throw unknownTaskError(taskId)
      },
      durableBytes: log.durableBytes,
    })) {
      log.note(stretch.identity, stretch.next)
      yield stretch
    }
  }

  return {
    home: dir,
    async append(taskId, events, { after, summary }) {
      checkOpen(taskId)
      await logOf(taskId).append(events, { after, summary })
    },
    async *read(taskId, readOptions = {}) {
      checkOpen(taskId)
      const { after, limit } = parseOptions('EventStore.read', Position, readOptions)
      let left = limit
      for await (const { events } of readStretches(taskId, after)) {
        for (const event of events) {
          if (left <= 0) return
          yield event
          left--
        }
      }
    },
    async *follow(taskId, { after: from, signal }) {
      checkOpen(taskId)
      const { after } = parseOptions('EventStore.follow', Position, { after: from })
      yield* followers.follow(taskId, { after, signal })
    },
    async *tasks(filter) {
      checkOpen()
      const all = await summaries.list().catch((error: unknown) => {
        throw fileError(error, `Listing the tasks in ${dir}`)
      })
      yield* all.filter((summary) => matchesFilter(summary, filter)).sort(byCreation)
    },
    async delete(taskId) {
      checkOpen(taskId)
      await logOf(taskId).remove()
      followers.check(taskId)
    },
    close() {
      closing ??= (async () => {
        followers.close()
        for (const log of logs.values()) {
          await log.idle()
          log.close()
        }
        locks.close()
      })()
      return closing
    },
  }
}

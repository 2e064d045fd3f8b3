import { closeSync, constants, fdatasyncSync, fstatSync, ftruncateSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { keepAside, numberedFiles, removeFile, syncNames, syncsOnWrite, writeDurably } from './durable-file.ts'
import type { LoggedEvent } from './event.ts'
import type { TaskSummary } from './event-store.ts'
import type { LockOwner } from './file-lock.ts'
import type { LogTail } from './log-lines.ts'
import { encodeAppend, readTail } from './log-lines.ts'
import type { LogCursor } from './log-reader.ts'
import { identityOf, logStart } from './log-reader.ts'
import { checkOrder, codeOf, conflictError, fileError } from './store-errors.ts'

const openFlags = constants.O_RDWR | constants.O_APPEND | (syncsOnWrite ? constants.O_DSYNC : 0)
/** Distance of the places that are remembered for reading from the middle. */
const indexStepBytes = 262_144

/** Events that one append made durable, and where. */
export interface Commit {
  readonly events: readonly LoggedEvent[]
  readonly from: LogCursor
  readonly to: LogCursor
  /** Which file it is; see {@link identityOf}. */
  readonly identity: string
}

/** What a log tells its store. */
export interface LogFileOptions {
  readonly taskId: string
  readonly path: string
  readonly locks: LockOwner
  /** Asked before writing begins; it goes on when this resolves. */
  enter(): Promise<void>
  /** Told when there is nothing more to write. */
  leave(): void
  /** Told of each append by this process, in order, when it is durable. */
  onCommit(commit: Commit): void
  /** Told when a torn end was cut off, and where it is kept. */
  onTorn(info: { readonly bytes: number; readonly keptAs: string }): void
}

/** One task's log, as its store appends to it. */
export interface LogFile {
  append(events: readonly LoggedEvent[], options: { readonly after: number; readonly summary: TaskSummary }): Promise<void>
  /** Resolves when nothing is being written. */
  idle(): Promise<void>
  /** Whether appends wait or are being written. */
  readonly busy: boolean
  /** Whether bytes are on their way to the file right now. */
  readonly writing: boolean
  /** Remembers a place that a reader came by. */
  note(identity: string, cursor: LogCursor): void
  /** The last known place at or before a seq. */
  before(identity: string, seq: number): LogCursor
  /** How many bytes this process knows to be durable; `undefined` where others may have appended. */
  durableBytes(identity: string, size: number): number | undefined
  /** The summary, when a file of this identity and size is as this process left it. */
  summaryOf(identity: string, size: number): unknown
  /** Removes the log and what was cut off it, under its lock. */
  remove(): Promise<void>
  /** Lets go of the file. Only while nothing is being written. */
  close(): void
}

interface OpenFile {
  readonly fd: number
  /** See {@link identityOf}. */
  readonly identity: string
}

interface QueuedAppend {
  readonly events: readonly LoggedEvent[]
  readonly text: string
  readonly after: number
  readonly summary: TaskSummary
  resolve(): void
  reject(error: unknown): void
}

/** Appends go to a queue; whatever is in it when the one before is on the disk goes there together. */
export function createLogFile(options: LogFileOptions): LogFile {
  const { taskId, path, locks } = options
  const tornPrefix = `${path}.torn-`
  const lockName = `${taskId}.lock`
  let queue: QueuedAppend[] = []
  let pumping: Promise<void> | undefined
  let file: OpenFile | undefined
  let writing = false
  /** The end of the log as this process left it. */
  let tail: LogTail | undefined
  let places: { readonly identity: string; readonly cursors: LogCursor[] } = { identity: '', cursors: [] }

  async function pump(): Promise<void> {
    // Whatever is appended until this resolves, at least in the same turn of the event loop, goes together.
    await options.enter()
    while (queue.length > 0) {
      try {
        await locked(writeQueue)
      } catch (error) {
        const failure = fileError(error, `Appending to the log of task ${taskId}`)
        for (const entry of queue.splice(0)) entry.reject(failure)
      }
    }
    pumping = undefined
    options.leave()
  }

  async function locked<T>(run: () => Promise<T>): Promise<T> {
    if (!locks.tryAcquire(lockName)) await locks.acquire(lockName)
    try {
      return await run()
    } finally {
      locks.release(lockName)
    }
  }

  async function writeQueue(): Promise<void> {
    const end = findEnd()
    const accepted: QueuedAppend[] = []
    const refused: QueuedAppend[] = []
    let lastSeq = end.lastSeq
    for (const entry of queue) {
      const fits = entry.after === lastSeq
      if (fits) lastSeq += entry.events.length
      ;(fits ? accepted : refused).push(entry)
    }
    if (accepted.length > 0 && !file) await createFile()
    queue = []
    // Those refused would have followed on an append that did not come to be: they get another look.
    if (accepted.length > 0 && !(await writeAccepted(accepted, end))) queue.unshift(...refused)
    else for (const entry of refused) entry.reject(conflictError(taskId, entry.after, lastSeq))
  }

  /** Says whether all of them are stored; the others are rejected. */
  async function writeAccepted(accepted: readonly QueuedAppend[], end: LogTail): Promise<boolean> {
    const { fd } = file as OpenFile
    const buffer = Buffer.from(accepted.length === 1 ? (accepted[0] as QueuedAppend).text : accepted.map(({ text }) => text).join(''))
    writing = true
    const { written, error } = await writeDurably(fd, buffer)
    writing = false
    if (error === undefined) {
      advance(accepted, end)
      return true
    }
    const whole = wholeOnes(accepted, syncsOnWrite ? written : 0)
    tail = undefined
    cutBack(fd, end.size + byteLength(whole))
    advance(whole, end)
    const failure = fileError(error, `Appending to the log of task ${taskId}`)
    for (const entry of accepted.slice(whole.length)) entry.reject(failure)
    return false
  }

  function advance(stored: readonly QueuedAppend[], end: LogTail): void {
    let from: LogCursor = { offset: end.size, seq: end.lastSeq }
    const identity = file?.identity ?? ''
    for (const entry of stored) {
      const to = { offset: from.offset + Buffer.byteLength(entry.text), seq: from.seq + entry.events.length }
      tail = { size: to.offset, lastSeq: to.seq, summary: entry.summary }
      options.onCommit({ events: entry.events, from, to, identity })
      entry.resolve()
      from = to
    }
    note(identity, from)
  }

  /** Where the log ends now. Whoever else appended since the last time left another size. Needs the lock. */
  function findEnd(): LogTail {
    const stat = file && fstatSync(file.fd)
    if (stat && stat.nlink > 0 && tail && stat.size === tail.size) return tail
    if (stat?.nlink === 0) closeFile()
    file ??= openFile()
    if (!file) return { size: 0, lastSeq: 0 }
    const { size } = fstatSync(file.fd)
    tail = readTail(file.fd, size)
    if (tail.size < size) cutTorn(file.fd, tail.size, size)
    return tail
  }

  function openFile(flags = openFlags): OpenFile | undefined {
    try {
      const fd = openSync(path, flags, 0o666)
      return { fd, identity: identityOf(fstatSync(fd)) }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  async function createFile(): Promise<void> {
    file = openFile(openFlags | constants.O_CREAT)
    await syncNames(dirname(path))
  }

  function closeFile(): void {
    if (file) closeSync(file.fd)
    file = undefined
    tail = undefined
  }

  function cutBack(fd: number, size: number): void {
    try {
      ftruncateSync(fd, size)
      fdatasyncSync(fd)
      if (size === 0) {
        removeFile(path)
        closeFile()
      }
    } catch {
      // What is left is a torn end, which the next append cuts off.
    }
  }

  function cutTorn(fd: number, from: number, to: number): void {
    const keptAs = keepAside(fd, from, to, tornPrefix)
    ftruncateSync(fd, from)
    fdatasyncSync(fd)
    options.onTorn({ bytes: to - from, keptAs })
  }

  function note(identity: string, cursor: LogCursor): void {
    if (places.identity !== identity) places = { identity, cursors: [] }
    if (cursor.offset >= (places.cursors.at(-1)?.offset ?? 0) + indexStepBytes) places.cursors.push(cursor)
  }

  return {
    append(events, { after, summary }) {
      return new Promise((resolve, reject) => {
        checkOrder(taskId, events, after)
        queue.push({ events, text: encodeAppend(events, summary), after, summary, resolve, reject })
        pumping ??= pump()
      })
    },
    idle: async () => {
      await pumping
    },
    get busy() {
      return pumping !== undefined
    },
    get writing() {
      return writing
    },
    note,
    before(identity, seq) {
      if (file?.identity === identity && tail && tail.lastSeq <= seq) return { offset: tail.size, seq: tail.lastSeq }
      if (places.identity !== identity) return logStart
      return places.cursors.findLast((cursor) => cursor.seq <= seq) ?? logStart
    },
    durableBytes(identity, size) {
      if (file?.identity !== identity || !tail) return undefined
      return writing || size === tail.size ? tail.size : undefined
    },
    summaryOf: (identity, size) => (file?.identity === identity && tail?.size === size ? tail.summary : undefined),
    async remove() {
      await pumping
      await locked(async () => {
        closeFile()
        places = { identity: '', cursors: [] }
        for (const name of [path, ...numberedFiles(tornPrefix)]) removeFile(name)
        await syncNames(dirname(path))
      })
    },
    close: closeFile,
  }
}

function byteLength(entries: readonly QueuedAppend[]): number {
  return entries.reduce((bytes, { text }) => bytes + Buffer.byteLength(text), 0)
}

/** Those that lie whole within the first bytes that were written. */
function wholeOnes(entries: readonly QueuedAppend[], written: number): readonly QueuedAppend[] {
  let bytes = 0
  const firstCut = entries.findIndex(({ text }) => {
    bytes += Buffer.byteLength(text)
    return bytes > written
  })
  return firstCut === -1 ? entries : entries.slice(0, firstCut)
}

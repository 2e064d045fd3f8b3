import { closeSync, fdatasync, fstatSync, openSync, read } from 'node:fs'
import { promisify } from 'node:util'
import { BatonError } from '../errors.ts'
import type { LoggedEvent } from './event.ts'
import { parseLines, readTail } from './log-lines.ts'
import { codeOf, fileError, unknownTaskError } from './store-errors.ts'

const readAsync = promisify(read)
const fdatasyncAsync = promisify(fdatasync)

const chunkBytes = 262_144

/** A place between two lines of a log: where the line of event `seq + 1` begins. */
export interface LogCursor {
  readonly offset: number
  readonly seq: number
}

/** The start of every log. */
export const logStart: LogCursor = { offset: 0, seq: 0 }

/** What is read from one log at a time. */
export interface LogStretch {
  readonly events: readonly LoggedEvent[]
  /** Behind them. */
  readonly next: LogCursor
  /** Which file it was; see {@link identityOf}. */
  readonly identity: string
}

/** What a read needs to know of the log. */
export interface LogReadOptions {
  readonly taskId: string
  readonly path: string
  /** Events up to this seq are skipped. */
  readonly after: number
  /** The nearest place at or before `after` that is known, given which file it is (see {@link identityOf}). May throw for a wrong one. */
  start(identity: string): LogCursor
  /** How many bytes of a file of this size are known to be durable; `undefined` where that is not known. */
  durableBytes(identity: string, size: number): number | undefined
}

/**
 * Reads whole appends, a stretch at a time, up to the end that the log has at the beginning. Ignores a torn end.
 *
 * @throws BatonError `UNKNOWN_TASK` where nothing was ever appended; `CORRUPT_LOG` naming file and line, after everything before it was yielded.
 */
export async function* readLog(options: LogReadOptions): AsyncGenerator<LogStretch, void, void> {
  const { taskId, path, after } = options
  const fd = openLog(taskId, path)
  try {
    const stat = fstatSync(fd)
    const identity = identityOf(stat)
    const end = options.durableBytes(identity, stat.size) ?? (await makeDurable(fd, stat.size))
    const start = options.start(identity)
    const cursor = after > start.seq ? await skipLines(fd, start, after, end) : start
    let found = false
    for await (const stretch of readStretches(fd, path, cursor, end)) {
      found = true
      yield { ...stretch, identity }
    }
    if (!found && start.seq < after) await checkEnd(fd, options, end)
    else if (!found && start.seq === 0 && readTail(fd, end).size === 0) throw unknownTaskError(taskId)
  } catch (error) {
    throw fileError(error, `Reading the log of task ${taskId}`)
  } finally {
    closeSync(fd)
  }
}

/** Nothing was found by counting lines: that is right only where the log ends at or before the seq. */
async function checkEnd(fd: number, { taskId, path, after }: LogReadOptions, end: number): Promise<void> {
  const tail = readTail(fd, end)
  if (tail.size === 0) throw unknownTaskError(taskId)
  if (tail.lastSeq <= after) return
  // Lines are missing; parsing from the start says where.
  for await (const _ of readStretches(fd, path, logStart, end));
}

/** Tells a log from another one that later takes its name. */
export function identityOf(stat: { readonly ino: number; readonly birthtimeMs: number }): string {
  return `${stat.ino}:${stat.birthtimeMs}`
}

function openLog(taskId: string, path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    throw codeOf(error) === 'ENOENT' ? unknownTaskError(taskId) : fileError(error, `Reading the log of task ${taskId}`)
  }
}

/** What another process appended may not be on the disk yet; a reader must not see what a power loss could take back. */
async function makeDurable(fd: number, size: number): Promise<number> {
  try {
    await fdatasyncAsync(fd)
  } catch (error) {
    // A file system that is read-only, or cannot sync, has nothing to wait for.
    if (!['EROFS', 'EINVAL', 'EPERM'].includes(codeOf(error) ?? '')) throw error
  }
  return size
}

/** Goes to the line behind event `after` without parsing, since line and seq are the same number. */
async function skipLines(fd: number, start: LogCursor, after: number, end: number): Promise<LogCursor> {
  let { offset, seq } = start
  const buffer = Buffer.allocUnsafe(Math.min(chunkBytes, end - offset))
  while (seq < after && offset < end) {
    const { bytesRead } = await readAsync(fd, buffer, 0, Math.min(buffer.length, end - offset), offset)
    if (bytesRead === 0) break
    const chunk = buffer.subarray(0, bytesRead)
    let position = 0
    while (seq < after) {
      const newline = chunk.indexOf(10, position)
      if (newline === -1) break
      position = newline + 1
      seq++
    }
    offset += seq < after ? bytesRead : position
  }
  return { offset, seq }
}

/** Each read starts behind a whole append, so that what is parsed together was read together. */
async function* readStretches(
  fd: number,
  path: string,
  start: LogCursor,
  end: number,
): AsyncGenerator<Omit<LogStretch, 'identity'>, void, void> {
  let { offset, seq } = start
  let length = chunkBytes
  let buffer = Buffer.alloc(0)
  let secondLook = false
  while (offset < end) {
    const wanted = Math.min(length, end - offset)
    if (buffer.length < wanted) buffer = Buffer.allocUnsafe(wanted)
    const { bytesRead } = await readAsync(fd, buffer, 0, wanted, offset)
    const { events, bytes, lastSeq, fault } = parseLines(buffer.subarray(0, bytesRead), seq)
    const faultOffset = offset + (fault?.at ?? 0)
    offset += bytes
    seq = lastSeq
    if (events.length > 0) yield { events, next: { offset, seq } }
    if (fault) {
      // An append that is being cut off or written just now can look broken for a moment.
      if (!secondLook) {
        secondLook = true
        continue
      }
      if (readTail(fd, end).size <= faultOffset) return
      if (fault.before.length > 0) yield { events: fault.before, next: { offset, seq } }
      throw new BatonError(
        'CORRUPT_LOG',
        `${path}:${fault.line}: ${fault.reason}. Nothing was changed; the events before it can be read.`,
        {
          details: { file: path, line: fault.line },
        },
      )
    }
    if (bytes > 0) length = chunkBytes
    else if (bytesRead < length) return
    else length *= 2
  }
}

import { readSync } from 'node:fs'
import { BatonError, messageOf } from '../errors.ts'
import type { LoggedEvent } from './event.ts'
import { parseEvent, stringifyEvent } from './event-registry.ts'
import type { TaskSummary } from './event-store.ts'

// One event is one line, so the line of an event is its seq. The last line of each append also has the key `summary`, last: the task as it
// stood then, and the mark that the append is whole. Lines after the last one with a summary are a torn append.
// An event that has such a key of its own gets `summary: null` after it in the middle of an append; so cutting the last one off always
// gives back what was appended.
const splice = ',"summary":'

/** The lines of one append, with the summary spliced into the last. */
export function encodeAppend(events: readonly LoggedEvent[], summary: TaskSummary): string {
  let text = ''
  for (let index = 0; index < events.length; index++) {
    const event = events[index] as LoggedEvent
    const parsed = 'raw' in event ? parseRaw(event) : event
    const line = stringifyEvent(event)
    if (index === events.length - 1) text += `${line.slice(0, -1)}${splice}${JSON.stringify(summary)}}\n`
    else text += 'summary' in parsed ? `${line.slice(0, -1)}${splice}null}\n` : `${line}\n`
  }
  return text
}

/** A raw text that were no line of its own, or had another seq, would spoil the log for good. */
function parseRaw({ raw, seq, taskId }: LoggedEvent & { readonly raw: string }): StoredLine {
  const oneLine = raw.startsWith('{') && raw.endsWith('}') && !raw.includes('\n')
  const value = oneLine ? parseLine(raw) : undefined
  if (value?.seq === seq) return value
  throw new BatonError('INVALID_EVENT', `Task ${taskId}: the raw text of event ${seq} is not one line of JSON with that seq.`, {
    details: { taskId, seq },
  })
}

/** A line as it stands in the log. */
export interface StoredLine {
  readonly seq: unknown
  readonly summary?: unknown
}

/** A line as JSON; `undefined` where it is none. */
export function parseLine(text: string): StoredLine | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as StoredLine) : undefined
  } catch {
    return undefined
  }
}

/** Whether an append ends with this line. */
export function isCommit(line: StoredLine): line is { readonly seq: number; readonly summary: object } {
  return typeof line.summary === 'object' && line.summary !== null && Number.isInteger(line.seq)
}

/**
 * The event of a line, without the summary.
 *
 * @param line - `text` parsed; it is taken over
 * @throws BatonError `CORRUPT_LOG` where it is no event.
 */
export function eventOf(text: string, line: StoredLine): LoggedEvent {
  if (line.summary === undefined) return parseEvent(text, line)
  const original = `${text.slice(0, text.lastIndexOf(splice))}}`
  // Where the event may have a key `summary` of its own, it was hidden by the one behind it.
  if (original.includes('"summary"')) return parseEvent(original, JSON.parse(original))
  delete (line as { summary?: unknown }).summary
  return parseEvent(original, line)
}

/** What one stretch of a log holds. */
export interface ParsedLines {
  /** Of whole appends only. */
  readonly events: readonly LoggedEvent[]
  /** Bytes that those events take. */
  readonly bytes: number
  readonly lastSeq: number
  /** Why it could not be read further, and what could be read of that append before. */
  readonly fault?: { readonly reason: string; readonly at: number; readonly line: number; readonly before: readonly LoggedEvent[] }
}

/** Parses whole appends from the start of `buffer`, where the line of event `lastSeq + 1` begins. */
export function parseLines(buffer: Buffer, lastSeq: number): ParsedLines {
  const events: LoggedEvent[] = []
  let committed = { count: 0, bytes: 0 }
  let start = 0
  for (let end = buffer.indexOf(10); end !== -1; end = buffer.indexOf(10, start)) {
    const text = buffer.toString('utf8', start, end)
    const expected = lastSeq + events.length + 1
    const result = readLine(text, expected)
    if (typeof result === 'string') {
      const fault = { reason: result, at: start, line: expected, before: events.slice(committed.count) }
      return { events: events.slice(0, committed.count), bytes: committed.bytes, lastSeq: lastSeq + committed.count, fault }
    }
    events.push(result.event)
    start = end + 1
    if (result.commit) committed = { count: events.length, bytes: start }
  }
  events.length = committed.count
  return { events, bytes: committed.bytes, lastSeq: lastSeq + committed.count }
}

function readLine(text: string, expected: number): { event: LoggedEvent; commit: boolean } | string {
  const line = parseLine(text)
  if (!line) return 'it is not a line of JSON'
  if (line.seq !== expected) return `it has seq ${String(line.seq)} where ${expected} is next`
  const commit = isCommit(line)
  try {
    return { event: eventOf(text, line), commit }
  } catch (error) {
    return messageOf(error)
  }
}

/** The end of a log. */
export interface LogTail {
  /** Bytes up to the end of the last whole append. What is behind it is torn. */
  readonly size: number
  readonly lastSeq: number
  /** As stored. */
  readonly summary?: unknown
}

/** Finds the last whole append, reading backwards from `end`. */
export function readTail(fd: number, end: number): LogTail {
  let stop = end
  for (let length = 16_384; stop > 0; length *= 2) {
    const start = Math.max(0, stop - length)
    const buffer = readFully(fd, start, stop)
    let lineEnd = buffer.lastIndexOf(10)
    while (lineEnd > 0) {
      const before = buffer.lastIndexOf(10, lineEnd - 1)
      if (before === -1 && start > 0) break
      const line = parseLine(buffer.toString('utf8', before + 1, lineEnd))
      if (line && isCommit(line)) return { size: start + lineEnd + 1, lastSeq: line.seq, summary: line.summary }
      lineEnd = before
    }
    if (start === 0) break
    // The line that was cut by the start of this stretch is read again, whole.
    if (lineEnd >= 0) stop = Math.min(stop, start + lineEnd + 1)
  }
  return { size: 0, lastSeq: 0 }
}

function readFully(fd: number, start: number, end: number): Buffer {
  const buffer = Buffer.allocUnsafe(end - start)
  let filled = 0
  while (filled < buffer.length) {
    const read = readSync(fd, buffer, filled, buffer.length - filled, start + filled)
    if (read === 0) return buffer.subarray(0, filled)
    filled += read
  }
  return buffer
}

import type { Sandbox } from '@baton-sdk/core'
import type { SearchEngine, SearchQuery } from './search-engine.ts'
import { argumentPath } from './tool-paths.ts'

/** A line that matched. */
export interface SearchMatch {
  readonly path: string
  readonly line: number
  /** Cut off far beyond what is shown. */
  readonly text: string
}

/** What a search came to. */
export interface SearchMatches {
  readonly matches: readonly SearchMatch[]
  /** Why it did not go through everything. */
  readonly stopped?: 'limit' | 'timeout' | undefined
}

/** What a search covers and how far it goes. */
export interface SearchScope {
  /** In the order in which they are searched. */
  readonly files: readonly string[]
  readonly maxMatches: number
  readonly signal: AbortSignal
}

const timeoutMs = 60_000
const maxLineBytes = 8192
const newline = 0x0a

/**
 * Searches the files inside the sandbox, reading what is found as it comes, and ends the search when there is enough. File names travel on standard input,
 * so neither their number nor what they are made of matters.
 */
export async function searchMatches(
  sandbox: Sandbox,
  engine: SearchEngine,
  query: SearchQuery,
  scope: SearchScope,
): Promise<SearchMatches> {
  const command = engine.command(query)
  if ('unsupported' in command) throw new TypeError(command.unsupported)
  const files = new Set(scope.files)
  const process = await sandbox.spawn(['xargs', '-0', ...command.argv, '--'], { env: command.env, timeoutMs, signal: scope.signal })
  const matches: SearchMatch[] = []
  const feeding = feed(process.stdin, scope.files)
  const ignoring = process.stderr.pipeTo(new WritableStream()).catch(() => undefined)
  let full = false
  try {
    for await (const line of lines(process.stdout)) {
      const match = engine.separates ? parseSeparated(line) : parseKnown(line, files)
      if (match === undefined) continue
      full = matches.length === scope.maxMatches
      if (full) break
      matches.push(match)
    }
  } finally {
    await process.kill()
    await Promise.all([feeding, ignoring])
  }
  const { reason } = await process.exit
  scope.signal.throwIfAborted()
  return { matches, stopped: full ? 'limit' : reason === 'timeout' ? 'timeout' : undefined }
}

async function feed(stdin: WritableStream<Uint8Array>, files: readonly string[]): Promise<void> {
  const writer = stdin.getWriter()
  try {
    for (let at = 0; at < files.length; at += 1000) {
      await writer.write(
        Buffer.from(
          files
            .slice(at, at + 1000)
            .map((path) => `${argumentPath(path)}\0`)
            .join(''),
        ),
      )
    }
    await writer.close()
  } catch {
    // It has ended and reads no more; its exit tells why.
  }
}

/** The lines of a stream, each cut where it is longer than anything that is shown. */
async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let kept: Buffer[] = []
  let length = 0
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    for (let at = 0; at < bytes.length; ) {
      const found = bytes.indexOf(newline, at)
      const piece = bytes.subarray(at, found === -1 ? bytes.length : found)
      if (length < maxLineBytes) kept.push(Buffer.from(piece.subarray(0, maxLineBytes - length)))
      length += piece.length
      if (found !== -1) {
        yield Buffer.concat(kept).toString()
        kept = []
        length = 0
      }
      at = found === -1 ? bytes.length : found + 1
    }
  }
  if (length > 0) yield Buffer.concat(kept).toString()
}

/** `./path NUL line:text`. Other lines are remarks, such as that a binary file matches. */
function parseSeparated(line: string): SearchMatch | undefined {
  const end = line.indexOf('\0')
  const number = /^(\d+):/.exec(line.slice(end + 1, end + 16))
  if (end === -1 || number === null) return undefined
  return matchOf(line.slice(0, end), number[1], line.slice(end + 1 + number[0].length))
}

/** `./path:line:text`, where only knowing the paths tells which colon ends one. */
function parseKnown(line: string, files: ReadonlySet<string>): SearchMatch | undefined {
  for (const found of line.matchAll(/:(\d+):/g)) {
    const path = line.slice(0, found.index)
    if (files.has(path.replace(/^\.\//, ''))) return matchOf(path, found[1], line.slice(found.index + found[0].length))
  }
  return undefined
}

function matchOf(path: string, line: string | undefined, text: string): SearchMatch | undefined {
  return text.includes('\0') ? undefined : { path: path.replace(/^\.\//, ''), line: Number(line), text: text.replace(/\r$/, '') }
}

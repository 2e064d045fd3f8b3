import type { Sandbox, Tool, ToolContext, ToolOutput } from '@baton-sdk/core'
import { BatonError, defineTool } from '@baton-sdk/core'
import { exec } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { failed, failureOf } from './failure.ts'
import type { FileContent } from './file-content.ts'
import { maxFileBytes, readContent } from './file-content.ts'
import { seenFiles } from './seen-files.ts'
import { similarPaths } from './similar-paths.ts'
import { count, cutText, linesOf } from './text.ts'
import { argumentPath, normalisePath, showPath, ToolPath } from './tool-paths.ts'

const maxLines = 2000
/** Most bytes cut out of a file that is too large to hold; far more than is shown. */
const maxPartBytes = 1024 * 1024
/** Room for the remarks below the lines. */
const remarkBytes = 300
const maxLineLength = 2000

const ReadInput = z.strictObject({
  path: ToolPath,
  startLine: z.int().positive().optional().describe('First line to show, from 1. Default: 1'),
  endLine: z.int().positive().optional().describe('Last line to show. Default: as many as fit'),
})
type ReadInput = z.infer<typeof ReadInput>

/** A tool that shows a file of the sandbox with line numbers, and remembers that the agent has seen it. */
export function createReadTool(): Tool<ReadInput, ToolOutput> {
  return defineTool({
    name: 'read',
    description:
      `Shows a text file with line numbers (number, tab, line). At most ${maxLines} lines a call, fewer where the output would get long: it ` +
      `says where to go on. Lines are cut at ${maxLineLength} characters. Give startLine and endLine for a part. Not for folders: use list.`,
    input: ReadInput,
    effect: 'read',
    sources: ({ path }) => [`file:${normalisePath(path)}`],
    paths: ({ path }) => [path],
    async run(input, context) {
      if (input.endLine !== undefined && input.endLine < (input.startLine ?? 1)) return failed('endLine is before startLine.')
      const sandbox = await context.sandbox()
      const path = normalisePath(input.path, sandbox.workdir)
      try {
        const content = await readContent(sandbox, path, context.signal)
        if (content === undefined) return await missing(sandbox, path, context)
        seenFiles(context).set(path, content)
        return show(path, content, input, context)
      } catch (error) {
        if (BatonError.isInstance(error, 'FILE_TOO_LARGE')) return showLarge(sandbox, path, input, context)
        return failureOf(error, path)
      }
    },
  })
}

/** What a model is told that asked for a file which is not there. */
async function missing(sandbox: Sandbox, path: string, context: ToolContext): Promise<ToolOutput> {
  const similar = await similarPaths(sandbox, path, context.signal)
  const hint = similar.length === 0 ? 'Use list or search to find it.' : `Did you mean ${similar.map(showPath).join(', ')}?`
  return failed(`There is no ${showPath(path)}. ${hint}`)
}

function show(path: string, content: FileContent, input: ReadInput, context: ToolContext): ToolOutput {
  if (content.bytes.length === 0) return { text: '(empty file)', data: { path, totalLines: 0 } }
  if (content.binary)
    return { text: `${showPath(path)} is binary (${count(content.bytes.length, 'byte')}); it is not shown.`, data: { path, binary: true } }
  const lines = linesOf(content.text)
  const start = input.startLine ?? 1
  if (start > lines.length) return failed(`${showPath(path)} has only ${count(lines.length, 'line')}.`)
  const shown = numberLines(lines.slice(start - 1, input.endLine ?? lines.length), start, context)
  const end = start + shown.length - 1
  const notes = [...remarks(content), ...(shown.length < lines.length ? [rangeNote(start, end, lines.length)] : [])]
  return { text: [...shown, ...notes].join('\n'), data: { path, startLine: start, endLine: end, totalLines: lines.length } }
}

/** As many of the lines as one call shows, each with its number. */
function numberLines(lines: readonly string[], first: number, { maxOutputBytes }: ToolContext): string[] {
  const shown: string[] = []
  let bytes = 0
  for (const [at, line] of lines.slice(0, maxLines).entries()) {
    const text = `${first + at}\t${cutText(line, maxLineLength)}`
    bytes += Buffer.byteLength(text) + 1
    if (bytes > maxOutputBytes - remarkBytes && shown.length > 0) break
    shown.push(text)
  }
  return shown
}

function remarks(content: FileContent): string[] {
  const notes: string[] = []
  if (!content.utf8) notes.push('[Not valid UTF-8: other bytes show as \ufffd]')
  if (content.lineEnding === 'crlf') notes.push('[Line endings: CRLF; edit keeps them]')
  if (content.lineEnding === 'mixed') notes.push('[Line endings: mixed LF and CRLF]')
  return notes
}

function rangeNote(start: number, end: number, total: number): string {
  const next = end < total ? `; go on with startLine ${end + 1}` : ''
  return `[Lines ${start} to ${end} of ${total}${next}]`
}

/** A part of a file that is too large to hold, cut out inside the sandbox. It does not count as seen, as edit and write cannot take such a file. */
async function showLarge(sandbox: Sandbox, path: string, input: ReadInput, context: ToolContext): Promise<ToolOutput> {
  const start = input.startLine ?? 1
  const last = Math.min(input.endLine ?? Number.POSITIVE_INFINITY, start + maxLines - 1)
  const command = ['sed', '-n', '-e', `${start},${last}p`, '-e', `${last}q`, argumentPath(path)]
  const result = await exec(sandbox, command, { maxOutputBytes: maxPartBytes, signal: context.signal })
  if (result.exit.code !== 0)
    return failed(
      `${showPath(path)} is larger than ${maxFileBytes / 1024 / 1024} MiB and could not be read in part: ${result.stderr.trim()}`,
    )
  const shown = numberLines(linesOf(result.stdout), start, context)
  if (shown.length === 0) return failed(`${showPath(path)} has no line ${start}.`)
  const end = start + shown.length - 1
  const note = `[Lines ${start} to ${end} of a file larger than ${maxFileBytes / 1024 / 1024} MiB; go on with startLine ${end + 1}, or use search]`
  return { text: [...shown, note].join('\n'), data: { path, startLine: start, endLine: end } }
}

import type { Tool, ToolContext, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'
import { changeFile, isRefusal, refuseStale, refuseUnread } from './change-file.ts'
import { failed, failureOf } from './failure.ts'
import type { FileContent } from './file-content.ts'
import { contentOf, readContent } from './file-content.ts'
import { rememberSettled, seenFiles } from './seen-files.ts'
import { count, linesOf } from './text.ts'
import { normalisePath, showPath, ToolPath } from './tool-paths.ts'

const WriteInput = z.strictObject({
  path: ToolPath,
  content: z.string().describe('The whole content of the file'),
})

/** A tool that creates a file or replaces all of it; a file that the agent has not seen as it is now is not replaced. */
export function createWriteTool(): Tool<z.infer<typeof WriteInput>, ToolOutput> {
  return defineTool({
    name: 'write',
    description:
      'Creates a file with this content, folders included, or replaces an existing one as a whole. Read an existing file first: replacing one that you ' +
      'have not read, or that changed since, is refused with the difference. For a change of parts use edit.',
    input: WriteInput,
    effect: 'write',
    sources: ({ path }) => [`file:${normalisePath(path)}`],
    paths: ({ path }) => [path],
    scope: ({ path }) => `changes to ${showPath(normalisePath(path))}`,
    remember: (file, memory) => rememberSettled(file, memory, { unread: true }),
    async run(input, context) {
      if (!input.content.isWellFormed()) return failed('content holds half of a surrogate pair, which no file can; nothing was written.')
      const sandbox = await context.sandbox()
      const path = normalisePath(input.path, sandbox.workdir)
      try {
        const before = await readContent(sandbox, path, context.signal)
        const after = Buffer.from(input.content)
        if (before !== undefined && after.equals(before.bytes)) return unchanged(path, before, context)
        const refusal = refuse(path, before, input.content, context)
        if (refusal !== undefined) return refusal
        const result = await changeFile({ sandbox, path, before, after }, context)
        if (isRefusal(result)) return result
        const content = contentOf(after)
        if (!context.proposes) seenFiles(context).set(path, content)
        const did = before === undefined ? `Created ${showPath(path)}` : `Replaced ${showPath(path)}`
        const text = `${did}: ${count(linesOf(input.content).length, 'line')} (+${result.addedLines} −${result.removedLines}).${endingsNote(before, content)}`
        return { text, data: { path, diff: result.text, addedLines: result.addedLines, removedLines: result.removedLines } }
      } catch (error) {
        return failureOf(error, path)
      }
    },
  })
}

function refuse(path: string, before: FileContent | undefined, proposed: string, context: ToolContext): ToolOutput | undefined {
  const seen = seenFiles(context).get(path)
  if (seen !== undefined && seen.sha256 !== before?.sha256) return refuseStale(path, seen, before, context)
  if (seen === undefined && before !== undefined) return refuseUnread(path, before, proposed, context)
  return undefined
}

function unchanged(path: string, content: FileContent, context: ToolContext): ToolOutput {
  seenFiles(context).set(path, content)
  return { text: `${showPath(path)} holds exactly this already; nothing was written.` }
}

function endingsNote(before: FileContent | undefined, after: FileContent): string {
  if (before === undefined || before.lineEnding === 'none' || after.lineEnding === 'none' || before.lineEnding === after.lineEnding)
    return ''
  const names = { lf: 'LF', crlf: 'CRLF', mixed: 'mixed' }
  return ` Its line endings were ${names[before.lineEnding]} and are ${names[after.lineEnding]} now.`
}

import type { Sandbox, Tool, ToolContext, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'
import type { Edit } from './apply-edits.ts'
import { applyEdits } from './apply-edits.ts'
import { changeFile, isRefusal, refuseStale } from './change-file.ts'
import { failed, failureOf } from './failure.ts'
import type { FileContent } from './file-content.ts'
import { contentOf, readContent } from './file-content.ts'
import { rememberSettled, seenFiles } from './seen-files.ts'
import { similarPaths } from './similar-paths.ts'
import { count } from './text.ts'
import { normalisePath, showPath, ToolPath } from './tool-paths.ts'

const EditInput = z.strictObject({
  path: ToolPath,
  edits: z
    .array(
      z.strictObject({
        oldText: z
          .string()
          .min(1)
          .describe('Exactly as in the file, indentation included and without line numbers; unique in it unless all is set'),
        newText: z.string().describe('What to put in its place; empty to delete'),
        all: z.boolean().optional().describe('Replace every occurrence'),
      }),
    )
    .min(1)
    .describe('Each against the file as it is now; they must not overlap'),
})

/**
 * A tool that replaces exact passages of a file. A file that the agent has read must not have changed since; one that it has not read may be edited where
 * the passages match exactly, and does not count as read by that.
 */
export function createEditTool(): Tool<z.infer<typeof EditInput>, ToolOutput> {
  return defineTool({
    name: 'edit',
    description:
      'Replaces passages of a file exactly: each oldText must be in the file once (or set all). All edits are made or none. Keeps line endings; LF in your ' +
      'text stands for CRLF in a CRLF file. Refused with the difference when the file changed since you read it. When a passage is not found, the answer ' +
      'says why and shows the nearest.',
    input: EditInput,
    effect: 'write',
    sources: ({ path }) => [`file:${normalisePath(path)}`],
    paths: ({ path }) => [path],
    scope: ({ path }) => `changes to ${showPath(normalisePath(path))}`,
    remember: (file, memory) => rememberSettled(file, memory, { unread: false }),
    async run(input, context) {
      const sandbox = await context.sandbox()
      const path = normalisePath(input.path, sandbox.workdir)
      try {
        const before = await readContent(sandbox, path, context.signal)
        const seen = seenFiles(context).get(path)
        if (seen !== undefined && seen.sha256 !== before?.sha256) return refuseStale(path, seen, before, context)
        if (before === undefined) return await missing(sandbox, path, context)
        return await edit(sandbox, path, before, input.edits, context)
      } catch (error) {
        return failureOf(error, path)
      }
    },
  })
}

async function missing(sandbox: Sandbox, path: string, context: ToolContext): Promise<ToolOutput> {
  const similar = await similarPaths(sandbox, path, context.signal)
  const hint = similar.length === 0 ? '' : ` Did you mean ${similar.map(showPath).join(', ')}?`
  return failed(`There is no ${showPath(path)}; use write to create a file.${hint}`)
}

async function edit(
  sandbox: Sandbox,
  path: string,
  before: FileContent,
  edits: readonly Edit[],
  context: ToolContext,
): Promise<ToolOutput> {
  if (before.binary) return failed(`${showPath(path)} is binary; edit is for text.`)
  if (!edits.every(({ oldText, newText }) => oldText.isWellFormed() && newText.isWellFormed())) {
    return failed('An edit holds half of a surrogate pair, which no file can; nothing was written.')
  }
  const codec = codecOf(before)
  const given = edits.map(({ oldText, newText, all }) => ({ oldText: codec.fromModel(oldText), newText: codec.fromModel(newText), all }))
  const outcome = applyEdits(codec.text, given, { crlf: before.lineEnding === 'crlf' })
  if (!outcome.applied)
    return failed(`${showPath(path)}: ${before.utf8 ? outcome.reason : reasonInBytes(before, edits)}. Nothing was written.`)
  const after = codec.encode(outcome.text)
  const result = await changeFile({ sandbox, path, before, after }, context)
  if (isRefusal(result)) return result
  const seen = seenFiles(context)
  if (seen.get(path) !== undefined && !context.proposes) seen.set(path, contentOf(after))
  const lines = outcome.lines.length > 10 ? `${outcome.lines.slice(0, 10).join(', ')}, …` : outcome.lines.join(', ')
  return {
    text: `Edited ${showPath(path)}: ${count(outcome.replacements, 'replacement')}, at line ${lines} (+${result.addedLines} −${result.removedLines}).`,
    data: { path, diff: result.text, addedLines: result.addedLines, removedLines: result.removedLines },
  }
}

/** Why edits of a file that is not all UTF-8 do not fit, told of the file as the model sees it. */
function reasonInBytes(before: FileContent, edits: readonly Edit[]): string {
  const outcome = applyEdits(before.text, edits)
  return outcome.applied ? 'oldText covers bytes that are no UTF-8, which read shows as \ufffd: leave them out' : outcome.reason
}

/** How a file's bytes are edited as a string so that every byte that is not replaced stays as it is. */
interface Codec {
  readonly text: string
  fromModel(text: string): string
  encode(text: string): Uint8Array
}

function codecOf({ text, bytes, utf8, bom }: FileContent): Codec {
  if (utf8) {
    const encode = (edited: string) => Buffer.concat([bytes.subarray(0, bom ? 3 : 0), Buffer.from(edited)])
    return { text, fromModel: withoutMark, encode }
  }
  // One character for each byte, so that bytes which are no UTF-8 survive.
  return {
    text: Buffer.from(bytes).toString('latin1'),
    fromModel: (given) => Buffer.from(withoutMark(given)).toString('latin1'),
    encode: (edited) => Buffer.from(edited, 'latin1'),
  }
}

function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, '')
}

import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Tool, ToolContext } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import { diffTexts } from '../workspace/file-diff.ts'

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

/** A tool that changes one file as the coding tools do: only if it is as it was read, and it says so. */
export const writeTool: Tool<{ path: string; text: string }, string> = defineTool({
  name: 'write',
  description: 'Writes a file.',
  input: z.strictObject({ path: z.string(), text: z.string() }),
  effect: 'write',
  async run({ path, text }, context) {
    const sandbox = await context.sandbox()
    const before = await sandbox.readFile(path).catch(() => undefined)
    const after = Buffer.from(text)
    await sandbox.writeFile(path, after, { ifSha256: before ? sha256(before) : null })
    const { text: diff, addedLines, removedLines } = diffTexts(before ? Buffer.from(before).toString() : '', text, 64 * 1024)
    await context.record({
      type: 'file.changed',
      data: {
        ...{ path, change: before ? 'modified' : 'created', evidence: 'tool', callId: context.callId },
        ...(before && { before: sha256(before) }),
        ...{ after: sha256(after), diff, addedLines, removedLines },
      },
    })
    return `wrote ${path}`
  },
})

/** A tool that runs what the test gives it, by name, as a shell command would: nobody says what it changes. */
export function actionTool(actions: Readonly<Record<string, (context: ToolContext) => Promise<unknown>>>): Tool<{ act: string }, string> {
  return defineTool({
    name: 'act',
    description: 'Runs something.',
    input: z.strictObject({ act: z.string() }),
    effect: 'execute',
    async run({ act }, context) {
      await actions[act]?.(context)
      return `did ${act}`
    },
  })
}

import type { Tool, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'
import { failed } from './failure.ts'

/** Room for the remark below it. */
const remarkBytes = 100

const ReadOutputInput = z.strictObject({
  callId: z.string().min(1).describe('Id of the earlier call'),
  offset: z.int().nonnegative().default(0).describe('First byte to show, from 0'),
  maxBytes: z.int().positive().optional().describe('Most bytes to show. Default: as many as fit'),
})

/** A tool that reads the whole of an earlier output that was too long for the prompt, piece by piece. */
export function createReadOutputTool(): Tool<z.infer<typeof ReadOutputInput>, ToolOutput> {
  return defineTool({
    name: 'read_output',
    description:
      'Shows the whole output of an earlier tool call that was shown to you with something left out, piece by piece: each answer says where to go on.',
    input: ReadOutputInput,
    effect: 'read',
    async run(input, context) {
      const whole = await context.wholeOutput(input.callId)
      if (whole === undefined) return failed(`There is no output of a call ${JSON.stringify(input.callId)}.`)
      if (input.offset >= whole.length && whole.length > 0) return failed(`That output has only ${whole.length} bytes.`)
      const start = characterStart(whole, input.offset)
      const room = Math.min(input.maxBytes ?? Number.POSITIVE_INFINITY, context.maxOutputBytes - remarkBytes)
      const end = Math.max(characterStart(whole, Math.min(whole.length, start + room)), Math.min(whole.length, start + 4))
      const text = Buffer.from(whole.subarray(start, end)).toString()
      const next = end < whole.length ? `; go on with offset ${end}` : ''
      return { text: `${text}\n[Bytes ${start} to ${end} of ${whole.length}${next}]`, data: { start, end, totalBytes: whole.length } }
    },
  })
}

/** The position, or the start of the UTF-8 character that it is inside of. */
function characterStart(bytes: Uint8Array, position: number): number {
  let start = position
  while (start > 0 && position - start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start--
  return start
}

import type { Tool, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'
import type { BackgroundCommand } from './background-commands.ts'
import { backgroundCommands } from './background-commands.ts'
import { describeExit, withRemark } from './command-text.ts'
import { failed } from './failure.ts'

const maxWaitMs = 600_000

const ShellOutputInput = z.strictObject({
  id: z.string().min(1).describe('Id that shell gave for the background command'),
  waitMs: z.int().nonnegative().max(maxWaitMs).default(0).describe(`Wait up to this long for it to end, at most ${maxWaitMs}. Default: 0`),
  waitFor: z.string().min(1).max(1000).optional().describe('Stop waiting as soon as the new output has this text, for example "listening"'),
})

/** A tool that reads what a background command has said since it was last read. */
export function createShellOutputTool(): Tool<z.infer<typeof ShellOutputInput>, ToolOutput> {
  return defineTool({
    name: 'shell_output',
    description:
      'Shows what a background command has printed since the last shell_output, and whether it has ended. With much new output the middle of it is left out.',
    input: ShellOutputInput,
    effect: 'read',
    async run({ id, waitMs, waitFor }, context) {
      const command = await backgroundCommands(context).find(id, await context.sandbox(), context.signal)
      if (command === undefined) return unknownCommand(id)
      if (waitMs > 0) await command.wait({ timeoutMs: waitMs, text: waitFor, signal: context.signal })
      return showNew(command)
    },
  })
}

/** The new output, and whether it still runs. */
export function showNew(command: BackgroundCommand): ToolOutput {
  const output = command.readNew()
  const state = command.ended === undefined ? 'still running' : describeExit(command.ended)
  const text = withRemark(output, output === '' ? `no new output; ${state}` : state)
  return { text, data: { id: command.id, running: command.ended === undefined, ...(command.ended && { exit: command.ended }) } }
}

/** What to say of an id that is not there, or is no longer. */
export function unknownCommand(id: string): ToolOutput {
  return failed(
    `There is no background command ${JSON.stringify(id)}. If it was started earlier it is lost: the program that watched it was started anew.`,
  )
}

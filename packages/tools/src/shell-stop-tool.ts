import type { Tool, ToolOutput } from '@baton-sdk/core'
import { defineTool } from '@baton-sdk/core'
import { z } from 'zod'
import { backgroundCommands } from './background-commands.ts'
import { showNew, unknownCommand } from './shell-output-tool.ts'

const ShellStopInput = z.strictObject({ id: z.string().min(1).describe('Id that shell gave for the background command') })

/** A tool that ends a background command and everything it started. */
export function createShellStopTool(): Tool<z.infer<typeof ShellStopInput>, ToolOutput> {
  return defineTool({
    name: 'shell_stop',
    description: 'Ends a background command and everything it started, and shows what it printed last.',
    input: ShellStopInput,
    effect: 'execute',
    scope: () => 'ending background commands of this task',
    async run({ id }, context) {
      const command = await backgroundCommands(context).find(id, await context.sandbox(), context.signal)
      if (command === undefined) return unknownCommand(id)
      if (command.ended === undefined) await command.stop()
      return showNew(command)
    },
  })
}

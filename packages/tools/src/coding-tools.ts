import type { Tool } from '@baton-sdk/core'
import { parseOptions } from '@baton-sdk/core/plugin'
import { createAskTool } from './ask-tool.ts'
import { createEditTool } from './edit-tool.ts'
import { createListTool } from './list-tool.ts'
import { createReadOutputTool } from './read-output-tool.ts'
import { createReadTool } from './read-tool.ts'
import { createSearchTool } from './search-tool.ts'
import { createShellOutputTool } from './shell-output-tool.ts'
import { createShellStopTool } from './shell-stop-tool.ts'
import type { ShellToolOptions } from './shell-tool.ts'
import { createShellTool, ShellToolOptionsSchema } from './shell-tool.ts'
import { createWriteTool } from './write-tool.ts'

/** Options of {@link createCodingTools}. */
export type CodingToolsOptions = ShellToolOptions

/**
 * The tools that a coding agent needs, for any sandbox: `shell`, `shell_output`, `shell_stop`, `read`, `list`, `search`, `write`, `edit`, `ask` and
 * `read_output`. Leave some out, or put others in, by making the array yourself.
 *
 * @throws BatonError `INVALID_OPTIONS`.
 */
export function createCodingTools(options: CodingToolsOptions = {}): readonly Tool[] {
  const { commandTimeoutMs } = parseOptions('createCodingTools', ShellToolOptionsSchema, options)
  return [
    createShellTool({ commandTimeoutMs }),
    createShellOutputTool(),
    createShellStopTool(),
    createReadTool(),
    createListTool(),
    createSearchTool(),
    createWriteTool(),
    createEditTool(),
    createAskTool(),
    createReadOutputTool(),
  ]
}

import { execFile } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BatonError, messageOf } from '../errors.ts'
import type { TreeQuery } from './process-tree.ts'
import { findTree } from './process-tree.ts'

/** Size of a terminal, in characters. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

const run = promisify(execFile)
let probe: Promise<string | undefined> | undefined

/**
 * A command line that runs another on a terminal of its own: `script` of util-linux makes one without a native module. Its exit code passes
 * through, a signal as 128 and its number.
 *
 * @throws BatonError `UNSUPPORTED_SPEC` where there is no such `script`.
 */
export async function wrapInTerminal(argv: readonly string[], size: TerminalSize): Promise<readonly string[]> {
  probe ??= run('script', ['-qefc', 'true', '/dev/null'], { timeout: 10_000 }).then(() => undefined, messageOf)
  const problem = await probe
  if (problem !== undefined)
    throw new BatonError(
      'UNSUPPORTED_SPEC',
      `local sandbox: tty needs the program script of util-linux, which does not work here: ${problem}`,
    )
  return ['script', '-qefc', `stty rows ${size.rows} cols ${size.columns}; exec ${argv.map(quote).join(' ')}`, '/dev/null']
}

/** Sets the size of the terminal that a command runs on; the command gets SIGWINCH from the system. */
export async function resizeTerminal(tree: TreeQuery, size: TerminalSize): Promise<void> {
  const device = await findDevice(tree)
  if (device === undefined) throw new BatonError('SANDBOX_FAILED', 'The command has ended, or its terminal was not found.')
  await run('stty', ['-F', device, 'rows', String(size.rows), 'cols', String(size.columns)])
}

/** The terminal by way of a process that has it open, which works from outside of the command's own `/dev` too. It may just be starting. */
async function findDevice(tree: TreeQuery): Promise<string | undefined> {
  for (let waited = 0; waited < 2000; waited += 10) {
    const processes = findTree(tree)
    if (processes.length === 0) return undefined
    for (const { pid } of processes) {
      const device = `/proc/${pid}/fd/0`
      try {
        if (/^\/(dev\/pts\/)?\d+$/.test(readlinkSync(device))) return device
      } catch {
        // It has ended since.
      }
    }
    await setTimeout(10)
  }
  return undefined
}

function quote(argument: string): string {
  return `'${argument.replaceAll("'", `'\\''`)}'`
}

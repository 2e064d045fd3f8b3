import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Linux takes at most 128 KiB in one argument (MAX_ARG_STRLEN, execve(2)). */
const longestArgument = 100_000

/** The shell for commands that are strings: bash where it is, else the system's `sh`. */
export function findShell(): string {
  return ['/bin/bash', '/usr/bin/bash'].find((path) => existsSync(path)) ?? '/bin/sh'
}

/** The sandbox's own folder for temporary files, by its path here and by the one that commands see. */
export interface TemporaryFolder {
  readonly onHost: string
  readonly inSandbox: string
}

/** What to run for a command. A string that is too long for an argument travels in a file, which the shell removes when it has read it. */
export function argvOf(command: string | readonly string[], shell: string, tmp: TemporaryFolder, id: string): readonly string[] {
  if (typeof command !== 'string') return command
  if (Buffer.byteLength(command) < longestArgument) return [shell, '-c', command]
  const name = `.baton-command-${id}`
  writeFileSync(join(tmp.onHost, name), command, { mode: 0o600, flag: 'wx' })
  return [shell, '-c', 'eval "$(cat "$0"; rm -f "$0")"', join(tmp.inSandbox, name)]
}

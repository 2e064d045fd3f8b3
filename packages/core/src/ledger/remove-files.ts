import { BatonError, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { exec } from '../sandbox/exec.ts'
import { pathToBytes } from '../sandbox/path-bytes.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'

/** A file to remove, as it has to be. */
export interface Removal {
  readonly path: string
  /** Of a link: where it points. */
  readonly target?: Uint8Array | undefined
  /** Of a file, lower-case hexadecimal. */
  readonly sha256: string
}

/** How much of a script goes into one command, in bytes. */
const scriptBytes = 48 * 1024

/**
 * What the lines below it use. A folder is entered by its whole path, and only stayed in when the system says that this is where it is: so no link on the way
 * leads out, also one that appears meanwhile. What is removed is then in the folder that is held, by a name without a slash, and a link is removed itself.
 * Where the sandbox has no sha256sum or readlink, the kind of file is all that is compared.
 */
const prelude = `LC_ALL=C
n='
'
root=$(pwd -P; echo x); root=\${root%?x}; root=\${root%/}
enter() { w=$root\${1:+/}$1; cd -P -- "\${w:-/}" 2>/dev/null && [ "$(pwd -P; echo x)" = "\${w:-/}\${n}x" ]; }
file() { enter "$1" && [ -f "./$2" ] && [ ! -L "./$2" ] && { h=$(sha256sum < "./$2" 2>/dev/null) || ! command -v sha256sum >/dev/null; } && [ "\${h%% *}" = "\${h:+$3}" ]; }
link() { enter "$1" && [ -L "./$2" ] && { ! command -v readlink >/dev/null || [ "$(readlink "./$2"; echo x)" = "$3\${n}x" ]; }; }
bad() { printf '%s\\n' "$1"; exit 0; }
`

/**
 * Removes files and links of a sandbox, each only if it is as expected, which is looked at in the sandbox right before. Returns those that are not: with any of
 * them, what comes after it is left alone. `checkFirst`: nothing at all is removed then, as far as one command goes.
 */
export async function removeFiles(
  sandbox: Sandbox,
  removals: readonly Removal[],
  options: Abortable & { readonly checkFirst?: boolean | undefined } = {},
): Promise<readonly string[]> {
  const check = ({ path, target, sha256 }: Removal, at: number): string => {
    const test = target ? `t=${quoted(target)}; link "\${d%x}" "\${f%x}" "\${t%x}"` : `file "\${d%x}" "\${f%x}" ${sha256}`
    return `${place(path)}; ${test} || bad ${at}\n`
  }
  const lines = removals.map((removal, at) => {
    const remove = `rm -f -- "./\${f%x}" || bad ${at}\n`
    return options.checkFirst ? [check(removal, at), check(removal, at) + remove] : ['', check(removal, at) + remove]
  })
  const script = options.checkFirst
    ? [...lines.map(([first]) => first ?? ''), ...lines.map(([, then]) => then ?? '')]
    : lines.map(([, then]) => then ?? '')
  const found = await runScript(sandbox, script, options)
  return found.flatMap((at) => removals[at]?.path ?? [])
}

/** Removes folders that are empty, and leaves the others. Each comes before the folders that it is in. */
export async function removeEmptyFolders(sandbox: Sandbox, folders: readonly string[], options: Abortable = {}): Promise<void> {
  const deepest = [...folders].sort((a, b) => b.split('/').length - a.split('/').length)
  const script = deepest.map((path) => `${place(path)}; enter "\${d%x}" && [ ! -L "./\${f%x}" ] && rmdir -- "./\${f%x}" 2>/dev/null\n`)
  await runScript(sandbox, script, options)
}

/** Runs lines in as few commands as they fit in. Returns the numbers that the first command with any said, after which there is no other. */
async function runScript(sandbox: Sandbox, lines: readonly string[], { signal }: Abortable): Promise<number[]> {
  for (let at = 0; at < lines.length; ) {
    let script = prelude
    do script += lines[at++]
    while (at < lines.length && script.length + (lines[at]?.length ?? 0) < scriptBytes)
    const { exit, stdout, stderr } = await exec(sandbox, `${script}echo done\n`, { signal, env: { LC_ALL: 'C' } })
    throwIfAborted(signal, 'removing files')
    if (stdout.endsWith('done\n')) continue
    const said = /^(\d+)\n$/.exec(stdout)
    if (said && exit.code === 0) return [Number(said[1])]
    throw new BatonError(
      'SANDBOX_FAILED',
      `Files could not be removed: ${stderr.trim() || `the shell ended with ${exit.reason} ${exit.code}`}`,
    )
  }
  return []
}

/** The folder and the name of a path in `d` and `f`, with an `x` behind, since a shell cuts newlines off what a command printed. */
function place(path: string): string {
  const slash = path.lastIndexOf('/')
  return `d=${quoted(pathToBytes(path.slice(0, Math.max(0, slash))))}; f=${quoted(pathToBytes(path.slice(slash + 1)))}`
}

/** Bytes for a shell, followed by an `x`, in letters that every sandbox passes on as they are. */
function quoted(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('latin1')
  if (/^[\x20-\x26\x28-\x7e]*$/.test(text)) return `'${text}x'`
  return `$(printf '${[...bytes].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}x')`
}

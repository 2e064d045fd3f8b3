import { bashHooks } from './bash-hooks.ts'
import { posixHooks } from './posix-hooks.ts'
import { zshHooks } from './zsh-hooks.ts'

/** What the shell in the terminal can tell: `bash` and `zsh` each command as it starts; `posix` only each prompt; `none` nothing. */
export type ShellKind = 'bash' | 'zsh' | 'posix' | 'none'

/** The shell that was found in the sandbox. */
export interface FoundShell {
  readonly path: string
  readonly kind: ShellKind
  /** Whether it calls itself bash, of any version. */
  readonly isBash: boolean
}

/** The operating system command (ECMA-48 OSC) of this integration; a number that no terminal uses. */
export const markerPrefix = '\x1b]7717;'

/**
 * The command that starts a terminal: finds a shell, says which it is (`hello;version;path`), takes the rest by the terminal's own input, where no
 * other process sees it (arguments and the environment are visible to children), and becomes the shell. Names what is asked for must be safe to
 * stand in single quotes.
 */
export function openerOf(shell: string | undefined): string {
  const wanted =
    shell === undefined
      ? `case \${SHELL##*/} in bash|zsh|sh|dash|ash) set -- "$SHELL" bash zsh sh;; *) set -- bash zsh sh;; esac`
      : `set -- '${shell.replaceAll("'", `'\\''`)}'`
  return `__b_tty=$(stty -g); stty raw -echo
${wanted}
__b_path=
for __b_name do __b_path=$(command -v "$__b_name" 2>/dev/null) && [ -x "$__b_path" ] && break; __b_path=; done
__b_kind=
if [ -n "$__b_path" ]; then
  __b_kind=$(BASH_ENV= ENV= "$__b_path" -fc 'if [ -n "\${BASH_VERSION-}" ]; then echo "bash $BASH_VERSION"; elif [ -n "\${ZSH_VERSION-}" ]; then echo zsh; else echo sh; fi' </dev/null 2>/dev/null)
fi
printf '\\033]7717;hello;%s;%s\\007' "$__b_kind" "$__b_path"
__b_code=
__b_newline='
'
while IFS= read -r __b_line && [ "$__b_line" != . ]; do __b_code=$__b_code$__b_line$__b_newline; done
eval "$__b_code"`
}

/** What the opener said, as a shell; undefined where it found none. */
export function foundShell(version: string, path: string): FoundShell | undefined {
  if (path === '') return undefined
  const bash = /^bash (\d+)\.(\d+)/.exec(version)
  // PS0 and $- as a local came with bash 4.4.
  if (bash) return { path, isBash: true, kind: Number(bash[1]) * 100 + Number(bash[2]) >= 404 ? 'bash' : 'posix' }
  // As sh it reads other files, and lacks what the hooks need.
  if (version === 'zsh') return { path, isBash: false, kind: path.endsWith('/sh') ? 'posix' : 'zsh' }
  return { path, isBash: false, kind: version === 'sh' ? 'posix' : 'none' }
}

/** What the opener is to run: the shell with the hooks, whose text it reads from a pipe, after or before the person's own files. */
export function launchOf({ path, kind, isBash }: FoundShell, nonce: string): string {
  const shell = `'${path.replaceAll("'", `'\\''`)}'`
  const go = `printf '\\033]7717;${nonce};go\\007'\n`
  const restore = `stty "$__b_tty"\n${locale}\n`
  if (kind === 'none') return `${restore}${go}exec ${shell} -i`
  const named = isBash && !path.endsWith('/sh')
  const hooks = { bash: bashHooks, zsh: zshHooks, posix: posixHooks }[kind](nonce, named ? ownBashrc : ownEnv)
  const document = `9<<'BATON_${nonce}'\n${hooks}\nBATON_${nonce}\n`
  if (kind === 'zsh') return `${restore}${zshFolder(nonce.slice(0, 12))}\nexec ${shell} -i ${document}`
  if (named) return `${restore}${go}exec ${shell} --rcfile /dev/fd/9 -i ${document}`
  return `${restore}${go}[ -z "\${ENV+x}" ] || export __baton_env="$ENV"\nexport ENV=/dev/fd/9\nexec ${shell} -i ${document}`
}

/** Where nothing says otherwise a person types UTF-8; in the C locale zsh shows, and tells, question marks. */
const locale = `[ -n "\${LC_ALL:-}\${LC_CTYPE:-}\${LANG:-}" ] || export LC_CTYPE=C.UTF-8`

const ownBashrc = '[ ! -f ~/.bashrc ] || . ~/.bashrc'

/** POSIX: the value of ENV is subject to parameter expansion (sh, section Environment Variables). */
const ownEnv = `if [ -n "\${__baton_env+x}" ]; then
  ENV=$__baton_env; unset __baton_env
  eval "__baton_file=\\"$ENV\\""
  [ ! -f "$__baton_file" ] || . "$__baton_file"
  unset __baton_file
else unset ENV; fi`

/** zsh takes its files from a folder only: one in memory where there is one, which it removes before it says `go`. */
function zshFolder(name: string): string {
  return `umask=$(umask); umask 077
for __b_folder in /dev/shm "\${TMPDIR:-/tmp}" /tmp .; do mkdir "$__b_folder/baton-${name}" 2>/dev/null && break; done
umask "$umask"
__b_folder=$__b_folder/baton-${name}
echo '. /dev/fd/9' > "$__b_folder/.zshenv"
[ -z "\${ZDOTDIR+x}" ] || export __baton_zdotdir="$ZDOTDIR"
export ZDOTDIR="$__b_folder"`
}

/**
 * What a plain sh reads at its start (dash, busybox ash, ksh and others). It has no hooks: the prompt says how the command before it ended and where the
 * shell is, the prompt of a further line that the command goes on, and, where the shell has one (busybox), the end of the history what was typed.
 */
export function posixHooks(nonce: string, ownFiles: string): string {
  return `exec 9<&-
__baton_nonce=${nonce}
${functions}
${ownFiles}
PS1='$(__baton_prompt "$?" 2>/dev/null)'"$PS1"
PS2='$(__baton_more 2>/dev/null)'"$PS2"`
}

const functions = `__baton_hex() { od -An -v -tx1 | tr -d '\\n' | tr ' ' '%'; }
__baton_prompt() {
  case $PWD in *[%\\;[:cntrl:]]*) __baton_cwd=$(printf %s "$PWD" | __baton_hex) ;; *) __baton_cwd=$PWD ;; esac
  __baton_list=
  if command -v history >/dev/null; then __baton_list=$(history | tail -n 40 | __baton_hex); fi
  printf '\\033]7717;%s;prompt;%s;%s;%s\\007' "$__baton_nonce" "$1" "$__baton_cwd" "$__baton_list" >/dev/tty
}
__baton_more() { printf '\\033]7717;%s;more\\007' "$__baton_nonce" >/dev/tty; }`

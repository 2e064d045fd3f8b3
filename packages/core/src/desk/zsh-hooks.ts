/**
 * What zsh reads in place of the person's `.zshenv`, which it then reads itself, as all other files after it, from where they are. The hooks are zsh's own
 * preexec and precmd; the text is what was typed, aliases and all, also where the history does not keep it.
 */
export function zshHooks(nonce: string): string {
  return `exec 9<&-
typeset -g +x __baton_nonce=${nonce}
command rm -f -- "$ZDOTDIR/.zshenv"; command rmdir -- "$ZDOTDIR"
if (( \${+__baton_zdotdir} )); then export ZDOTDIR=$__baton_zdotdir; unset __baton_zdotdir; else unset ZDOTDIR; fi
${functions}
__baton_mark go
typeset -ga preexec_functions precmd_functions
preexec_functions+=(__baton_start)
precmd_functions+=(__baton_end)
# Nobody is asked to set up zsh in a sandbox.
zsh-newuser-install() { : }
[[ ! -f \${ZDOTDIR:-$HOME}/.zshenv ]] || . "\${ZDOTDIR:-$HOME}/.zshenv"`
}

const functions = `__baton_mark() {
  builtin printf '\\033]7717;%s;%s\\007' "$__baton_nonce" "$1" 2>/dev/null >/dev/tty
}
__baton_escape() {
  emulate -L zsh -o extendedglob -o no_multibyte
  setopt no_xtrace
  local text=$1
  (( \${#text} <= 65536 )) || text=\${text[1,65536]}$'\\xe2\\x80\\xa6'
  REPLY=\${text//(#m)[[:cntrl:]%;]/%\${(l:2::0:)$(( [##16] #MATCH ))}}
}
__baton_start() {
  local code=$?
  emulate -L zsh
  setopt no_xtrace
  local REPLY cwd
  (( \${precmd_functions[(I)__baton_end]} )) || precmd_functions+=(__baton_end)
  __baton_escape "$PWD"; cwd=$REPLY
  __baton_escape "\${1:-$3}"
  __baton_mark "start;$code;$cwd;$REPLY"
}
__baton_end() {
  local code=$?
  emulate -L zsh
  setopt no_xtrace
  (( ! \${+functions[zsh-newuser-install]} )) || unfunction zsh-newuser-install
  (( \${preexec_functions[(I)__baton_start]} )) || preexec_functions+=(__baton_start)
  __baton_mark "end;$code"
}`

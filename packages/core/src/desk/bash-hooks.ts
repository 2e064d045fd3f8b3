/**
 * What bash 4.4 and later reads at its start. PS0 says that a command starts, with its text from the history list, and PROMPT_COMMAND that it has ended.
 *
 * So that the list always has the command, `ignorespace` and HISTIGNORE are put aside while a command is typed; what they would have kept out is removed
 * from the list before anything of the person's own runs at the next prompt, or when the shell exits, and so does not reach the history file.
 *
 * Both hooks put each other back when a file that is sourced again, or the person, sets PS0 or PROMPT_COMMAND. Since bash 5.1 PROMPT_COMMAND is an array, and
 * assigning a string changes its first element only.
 */
export function bashHooks(nonce: string, ownFiles: string): string {
  return `exec 9<&-
__baton_nonce=${nonce}
${functions}
${ownFiles}
__baton_told=1
__baton_ready`
}

const functions = `__baton_first='\${__baton_nonce:+__baton_ended}'
__baton_told= __baton_hiding= __baton_number= __baton_entry= __baton_text= __baton_name=__baton_ready
__baton_mark() { builtin printf '\\033]7717;%s;%s\\007' "$__baton_nonce" "$1" 2>/dev/null >/dev/tty; }
__baton_escape() {
  local LC_ALL=C text=$1 code hex char
  [[ \${#text} -le 65536 ]] || text=\${text:0:65536}$'\\xe2\\x80\\xa6'
  text=\${text//%/%25}
  text=\${text//;/%3b}
  if [[ $text == *[[:cntrl:]]* ]]; then
    for ((code = 1; code < 128; code += code == 31 ? 96 : 1)); do
      builtin printf -v hex %02x "$code"
      builtin printf -v char "\\\\x$hex"
      text=\${text//"$char"/"%$hex"}
    done
  fi
  __baton_text=$text
}
__baton_newest() {
  __baton_number= __baton_entry=
  [[ -o history ]] || return 0
  local entry
  entry=$(HISTTIMEFORMAT= builtin history 1)
  entry=\${entry#"\${entry%%[![:blank:]]*}"}
  __baton_number=\${entry%%[!0-9]*}
  entry=\${entry#"$__baton_number"}
  __baton_entry=\${entry:2}
}
__baton_start() {
  { local -; set +xeu; } 2>/dev/null
  __baton_newest
  __baton_escape "$__baton_entry"
  local text=$__baton_text
  __baton_escape "$PWD"
  __baton_mark "start;$1;$__baton_text;$text"
}
__baton_unwanted() {
  local IFS=: pattern
  case $__baton_control in *ignorespace* | *ignoreboth*) [[ $1 != ' '* ]] || return 0 ;; esac
  set -f
  for pattern in $__baton_ignore; do
    [[ $pattern != '&' ]] || pattern=$__baton_previous
    [[ $1 != $pattern ]] || return 0
  done
  return 1
}
__baton_unlist() {
  { local -; set +xeu; } 2>/dev/null
  [[ -n $__baton_hiding ]] || return 0
  __baton_hiding=
  [[ $HISTCONTROL != "$__baton_shown" ]] || HISTCONTROL=$__baton_control
  [[ -n $HISTIGNORE || -z $__baton_ignore ]] || HISTIGNORE=$__baton_ignore
  local before=$__baton_number
  __baton_newest
  [[ $__baton_number == "$before" ]] || ! __baton_unwanted "$__baton_entry" || builtin history -d "$__baton_number"
}
__baton_hide() {
  __baton_hiding=
  case $HISTCONTROL$HISTIGNORE in '') return 0 ;; esac
  case $HISTCONTROL in *ignorespace* | *ignoreboth*) ;; *) [[ -n $HISTIGNORE ]] || return 0 ;; esac
  __baton_newest
  __baton_hiding=1 __baton_control=$HISTCONTROL __baton_ignore=$HISTIGNORE __baton_previous=$__baton_entry
  __baton_shown=\${HISTCONTROL//ignorespace/}
  __baton_shown=\${__baton_shown//ignoreboth/ignoredups}
  [[ $__baton_shown == "$__baton_control" ]] || HISTCONTROL=$__baton_shown
  [[ -z $HISTIGNORE ]] || HISTIGNORE=
  [[ -n $(trap -p EXIT) ]] || trap __baton_unlist EXIT
}
__baton_ended() {
  local code=\${1-$?}
  { local -; set +xeu; } 2>/dev/null
  # After something of the person's own the code would be of that; then __baton_ready, which gets the true one, tells.
  [[ -z $__baton_told && ( -n \${1-} || \${PROMPT_COMMAND[0]} == "$__baton_first"* ) ]] || return "$code"
  __baton_told=1
  __baton_unlist
  __baton_mark "end;$code"
  return "$code"
}
__baton_ready() {
  local code=$?
  { local -; set +xeu; } 2>/dev/null
  __baton_ended "$code"
  __baton_told=
  __baton_install
  __baton_hide
}
__baton_install() {
  local ready='\${__baton_nonce:+__baton_ready}' attributes
  local start='$(__baton_start "$?")\${__baton_name#"\${PROMPT_COMMAND[99]:=__baton_ready}"}'
  ! shopt -q promptvars || [[ $PS0 != *__baton_start* || \${PROMPT_COMMAND[0]} != "$__baton_first"* || \${PROMPT_COMMAND[99]} != "$__baton_name" ]] || return 0
  attributes=$(builtin declare -p PROMPT_COMMAND 2>/dev/null)
  attributes=\${attributes#declare -}
  # An array cannot be exported, and before 5.1 only its first element counted.
  if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 501)) || [[ \${attributes%% *} == *x* && \${attributes%% *} != *a* ]]; then
    start='$(__baton_start "$?")'
    [[ $PROMPT_COMMAND == *__baton_ended*__baton_ready* ]] || PROMPT_COMMAND=$__baton_first$'\\n'$PROMPT_COMMAND$'\\n'$ready
  else
    [[ \${PROMPT_COMMAND[0]} == "$__baton_first"* ]] || PROMPT_COMMAND[0]=$__baton_first$'\\n'\${PROMPT_COMMAND[0]//"$__baton_first"/}
    PROMPT_COMMAND[99]=__baton_ready
  fi
  if shopt -q promptvars; then
    [[ $PS0 == *__baton_start* ]] || PS0=$start$PS0
  else
    PS0=\${PS0//"$start"/}
  fi
}`

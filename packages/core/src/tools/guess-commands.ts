import type { Words } from './shell-words.ts'
import { splitCommands } from './shell-words.ts'

/** Commands that run what they are given. What comes behind them is a command, or may be. */
const launchers: ReadonlySet<string> = new Set(
  (
    '. alias ash bash builtin busybox chroot command csh dash doas env eval exec fish flock ionice ksh mksh nice nohup nsenter parallel pwsh runuser ' +
    'script setsid sh source ssh stdbuf su sudo tcsh time timeout trap unshare watch xargs zsh'
  ).split(' '),
)
/** Words before a command that are not the command. */
const beforeCommand = /^(?:!|\{|\}|do|elif|else|if|then|until|while|coproc|[A-Za-z_]\w*\+?=.*)$/s
/** Commands that are looked for behind one launcher. */
const maxBehind = 50
const maxDepth = 3

/** Whether a command runs what its arguments say: a shell, `env`, `xargs`, `sudo`, `find -exec` and their like. */
export function isLauncher([first = '', ...rest]: Words): boolean {
  return launchers.has(nameOf(first)) || rest.some(runsRest)
}

function nameOf(command: string): string {
  return command.slice(command.lastIndexOf('/') + 1)
}

function runsRest(word: string): boolean {
  return /^-(?:exec|ok)(?:dir)?$/.test(word)
}

/**
 * All commands that a command line may run, as far as that can be told without running it: for rules that ask or deny, which would rather see one too
 * many. Finds them behind `sudo`, `env`, assignments and the like, in `sh -c` and in substitutions. No match for a shell that is meant to hide something.
 */
export function guessCommands(text: string, depth = 0): readonly Words[] {
  const certain = splitCommands(text)
  const parts = certain ?? [...splitRoughly(text), ...splitWithoutQuotes(text)]
  return parts.flatMap((words) => guessFrom(words, depth))
}

function guessFrom(all: Words, depth: number): readonly Words[] {
  const start = all.findIndex((word) => !beforeCommand.test(word))
  if (start < 0) return []
  const words = all.slice(start)
  const found = [words, withName(words)]
  const from = launchers.has(nameOf(words[0] as string)) ? 1 : words.findIndex(runsRest) + 1
  if (from === 0) return found
  const behind = words.slice(from)
  for (let index = 0; index < Math.min(behind.length, maxBehind); index++) {
    const rest = behind.slice(index)
    found.push(rest, withName(rest))
    if (depth < maxDepth && /[\s;&|]/.test(rest[0] as string)) found.push(...guessCommands(rest[0] as string, depth + 1))
  }
  return found
}

/** `/usr/bin/git push` is `git push`. */
function withName([first = '', ...rest]: Words): Words {
  return [nameOf(first), ...rest]
}

/** Joins lines that go on, and puts a space where the shell would be made to. */
function prepare(text: string): string {
  return text
    .replaceAll('\\\n', '')
    .replace(/\$\{IFS[^}]*\}|\$IFS/g, ' ')
    .replace(/\$(?:[0-9@*]|\{[0-9@*]\})/g, '')
}

/** Splits at everything that begins a command, quotes and backslashes taken for what they mean. */
function splitRoughly(text: string): Words[] {
  const parts: string[][] = [[]]
  let word: string | undefined
  let quote = ''
  const endWord = (): void => {
    if (word !== undefined) parts.at(-1)?.push(word)
    word = undefined
  }
  const prepared = prepare(text)
  for (let at = 0; at < prepared.length; at++) {
    const character = prepared[at] as string
    const substitutes = character === '`' || (character === '$' && prepared[at + 1] === '(')
    if (quote === "'" ? character === "'" : quote === '"' && character === '"') quote = ''
    else if (quote === '' && (character === "'" || character === '"')) {
      quote = character
      word ??= ''
    } else if (character === '\\' && quote !== "'") word = (word ?? '') + (prepared[++at] ?? '')
    else if (quote !== "'" && substitutes) {
      endWord()
      parts.push([])
    } else if (quote !== '') word = (word ?? '') + character
    else if (/[;&|\n\r(){}<>]/.test(character)) {
      endWord()
      parts.push([])
    } else if (/\s/.test(character)) endWord()
    else word = (word ?? '') + character
  }
  endWord()
  return parts.filter((words) => words.length > 0)
}

/** Splits as if there were no quotes, for what is quoted in order to be run. */
function splitWithoutQuotes(text: string): Words[] {
  return prepare(text)
    .replace(/['"\\]/g, ' ')
    .split(/[;&|\n\r(){}<>`$]/)
    .map((part) => part.split(/\s+/).filter((word) => word !== ''))
    .filter((words) => words.length > 0)
}

import { anyCharacter, anything, fitsGlob } from './glob.ts'
import { guessCommands, isLauncher } from './guess-commands.ts'
import type { Words } from './shell-words.ts'
import { showWords, splitCommands } from './shell-words.ts'

/** Patterns of a rule, ready to be tried on command lines. */
export interface CommandMatcher {
  /** Every command of the line is certain, and one of the patterns takes it as a whole. */
  everyPart(line: string): boolean
  /** One of the patterns takes something that the line may run. */
  anyPart(line: string): boolean
}

/** A pattern: a glob over the words of a command, or a regular expression over its text. */
export type CommandPattern = string | RegExp

/** What is wrong with a pattern. Undefined where nothing is. */
export function problemOfCommand(pattern: CommandPattern, allows: boolean): string | undefined {
  if (typeof pattern !== 'string') return undefined
  const parts = splitCommands(pattern, { wildcards: true })
  if (parts?.length !== 1) {
    return `expected one plain command such as "npm test" or "git push *", and not ${JSON.stringify(pattern)}: * and ? are wildcards, what else a shell treats in a way of its own has to be quoted, and each command is a pattern of its own`
  }
  const [words = []] = parts
  if (allows && isLauncher(words) && hasWildcard(words)) {
    return `${JSON.stringify(pattern)} would allow whatever ${JSON.stringify(words[0])} is given to run: leave out the wildcard, or let a person decide`
  }
  return undefined
}

/** Makes a matcher of patterns that {@link problemOfCommand} has nothing against. */
export function compileCommands(patterns: readonly CommandPattern[]): CommandMatcher {
  const tests = patterns.map((pattern) => (typeof pattern === 'string' ? globTest(pattern) : regExpTest(pattern)))
  return {
    everyPart(line) {
      const parts = splitCommands(line)
      return parts !== undefined && parts.length > 0 && parts.every((words) => tests.some((test) => test.whole(words)))
    },
    anyPart(line) {
      const parts = guessCommands(line)
      return tests.some((test) => test.text?.(line) || parts.some((words) => test.part(words)))
    },
  }
}

interface Test {
  /** Whether it takes a command for certain. */
  whole(words: Words): boolean
  /** Whether it fits what may be run. */
  part(words: Words): boolean
  /** Whether it fits the text of the line. */
  readonly text?: (line: string) => boolean
}

function hasWildcard(words: Words): boolean {
  return words.some((word) => word.includes(anything) || word.includes(anyCharacter))
}

/** NUL is in no word, so that what is one word is never taken for two. */
const between = '\0'

function globTest(pattern: string): Test {
  const [words = []] = splitCommands(pattern, { wildcards: true }) ?? []
  const globs = [words.join(between)]
  // `npm test *`: with any arguments, or none.
  if (words.length > 1 && words.at(-1) === anything) globs.push(words.slice(0, -1).join(between))
  const part = (given: Words): boolean => globs.some((glob) => fitsGlob(glob, given.join(between)))
  const exact = !hasWildcard(words)
  return { part, whole: (given) => (exact || !isLauncher(given)) && part(given) }
}

function regExpTest({ source, flags }: RegExp): Test {
  const whole = new RegExp(`^(?:${source})$`, flags.replace(/[gmy]/g, ''))
  const anywhere = new RegExp(source, flags.replace(/[gy]/g, ''))
  return {
    whole: (words) => !isLauncher(words) && whole.test(showWords(words)),
    part: (words) => anywhere.test(showWords(words)),
    text: (line) => anywhere.test(line),
  }
}

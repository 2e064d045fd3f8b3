import { anyCharacter, anything } from './glob.ts'

/** The words of one command, quotes removed. */
export type Words = readonly string[]

/** Text longer than this is not looked through. */
const maxLength = 65_536
/** Characters that mean only themselves, unquoted and anywhere in a word, in bash, dash, busybox and zsh. */
const plain = /[A-Za-z0-9_./:,+@%^-]/
/** Redirections that neither read nor write a file: to another stream, and to and from nothing. */
const harmlessRedirection = /(?:>&[12]|>>?[ \t]*\/dev\/null|<[ \t]*\/dev\/null)(?=[ \t\n;|]|&&|$)/y
const separator = /&&|\|\||[;|\n]/y
/** Words that are part of the shell's grammar where a command begins. */
const reserved: ReadonlySet<string> = new Set(
  '! [[ ]] { } case coproc do done elif else end esac fi for foreach function if in nocorrect noglob repeat select then time until while'.split(
    ' ',
  ),
)

/** What is being read. */
interface Scan {
  readonly parts: string[][]
  words: string[]
  /** Undefined between words. */
  word: string | undefined
  /** Whether a part of the word was quoted. */
  quoted: boolean
  /** Set behind `&&`, `||` and `|`: something has to follow. */
  open: boolean
}

/**
 * Takes a command line apart into the commands that it runs: those beside `;`, `&&`, `||`, `|` and line breaks. Undefined for everything whose meaning
 * is not certain in every shell: what the shell expands (`$`, backquotes, globs, braces, `~`, `\`), redirections other than `2>&1` and to `/dev/null`,
 * `&`, groups, functions, compound commands, assignments, comments, here-documents, unquoted characters beyond ASCII, control characters.
 * Source: POSIX.1-2024, Shell Command Language, 2.2 to 2.10.
 *
 * @param options - with `wildcards`, `*` and `?` become those of a glob
 */
export function splitCommands(text: string, { wildcards = false }: { wildcards?: boolean } = {}): readonly Words[] | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those that shells treat each in its own way are what is looked for.
  if (text.length > maxLength || !text.isWellFormed() || /[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(text)) return undefined
  const scan: Scan = { parts: [], words: [], word: undefined, quoted: false, open: false }
  for (let at = 0; at < text.length; ) {
    const next = readSeparator(text, at, scan) ?? readWord(text, at, scan, wildcards)
    if (next === undefined) return undefined
    at = next
  }
  if (!endPart(scan) || scan.open) return undefined
  return scan.parts.every(([first = '']) => first !== '' && !first.includes('=') && !reserved.has(first)) ? scan.parts : undefined
}

/** Reads what is between words or commands. Undefined where there is nothing of it. */
function readSeparator(text: string, at: number, scan: Scan): number | undefined {
  if (text[at] === ' ' || text[at] === '\t') {
    endWord(scan)
    return at + 1
  }
  const redirection = matchAt(harmlessRedirection, text, at)
  if (redirection !== undefined) {
    // One digit right before it names the stream.
    if (!scan.quoted && scan.word !== undefined && /^\d+$/.test(scan.word)) {
      if (scan.word.length > 1) return undefined
      scan.word = undefined
    }
    endWord(scan)
    // It needs a command to belong to, which a word behind it can be.
    return at + redirection.length
  }
  const found = matchAt(separator, text, at)
  if (found === undefined) return undefined
  if (found === '\n' && scan.open && scan.words.length === 0 && scan.word === undefined) return at + 1
  return endPart(scan, found) ? at + found.length : undefined
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

function endWord(scan: Scan): void {
  if (scan.word !== undefined) scan.words.push(scan.word)
  scan.word = undefined
  scan.quoted = false
}

/** Ends a command; false where there is none although there has to be. */
function endPart(scan: Scan, found = '\n'): boolean {
  endWord(scan)
  if (scan.words.length === 0) return found === '\n' && !scan.open
  scan.parts.push(scan.words)
  scan.words = []
  scan.open = found !== '\n' && found !== ';'
  return true
}

/** Reads one character of a word, or one quoted piece. */
function readWord(text: string, at: number, scan: Scan, wildcards: boolean): number | undefined {
  const character = text[at] as string
  const before = scan.word
  if (character === "'" || character === '"') {
    const end = text.indexOf(character, at + 1)
    const piece = text.slice(at + 1, end)
    if (end < 0 || (character === '"' && /[$`\\]/.test(piece))) return undefined
    scan.word = (before ?? '') + piece
    scan.quoted = true
    return end + 1
  }
  const meant = wildcards ? { '*': anything, '?': anyCharacter }[character] : undefined
  if (meant === undefined && !plain.test(character) && !isPlainHere(character, before)) return undefined
  scan.word = (before ?? '') + (meant ?? character)
  return at + 1
}

/** Characters that mean themselves in some places only. */
function isPlainHere(character: string, before: string | undefined): boolean {
  if (before === undefined || before === '') return false
  if (character === '~') return !/[=:]$/.test(before)
  return character === '=' || character === '#'
}

/** Shows the words of a command as a shell would take them, each quoted where it has to be. */
export function showWords(words: Words): string {
  return words.map((word) => (/^[A-Za-z0-9_./:,+@%^=~#-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}

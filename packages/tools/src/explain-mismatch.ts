import { nearestPassage } from './nearest-passage.ts'
import { cutText, lineAt } from './text.ts'

/** Where a passage is in a text. */
interface Place {
  readonly start: number
  readonly end: number
}

/** A way in which what a model gives often differs from the file. */
interface Difference {
  readonly says: string
  /** What the character counts as: another one, or nothing. */
  fold(character: string): string
}

const typographic: Readonly<Record<string, string>> = {
  '‘': "'",
  '’': "'",
  '‚': "'",
  '“': '"',
  '”': '"',
  '„': '"',
  '–': '-',
  '—': '-',
  '‐': '-',
  '‑': '-',
  '−': '-',
  '\u00a0': ' ',
  '\u202f': ' ',
}
const dropSpace = (character: string) => (/\s/.test(character) ? '' : character)
const plain = (character: string) => typographic[character] ?? character

/** In the order in which they are tried: the least different first. */
const differences: readonly Difference[] = [
  { says: 'its line endings differ (CRLF against LF)', fold: (character) => (character === '\r' ? '' : character) },
  { says: 'its quotes, dashes or spaces are other characters (such as “ for ")', fold: plain },
  { says: 'its whitespace or indentation differs', fold: dropSpace },
  { says: 'its whitespace and its quotes or dashes differ', fold: (character) => dropSpace(plain(character)) },
  { says: 'its upper and lower case differ', fold: (character) => dropSpace(character.toLowerCase()) },
]

/** Texts longer than this are not searched for what is only similar; this many take about 0.3 s. */
const maxSearchedCharacters = 500_000
const maxShownLines = 30
const maxShownLineLength = 300

/** Why `oldText` is not in the text, as far as that can be found out, with the passage that was probably meant. Ends without a full stop. */
export function explainMismatch(text: string, oldText: string, newText: string): string {
  const already = alreadyApplied(text, newText)
  if (text.length > maxSearchedCharacters) return `oldText was not found (the file is too long to look for something similar)${already}`
  const rewritten = rewrittenMatch(text, oldText)
  if (rewritten !== undefined) return `oldText was not found${already}; ${rewritten}`
  for (const { says, fold } of differences) {
    const place = findFolded(text, oldText, fold)
    if (place !== undefined) return `oldText was not found exactly${already}; ${says}. ${describe(text, place, oldText)}`
  }
  const near = nearestPassage(text, oldText)
  if (near === undefined) return `oldText was not found${already}, nor anything like it. Read the file again`
  return `oldText was not found${already}. The most similar passage: ${describe(text, near, oldText)}`
}

function alreadyApplied(text: string, newText: string): string {
  const at = newText.trim().length < 4 ? -1 : text.indexOf(newText)
  return at === -1 ? '' : `, but newText is there already, at line ${lineAt(text, at)}: the edit may have been made before`
}

/** Matches of what was probably meant, where the whole text was written another way. */
function rewrittenMatch(text: string, oldText: string): string | undefined {
  const lines = oldText.split('\n')
  if (lines.every((line) => line === '' || /^\s*\d+\t/.test(line))) {
    const at = text.indexOf(lines.map((line) => line.replace(/^\s*\d+\t/, '')).join('\n'))
    if (at !== -1) return `without the line numbers that read shows, it is at line ${lineAt(text, at)}: leave them out`
  }
  if (!/\\[nt"'\\]/.test(oldText)) return undefined
  const at = text.indexOf(oldText.replace(/\\([nt"'\\])/g, (_, letter: string) => (letter === 'n' ? '\n' : letter === 't' ? '\t' : letter)))
  return at === -1 ? undefined : `with its backslash escapes resolved, it is at line ${lineAt(text, at)}: give it unescaped`
}

/** Finds a text that is the same once both are folded, in time linear in both. */
function findFolded(text: string, oldText: string, fold: (character: string) => string): Place | undefined {
  const wanted = Array.from(oldText, fold)
    .join('')
    .replace(/^\n+|\n+$/g, '')
  if (wanted === '') return undefined
  const pieces: string[] = []
  const offsets: number[] = []
  let at = 0
  for (const character of text) {
    const piece = fold(character)
    for (let unit = 0; unit < piece.length; unit++) offsets.push(at)
    pieces.push(piece)
    at += character.length
  }
  const found = pieces.join('').indexOf(wanted)
  if (found === -1) return undefined
  return { start: offsets[found] ?? 0, end: (offsets[found + wanted.length - 1] ?? 0) + 1 }
}

/** The passage as the file has it, in whole lines with numbers, and the first line in which it differs from what was asked for. */
function describe(text: string, place: Place, oldText: string): string {
  const start = text.lastIndexOf('\n', place.start - 1) + 1
  const newline = text.indexOf('\n', Math.max(place.start, place.end - 1))
  const first = lineAt(text, place.start)
  const actual = text.slice(start, newline === -1 ? text.length : newline).split('\n')
  const wanted = oldText.replace(/^\n+|\n$/g, '').split('\n')
  const differing = actual.findIndex((line, at) => line !== wanted[at])
  const shown = actual.slice(0, maxShownLines).map((line, at) => `${first + at}\t${cutText(line.replace(/\r$/, ''), maxShownLineLength)}`)
  if (actual.length > shown.length) shown.push(`[… ${actual.length - shown.length} more lines]`)
  const lines = actual.length === 1 ? `line ${first}` : `lines ${first} to ${first + actual.length - 1}`
  const given = wanted[differing]
  const detail =
    differing === -1 || given === undefined
      ? ''
      : `\nFirst difference, at line ${first + differing}: the file has ${quote(actual[differing] ?? '')}, oldText has ${quote(given)}`
  return `The file has, at ${lines}:\n${shown.join('\n')}${detail}`
}

function quote(line: string): string {
  return JSON.stringify(cutText(line, maxShownLineLength))
}

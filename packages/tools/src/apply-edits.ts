import { explainMismatch } from './explain-mismatch.ts'
import { count, lineAt } from './text.ts'

/** One exact replacement. */
export interface Edit {
  readonly oldText: string
  readonly newText: string
  /** Replace every occurrence; otherwise there must be exactly one. */
  readonly all?: boolean | undefined
}

/** What became of the edits: all of them, or none and why. */
export type EditOutcome =
  | { readonly applied: true; readonly text: string; readonly replacements: number; readonly lines: readonly number[] }
  | { readonly applied: false; readonly reason: string }

/** Where an edit replaces. */
interface Span {
  readonly start: number
  readonly end: number
  readonly newText: string
  /** Counted from 1. */
  readonly edit: number
}

/** Most places that an account of several matches names. */
const maxNamedPlaces = 10
/** Most places that one edit with `all` replaces. */
const maxReplacements = 100_000

/**
 * Replaces exactly, every edit against the text as it was, all of them or none. With `crlf`, line feeds in the edits stand for the file's CRLF, so that
 * the file keeps its line endings.
 */
export function applyEdits(text: string, edits: readonly Edit[], options: { readonly crlf?: boolean } = {}): EditOutcome {
  const spans: Span[] = []
  const which = (index: number) => (edits.length === 1 ? '' : `edit ${index} of ${edits.length}: `)
  for (const [at, given] of edits.entries()) {
    const edit = options.crlf === true ? { ...given, oldText: toCrlf(given.oldText), newText: toCrlf(given.newText) } : given
    const found = locate(text, edit, at + 1)
    if (typeof found === 'string') return { applied: false, reason: which(at + 1) + found }
    spans.push(...found)
  }
  spans.sort((a, b) => a.start - b.start || a.end - b.end)
  for (const [at, span] of spans.entries()) {
    const next = spans[at + 1]
    if (next !== undefined && next.start < span.end) {
      const [first, second] = [span.edit, next.edit].sort((a, b) => a - b)
      return { applied: false, reason: `edits ${first} and ${second} overlap at line ${lineAt(text, next.start)}: make them one edit` }
    }
  }
  return { applied: true, text: splice(text, spans), replacements: spans.length, lines: lineNumbers(text, spans) }
}

function locate(text: string, edit: Edit, number: number): Span[] | string {
  const { oldText, newText } = edit
  if (oldText === '') return 'oldText is empty: give the text to replace, or use write for a whole file'
  if (oldText === newText) return 'oldText and newText are the same, so nothing would change'
  const step = edit.all === true ? oldText.length : 1
  const limit = edit.all === true ? maxReplacements + 1 : maxNamedPlaces + 1
  const starts: number[] = []
  for (let at = text.indexOf(oldText); at !== -1 && starts.length < limit; at = text.indexOf(oldText, at + step)) starts.push(at)
  if (starts.length === 0) return explainMismatch(text, oldText, newText)
  if (starts.length > 1 && edit.all !== true) return severalMatches(text, starts)
  if (starts.length > maxReplacements)
    return `oldText is found in more than ${count(maxReplacements, 'place')}: use a shell command instead`
  return starts.map((start) => ({ start, end: start + oldText.length, newText, edit: number }))
}

function severalMatches(text: string, starts: readonly number[]): string {
  const lines = starts.slice(0, maxNamedPlaces).map((start) => lineAt(text, start))
  const [times, more] = starts.length > maxNamedPlaces ? [`more than ${maxNamedPlaces} places`, ', …'] : [count(starts.length, 'place'), '']
  return `oldText is found in ${times} (lines ${lines.join(', ')}${more}): add lines around it until it is unique, or set all to replace every one`
}

function splice(text: string, spans: readonly Span[]): string {
  let end = 0
  const parts: string[] = []
  for (const span of spans) {
    parts.push(text.slice(end, span.start), span.newText)
    end = span.end
  }
  return parts.join('') + text.slice(end)
}

/** The lines of the spans, which are in order, in one pass. */
function lineNumbers(text: string, spans: readonly Span[]): number[] {
  let line = 1
  let at = 0
  return spans.map(({ start }) => {
    for (let newline = text.indexOf('\n', at); newline !== -1 && newline < start; newline = text.indexOf('\n', at)) {
      line++
      at = newline + 1
    }
    return line
  })
}

function toCrlf(text: string): string {
  return text.replace(/\r?\n/g, '\r\n')
}

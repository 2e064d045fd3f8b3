import { formatPatch, structuredPatch } from 'diff'
import { BatonError } from '../errors.ts'

/** Lines around a change. Changes that are nearer to each other than twice that are one hunk. */
const context = 3
/** Beyond this many differing lines the search for the shortest difference is given up, as it costs their square. */
const maxEditLength = 2000
const noNewline = '\\'

/** What becomes of one hunk. */
export interface HunkChoice {
  /** As {@link cutIntoHunks} gave it. */
  readonly diff: string
  readonly decision: 'accepted' | 'edited' | 'rejected'
  /** With `edited`: what to have instead of the hunk's new side. */
  readonly text?: string | undefined
}

/** Both sides of a hunk, as they stand in the texts. */
interface HunkSides {
  /** Index of its first line in the old text, from 0. */
  readonly start: number
  readonly old: readonly string[]
  readonly now: readonly string[]
}

/**
 * The difference between two texts as unified diffs of one hunk each, which can be accepted or left out independently of each other. Undefined where there
 * is no difference, or so much that it would cost too much or be longer than `maxBytes`.
 */
export function cutIntoHunks(before: string, after: string, maxBytes: number): readonly string[] | undefined {
  const patch = structuredPatch('', '', before, after, undefined, undefined, { context, maxEditLength })
  if (!patch || patch.hunks.length === 0) return undefined
  const headers = { includeIndex: false, includeUnderline: false, includeFileHeaders: false }
  const hunks = patch.hunks.map((hunk) => formatPatch({ ...patch, hunks: [hunk] }, headers))
  const bytes = hunks.reduce((sum, hunk) => sum + Buffer.byteLength(hunk), 0)
  return bytes > maxBytes ? undefined : hunks
}

/**
 * The old text with the hunks that were accepted or edited. An edit's text is taken as it is, but for two things: where the old and the new side end their
 * lines with CRLF and the edit has none, its LFs become that; and where the new side ends with a line end, so does the edit.
 *
 * @throws BatonError `CORRUPT_LOG` where a hunk is not one of this text
 */
export function assembleHunks(before: string, hunks: readonly HunkChoice[]): string {
  const lines = linesOf(before)
  const parts: string[] = []
  let at = 0
  for (const { diff, decision, text } of hunks) {
    const { start, old, now } = sidesOf(diff)
    if (start < at || old.some((line, index) => lines[start + index] !== line)) {
      throw new BatonError('CORRUPT_LOG', `The hunk ${diff.split('\n', 1)} does not fit the text that it is said to be a difference from.`)
    }
    parts.push(...lines.slice(at, start))
    if (decision === 'edited') parts.push(fitEdit(text ?? '', old, now))
    else parts.push(...(decision === 'accepted' ? now : old))
    at = start + old.length
  }
  return [...parts, ...lines.slice(at)].join('')
}

/** The text that these bytes are, byte order mark included; undefined where they are none. */
export function decodeText(content: Uint8Array): string | undefined {
  // The rule git goes by.
  if (content.subarray(0, 8000).includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}

/** What an edit of a hunk begins with: its new side as text. */
export function newSideOf(diff: string): string {
  return sidesOf(diff).now.join('')
}

function fitEdit(text: string, old: readonly string[], now: readonly string[]): string {
  const all = [...old, ...now].filter((line) => line.endsWith('\n'))
  const crlf = all.length > 0 && all.every((line) => line.endsWith('\r\n')) && !text.includes('\r\n')
  const fitted = crlf ? text.replaceAll('\n', '\r\n') : text
  const ending = /\r?\n$/.exec(now.at(-1) ?? '')?.[0] ?? ''
  return fitted === '' || fitted.endsWith('\n') ? fitted : fitted + ending
}

function sidesOf(diff: string): HunkSides {
  const [header = '', ...lines] = diff.replace(/\n$/, '').split('\n')
  const [, start = '1', count = '1'] = /^@@ -(\d+)(?:,(\d+))? /.exec(header) ?? []
  const old: string[] = []
  const now: string[] = []
  for (const [index, line] of lines.entries()) {
    if (line.startsWith(noNewline)) continue
    const whole = lines[index + 1]?.startsWith(noNewline) ? line.slice(1) : `${line.slice(1)}\n`
    if (!line.startsWith('+')) old.push(whole)
    if (!line.startsWith('-')) now.push(whole)
  }
  // A side without lines stands behind the line that it names.
  return { start: Number(start) - (count === '0' ? 0 : 1), old, now }
}

/** With their line ends. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

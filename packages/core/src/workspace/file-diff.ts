import type { StructuredPatch } from 'diff'
import { formatPatch, structuredPatch } from 'diff'

/** The difference between two texts. */
export interface FileDiff {
  /** Unified, without file headers; cut at the last whole line that fits. */
  readonly text: string
  /** Whether `text` leaves something out. */
  readonly cut: boolean
  readonly addedLines: number
  readonly removedLines: number
}

/** Beyond this many differing lines the search for the shortest difference is given up, as it costs their square. */
const maxEditLength = 2000

/** Compares line by line, at a cost that is bounded for texts of any size. */
export function diffTexts(before: string, after: string, maxBytes: number): FileDiff {
  const patch = structuredPatch('', '', before, after, undefined, undefined, { context: 3, maxEditLength }) ?? replacedMiddle(before, after)
  let addedLines = 0
  let removedLines = 0
  for (const line of patch.hunks.flatMap((hunk) => hunk.lines)) {
    if (line.startsWith('+')) addedLines++
    else if (line.startsWith('-')) removedLines++
  }
  const whole =
    patch.hunks.length === 0 ? '' : formatPatch(patch, { includeIndex: false, includeUnderline: false, includeFileHeaders: false })
  return { ...boundLines(whole, maxBytes), addedLines, removedLines }
}

/** Says that everything between the common beginning and the common end was replaced: true, if not the shortest way to say it. */
function replacedMiddle(before: string, after: string): StructuredPatch {
  const [old, now] = [before.split('\n'), after.split('\n')]
  const shorter = Math.min(old.length, now.length)
  let start = 0
  while (start < shorter && old[start] === now[start]) start++
  let end = 0
  while (end < shorter - start && old[old.length - 1 - end] === now[now.length - 1 - end]) end++
  const removed = old.slice(start, old.length - end)
  const added = now.slice(start, now.length - end)
  const lines = [...removed.map((line) => `-${line}`), ...added.map((line) => `+${line}`)]
  const hunk = { oldStart: start + 1, oldLines: removed.length, newStart: start + 1, newLines: added.length, lines }
  return { oldFileName: '', newFileName: '', oldHeader: undefined, newHeader: undefined, hunks: [hunk] }
}

function boundLines(text: string, maxBytes: number): { text: string; cut: boolean } {
  const bytes = Buffer.from(text)
  if (bytes.length <= maxBytes) return { text, cut: false }
  const note = (lines: number) => `[… ${lines} more lines of difference]\n`
  const end = bytes.subarray(0, Math.max(0, maxBytes - 60)).lastIndexOf(0x0a) + 1
  const left = bytes.toString('utf8', end).split('\n').length - 1
  return { text: bytes.toString('utf8', 0, end) + note(left), cut: true }
}

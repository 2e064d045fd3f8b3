import type { LedgerFile } from './ledger.ts'
import type { HunkClash, LineHunk } from './line-hunks.ts'
import { applyHunks, composeHunks, diffLines, splitLines, takeBackHunks } from './line-hunks.ts'

/** A file to merge: its content, or a link's target. */
export interface MergeFile {
  readonly mode: LedgerFile['mode']
  readonly content: Uint8Array
  /** `content` only stands for one that is not kept. Files with the same are the same. */
  readonly hashOnly?: boolean | undefined
}

/**
 * What two changes cannot both have: lines of a `text`; content that is only taken as a whole (`binary`, links too); a file that only one side has
 * (`deleted`); its kind, or whether it can be run (`mode`); content that is not there to be merged (`not-kept`).
 */
export type MergeConflictKind = 'text' | 'binary' | 'deleted' | 'mode' | 'not-kept'

/** Lines that both sides changed. Each text is cut at 4,000 characters. */
export interface ConflictHunk {
  /** The first of the lines in the base, from 1. */
  readonly line: number
  readonly base: string
  readonly ours: string
  readonly theirs: string
}

/** Why files do not merge. */
export interface MergeConflict {
  readonly kind: MergeConflictKind
  /** Of a text: the first twenty. */
  readonly hunks?: readonly ConflictHunk[] | undefined
}

/** What happened to a file on the way from one state to another. What had no effect in the end is in it too. */
export interface FileChange {
  /** Of its content: nothing, some lines of a text, or all of it. */
  readonly content: 'same' | 'whole' | readonly LineHunk[]
  /** Whether it can be run was set. */
  readonly mode: boolean
}

/** What a merge gives: the file and how it came from `theirs`, or why there is none. */
export type MergeResult =
  | { readonly file: MergeFile | undefined; readonly change: FileChange; readonly conflict?: undefined }
  | { readonly conflict: MergeConflict }

/** One file on three sides; undefined where it is not there. */
export interface MergeSides {
  readonly base: MergeFile | undefined
  readonly ours: MergeFile | undefined
  readonly theirs: MergeFile | undefined
  /** How `ours` came from `base`, where more is known of it than the two states say. */
  readonly change?: FileChange | undefined
}

const maxHunks = 20
const maxExcerpt = 4_000
/** As git does: a NUL in the first part of it makes content binary. */
const probedBytes = 8_192
const noChange: FileChange = { content: 'same', mode: false }

/** The change that leads from one state of a file to another. */
export function changeBetween(before: MergeFile | undefined, after: MergeFile | undefined): FileChange {
  if (!before || !after) return before === after ? noChange : { content: 'whole', mode: true }
  const kinds = isLink(before) !== isLink(after)
  if (kinds) return { content: 'whole', mode: true }
  const mode = before.mode !== after.mode
  if (sameContent(before, after)) return { content: 'same', mode }
  const [a, b] = [textOf(before), textOf(after)]
  if (a === undefined || b === undefined) return { content: 'whole', mode }
  return { content: diffLines(splitLines(a), splitLines(b)), mode }
}

/** The change that two changes one after the other come to. */
export function composeChanges(first: FileChange, middle: MergeFile | undefined, second: FileChange): FileChange {
  const mode = first.mode || second.mode
  if (first.content === 'same') return { content: second.content, mode }
  if (second.content === 'same') return { content: first.content, mode }
  if (first.content === 'whole' || second.content === 'whole') return { content: 'whole', mode }
  return { content: orSame(composeHunks(first.content, linesOf(middle), second.content)), mode }
}

/**
 * Merges what two sides made of a file: content by lines where all three are texts (UTF-8 without a NUL), else as a whole; and apart from that whether it can
 * be run. Line endings and a missing end of the last line stay as each side has them. Lines that repeat are never told apart by guessing: see `diffLines`.
 */
export function mergeFiles({ base, ours, theirs, change = changeBetween(base, ours) }: MergeSides): MergeResult {
  const other = changeBetween(theirs, base)
  const mine = { content: change.content !== 'same', mode: change.mode }
  if (!mine.content && !mine.mode) return { file: theirs, change: noChange }
  if (other.content === 'same' && !other.mode) return { file: ours, change }
  if (!base || !ours || !theirs) return sameFile(ours, theirs) ? { file: ours, change } : { conflict: { kind: 'deleted' } }
  if (mine.mode && other.mode && ours.mode !== theirs.mode) return { conflict: { kind: 'mode' } }
  const content = mergeContents({ base, ours, theirs }, change.content, other.content)
  if ('conflict' in content) return content
  // Where only one side made it a link, or no link any more, its content is in conflict above.
  return { file: { ...content.file, mode: mine.mode ? ours.mode : theirs.mode }, change: { content: content.change, mode: change.mode } }
}

type Sides = { readonly [K in 'base' | 'ours' | 'theirs']: MergeFile }
type Contents = { readonly file: MergeFile; readonly change: FileChange['content'] } | { readonly conflict: MergeConflict }

/** @param other - the change from `theirs` to `base` */
function mergeContents(sides: Sides, mine: FileChange['content'], other: FileChange['content']): Contents {
  const { base, ours, theirs } = sides
  if (mine === 'same') return { file: theirs, change: 'same' }
  if (other === 'same') return { file: ours, change: mine }
  if (mine !== 'whole' && other !== 'whole') return mergeTexts(sides, mine, other)
  if (sameFile(ours, theirs)) return { file: ours, change: 'whole' }
  return { conflict: { kind: base.hashOnly || ours.hashOnly || theirs.hashOnly ? 'not-kept' : 'binary' } }
}

function mergeTexts({ base, ours, theirs }: Sides, mine: readonly LineHunk[], other: readonly LineHunk[]): Contents {
  const before = linesOf(theirs)
  const { hunks, clashes } = takeBackHunks(other, before, mine)
  if (clashes.length > 0) {
    const lines = linesOf(base)
    return { conflict: { kind: 'text', hunks: clashes.slice(0, maxHunks).map((clash) => excerptsOf(clash, lines)) } }
  }
  const merged = applyHunks(before, hunks)
  // Each side ended the text in its way, and what was a last line would run into another.
  if (merged.slice(0, -1).some((line) => !line.endsWith('\n'))) {
    const ends = { base: linesOf(base).at(-1), ours: linesOf(ours).at(-1), theirs: before.at(-1) }
    return { conflict: { kind: 'text', hunks: [{ line: linesOf(base).length, ...mapText(ends) }] } }
  }
  return { file: { mode: theirs.mode, content: Buffer.from(merged.join('')) }, change: orSame(hunks) }
}

function excerptsOf({ ours, theirs }: HunkClash, base: readonly string[]): ConflictHunk {
  const start = Math.min(ours.start, theirs.start)
  const lines = base.slice(start, Math.max(ours.end, theirs.end))
  const withHunk = (hunk: LineHunk) => applyHunks(lines, [{ ...hunk, start: hunk.start - start, end: hunk.end - start }]).join('')
  return { line: start + 1, ...mapText({ base: lines.join(''), ours: withHunk(ours), theirs: withHunk(theirs) }) }
}

function mapText(texts: { readonly [K in 'base' | 'ours' | 'theirs']: string | undefined }): Omit<ConflictHunk, 'line'> {
  const cut = (text = '') => (text.length > maxExcerpt ? text.slice(0, maxExcerpt) : text)
  return { base: cut(texts.base), ours: cut(texts.ours), theirs: cut(texts.theirs) }
}

/** A list without hunks says that nothing happened. */
function orSame(hunks: readonly LineHunk[]): FileChange['content'] {
  return hunks.length === 0 ? 'same' : hunks
}

function isLink({ mode }: MergeFile): boolean {
  return mode === '120000'
}

function sameContent(a: MergeFile, b: MergeFile): boolean {
  return (a.hashOnly ?? false) === (b.hashOnly ?? false) && Buffer.compare(a.content, b.content) === 0
}

/** Whether two files are alike in all that git keeps of them. */
export function sameFile(a: MergeFile | undefined, b: MergeFile | undefined): boolean {
  return a && b ? a.mode === b.mode && sameContent(a, b) : a === b
}

function linesOf(file: MergeFile | undefined): string[] {
  return splitLines((file && textOf(file)) ?? '')
}

/** Undefined for what is no text to be merged by lines. */
function textOf({ mode, content, hashOnly }: MergeFile): string | undefined {
  if (mode === '120000' || hashOnly || content.subarray(0, probedBytes).includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content)
  } catch {
    return undefined
  }
}

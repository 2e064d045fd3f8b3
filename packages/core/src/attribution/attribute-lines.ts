import { diffArrays } from 'diff'
import type { Actor } from '../events/envelope.ts'

/** Who brought lines about. */
export interface Contributor {
  /** None: it is not known who; such lines are credited to nobody, neither person nor agent. */
  readonly actor: Actor | undefined
  /** Of an agent: the model that it used, as `provider/name`. */
  readonly model?: string | undefined
  /** Where the conversation can be looked up. */
  readonly url?: string | undefined
}

/** A file at one point of its history. */
export interface FileVersion {
  /** Who made it out of the version before. None: it was there already, or is not a part of what is told of. */
  readonly by?: Contributor | undefined
  /** Empty where the file was not there. */
  readonly text: string
}

/** Lines that one contributor brought about, counted from 1. */
export interface AttributedRange {
  readonly startLine: number
  /** The last one. */
  readonly endLine: number
  readonly by: Contributor
}

/** What one contributor did over the whole history, in lines. */
export interface ContributorTotals {
  readonly by: Contributor
  readonly added: number
  readonly removed: number
  /** Of theirs, those that a person changed or removed later. */
  readonly overridden: number
}

/** A file, and who brought its lines about. */
export interface FileAttribution {
  /** Relative to the root of the repository, with forward slashes. */
  readonly path: string
  /** In the order of the lines; lines that were there before are in none. */
  readonly ranges: readonly AttributedRange[]
  readonly totals: readonly ContributorTotals[]
}

/** Beyond this many differing lines the search for the shortest difference is given up, as it costs their square. */
const maxEditLength = 2000

/**
 * Says for each line of the last version who brought it about: the one in whose version it first stood, followed through the versions by the longest common
 * subsequence of lines, as `git blame` does. A line that was only moved counts as new. A missing end of the last line is no difference.
 */
export function attributeLines(versions: readonly FileVersion[]): Pick<FileAttribution, 'ranges' | 'totals'> {
  const totals = new Map<string, { by: Contributor; added: number; removed: number; overridden: number }>()
  const totalOf = (by: Contributor) => {
    const key = contributorKey(by)
    const total = totals.get(key) ?? { by, added: 0, removed: 0, overridden: 0 }
    totals.set(key, total)
    return total
  }
  let lines: readonly string[] = []
  let owners: readonly (Contributor | undefined)[] = []
  for (const { by, text } of versions) {
    const next = linesOf(text)
    const after: (Contributor | undefined)[] = []
    let at = 0
    for (const { kind, count } of compare(lines, next)) {
      if (kind === 'same') after.push(...owners.slice(at, at + count))
      if (kind === 'added') {
        after.push(...new Array<Contributor | undefined>(count).fill(by))
        if (by) totalOf(by).added += count
        continue
      }
      if (kind === 'removed') {
        if (by) totalOf(by).removed += count
        if (by?.actor?.kind === 'human') for (const owner of owners.slice(at, at + count)) if (owner) totalOf(owner).overridden++
      }
      at += count
    }
    lines = next
    owners = after
  }
  return { ranges: rangesOf(owners), totals: [...totals.values()] }
}

/** Equal for the same contributor. */
export function contributorKey({ actor, model, url }: Contributor): string {
  return JSON.stringify([actor?.kind, actor?.id, model, url])
}

function linesOf(text: string): string[] {
  if (text === '') return []
  return (text.endsWith('\n') ? text.slice(0, -1) : text).split('\n')
}

interface Step {
  readonly kind: 'same' | 'added' | 'removed'
  readonly count: number
}

function compare(before: readonly string[], after: readonly string[]): Step[] {
  const changes = diffArrays([...before], [...after], { maxEditLength })
  if (changes)
    return changes.map(({ added, removed, count }) => ({ kind: added ? 'added' : removed ? 'removed' : 'same', count: count ?? 0 }))
  const shorter = Math.min(before.length, after.length)
  let start = 0
  while (start < shorter && before[start] === after[start]) start++
  let end = 0
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++
  return [
    { kind: 'same', count: start },
    { kind: 'removed', count: before.length - start - end },
    { kind: 'added', count: after.length - start - end },
    { kind: 'same', count: end },
  ]
}

function rangesOf(owners: readonly (Contributor | undefined)[]): AttributedRange[] {
  const ranges: AttributedRange[] = []
  for (const [index, by] of owners.entries()) {
    if (!by) continue
    const last = ranges.at(-1)
    const joins = last?.endLine === index && contributorKey(last.by) === contributorKey(by)
    if (joins) ranges[ranges.length - 1] = { ...last, endLine: index + 1 }
    else ranges.push({ startLine: index + 1, endLine: index + 1, by })
  }
  return ranges
}

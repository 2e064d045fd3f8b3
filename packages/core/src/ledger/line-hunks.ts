/** Lines `start` up to, not including, `end` of one text, counted from 0, and what stands in their place in the next. Both may be empty, not at once. */
export interface LineHunk {
  readonly start: number
  readonly end: number
  readonly lines: readonly string[]
  /** Lines in it, or at its edges, could as well be others that read the same, so nothing may be told from where exactly it begins and ends. */
  readonly loose: boolean
}

/** More cells of the table than this, 32 MB, and two texts count as different from the first line to the last. */
const maxCells = 8_000_000

/** The lines of a text, each with what ends it. */
export function splitLines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+/g) ?? []
}

/**
 * How one text became another, by the fewest lines taken out and put in. Where several ways are equally short, as among lines that repeat, only lines that all
 * ways keep count as kept; the others are in a hunk that is `loose`. So no choice is made that another tool would make otherwise.
 *
 * The ways are found in the table of longest common subsequences, within the band of diagonals that the shortest ones cannot leave (Ukkonen, "Algorithms for
 * approximate string matching", 1985).
 */
export function diffLines(before: readonly string[], after: readonly string[]): LineHunk[] {
  const [a, b] = numbered(before, after)
  const band = findBand(a, b)
  if (band === undefined) return [{ start: 0, end: before.length, lines: after, loose: true }]
  const kept = keptByAll(a, b, band)
  const hunks: LineHunk[] = []
  let at = { i: 0, j: 0, level: 0 }
  for (const next of [...kept, { i: a.length, j: b.length, level: band.common }]) {
    if (next.i > at.i || next.j > at.j)
      hunks.push({ start: at.i, end: next.i, lines: after.slice(at.j, next.j), loose: next.level > at.level })
    at = { i: next.i + 1, j: next.j + 1, level: next.level + 1 }
  }
  return hunks
}

/** Equal lines get equal numbers. */
function numbered(before: readonly string[], after: readonly string[]): [Int32Array, Int32Array] {
  const numbers = new Map<string, number>()
  const numberOf = (line: string): number => {
    const known = numbers.get(line)
    if (known !== undefined) return known
    numbers.set(line, numbers.size)
    return numbers.size - 1
  }
  return [Int32Array.from(before, numberOf), Int32Array.from(after, numberOf)]
}

/** The diagonals that shortest ways may touch, and the table of the longest common subsequence of each pair of beginnings, a row for each `i`. */
interface Band {
  /** Most lines taken out: the lowest diagonal is `-out`. */
  readonly out: number
  readonly width: number
  readonly table: Int32Array
  /** Lines of the longest common subsequence. */
  readonly common: number
}

/** Widens the band until no shorter way can be outside. Undefined where that takes too much room. */
function findBand(a: Int32Array, b: Int32Array): Band | undefined {
  const least = Math.abs(a.length - b.length)
  for (let most = least + 8; ; ) {
    const out = Math.min(a.length, (most + a.length - b.length) >> 1)
    const width = out + Math.min(b.length, (most + b.length - a.length) >> 1) + 1
    if ((a.length + 1) * width > maxCells) return undefined
    const table = fillTable(a, b, out, width)
    const common = table[a.length * width + b.length - a.length + out] ?? 0
    const found = a.length + b.length - 2 * common
    if (found <= most) return { out, width, table, common }
    most = Math.min(found, most * 4)
  }
}

function fillTable(a: Int32Array, b: Int32Array, out: number, width: number): Int32Array {
  const table = new Int32Array((a.length + 1) * width)
  for (let i = 1; i <= a.length; i++) {
    const row = i * width
    const line = a[i - 1]
    const last = Math.min(width - 1, b.length - i + out)
    for (let c = Math.max(0, out - i); c <= last; c++) {
      const j = c + i - out
      let best = c + 1 < width ? (table[row - width + c + 1] ?? 0) : 0
      if (j > 0) {
        if (c > 0) best = Math.max(best, table[row + c - 1] ?? 0)
        const both = table[row - width + c] ?? 0
        best = Math.max(best, b[j - 1] === line ? both + 1 : both)
      }
      table[row + c] = best
    }
  }
  return table
}

/** The pairs that are in every longest common subsequence: those that are alone on their level, which is the number of pairs before them. */
function keptByAll(a: Int32Array, b: Int32Array, { out, width, table, common }: Band): { i: number; j: number; level: number }[] {
  const pairs: ({ i: number; j: number; level: number } | 'several' | undefined)[] = new Array(common).fill(undefined)
  // Of the ends: what the table is of the beginnings, a row at a time.
  let below = new Int32Array(width)
  for (let i = a.length - 1; i >= 0; i--) {
    const row = new Int32Array(width)
    const last = Math.min(width - 1, b.length - i + out)
    for (let c = last; c >= Math.max(0, out - i); c--) {
      const j = c + i - out
      let best = Math.max(c > 0 ? (below[c - 1] ?? 0) : 0, c < last ? (row[c + 1] ?? 0) : 0)
      if (j < b.length && a[i] === b[j]) {
        const after = below[c] ?? 0
        const level = table[i * width + c] ?? 0
        if (level + 1 + after === common) pairs[level] = pairs[level] === undefined ? { i, j, level } : 'several'
        best = Math.max(best, after + 1)
      }
      row[c] = best
    }
    below = row
  }
  return pairs.filter((pair) => pair !== undefined && pair !== 'several')
}

/** A text with hunks done to it. */
export function applyHunks(lines: readonly string[], hunks: readonly LineHunk[]): string[] {
  const result: string[] = []
  let at = 0
  for (const hunk of hunks) {
    for (; at < hunk.start; at++) result.push(lines[at] ?? '')
    for (const line of hunk.lines) result.push(line)
    at = hunk.end
  }
  for (; at < lines.length; at++) result.push(lines[at] ?? '')
  return result
}

/** A part of a text, or, with `start === end`, a gap between two of its lines. */
interface Range {
  readonly start: number
  readonly end: number
}

/** A hunk, by what it put into the next text. */
interface Placed {
  readonly hunk: LineHunk
  readonly put: Range
  /** How much later lines behind it stand in the next text. */
  readonly shift: number
}

function placed(hunks: readonly LineHunk[]): Placed[] {
  let shift = 0
  return hunks.map((hunk) => {
    const start = hunk.start + shift
    const put = { start, end: start + hunk.lines.length }
    shift += hunk.lines.length - (hunk.end - hunk.start)
    return { hunk, put, shift }
  })
}

/** Whether two parts have a line in common, or one is a gap inside the other, or both are the same gap. */
function overlap(a: Range, b: Range): boolean {
  if (a.start === a.end && b.start === b.end) return a.start === b.start
  return a.start < b.end && b.start < a.end
}

function touch(a: Range, b: Range): boolean {
  return a.start <= b.end && b.start <= a.end
}

/**
 * What two steps one after the other come to: hunks from the first text to the third. Hunks that only touch stay apart, since each of them can stand without
 * the other. What is found to have no effect stays too: somebody was there.
 *
 * @param middle - the second text
 */
export function composeHunks(first: readonly LineHunk[], middle: readonly string[], second: readonly LineHunk[]): LineHunk[] {
  const earlier = placed(first)
  const composed: LineHunk[] = []
  let shift = 0
  for (let i = 0, j = 0; i < earlier.length || j < second.length; ) {
    const before = shift
    const group: { first: Placed[]; second: LineHunk[] } = { first: [], second: [] }
    for (;;) {
      const one = earlier[i]
      const two = second[j]
      const empty = group.first.length + group.second.length === 0
      const oneFits =
        one && (empty ? !two || one.put.end <= two.start || meet(one.put, two) : group.second.some((hunk) => meet(one.put, hunk)))
      const twoFits = two && (empty ? !oneFits : group.first.some(({ put }) => meet(put, two)))
      if (one && oneFits) {
        group.first.push(one)
        shift = one.shift
        i++
      } else if (two && twoFits) {
        group.second.push(two)
        j++
      } else break
    }
    const hunk = joined(group.first, group.second, middle, before, shift)
    if (hunk.start < hunk.end || hunk.lines.length > 0) composed.push(hunk)
  }
  return composed
}

/** Whether a later change is of what an earlier one put there, or may be of the gap that it left. */
function meet(put: Range, later: LineHunk): boolean {
  return overlap(put, later) || (later.loose && put.start === put.end && touch(put, later))
}

function joined(first: readonly Placed[], second: readonly LineHunk[], middle: readonly string[], before: number, after: number): LineHunk {
  const [only] = first
  if (only && second.length === 0) return only.hunk
  const parts = [...first.map(({ put }) => put), ...second]
  const start = Math.min(...parts.map((part) => part.start))
  const end = Math.max(...parts.map((part) => part.end))
  const within = second.map((hunk) => ({ ...hunk, start: hunk.start - start, end: hunk.end - start }))
  // A change inside what one step put there leaves the edges as they were. Any other has edges that the steps do not share.
  const firm = first.length === 0 || (first.length === 1 && only?.put.start === start && only.put.end === end && start < end)
  return {
    start: start - before,
    end: end - after,
    lines: applyHunks(middle.slice(start, end), within),
    loose: !firm || second.some(({ loose }) => loose) || first.some(({ hunk }) => hunk.loose),
  }
}

/** Two changes of the same lines of the text that both began with. */
export interface HunkClash {
  readonly ours: LineHunk
  readonly theirs: LineHunk
}

/**
 * Takes back a step that others went on from: from `before → base` (to be taken back) and `base → ours` (to be kept), makes `before → result`. Changes that
 * touch without overlapping do not clash, unless one of them is loose. The same change on both sides is none but one.
 */
export function takeBackHunks(
  undone: readonly LineHunk[],
  before: readonly string[],
  ours: readonly LineHunk[],
): { readonly hunks: readonly LineHunk[]; readonly clashes: readonly HunkClash[] } {
  const steps = placed(undone)
  const clashes: HunkClash[] = []
  const hunks: LineHunk[] = []
  let shift = 0
  let at = 0
  for (const mine of ours) {
    for (let step = steps[at]; step && step.put.end <= mine.start && !overlap(step.put, mine); step = steps[at]) {
      shift = step.shift
      at++
    }
    const against = steps.filter(({ put, hunk }) => overlap(put, mine) || ((hunk.loose || mine.loose) && touch(put, mine)))
    const [step] = against
    if (step === undefined) hunks.push({ ...mine, start: mine.start - shift, end: mine.end - shift })
    else if (against.length === 1 && same(step, mine, before)) {
      if (step.hunk.start < step.hunk.end) hunks.push({ ...mine, start: step.hunk.start, end: step.hunk.end })
    } else {
      for (const { put, hunk } of against) {
        clashes.push({ ours: mine, theirs: { ...put, lines: before.slice(hunk.start, hunk.end), loose: hunk.loose } })
      }
    }
  }
  return { hunks, clashes }
}

/** Whether a change is just the taking back of a step, by lines that can be no others. */
function same({ hunk, put }: Placed, mine: LineHunk, before: readonly string[]): boolean {
  if (hunk.loose || mine.loose || put.start === put.end || put.start !== mine.start || put.end !== mine.end) return false
  return mine.lines.length === hunk.end - hunk.start && mine.lines.every((line, at) => line === before[hunk.start + at])
}

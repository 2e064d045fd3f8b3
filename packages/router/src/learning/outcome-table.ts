import type { TextFeatures } from './text-features.ts'
import { maxNgrams, ngramBuckets } from './text-features.ts'

/** How often a model was right on a text. */
export interface Tally {
  /** Its place in the list of models. */
  readonly model: number
  readonly right: number
  readonly tried: number
}

/** A text with what came of it. */
export interface TableEntry {
  /** Tells texts apart. */
  readonly key: string
  readonly features: TextFeatures
  /** The embedding of the text, or other figures that belong to it. */
  readonly dense?: Float32Array | undefined
  /** One for each model that was tried. */
  readonly tallies: readonly Tally[]
}

/** Texts with their outcomes, the youngest ones up to a number, and how like they are to another text. */
export interface OutcomeTable {
  readonly size: number
  /** Oldest first. */
  entries(): IterableIterator<TableEntry>
  get(key: string): TableEntry | undefined
  /** Puts an entry in as the youngest, also where its text was in before. Returns the one that had to go for it: the oldest. */
  put(entry: TableEntry): TableEntry | undefined
  /**
   * Says how like each text is to this one: in words, from 0 for nothing in common to about 1 for the same, where each n-gram counts by
   * the square of `ln(1 + texts / texts that have it)`; and in shape, from 0 to the sum of its weights.
   */
  compare(features: TextFeatures, visit: (entry: TableEntry, words: number, shape: number) => void): Comparison
}

/** What a comparison says of the text itself. */
export interface Comparison {
  /** The share of its words, counted in the same way, that are all over the known texts. They are left out of the likeness to each. */
  readonly common: number
}

interface Row {
  readonly entry: TableEntry
  readonly slot: number
}

/** N-grams in more than this share of the texts say nothing of what a text is about, and would cost the most time. */
const commonShare = 0.5
/** An n-gram in no more texts than this is never taken for common. */
const fewTexts = 10
const nothing = -1

/** What the same length, as many numbers and the same share of them count, against 1 for the same words. */
const shapeWeights = [0.02, 0.005, 0.005] as const

/**
 * Builds an {@link OutcomeTable} on an inverted index: for each n-gram a linked list of the texts that have it, in flat arrays. The place
 * `slot * maxNgrams + at` stands for an n-gram of a text, so that the place itself says which text it is.
 */
export function createOutcomeTable(capacity: number): OutcomeTable {
  const rows = new Map<string, Row>()
  /** By slot. What a comparison looks at for every text is in flat arrays. */
  const entries: (TableEntry | undefined)[] = []
  const free: number[] = []
  let used = 0
  const first = new Int32Array(ngramBuckets).fill(nothing)
  const counts = new Int32Array(ngramBuckets)
  let next = new Int32Array(0)
  let sizes = new Float64Array(0)
  let shapes = new Float32Array(0)
  let sums = new Float32Array(0)

  function grow(): void {
    const slots = Math.min(capacity, Math.max(64, used * 2))
    next = grown(next, new Int32Array(slots * maxNgrams))
    sizes = grown(sizes, new Float64Array(slots))
    shapes = grown(shapes, new Float32Array(slots * shapeWeights.length))
    sums = new Float32Array(slots)
  }

  function remove(key: string): void {
    const row = rows.get(key)
    if (!row) return
    rows.delete(key)
    free.push(row.slot)
    entries[row.slot] = undefined
    row.entry.features.ngrams.forEach((ngram, at) => {
      counts[ngram] = (counts[ngram] as number) - 1
      unlink(ngram, row.slot * maxNgrams + at)
    })
  }

  function unlink(ngram: number, place: number): void {
    const after = next[place] as number
    if (first[ngram] === place) {
      first[ngram] = after
      return
    }
    let before = first[ngram] as number
    while (next[before] !== place) before = next[before] as number
    next[before] = after
  }

  function insert(entry: TableEntry): void {
    const slot = free.pop() ?? used++
    if (slot >= sizes.length) grow()
    const { ngrams } = entry.features
    sizes[slot] = Math.sqrt(Math.max(1, ngrams.length))
    ngrams.forEach((ngram, at) => {
      const place = slot * maxNgrams + at
      counts[ngram] = (counts[ngram] as number) + 1
      next[place] = first[ngram] as number
      first[ngram] = place
    })
    shapes.set([entry.features.length, entry.features.numbers, entry.features.density], slot * shapeWeights.length)
    entries[slot] = entry
    rows.set(entry.key, { entry, slot })
  }

  function compare(features: TextFeatures, visit: (entry: TableEntry, words: number, shape: number) => void): Comparison {
    const { ngrams, length, numbers, density } = features
    const texts = rows.size
    const many = Math.max(fewTexts, commonShare * texts)
    sums.fill(0, 0, used)
    let [whole, common] = [0, 0]
    for (const ngram of ngrams) {
      const count = counts[ngram] as number
      const weight = Math.log(1 + texts / Math.max(1, count)) ** 2
      whole += weight
      if (count > many) {
        common += weight
        continue
      }
      for (let place = first[ngram] as number; place !== nothing; place = next[place] as number) {
        const slot = (place / maxNgrams) | 0
        sums[slot] = (sums[slot] as number) + weight
      }
    }
    // Of texts with as many n-grams it is the share of this text's weight that the other has too.
    const scale = whole === 0 ? 0 : Math.sqrt(ngrams.length) / whole
    for (let slot = 0; slot < used; slot++) {
      const entry = entries[slot]
      if (!entry) continue
      const at = slot * shapeWeights.length
      const shape =
        shapeWeights[0] * overlap(length, shapes[at] as number) +
        shapeWeights[1] * overlap(numbers, shapes[at + 1] as number) +
        shapeWeights[2] * overlap(density, shapes[at + 2] as number)
      visit(entry, ((sums[slot] as number) * scale) / (sizes[slot] as number), shape)
    }
    return { common: whole === 0 ? 0 : common / whole }
  }

  return {
    get size() {
      return rows.size
    },
    *entries() {
      for (const { entry } of rows.values()) yield entry
    },
    get: (key) => rows.get(key)?.entry,
    put(entry) {
      const known = rows.get(entry.key)
      if (known) {
        // Taken out and put in again, it is the youngest. Its n-grams are where they were.
        rows.delete(entry.key)
        rows.set(entry.key, { entry, slot: known.slot })
        entries[known.slot] = entry
        return undefined
      }
      const oldest = rows.size < capacity ? undefined : (rows.values().next().value as Row).entry
      if (oldest) remove(oldest.key)
      insert(entry)
      return oldest
    },
    compare,
  }
}

function overlap(one: number, other: number): number {
  const difference = one - other
  return difference > -1 && difference < 1 ? 1 - Math.abs(difference) : 0
}

function grown<T extends Int32Array | Float32Array | Float64Array>(from: T, to: T): T {
  to.set(from)
  return to
}

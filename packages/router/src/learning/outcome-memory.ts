import type { Neighbour, Neighbours } from './neighbours.ts'
import { createNeighbours } from './neighbours.ts'
import type { OutcomeFileKind, OutcomeScale } from './outcome-file.ts'
import { readOutcomes, writeOutcomes } from './outcome-file.ts'
import type { Comparison, OutcomeTable, TableEntry, Tally } from './outcome-table.ts'
import { createOutcomeTable } from './outcome-table.ts'
import type { TextFeatures } from './text-features.ts'

/** What is expected of one model on a text. */
export interface ModelEstimate {
  /** Probability that it is right, from 0 to 1. */
  readonly success: number
  /** How many texts it rests on: the nearest counts 1, farther ones less. */
  readonly evidence: number
}

/** What is expected on a text. */
export interface OutcomeEstimate {
  /** The text is like none that is known, or too little is known: the figures are not to be relied on. */
  readonly abstains: boolean
  /** How like the known texts it is, as a multiple of what they are to each other at least; below 1 it is far from all. */
  readonly familiarity: number
  /** By id; models with too few outcomes are not in it. */
  readonly models: ReadonlyMap<string, ModelEstimate>
}

/** A text as it is compared. */
export interface TextPoint {
  readonly features: TextFeatures
  /** Unit vector to compare by in place of the words. */
  readonly dense?: Float32Array | undefined
}

/** Settings of {@link createOutcomeMemory}. */
export interface OutcomeMemoryOptions {
  readonly kind: OutcomeFileKind
  readonly maxTexts: number
  readonly minOutcomes: number
  readonly abstainShare: number
}

/** Texts with what came of them, and what to expect of others. */
export interface OutcomeMemory {
  readonly table: OutcomeTable
  /** Counts an outcome with those that are known of the text. Returns the text that had to go for it. */
  add(text: Omit<TableEntry, 'tallies'>, model: string, success: boolean): TableEntry | undefined
  estimate(text: TextPoint): OutcomeEstimate
  save(path: string): Promise<void>
  /** Replaces the table; or throws, and leaves it. */
  load(path: string): Promise<void>
}

/** Nearest texts that count. */
const neighbourCount = 200
/** The mean over all texts counts as much as so many texts at the place itself, so no text makes more than 1 in 1 + so many of an estimate. */
const priorTexts = 4
/** Nearest texts that say whether anything like this one is known. */
const nearestCount = 5
/** Shares are summed as integers, so that the order makes no difference. */
const unit = 2 ** 20
/**
 * Texts by which it is measured how like known texts are to each other, and the share of new ones after which it is measured again. Where there
 * are more than `atOnce` texts, one is measured with each that comes in, since all together would hold up the process.
 */
const measured = { texts: 100, again: 0.25, atOnce: 500 }

/** Builds an {@link OutcomeMemory}. */
export function createOutcomeMemory({ kind, maxTexts, minOutcomes, abstainShare }: OutcomeMemoryOptions): OutcomeMemory {
  let table = createOutcomeTable(maxTexts)
  let models: ModelTotal[] = []
  const share = Math.fround(abstainShare)
  let scale: OutcomeScale = { floor: 0, share, unmeasured: 0 }

  function placeOf(id: string): number {
    const place = models.findIndex((model) => model.id === id)
    return place < 0 ? models.push({ id, rates: 0, texts: 0 }) - 1 : place
  }

  const byDense = kind === 'outcomes of embeddings'
  /** The measurement under way. */
  let measuring: { readonly keys: string[]; readonly values: number[] } | undefined

  function beginMeasuring(): void {
    const keys = [...table.entries()].map(({ key }) => key).sort()
    measuring = { keys: keys.slice(0, measured.texts), values: [] }
    scale = { ...scale, share, unmeasured: 0 }
  }

  function measure(texts: number): void {
    if (!measuring) return
    for (const key of measuring.keys.splice(0, texts)) {
      const entry = table.get(key)
      if (entry) measuring.values.push(closenessToOthers(table, entry, byDense))
    }
    if (measuring.keys.length > 0) return
    scale = { ...scale, floor: quantile(measuring.values, abstainShare) }
    measuring = undefined
  }

  return {
    get table() {
      return table
    },
    add(text, model, success) {
      const known = table.get(text.key)
      const tallies = tally(known?.tallies ?? [], placeOf(model), success)
      const gone = table.put({ ...text, tallies })
      count(models, known?.tallies, -1)
      count(models, gone?.tallies, -1)
      count(models, tallies, 1)
      if (known) return gone
      scale = { ...scale, unmeasured: scale.unmeasured + 1 }
      if (!measuring && table.size >= minOutcomes && scale.unmeasured >= measured.again * table.size) beginMeasuring()
      measure(table.size > measured.atOnce ? 1 : measured.texts)
      return gone
    },
    estimate: (text) => estimate(text, { table, models, floor: scale.floor, minOutcomes, abstainShare }),
    save: (path) => writeOutcomes(path, { kind, table, models: models.map(({ id }) => id), scale }),
    async load(path) {
      const loaded = { table: createOutcomeTable(maxTexts), models: [] as string[] }
      scale = await readOutcomes(path, { kind, ...loaded })
      table = loaded.table
      models = loaded.models.map((id) => ({ id, rates: 0, texts: 0 }))
      for (const { tallies } of table.entries()) count(models, tallies, 1)
      measuring = undefined
      if (scale.share === share) return
      beginMeasuring()
      measure(measured.texts)
    },
  }
}

function tally(tallies: readonly Tally[], model: number, success: boolean): readonly Tally[] {
  const { right, tried } = tallies.find((one) => one.model === model) ?? { right: 0, tried: 0 }
  return [...tallies.filter((one) => one.model !== model), { model, right: right + (success ? 1 : 0), tried: tried + 1 }]
}

function count(models: readonly ModelTotal[], tallies: readonly Tally[] | undefined, sign: 1 | -1): void {
  for (const { model, right, tried } of tallies ?? []) {
    const total = models[model] as ModelTotal
    total.rates += sign * Math.round((unit * right) / tried)
    total.texts += sign
  }
}

/** A model's outcomes on all texts. */
interface ModelTotal {
  readonly id: string
  /** Sum of the shares of right ones, in units. */
  rates: number
  texts: number
}

interface Known {
  readonly table: OutcomeTable
  readonly models: readonly ModelTotal[]
  readonly floor: number
  readonly minOutcomes: number
  readonly abstainShare: number
}

/** One pass over the table. */
function estimate(text: TextPoint, { table, models: known, floor, minOutcomes, abstainShare }: Known): OutcomeEstimate {
  const nearest = createNeighbours(nearestCount)
  const neighbours = createNeighbours(neighbourCount + 1)
  const { common } = compare(table, text, (entry, similarity, shape) => {
    nearest.offer(entry, similarity)
    neighbours.offer(entry, similarity + shape)
  })
  const near = known.map(() => ({ right: 0, evidence: 0 }))
  for (const { entry, weight } of weigh(neighbours.sorted())) {
    for (const { model, right, tried } of entry.tallies) {
      const sum = near[model] as (typeof near)[number]
      sum.right += (weight * right) / tried
      sum.evidence += weight
    }
  }
  const models = new Map<string, ModelEstimate>()
  known.forEach(({ id, rates, texts }, place) => {
    if (texts < minOutcomes) return
    const { right, evidence } = near[place] as (typeof near)[number]
    const prior = rates / unit / texts
    models.set(id, { success: (right + priorTexts * prior) / (evidence + priorTexts), evidence })
  })
  const familiarity = table.size === 0 ? 0 : floor === 0 ? 1 : closeness(nearest, text, common) / floor
  return { abstains: models.size === 0 || (abstainShare > 0 && familiarity < 1), familiarity, models }
}

/** Each counts by how much nearer it is than the first one that does not count: the nearest 1, the farthest next to nothing. */
function weigh(neighbours: readonly Neighbour[]): { readonly entry: TableEntry; readonly weight: number }[] {
  const top = neighbours[0]?.nearness ?? 0
  const bottom = neighbours[neighbourCount]?.nearness ?? 0
  return neighbours
    .slice(0, neighbourCount)
    .map(({ entry, nearness }) => ({ entry, weight: top > bottom ? Math.max(0, (nearness - bottom) / (top - bottom)) : 1 }))
}

function compare(
  table: OutcomeTable,
  { features, dense }: TextPoint,
  visit: (entry: TableEntry, similarity: number, shape: number) => void,
): Comparison {
  return table.compare(features, dense ? (entry, _, shape) => visit(entry, entry.dense ? cosine(dense, entry.dense) : 0, shape) : visit)
}

/**
 * How near the nearest are; words that are all over the known texts are near to all. In words, a long text has less in common with each text in
 * proportion, and more in total; their geometric mean tells known from unknown best.
 */
function closeness(nearest: Neighbours, { features, dense }: TextPoint, common: number): number {
  const mean = nearest.sorted().reduce((sum, { nearness }) => sum + nearness, 0) / nearestCount
  return dense ? mean : (mean + common) * Math.sqrt(features.ngrams.length)
}

/** How near a known text is to the other ones. */
function closenessToOthers(table: OutcomeTable, { key, features, dense: kept }: TableEntry, byDense: boolean): number {
  const nearest = createNeighbours(nearestCount)
  const dense = byDense ? kept : undefined
  const { common } = compare(table, { features, dense }, (entry, similarity) => {
    if (entry.key !== key) nearest.offer(entry, similarity)
  })
  return closeness(nearest, { features, dense }, common)
}

/** All but this share of the values are at least so large. Of texts those with the lowest keys are measured, which is as good as at random. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return Math.fround(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)
}

/** The inner product: the cosine of unit vectors. */
export function cosine(one: Float32Array, other: Float32Array): number {
  let sum = 0
  for (let at = 0; at < one.length; at++) sum += (one[at] as number) * (other[at] as number)
  return sum
}

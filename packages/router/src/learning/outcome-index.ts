import { BatonError } from '@baton-sdk/core'
import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { OutcomeEstimate } from './outcome-memory.ts'
import { cosine, createOutcomeMemory } from './outcome-memory.ts'
import { textFeatures, textKey } from './text-features.ts'

/** Whether a model was right on a text. */
export interface Outcome {
  /** What was asked: a task's goal, a question. */
  readonly text: string
  /** Id of the model. */
  readonly model: string
  readonly success: boolean
}

const Options = z.strictObject({
  maxTexts: z.int().positive().max(1_000_000).default(10_000),
  minOutcomes: z.int().positive().default(30),
  abstainShare: z.number().min(0).max(1).default(0.05),
  embed: z.custom<NonNullable<OutcomeIndexOptions['embed']>>((value) => typeof value === 'function', 'expected a function').optional(),
})

/** Options of {@link createOutcomeIndex}. */
export interface OutcomeIndexOptions {
  /** Texts that are kept. Beyond it the one that was not added to for the longest time goes. Default: 10,000. */
  readonly maxTexts?: number | undefined
  /** Texts that a model needs to have outcomes on before anything is said of it. Default: 30. */
  readonly minOutcomes?: number | undefined
  /**
   * It abstains on a text that is farther from the known ones than all but this share of them are from each other.
   * Default: 0.05. With 0 it never does, however far; where too few outcomes are known it still does.
   */
  readonly abstainShare?: number | undefined
  /** Makes vectors of texts, which are compared by their angle in place of the words. What it throws, `add` and `estimate` throw. */
  readonly embed?: ((text: string) => Promise<Float32Array>) | undefined
}

const Outcomes = z.array(z.object({ text: z.string(), model: z.string().min(1), success: z.boolean() }))

/** What models were right and wrong on, to tell how they will do on a text. */
export interface OutcomeIndex {
  /** Texts that are kept. */
  readonly size: number
  /**
   * Takes in outcomes. Those of one model on one text are averaged, so that a text counts once however often it was tried.
   *
   * @throws BatonError `INVALID_OPTIONS`
   */
  add(...outcomes: readonly Outcome[]): Promise<void>
  /** What to expect on a text, from the outcomes on the nearest ones. */
  estimate(text: string): Promise<OutcomeEstimate>
  /**
   * Writes all that is kept to a file: aside, synced, then renamed, so that what was there stays whole until then. Its folder has to exist.
   *
   * @throws BatonError `STORE_FULL`, `STORE_FAILED`
   */
  save(path: string): Promise<void>
  /**
   * Replaces what is kept by what was saved: the youngest of it where `maxTexts` is lower now.
   *
   * @throws BatonError `FILE_NOT_FOUND`, `STORE_FAILED`, `CORRUPT_FILE` for a file that is damaged, cut off or of a later version, `INVALID_OPTIONS` for
   * one that holds something else. The file and what is kept stay as they are then.
   */
  load(path: string): Promise<void>
}

/**
 * Builds an index of outcomes: k nearest neighbours on hashed words and pairs of words, without a model and without dependencies. It keeps
 * no text, only hashes; who holds the file can still test whether a text is in it.
 *
 * The estimate for a model is the mean of its outcomes on the 200 nearest texts, weighted from 1 for the nearest down to 0, and drawn towards
 * its mean over all texts, which counts like 4 texts at the place itself.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createOutcomeIndex(options: OutcomeIndexOptions = {}): OutcomeIndex {
  const { embed, ...settings } = parseOptions('createOutcomeIndex', Options, options)
  const memory = createOutcomeMemory({ kind: embed ? 'outcomes of embeddings' : 'outcomes', ...settings })

  async function embedded(text: string): Promise<Float32Array | undefined> {
    const vector = embed && unitVector(await embed(text))
    const known = memory.table.entries().next().value?.dense?.length
    if (vector === undefined || known === undefined || known === vector.length) return vector
    throw new BatonError('INVALID_OPTIONS', `createOutcomeIndex: embed: expected ${known} numbers as before, received ${vector.length}`)
  }

  return {
    get size() {
      return memory.table.size
    },
    async add(...outcomes) {
      for (const { text, model, success } of parseOptions('OutcomeIndex.add', Outcomes, outcomes)) {
        const dense = await embedded(text)
        memory.add({ key: textKey(text), features: textFeatures(text), dense }, model, success)
      }
    },
    async estimate(text) {
      const dense = await embedded(text)
      return memory.estimate({ features: textFeatures(text), dense })
    },
    save: (path) => memory.save(path),
    load: (path) => memory.load(path),
  }
}

function unitVector(vector: Float32Array): Float32Array {
  const length = Math.sqrt(cosine(vector, vector))
  if (length > 0 && Number.isFinite(length)) return vector.map((value) => value / length)
  throw new BatonError('INVALID_OPTIONS', 'createOutcomeIndex: embed: expected a vector of finite numbers that are not all 0')
}

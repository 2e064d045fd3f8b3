import type { ModelReply, ModelRequest } from '@baton-sdk/core/plugin'
import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Verifier } from '../routing/verifiers/verifier.ts'
import { answerFeatures } from './answer-features.ts'
import type { LinearModel } from './linear-model.ts'
import { createLinearModel } from './linear-model.ts'
import { createOutcomeMemory } from './outcome-memory.ts'
import type { TableEntry } from './outcome-table.ts'
import { taskText } from './task-text.ts'
import { textFeatures, textKey } from './text-features.ts'

/** An answer, and whether it was right. */
export interface AnswerOutcome {
  /** What was asked. */
  readonly text: string
  readonly answer: string
  readonly success: boolean
}

/** What is expected of an answer. */
export interface AnswerEstimate {
  /** The answer is like none that is known, or too few are known: the figure is not to be relied on. */
  readonly abstains: boolean
  /** Probability that it is right, from 0 to 1. */
  readonly success: number
}

const Options = z.strictObject({
  threshold: z.number().min(0).max(1).default(0.7),
  maxAnswers: z.int().positive().max(1_000_000).default(10_000),
  minOutcomes: z.int().positive().default(50),
  abstainShare: z.number().min(0).max(1).default(0.05),
  text: z.custom<(request: ModelRequest) => string>((value) => typeof value === 'function', 'expected a function').default(() => taskText),
})

/** Options of {@link createAnswerVerifier}. */
export interface AnswerVerifierOptions {
  /** Probability from which an answer is accepted. Default: 0.7. */
  readonly threshold?: number | undefined
  /** Answers that are kept to learn from; beyond it the oldest goes. Default: 10,000. */
  readonly maxAnswers?: number | undefined
  /** Answers that have to be known before any is accepted. Default: 50. */
  readonly minOutcomes?: number | undefined
  /**
   * It abstains on an answer that is farther from the known ones than all but this share of them are from each other.
   * Default: 0.05. With 0 it never does, however far; where too few outcomes are known it still does.
   */
  readonly abstainShare?: number | undefined
  /** What was asked, from a request. Default: its first message from a user, which is the goal in a task. */
  readonly text?: ((request: ModelRequest) => string) | undefined
}

/** Judges answers by what became of earlier ones, without asking a model. For `cascade({ verify })`. */
export interface AnswerVerifier extends Verifier {
  /** Answers that are kept. */
  readonly size: number
  /**
   * Takes in answers of the model that is to be judged.
   *
   * @throws BatonError `INVALID_OPTIONS`
   */
  add(...outcomes: readonly AnswerOutcome[]): void
  /** What to expect of an answer. */
  estimate(text: string, answer: string): AnswerEstimate
  /**
   * Accepts a reply that is right with at least the threshold's probability, and a reply that calls tools, which is work under way. Where it
   * abstains, it does not accept.
   */
  verify: Verifier['verify']
  /** As in `OutcomeIndex`. */
  save(path: string): Promise<void>
  /** As in `OutcomeIndex`. */
  load(path: string): Promise<void>
}

const Outcomes = z.array(z.object({ text: z.string(), answer: z.string(), success: z.boolean() }))
/** All answers are taken for those of one model. */
const model = 'answer'

/**
 * Builds a verifier that learns from answers whether one is right: the mean of a linear fit on the answer's figures (length, structure,
 * calculations worked out again, hedging words) and of the outcomes of the answers with the most like words.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createAnswerVerifier(options: AnswerVerifierOptions = {}): AnswerVerifier {
  const { threshold, text: textOf, maxAnswers, ...settings } = parseOptions('createAnswerVerifier', Options, options)
  const memory = createOutcomeMemory({ kind: 'outcomes of answers', maxTexts: maxAnswers, ...settings })
  let linear = createLinearModel(figures)

  function estimate(text: string, answer: string): AnswerEstimate {
    const near = memory.estimate({ features: textFeatures(answer) })
    const byWords = near.models.get(model)?.success
    const byFigures = linear.predict(answerFeatures(text, answer))
    if (byWords === undefined || byFigures === undefined) return { abstains: true, success: byFigures ?? 0.5 }
    return { abstains: near.abstains, success: (byWords + byFigures) / 2 }
  }

  return {
    name: 'answer-verifier',
    get size() {
      return memory.table.size
    },
    add(...outcomes) {
      for (const { text, answer, success } of parseOptions('AnswerVerifier.add', Outcomes, outcomes)) {
        const key = textKey(text, answer)
        count(linear, memory.table.get(key), 'remove')
        const entry = { key, features: textFeatures(answer), dense: answerFeatures(text, answer) }
        const gone = memory.add(entry, model, success)
        count(linear, gone, 'remove')
        count(linear, memory.table.get(key), 'add')
      }
    },
    estimate,
    async verify(reply: ModelReply, { request }) {
      if (reply.toolCalls.length > 0) return { accepted: true }
      const { abstains, success } = estimate(textOf(request), reply.text)
      if (abstains) return { accepted: false, reason: 'no answers like this one are known' }
      const figure = `${Math.round(success * 100)}% likely to be right`
      if (success >= threshold) return { accepted: true, reason: figure }
      return { accepted: false, reason: `${figure}, and ${Math.round(threshold * 100)}% are asked for` }
    },
    save: (path) => memory.save(path),
    async load(path) {
      await memory.load(path)
      linear = createLinearModel(figures)
      for (const entry of memory.table.entries()) count(linear, entry, 'add')
    },
  }
}

/** How many figures an answer has. */
const figures = answerFeatures('', '').length

function count(linear: LinearModel, entry: TableEntry | undefined, action: 'add' | 'remove'): void {
  const tally = entry?.tallies[0]
  if (entry?.dense && tally) linear[action](entry.dense, tally.right / tally.tried)
}

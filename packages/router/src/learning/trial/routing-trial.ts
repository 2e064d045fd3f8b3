import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AnswerVerifier } from '../answer-verifier.ts'
import { createAnswerVerifier } from '../answer-verifier.ts'
import type { OutcomeIndex } from '../outcome-index.ts'
import { createOutcomeIndex } from '../outcome-index.ts'
import type { GradedPrompt, RankingScore } from './score-ranking.ts'
import { scoreRanking } from './score-ranking.ts'

/** One line of `routing/outcomes.jsonl` in the test data. */
export interface RoutingRow extends GradedPrompt {
  readonly set: 'mmlu' | 'gsm8k'
  readonly subject?: string
  readonly prompt: string
  readonly weakAnswer?: string
}

/** What ranks prompts: those that should go to the strong model first have the highest scores. */
export type RankingName = 'random' | 'ideal' | 'prompt length' | 'difficulty' | 'subject table' | 'learned' | 'cascade on the answer'

/** What was learned from one half. */
interface Learned {
  readonly index: OutcomeIndex
  readonly verifier: AnswerVerifier
  /** Mean gain by subject, and over all. */
  readonly subjects: ReadonlyMap<string, number>
  readonly meanGain: number
}

/** The graded prompts, or undefined where the test data is not here (environment variable BATON_DATA). */
export function readRoutingRows(): readonly RoutingRow[] | undefined {
  const path = join(process.env.BATON_DATA ?? '', 'routing/outcomes.jsonl')
  if (process.env.BATON_DATA === undefined || !existsSync(path)) return undefined
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RoutingRow)
}

/** Splits the rows in halves, once for each seed, learns from the first and scores every ranking on the second. */
export async function tryRankings(rows: readonly RoutingRow[], seeds: readonly number[]): Promise<Map<RankingName, RankingScore[]>> {
  const scores = new Map<RankingName, RankingScore[]>()
  for (const seed of seeds) {
    const random = createRandom(seed)
    const shuffled = shuffle(rows, random)
    const half = Math.floor(rows.length / 2)
    const test = shuffled.slice(half)
    for (const [name, ranking] of await rank(test, await learn(shuffled.slice(0, half)), random)) {
      scores.set(name, [...(scores.get(name) ?? []), scoreRanking(ranking, test)])
    }
  }
  return scores
}

/** The mean and the standard deviation over the seeds. */
export function summarize(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) }
}

async function learn(rows: readonly RoutingRow[]): Promise<Learned> {
  const index = createOutcomeIndex()
  const verifier = createAnswerVerifier()
  for (const { prompt: text, weak, strong, weakAnswer } of rows) {
    await index.add({ text, model: 'weak', success: weak }, { text, model: 'strong', success: strong })
    if (weakAnswer !== undefined) verifier.add({ text, answer: weakAnswer, success: weak })
  }
  const bySubject = Map.groupBy(rows, ({ subject = '' }) => subject)
  return { index, verifier, meanGain: meanGain(rows), subjects: new Map([...bySubject].map(([name, group]) => [name, meanGain(group)])) }
}

async function rank(rows: readonly RoutingRow[], learned: Learned, random: () => number): Promise<Map<RankingName, number[]>> {
  const { index, verifier, subjects, meanGain } = learned
  const rankings = new Map<RankingName, number[]>()
  const put = (name: RankingName, score: number) => {
    const scores = rankings.get(name) ?? []
    scores.push(score)
    rankings.set(name, scores)
  }
  for (const row of rows) {
    const { abstains, models } = await index.estimate(row.prompt)
    const [weak, strong] = [models.get('weak')?.success ?? 0, models.get('strong')?.success ?? 0]
    // Equal scores are put in a random order, so that ten thresholds can be found between them.
    const jitter = random() * 1e-6
    put('random', random())
    put('ideal', gainOf(row) + jitter)
    put('prompt length', row.prompt.length)
    put('difficulty', 1 - weak)
    if (row.subject !== undefined) put('subject table', (subjects.get(row.subject) ?? meanGain) + jitter)
    put('learned', abstains ? meanGain + jitter : strong - weak)
    if (row.weakAnswer !== undefined) put('cascade on the answer', strong - verifier.estimate(row.prompt, row.weakAnswer).success)
  }
  return rankings
}

function gainOf({ weak, strong }: GradedPrompt): number {
  return Number(strong) - Number(weak)
}

function meanGain(rows: readonly RoutingRow[]): number {
  return rows.reduce((sum, row) => sum + gainOf(row), 0) / rows.length
}

/** Mulberry32. */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const shuffled = [...items]
  for (let at = shuffled.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1))
    ;[shuffled[at], shuffled[other]] = [shuffled[other] as T, shuffled[at] as T]
  }
  return shuffled
}

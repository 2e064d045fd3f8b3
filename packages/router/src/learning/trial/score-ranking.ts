/** How a prompt came out with two models. */
export interface GradedPrompt {
  readonly weak: boolean
  readonly strong: boolean
}

/** How good a ranking is. */
export interface RankingScore {
  /** Area under the curve of gap recovered against share of calls to the strong model: 0.5 is what a random ranking comes to. */
  readonly apgr: number
  /** Shares of calls to the strong model at which half, and four fifths, of the gap between the two is recovered. */
  readonly cpt50: number
  readonly cpt80: number
}

interface Point {
  readonly strongShare: number
  readonly recovered: number
}

/**
 * Scores a ranking as "RouteLLM: Learning to Route LLMs with Preference Data" (arXiv 2406.18665, section 2.3) and its program do: 11 thresholds
 * at the deciles of the scores; at each one the prompts at or above it go to the strong model.
 *
 * @param scores - of each prompt, the higher the sooner it goes to the strong model
 */
export function scoreRanking(scores: readonly number[], prompts: readonly GradedPrompt[]): RankingScore {
  const curve = Array.from({ length: 11 }, (_, decile) => pointAt(scores, prompts, decile)).sort((a, b) => a.strongShare - b.strongShare)
  let apgr = 0
  curve.forEach((point, at) => {
    const before = curve[at - 1] ?? point
    apgr += ((point.strongShare - before.strongShare) * (point.recovered + before.recovered)) / 2
  })
  return { apgr, cpt50: shareFor(curve, 0.5), cpt80: shareFor(curve, 0.8) }
}

function pointAt(scores: readonly number[], prompts: readonly GradedPrompt[], decile: number): Point {
  const threshold = quantile(scores, decile / 10)
  const accuracy = (right: (prompt: GradedPrompt, at: number) => boolean) => prompts.filter(right).length / prompts.length
  const toStrong = (at: number) => {
    const score = scores[at] as number
    // At the last one no call goes there, at the first one all do.
    return decile === 10 ? score > threshold : score >= threshold
  }
  const [weak, strong] = [accuracy((prompt) => prompt.weak), accuracy((prompt) => prompt.strong)]
  const mixed = accuracy((prompt, at) => (toStrong(at) ? prompt.strong : prompt.weak))
  return { strongShare: accuracy((_, at) => toStrong(at)), recovered: (mixed - weak) / (strong - weak) }
}

function quantile(values: readonly number[], part: number): number {
  const sorted = Float64Array.from(values).sort()
  const place = (sorted.length - 1) * part
  const [low, high] = [sorted[Math.floor(place)] as number, sorted[Math.ceil(place)] as number]
  return low + (high - low) * (place - Math.floor(place))
}

/** Where the curve first comes to a height. */
function shareFor(curve: readonly Point[], height: number): number {
  const at = curve.findIndex(({ recovered }) => recovered >= height)
  const [before, point] = [curve[at - 1], curve[at]]
  if (!point) return 1
  if (!before) return point.strongShare
  const part = (height - before.recovered) / (point.recovered - before.recovered)
  return before.strongShare + part * (point.strongShare - before.strongShare)
}

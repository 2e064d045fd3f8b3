import { describe, expect, it } from 'vitest'
import { createRandom } from './routing-trial.ts'
import { scoreRanking } from './score-ranking.ts'

/** One in five is gained by the strong model, which is never worse. */
const prompts = Array.from({ length: 1_000 }, (_, at) => ({ weak: at % 5 !== 0, strong: true }))

describe('scoreRanking', () => {
  it('gives a random ranking about half', () => {
    const random = createRandom(7)
    const { apgr, cpt50, cpt80 } = scoreRanking(prompts.map(random), prompts)
    expect(apgr).toBeCloseTo(0.5, 1)
    expect(cpt50).toBeCloseTo(0.5, 1)
    expect(cpt80).toBeCloseTo(0.8, 1)
  })

  it('gives the ideal ranking all but the triangle up to the share that is gained', () => {
    const random = createRandom(7)
    const scores = prompts.map(({ weak }) => (weak ? 0 : 1) + random() / 2)
    const { apgr, cpt50, cpt80 } = scoreRanking(scores, prompts)
    expect(apgr).toBeCloseTo(0.9, 2)
    expect(cpt50).toBeCloseTo(0.1, 2)
    expect(cpt80).toBeCloseTo(0.16, 2)
    expect(
      scoreRanking(
        scores.map((score) => -score),
        prompts,
      ).apgr,
    ).toBeCloseTo(0.1, 2)
  })

  it('counts what the strong model loses', () => {
    const lossy = prompts.map((prompt, at) => (at % 10 === 1 ? { weak: true, strong: false } : prompt))
    const random = createRandom(7)
    const gain = lossy.map(({ weak, strong }) => Number(strong) - Number(weak) + random() / 2)
    expect(scoreRanking(gain, lossy).apgr).toBeGreaterThan(1.2)
  })
})

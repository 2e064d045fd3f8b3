import { describe, expect, it } from 'vitest'
import type { RankingName } from './routing-trial.ts'
import { readRoutingRows, summarize, tryRankings } from './routing-trial.ts'

const rows = readRoutingRows()
if (!rows && process.env.BATON_REQUIRE?.split(',').includes('data'))
  throw new Error('BATON_REQUIRE names data, and BATON_DATA leads to none.')

/** Mean area under the curve over five splits into halves, as the table of `bench/router.ts` shows it. */
async function meanApgr(set: 'mmlu' | 'gsm8k', ranking: RankingName): Promise<number> {
  const own = (rows ?? []).filter((row) => row.set === set)
  const scores = await tryRankings(own, [1, 2, 3, 4, 5])
  return summarize((scores.get(ranking) ?? []).map(({ apgr }) => apgr)).mean
}

describe.skipIf(!rows)('learned, on graded outcomes', { timeout: 120_000 }, () => {
  it.each([
    ['mmlu', 'learned', 0.63],
    ['gsm8k', 'learned', 0.57],
    ['gsm8k', 'cascade on the answer', 0.73],
  ] as const)('ranks %s by "%s" with an APGR of at least %s', async (set, ranking, wanted) => {
    expect(await meanApgr(set, ranking)).toBeGreaterThanOrEqual(wanted)
  })
})

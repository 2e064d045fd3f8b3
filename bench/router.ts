// What learned routing gains, on graded prompts, and how long a decision takes: npm run bench:router
// Needs the test data: BATON_DATA names a folder with routing/outcomes.jsonl (its README.md says how it is scored).
import { createOutcomeIndex } from '@baton-sdk/router'
import type { RoutingRow } from '../packages/router/src/learning/trial/routing-trial.ts'
import { createRandom, readRoutingRows, summarize, tryRankings } from '../packages/router/src/learning/trial/routing-trial.ts'

const seeds = [1, 2, 3, 4, 5]
const targets = [
  { set: 'mmlu', ranking: 'learned', apgr: 0.63 },
  { set: 'gsm8k', ranking: 'learned', apgr: 0.57 },
  { set: 'gsm8k', ranking: 'cascade on the answer', apgr: 0.73 },
] as const
const decisionGoalMs = 3
const stored = 10_000
const explained: Readonly<Record<string, string>> = {
  random: 'control',
  ideal: 'control: knows the outcomes',
  'prompt length': 'control: the longest first',
  difficulty: 'same neighbours, but ranks by how likely the weak model is wrong',
  'subject table': 'mean gain by subject, which the prompts alone do not name',
  learned: 'expected gain, from the prompt alone',
  'cascade on the answer': "expected gain, having seen the weak model's answer",
}

const rows = readRoutingRows()
if (!rows) {
  console.error('There is no test data: set BATON_DATA to a folder with routing/outcomes.jsonl.')
  process.exit(1)
}

let failed = false
for (const set of ['mmlu', 'gsm8k'] as const) failed = !(await table(set, rows)) || failed
failed = !(await decisions(rows)) || failed
process.exitCode = failed ? 1 : 0

/** Prints the scores of a set, and says whether its targets are met. */
async function table(set: RoutingRow['set'], all: readonly RoutingRow[]): Promise<boolean> {
  const own = all.filter((row) => row.set === set)
  const scores = await tryRankings(own, seeds)
  console.log(`\n${set}: ${own.length} prompts, half to learn from and half to test on, ${seeds.length} seeds, mean ± standard deviation\n`)
  console.log('| ranking | APGR | CPT(50%) | CPT(80%) | |\n|---|---|---|---|---|')
  for (const [name, results] of scores) {
    const apgr = summarize(results.map((result) => result.apgr))
    const [cpt50, cpt80] = [summarize(results.map((result) => result.cpt50)), summarize(results.map((result) => result.cpt80))]
    const shares = [cpt50, cpt80].map(({ mean, deviation }) => `${(mean * 100).toFixed(0)}% ± ${(deviation * 100).toFixed(0)}`)
    console.log(`| ${name} | ${apgr.mean.toFixed(3)} ± ${apgr.deviation.toFixed(3)} | ${shares.join(' | ')} | ${explained[name]} |`)
  }
  return targets.every((target) => {
    if (target.set !== set) return true
    const { mean } = summarize((scores.get(target.ranking) ?? []).map(({ apgr }) => apgr))
    const met = mean >= target.apgr
    console.log(`${met ? 'ok    ' : 'MISSED'} ${target.ranking}: APGR ${mean.toFixed(3)}, at least ${target.apgr} wanted`)
    return met
  })
}

/** Prints how long a decision takes with a full index. */
async function decisions(all: readonly RoutingRow[]): Promise<boolean> {
  const index = createOutcomeIndex({ maxTexts: stored })
  const random = createRandom(1)
  const texts = Array.from({ length: stored }, (_, at) => textAt(all, at, random))
  const addedAt = performance.now()
  for (const { text, row } of texts)
    await index.add({ text, model: 'weak', success: row.weak }, { text, model: 'strong', success: row.strong })
  const addMs = (performance.now() - addedAt) / stored
  const times: number[] = []
  for (let at = 0; at < 2_000; at++) {
    const { prompt } = all[Math.floor(random() * all.length)] as RoutingRow
    const start = performance.now()
    await index.estimate(prompt)
    times.push(performance.now() - start)
  }
  const settled = times.slice(500).sort((a, b) => a - b)
  const [p50, p95] = [0.5, 0.95].map((part) => settled[Math.floor(settled.length * part)] as number)
  const met = (p95 as number) < decisionGoalMs
  console.log(
    `\n${index.size} stored texts with 2 outcomes each: an estimate takes p50 ${p50?.toFixed(2)} ms, p95 ${p95?.toFixed(2)} ms; adding a text ${addMs.toFixed(2)} ms`,
  )
  console.log(`${met ? 'ok    ' : 'MISSED'} p95 under ${decisionGoalMs} ms`)
  return met
}

/** The prompts, and after the last of them mixtures of two, so that there are enough different ones of a real length. */
function textAt(all: readonly RoutingRow[], at: number, random: () => number): { readonly text: string; readonly row: RoutingRow } {
  const row = all[at % all.length] as RoutingRow
  if (at < all.length) return { text: row.prompt, row }
  const other = all[Math.floor(random() * all.length)] as RoutingRow
  return { text: `${row.prompt.slice(0, row.prompt.length / 2)}${other.prompt.slice(other.prompt.length / 2)}`, row }
}

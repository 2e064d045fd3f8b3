// What learned routing gains, on graded prompts, and how long a decision takes: npm run bench:router
// Times say little on a busy machine: with BENCH_IDLE=1 each round of decisions waits up to a minute for a quiet one.
// Needs the test data: BATON_DATA names a folder with routing/outcomes.jsonl (its README.md says how it is scored).
import { loadavg } from 'node:os'
import type { Model, Router } from '@baton-sdk/core'
import { createOutcomeIndex, createRouter, learned } from '@baton-sdk/router'
import type { RoutingRow } from '../packages/router/src/learning/trial/routing-trial.ts'
import { createRandom, readRoutingRows, summarize, tryRankings } from '../packages/router/src/learning/trial/routing-trial.ts'
import { idleMachine } from './idle-machine.ts'

const seeds = [1, 2, 3, 4, 5]
const targets = [
  { set: 'mmlu', ranking: 'learned', apgr: 0.63 },
  { set: 'gsm8k', ranking: 'learned', apgr: 0.57 },
  { set: 'gsm8k', ranking: 'cascade on the answer', apgr: 0.73 },
] as const
const decisionGoalMs = 3
const [stored, modelCount, rounds, decisionsInRound] = [10_000, 200, 8, 300]
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

/** Prints how long a decision over many models takes with a full index. */
async function decisions(all: readonly RoutingRow[]): Promise<boolean> {
  const random = createRandom(1)
  const models = Array.from({ length: modelCount }, (_, at) => modelOf(at))
  const index = createOutcomeIndex({ maxTexts: stored })
  const addedAt = performance.now()
  let added = 0
  // Some texts come twice, and count once.
  for (; index.size < stored; added++) {
    const { text, row } = textAt(all, added, random)
    const at = added
    const [weak, strong] = [models[(2 * at) % modelCount], models[(2 * at + 1) % modelCount]] as [Model, Model]
    await index.add({ text, model: weak.id, success: row.weak }, { text, model: strong.id, success: row.strong })
  }
  const addMs = (performance.now() - addedAt) / added
  const router = createRouter({ models, policy: learned({ index, worthUsd: 0.05 }) })
  const best = { p50: Number.POSITIVE_INFINITY, p95: Number.POSITIVE_INFINITY }
  for (let round = 0; round < rounds; round++) {
    if (process.env.BENCH_IDLE === '1') await idleMachine(60_000)
    const times: number[] = []
    for (let at = 0; at < decisionsInRound; at++) {
      const { prompt } = all[Math.floor(random() * all.length)] as RoutingRow
      const request = requestOf(prompt)
      const start = performance.now()
      await router.route(request)
      times.push(performance.now() - start)
    }
    times.sort((a, b) => a - b)
    best.p50 = Math.min(best.p50, times[Math.floor(decisionsInRound * 0.5)] as number)
    best.p95 = Math.min(best.p95, times[Math.floor(decisionsInRound * 0.95)] as number)
  }
  console.log(
    `\nA decision over ${modelCount} models with ${index.size} stored texts, 2 outcomes each: p50 ${best.p50.toFixed(2)} ms, p95 ${best.p95.toFixed(2)} ms` +
      ` (the best of ${rounds} rounds of ${decisionsInRound}, since other work disturbs; load ${loadavg()[0]?.toFixed(1)}). Adding a text: ${addMs.toFixed(2)} ms.`,
  )
  const met = best.p50 < decisionGoalMs
  console.log(`${met ? 'ok    ' : 'MISSED'} p50 under ${decisionGoalMs} ms`)
  return met
}

function modelOf(at: number): Model {
  return {
    id: `provider/model-${at}`,
    info: {
      contextWindow: 128_000,
      capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: false },
      price: { input: 0.1 * (1 + (at % 40)), output: 0.4 * (1 + (at % 40)) },
      location: 'public',
    },
    generate() {
      throw new Error('a router calls no model')
    },
  }
}

function requestOf(text: string): Parameters<Router['route']>[0] {
  return {
    taskId: 'task',
    role: 'code',
    request: { messages: [{ role: 'user', parts: [{ type: 'text', text }] }] },
    sensitivity: 'internal',
    estimatedTokens: 500,
    health: new Map(),
  }
}

/** The prompts, and after the last of them mixtures of two, so that there are enough different ones of a real length. */
function textAt(all: readonly RoutingRow[], at: number, random: () => number): { readonly text: string; readonly row: RoutingRow } {
  const row = all[at % all.length] as RoutingRow
  if (at < all.length) return { text: row.prompt, row }
  const other = all[Math.floor(random() * all.length)] as RoutingRow
  return { text: `${row.prompt.slice(0, row.prompt.length / 2)}${other.prompt.slice(other.prompt.length / 2)}`, row }
}

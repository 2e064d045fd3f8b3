import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Candidate, Choice, RoutingPolicy, RoutingRequest } from '../policy.ts'
import { byScore } from './compose.ts'

/** Options of {@link fastest}. */
const Options = z.strictObject({
  /** The share of calls that go first to a model that was not measured yet, or not lately. Default: 0.05. */
  explore: z.number().min(0).max(1).default(0.05),
})

/** Milliseconds until the expected answer is whole, from what was measured: to the first chunk, then the tokens. */
export function expectedMs(
  { health }: Candidate,
  { expectedOutputTokens }: Pick<RoutingRequest, 'expectedOutputTokens'>,
): number | undefined {
  if (health?.firstChunkMs === undefined) return undefined
  // A model whose replies come in one piece has no speed beyond its first chunk.
  return health.firstChunkMs + (health.tokensPerSecond ? (expectedOutputTokens * 1_000) / health.tokensPerSecond : 0)
}

/**
 * By the time that the answer is expected to take, from the measured time to the first chunk and the tokens per second. A model that was never
 * called is taken for as fast as the median of the others, and now and then a call goes to one first, so that it is measured: which calls do
 * follows from the call itself, so the same call always goes the same way.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function fastest(options: z.input<typeof Options> = {}): RoutingPolicy {
  const { explore } = parseOptions('fastest', Options, options)
  return {
    name: 'fastest',
    rank(candidates, request) {
      const times = candidates.map((candidate) => expectedMs(candidate, request))
      const known = times.filter((ms) => ms !== undefined).sort((a, b) => a - b)
      const median = known[Math.floor(known.length / 2)] ?? 0
      const choices = byScore(candidates, {
        reason: 'fastest',
        score: (_, at) => times[at] ?? median,
        explain: (candidate) => explain(expectedMs(candidate, request), candidate),
      })
      return known.length === 0 ? choices : explored(choices, request, explore)
    },
  }
}

function explain(ms: number | undefined, { health }: Candidate): string {
  if (ms === undefined) return 'not measured yet; taken for the median'
  const speed = health?.tokensPerSecond ? `, then ${health.tokensPerSecond.toFixed(0)} tokens/s` : ''
  return `about ${(ms / 1_000).toFixed(1)} s: first chunk after ${health?.firstChunkMs?.toFixed(0)} ms${speed}`
}

/** Moves one of the others to the front in a share of the calls: one that was not measured, else any, since what was slow once may not be so still. */
function explored(choices: readonly Choice[], { taskId, role, request }: RoutingRequest, share: number): readonly Choice[] {
  const chance = hash(`${taskId}/${role}/${request.messages.length}`)
  if (chance >= share) return choices
  const others = choices.slice(1)
  const unmeasured = others.filter(({ candidate }) => candidate.health?.firstChunkMs === undefined)
  const pool = unmeasured.length > 0 ? unmeasured : others
  const picked = pool[Math.floor((chance / share) * pool.length)]
  if (!picked) return choices
  const detail = `to be measured: a share of ${share} of the calls is for that`
  return [{ ...picked, reason: 'explored', detail }, ...choices.filter((choice) => choice !== picked)]
}

/** FNV-1a with a final mix, as a number from 0 up to 1. */
function hash(text: string): number {
  let state = 0x811c9dc5
  for (let at = 0; at < text.length; at++) state = Math.imul(state ^ text.charCodeAt(at), 0x01000193)
  state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d)
  state = Math.imul(state ^ (state >>> 12), 0x297a2d39)
  return ((state ^ (state >>> 15)) >>> 0) / 2 ** 32
}

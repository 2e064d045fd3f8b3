import { checkAvailability, costOf, eligibleModels, parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Choice, RoutingPolicy, RoutingRequest } from '../policy.ts'
import type { Verifier } from '../verifiers/verifier.ts'
import { costNow } from './cheapest.ts'
import { asPolicy, compose, usd } from './compose.ts'
import { PreferenceSchema } from './policy-schema.ts'

const share = z.number().min(0).max(1)
const Options = z.strictObject({
  cheap: PreferenceSchema,
  strong: PreferenceSchema,
  verify: z
    .custom<Verifier>((value) => typeof value === 'object' && value !== null && 'verify' in value && typeof value.verify === 'function', {
      error: 'expected a verifier, such as acceptSchema(…)',
    })
    .optional(),
  truePositiveRate: share.default(0.9),
  falsePositiveRate: share.default(0.3),
  cheapQuality: share.default(0.6),
  strongQuality: share.default(0.9),
})

/** Options of {@link cascade}. */
export interface CascadeOptions {
  /** Tried first: ids in order of preference, or a policy. One of them is tried. */
  readonly cheap: readonly string[] | RoutingPolicy
  /** Tried after it: ids, or a policy; another cascade makes three steps. */
  readonly strong: readonly string[] | RoutingPolicy
  /** Judges the cheap model's reply before it is used. Without one, only checks that fail after its work escalate. */
  readonly verify?: Verifier | undefined
  /** The share of good replies that the verifier is assumed to accept. Default: 0.9. */
  readonly truePositiveRate?: number | undefined
  /** The share of bad replies that it is assumed to accept. Default: 0.3. */
  readonly falsePositiveRate?: number | undefined
  /** The share of cheap replies that are assumed to be good. Default: 0.6. */
  readonly cheapQuality?: number | undefined
  /** The same of strong ones. Default: 0.9. */
  readonly strongQuality?: number | undefined
}

type Rates = Required<z.output<typeof Options>>

/**
 * A cheap model first, and a strong one where the verifier refuses its reply, or where checks failed after its work (`previous` in the
 * request). With the assumed rates, `a = q·t + (1 − q)·f` of the cheap replies are accepted (`q` the cheap model's quality, `t` and `f` the verifier's true and
 * false positive rates); a call then costs the cheap one, the verifier and `1 − a` of the strong one, and is good with `q·t + (1 − a)·Q`. Where that
 * is neither cheaper nor better than the strong model alone, or the verifier cannot be asked, the strong one is tried at once.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function cascade(options: CascadeOptions): RoutingPolicy {
  const parsed = parseOptions('cascade', Options, options)
  const { verify } = parsed
  const [cheap, strong] = [asPolicy(parsed.cheap, 'cheap'), asPolicy(parsed.strong, 'strong')]
  return compose(`cascade(${cheap.name}, ${strong.name})`, [cheap, strong], async (candidates, request) => {
    const cheapOnes = await cheap.rank(candidates, request)
    const first =
      cheapOnes.find(({ candidate }) => !checkAvailability(candidate.model, candidate.health, request.estimatedTokens)) ?? cheapOnes[0]
    const strongOnes = (await strong.rank(candidates, request)).filter(({ candidate }) => candidate !== first?.candidate)
    const [top] = strongOnes
    if (!first || !top) return first ? alone(cheapOnes) : strongOnes
    const taken = new Set([first, ...strongOnes].map(({ candidate }) => candidate))
    const rest = cheapOnes.filter(({ candidate }) => !taken.has(candidate))
    /** The strong one at once, and the cheap one only where everything else fails. */
    const skip = (reason: string, detail: string): Choice[] => [
      { ...top, reason, detail: `${detail}; ${top.reason}${top.detail === undefined ? '' : `: ${top.detail}`}` },
      ...strongOnes.slice(1),
      first,
      ...rest,
    ]
    const judged = request.previous?.findLast(({ model }) =>
      [cheapOnes, strongOnes].some((choices) => choices.some(({ candidate }) => candidate.model.id === model)),
    )
    if (judged)
      return skip('escalated', `${judged.model} was tried before: ${judged.error?.message.replace(/\.$/, '') ?? 'judged not good enough'}`)
    if (!verify) return [{ ...first, reason: 'cheap-first', detail: 'until checks fail after its work' }, ...strongOnes, ...rest]
    const judge = judgeCost(verify, request)
    if (judge.refusal !== undefined) return skip('verifier-unavailable', judge.refusal)
    const expected = expectation(parsed as Rates, {
      cheapUsd: costNow(first.candidate, request.lastModel),
      judgeUsd: judge.costUsd,
      strongUsd: costNow(top.candidate, request.lastModel),
    })
    if (!expected.worthIt) return skip('cascade-not-worth-it', expected.text)
    const accept: Choice['accept'] = (reply, context) => verify.verify(reply, context)
    return [{ ...first, reason: 'cheap-first', detail: `checked by ${verify.name}; ${expected.text}`, accept }, ...strongOnes, ...rest]
  })
}

function alone(choices: readonly Choice[]): readonly Choice[] {
  return choices.map((choice, at) => (at === 0 ? { ...choice, detail: 'no stronger model may take the call' } : choice))
}

/** What a verdict costs, or why none can be had. */
function judgeCost(
  { judges, judgeTokens }: Verifier,
  request: RoutingRequest,
): { readonly costUsd?: number | undefined; readonly refusal?: string } {
  if (!judges) return { costUsd: 0 }
  const estimatedTokens = (judgeTokens?.input ?? 0) + request.expectedOutputTokens
  const { taskId, sensitivity, budgetUsd } = request
  try {
    const { eligible } = eligibleModels(judges, {
      taskId,
      role: 'judge',
      request: { messages: [] },
      sensitivity,
      estimatedTokens,
      budgetUsd,
    })
    const usage = { inputTokens: estimatedTokens, outputTokens: judgeTokens?.output ?? 0 }
    return { costUsd: costOf(eligible[0]?.info.price, usage) }
  } catch (error) {
    return { refusal: `no judge may take the reply: ${error instanceof Error ? error.message : String(error)}` }
  }
}

interface Costs {
  readonly cheapUsd: number | undefined
  readonly judgeUsd: number | undefined
  readonly strongUsd: number | undefined
}

function expectation(rates: Rates, { cheapUsd, judgeUsd, strongUsd }: Costs): { worthIt: boolean; text: string } {
  const { truePositiveRate, falsePositiveRate, cheapQuality, strongQuality } = rates
  const accepted = cheapQuality * truePositiveRate + (1 - cheapQuality) * falsePositiveRate
  const quality = cheapQuality * truePositiveRate + (1 - accepted) * strongQuality
  const costUsd =
    cheapUsd === undefined || judgeUsd === undefined || strongUsd === undefined
      ? undefined
      : cheapUsd + judgeUsd + (1 - accepted) * strongUsd
  const shares = `expected ${percent(accepted)} accepted, ${percent(quality)} good, about ${usd(costUsd)}`
  const against = `the strong model alone: ${percent(strongQuality)}, ${usd(strongUsd)}`
  const assumed = `assumed: ${percent(cheapQuality)} of cheap replies good, of which the verifier accepts ${percent(truePositiveRate)}, and ${percent(falsePositiveRate)} of the bad`
  const worthIt = costUsd === undefined || strongUsd === undefined || costUsd < strongUsd || quality > strongQuality
  return { worthIt, text: `${shares}; ${against} (${assumed})` }
}

function percent(part: number): string {
  return `${Math.round(part * 100)}%`
}

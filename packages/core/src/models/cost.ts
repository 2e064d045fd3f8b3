import type { Usage } from '../events/model-events.ts'
import type { ModelPrice } from './model.ts'

/**
 * What a call cost in US dollars: the number nearest to the exact sum. Input that was read from or written to the provider's cache
 * is part of `inputTokens` and has its own price. A price tier holds for the whole call.
 *
 * @returns undefined where the price or the usage is unknown: unknown is never free.
 */
export function costOf(price: ModelPrice | undefined, usage: Usage | undefined): number | undefined {
  if (!price || !usage) return undefined
  const cached = Math.min(usage.cachedInputTokens ?? 0, usage.inputTokens)
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.inputTokens - cached)
  const rest = usage.inputTokens - cached - written
  const { input, output, cachedInput = input, cacheWrite = input } = price.tiers ? ratesFor(price, usage.inputTokens) : price
  // Whole millionths of a dollar per million tokens, so that only the division at the end rounds.
  const exact = rest * whole(input) + cached * whole(cachedInput) + written * whole(cacheWrite) + usage.outputTokens * whole(output)
  if (Number.isSafeInteger(exact)) return exact / perMillion ** 2
  return (rest * input + cached * cachedInput + written * cacheWrite + usage.outputTokens * output) / perMillion
}

const perMillion = 1e6

function ratesFor(price: ModelPrice, inputTokens: number): Omit<ModelPrice, 'tiers'> {
  let above = -1
  let rates: Omit<ModelPrice, 'tiers'> = price
  for (const tier of price.tiers ?? []) {
    if (inputTokens <= tier.aboveInputTokens || tier.aboveInputTokens <= above) continue
    above = tier.aboveInputTokens
    rates = tier
  }
  return rates
}

/** A price in millionths, or no number where it is finer than that. */
function whole(price: number): number {
  const scaled = Math.round(price * perMillion)
  return scaled / perMillion === price ? scaled : Number.NaN
}

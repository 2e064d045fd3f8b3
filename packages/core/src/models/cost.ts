import type { Usage } from '../events/model-events.ts'
import type { ModelPrice } from './model.ts'

/**
 * What a call cost in US dollars: the number nearest to the exact sum. Input that was read from or written to the provider's cache
 * is part of `inputTokens` and has its own price.
 *
 * @returns undefined where the price or the usage is unknown: unknown is never free.
 */
export function costOf(price: ModelPrice | undefined, usage: Usage | undefined): number | undefined {
  if (!price || !usage) return undefined
  const cached = Math.min(usage.cachedInputTokens ?? 0, usage.inputTokens)
  const written = Math.min(usage.cacheWriteTokens ?? 0, usage.inputTokens - cached)
  return dollars([
    [usage.inputTokens - cached - written, price.input],
    [cached, price.cachedInput ?? price.input],
    [written, price.cacheWrite ?? price.input],
    [usage.outputTokens, price.output],
  ])
}

const perMillion = 1e6

/** Sums up in whole millionths of a dollar per million tokens, so that only the division at the end rounds. */
function dollars(parts: readonly (readonly [tokens: number, price: number])[]): number {
  let exact = 0
  let plain = 0
  for (const [tokens, price] of parts) {
    const scaled = Math.round(price * perMillion)
    exact += scaled / perMillion === price ? tokens * scaled : Number.NaN
    plain += tokens * price
  }
  return Number.isSafeInteger(exact) ? exact / perMillion ** 2 : plain / perMillion
}

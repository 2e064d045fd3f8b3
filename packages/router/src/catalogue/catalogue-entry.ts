import { ModelInfo } from '@baton-sdk/core/plugin'
import { z } from 'zod'

const ModelPrice = ModelInfo.shape.price.unwrap()
type ModelPrice = z.output<typeof ModelPrice>

/** What the catalogue knows of one model at one provider. */
export interface CatalogueEntry {
  /** `provider/model`, for example `groq/llama-3.3-70b-versatile`. */
  readonly id: string
  readonly provider: string
  /** The provider's own name for the model. */
  readonly model: string
  /** Tokens, input and output together. */
  readonly contextWindow: number
  /** Where the input alone has a limit below the window. */
  readonly maxInputTokens?: number | undefined
  readonly maxOutputTokens?: number | undefined
  readonly capabilities: {
    readonly tools: boolean
    readonly images: boolean
    readonly jsonSchema: boolean
    readonly reasoning: boolean
  }
  /** US dollars per million tokens. Absent is unknown; 0 is what a provider lists as free. */
  readonly price?: ModelPrice | undefined
}

/** What a host says of a model that the catalogue does not hold, or holds otherwise. */
export const CataloguePatch = z.strictObject({
  contextWindow: z.int().positive().optional(),
  maxInputTokens: z.int().positive().optional(),
  maxOutputTokens: z.int().positive().optional(),
  capabilities: z
    .strictObject({
      tools: z.boolean().optional(),
      images: z.boolean().optional(),
      jsonSchema: z.boolean().optional(),
      reasoning: z.boolean().optional(),
    })
    .optional(),
  price: z.union([ModelPrice, z.literal('unknown')]).optional(),
})

/** One line of the vendored data. */
export function parseEntry(line: string): CatalogueEntry {
  const [id = '', context, input, output, capabilities = '', rates = '', tiers = ''] = line.split('|')
  const slash = id.indexOf('/')
  const contextWindow = Number(context)
  const price = parseRates(rates)
  return {
    id,
    provider: id.slice(0, slash),
    model: id.slice(slash + 1),
    contextWindow,
    ...(input && Number(input) < contextWindow && { maxInputTokens: Number(input) }),
    ...(output && { maxOutputTokens: Number(output) }),
    capabilities: {
      tools: capabilities.includes('t'),
      images: capabilities.includes('i'),
      jsonSchema: capabilities.includes('j'),
      reasoning: capabilities.includes('r'),
    },
    ...(price && { price: { ...price, ...(tiers !== '' && { tiers: tiers.split(';').flatMap(parseTier) }) } }),
  }
}

function parseRates(text: string): Omit<ModelPrice, 'tiers'> | undefined {
  if (text === '') return undefined
  const [input, output, cachedInput, cacheWrite] = text.split(',')
  return {
    input: Number(input),
    output: Number(output),
    ...(cachedInput && { cachedInput: Number(cachedInput) }),
    ...(cacheWrite && { cacheWrite: Number(cacheWrite) }),
  }
}

function parseTier(text: string): NonNullable<ModelPrice['tiers']> {
  const [size, rates = ''] = text.split(':')
  const price = parseRates(rates)
  return price ? [{ aboveInputTokens: Number(size), ...price }] : []
}

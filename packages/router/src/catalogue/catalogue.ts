import { BatonError } from '@baton-sdk/core'
import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { nearestNames } from '../nearest-names.ts'
import { catalogueData, catalogueDate } from './catalogue-data.ts'
import type { CatalogueEntry } from './catalogue-entry.ts'
import { CataloguePatch, parseEntry } from './catalogue-entry.ts'

/** What a host says of one model; what it leaves out stays as it was. `price: 'unknown'` takes a price away. */
export type CatalogueChange = z.input<typeof CataloguePatch>

/** Options of {@link createCatalogue}. */
export interface CatalogueOptions {
  /** Models that the vendored data does not hold, by `provider/model`. Each needs its `contextWindow`; capabilities are off unless said. */
  readonly extend?: Readonly<Record<string, CatalogueChange>> | undefined
  /** Changes to models that it holds, for example to prices that you agreed on. */
  readonly override?: Readonly<Record<string, CatalogueChange>> | undefined
}

/** Limits, capabilities and prices of models, by provider. */
export interface Catalogue {
  /** The day on which the vendored data was taken, as `2026-07-02`. */
  readonly date: string
  /** A model by `provider/model`. */
  find(id: string): CatalogueEntry | undefined
  /** All models, or those that a filter leaves: of one provider, with all capabilities that are named, with at least this window. */
  list(filter?: CatalogueFilter): CatalogueEntry[]
  /** Up to three ids that someone may have meant. */
  nearest(id: string): string[]
}

/** What {@link Catalogue.list} leaves. */
export interface CatalogueFilter {
  readonly provider?: string | undefined
  readonly capabilities?: readonly (keyof CatalogueEntry['capabilities'])[] | undefined
  readonly minContextWindow?: number | undefined
}

const Options = z.strictObject({
  extend: z.record(z.string(), CataloguePatch).default({}),
  override: z.record(z.string(), CataloguePatch).default({}),
})

/**
 * The vendored subset of models.dev's data, with what the host adds and changes.
 *
 * @throws BatonError `INVALID_OPTIONS`: a price below zero, an override of a model that is not there, an extension that is there already.
 */
export function createCatalogue(options: CatalogueOptions = {}): Catalogue {
  const { extend, override } = parseOptions('createCatalogue', Options, options)
  const changed = new Map<string, CatalogueEntry>()
  for (const [id, change] of Object.entries(extend)) {
    if (!/^[^/]+\/./.test(id)) throw invalid(`extend.${id}`, 'expected provider/model')
    if (vendored(id)) throw invalid(`extend.${id}`, 'is in the catalogue already; change it with `override`')
    if (change.contextWindow === undefined) throw invalid(`extend.${id}.contextWindow`, 'is missing')
    const [provider = ''] = id.split('/', 1)
    const capabilities = { tools: false, images: false, jsonSchema: false, reasoning: false }
    const blank = { id, provider, model: id.slice(provider.length + 1), contextWindow: change.contextWindow, capabilities }
    changed.set(id, apply(blank, change))
  }
  const ids = () => [...vendoredLines().keys(), ...Object.keys(extend)]
  for (const [id, change] of Object.entries(override)) {
    const entry = changed.get(id) ?? vendored(id)
    if (!entry) throw invalid(`override.${id}`, `is not in the catalogue${didYouMean(nearestIds(id, ids()))}; add it with \`extend\``)
    changed.set(id, apply(entry, change))
  }
  const find = (id: string) => changed.get(id) ?? vendored(id)
  return {
    date: catalogueDate,
    find,
    list: ({ provider, capabilities = [], minContextWindow = 0 } = {}) =>
      ids()
        .filter((id) => provider === undefined || id.startsWith(`${provider}/`))
        .flatMap((id) => find(id) ?? [])
        .filter((entry) => capabilities.every((name) => entry.capabilities[name]) && entry.contextWindow >= minContextWindow),
    nearest: (id) => nearestIds(id, ids()),
  }
}

function apply(entry: CatalogueEntry, { price, capabilities, ...limits }: z.output<typeof CataloguePatch>): CatalogueEntry {
  return {
    ...entry,
    ...defined(limits),
    capabilities: { ...entry.capabilities, ...defined(capabilities ?? {}) },
    ...(price !== undefined && { price: price === 'unknown' ? undefined : price }),
  }
}

function defined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined))
}

let lines: Map<string, CatalogueEntry | string> | undefined

/** The vendored lines by id; each is parsed when it is asked for. */
function vendoredLines(): Map<string, CatalogueEntry | string> {
  lines ??= new Map(
    catalogueData
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('|')), line]),
  )
  return lines
}

function vendored(id: string): CatalogueEntry | undefined {
  const found = vendoredLines().get(id)
  if (typeof found !== 'string') return found
  const entry = parseEntry(found)
  vendoredLines().set(id, entry)
  return entry
}

/** Those of the same provider come first: a model's name is mistaken more often than its provider's. */
function nearestIds(id: string, ids: readonly string[]): string[] {
  const own = ids.filter((other) => other.startsWith(`${id.split('/', 1)[0]}/`))
  return nearestNames(id, own.length > 0 ? own : ids)
}

/** What a model says of itself, as far as the catalogue knows it. */
export function infoOf({ contextWindow, maxOutputTokens, capabilities, price }: CatalogueEntry) {
  return { contextWindow, ...(maxOutputTokens !== undefined && { maxOutputTokens }), capabilities, ...(price && { price }) }
}

let shared: Catalogue | undefined

/** The vendored data as it is. */
export function sharedCatalogue(): Catalogue {
  shared ??= createCatalogue()
  return shared
}

/** Names to add to a message. */
export function didYouMean(names: readonly string[]): string {
  return names.length === 0 ? '' : ` (nearest: ${names.join(', ')})`
}

function invalid(field: string, problem: string): BatonError {
  return new BatonError('INVALID_OPTIONS', `createCatalogue: ${field}: ${problem}`, { details: { issues: [{ field, problem }] } })
}

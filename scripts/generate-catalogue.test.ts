import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { CatalogueSource } from './generate-catalogue.ts'
import { catalogueFile, catalogueLines } from './generate-catalogue.ts'

const source = join(process.env.BATON_DATA ?? 'BATON_DATA is not set', 'models/catalogue.json')
const lacksData = !existsSync(source) && !process.env.BATON_REQUIRE?.split(',').includes('data')

type Source = CatalogueSource[string]['models'][string]
const text = { input: ['text'], output: ['text'] }
const lineOf = (provider: string, name: string, model: Partial<Source>) =>
  catalogueLines({ [provider]: { models: { [name]: { limit: { context: 10 }, modalities: text, ...model } } } })

describe('catalogueLines', () => {
  it('writes limits, capabilities, rates and tiers', () => {
    const tiers = [{ tier: { size: 5 }, input: 2, output: 4 }]
    const cost = { input: 1, output: 2, cache_read: 0.1, cache_write: 1.25, tiers }
    const limit = { context: 10, input: 8, output: 2 }
    expect(lineOf('p', 'm', { limit, cost, tool_call: true, reasoning: true })).toEqual(['p/m|10|8|2|tr|1,2,0.1,1.25|5:2,4'])
  })

  it.each<[string, string, string, Source['cost'], string]>([
    ['a missing price', 'p', 'm', undefined, ''],
    ['a negative one', 'p', 'm', { input: -1, output: -1 }, ''],
    ['one that is zero on one side', 'p', 'm', { input: 1, output: 0 }, ''],
    ['one beside a price per request', 'p', 'm', { input: 1, output: 1, request: 5 }, ''],
    ['zero at a gateway', 'vercel', 'm', { input: 0, output: 0 }, ''],
    ['zero at a gateway for a free model', 'openrouter', 'm:free', { input: 0, output: 0 }, '|||0,0'],
    ['zero at the provider itself', 'p', 'm', { input: 0, output: 0 }, '|||0,0'],
    ['cached tokens at zero', 'p', 'm', { input: 1, output: 2, cache_read: 0, cache_write: 0 }, '|||1,2'],
    ['a dearer price of reasoning', 'p', 'm', { input: 1, output: 2, reasoning: 6 }, '|||1,6'],
  ])('reads %s', (_, provider, name, cost, rates) => {
    expect(lineOf(provider, name, cost ? { cost } : {})).toEqual([`${provider}/${name}|10${rates && `|${rates}`}`])
  })

  it('leaves out what is no chat model', () => {
    expect(lineOf('p', 'm', { limit: { context: 0 } })).toEqual([])
    expect(lineOf('p', 'm', { modalities: { input: ['text'], output: ['image'] } })).toEqual([])
    expect(lineOf('p', 'text-embedding-3', {})).toEqual([])
  })

  it.skipIf(lacksData)('is what is vendored, and small', () => {
    const file = join(import.meta.dirname, '../packages/router/src/catalogue/catalogue-data.ts')
    expect(readFileSync(file, 'utf8')).toBe(catalogueFile(JSON.parse(readFileSync(source, 'utf8')), '2026-07-02'))
    expect(readFileSync(file).length).toBeLessThan(150_000)
  })
})

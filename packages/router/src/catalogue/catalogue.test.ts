import { BatonError } from '@baton-sdk/core'
import { costOf } from '@baton-sdk/core/plugin'
import { describe, expect, it } from 'vitest'
import type { CatalogueOptions } from './catalogue.ts'
import { createCatalogue } from './catalogue.ts'

describe('createCatalogue', () => {
  it('knows limits, capabilities and prices, tiers and cached tokens among them', () => {
    const { date, find } = createCatalogue()
    expect(date).toBe('2026-07-02')
    expect(find('openai/gpt-5.4')).toEqual({
      id: 'openai/gpt-5.4',
      provider: 'openai',
      model: 'gpt-5.4',
      contextWindow: 1_050_000,
      maxInputTokens: 922_000,
      maxOutputTokens: 128_000,
      capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true },
      price: {
        input: 2.5,
        output: 15,
        cachedInput: 0.25,
        tiers: [{ aboveInputTokens: 272_000, input: 5, output: 22.5, cachedInput: 0.5 }],
      },
    })
  })

  it('counts what a call costs, to the cent', () => {
    const price = createCatalogue().find('openai/gpt-5.4')?.price
    const cost = (inputTokens: number) => costOf(price, { inputTokens, cachedInputTokens: 100_000, outputTokens: 10_000 })
    expect(cost(272_000)).toBe(0.605)
    expect(cost(272_001)).toBe(1.135005)
  })

  it('leaves unknown prices unknown, and keeps what is listed as free', () => {
    const { find, list } = createCatalogue()
    expect(find('zai/glm-4.7-flash')?.price).toEqual({ input: 0, output: 0 })
    expect(find('vercel/meta/llama-3.3-70b')).toMatchObject({ contextWindow: 128_000 })
    expect(find('vercel/meta/llama-3.3-70b')?.price).toBeUndefined()
    expect(list({ provider: 'ollama-cloud' }).filter(({ price }) => price !== undefined)).toEqual([])
    for (const { id, price } of list()) {
      if (price && price.input !== 0) expect(price, id).not.toMatchObject({ cachedInput: 0 })
      if (price) expect([price.input === 0, id], id).toEqual([price.output === 0, id])
    }
  })

  it('lists by provider, capability and window', () => {
    const { list } = createCatalogue()
    expect(list().length).toBeGreaterThan(1_000)
    const found = list({ provider: 'groq', capabilities: ['tools', 'reasoning'], minContextWindow: 100_000 })
    expect(found.length).toBeGreaterThan(0)
    for (const entry of found) {
      expect(entry).toMatchObject({ provider: 'groq', capabilities: { tools: true, reasoning: true } })
      expect(entry.contextWindow).toBeGreaterThanOrEqual(100_000)
    }
  })

  it('names the nearest ids', () => {
    expect(createCatalogue().nearest('openai/gpt5.4-mini')).toContain('openai/gpt-5.4-mini')
    expect(createCatalogue().nearest('opnai/gpt-5.4')).toContain('openai/gpt-5.4')
  })

  it('takes models and changes of the host, for itself alone', () => {
    const { find, list } = createCatalogue({
      extend: { 'house/coder': { contextWindow: 32_000, capabilities: { tools: true } } },
      override: { 'openai/gpt-5.4': { price: { input: 1, output: 2 } }, 'openai/gpt-5.5': { price: 'unknown', contextWindow: 9 } },
    })
    expect(find('house/coder')).toMatchObject({
      provider: 'house',
      model: 'coder',
      contextWindow: 32_000,
      capabilities: { tools: true, images: false },
    })
    expect(list({ provider: 'house' })).toHaveLength(1)
    expect(find('openai/gpt-5.4')).toMatchObject({ contextWindow: 1_050_000, price: { input: 1, output: 2 } })
    expect(find('openai/gpt-5.5')).toMatchObject({ contextWindow: 9, price: undefined })
    expect(createCatalogue().find('openai/gpt-5.5')?.price?.input).toBe(5)
  })

  it.each<[string, CatalogueOptions]>([
    ['override.openai/gpt-5.4.price', { override: { 'openai/gpt-5.4': { price: { input: -1, output: 1 } } } }],
    ['(nearest: openai/gpt-5.4,', { override: { 'openai/gpt5.4': { contextWindow: 1 } } }],
    ['extend.openai/gpt-5.4: is in the catalogue', { extend: { 'openai/gpt-5.4': { contextWindow: 1 } } }],
    ['extend.a/b.contextWindow', { extend: { 'a/b': {} } }],
    ['provider/model', { extend: { nameless: { contextWindow: 1 } } }],
  ])('refuses bad input: %s', (text, options) => {
    const create = () => createCatalogue(options)
    expect(create).toThrow(text)
    expect(create).toThrow(BatonError)
  })
})

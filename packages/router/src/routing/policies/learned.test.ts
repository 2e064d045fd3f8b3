import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Outcome, OutcomeIndex } from '../../learning/outcome-index.ts'
import { createOutcomeIndex } from '../../learning/outcome-index.ts'
import { madeUpOutcomes, madeUpTask } from '../../learning/trial/made-up-outcomes.ts'
import { createRouter } from '../router.ts'
import { decide, modelOf, orderOf, requestOf } from '../testing/routing-fixtures.ts'
import { cheapest } from './cheapest.ts'
import { learned } from './learned.ts'

const easy = madeUpTask(0, 10_001)
const hard = madeUpTask(1, 10_002)
const recipe = 'Give me a recipe for a soup with leeks and potatoes, please'

const about = (text: string) => ({
  request: {
    messages: [
      { role: 'system' as const, text: 'Be brief.' },
      { role: 'user' as const, parts: [{ type: 'text' as const, text }] },
    ],
  },
})
// A call has 1,000 tokens: the small one costs $0.001, the large one $0.01.
const small = modelOf('small', { price: { input: 1, output: 0 } })
const large = modelOf('large', { price: { input: 10, output: 0 } })
const unpriced = modelOf('unpriced', { price: undefined })
const unheard = modelOf('unheard', { price: { input: 0.1, output: 0 } })

async function trained(outcomes: readonly Outcome[] = madeUpOutcomes(400), options = {}): Promise<OutcomeIndex> {
  const index = createOutcomeIndex(options)
  await index.add(...outcomes)
  return index
}

describe('learned', () => {
  it('takes the cheap model where it is as good, and the dear one where its gain is worth the cost', async () => {
    const policy = learned({ index: await trained(), worthUsd: 0.05 })
    expect(await orderOf([large, small], policy, about(easy))).toEqual(['small', 'large'])
    expect(await orderOf([small, large], policy, about(hard))).toEqual(['large', 'small'])
    expect(await decide([small, large], policy, about(hard))).toEqual([
      expect.stringMatching(
        /^large: expected-gain: right 100% of the time on tasks like this one, about \$0\.01: \+9\d points on small for \$0\.009 more$/,
      ),
      expect.stringMatching(/^small: expected-gain: right \d% of the time on tasks like this one, about \$0\.001, the cheapest$/),
    ])
  })

  it('pays for what is gained, not for how hard it is', async () => {
    const index = await trained()
    expect((await orderOf([small, large], learned({ index, worthUsd: 0.005 }), about(hard)))[0]).toBe('small')
    // Too hard for both: nothing is gained by paying more.
    const hopeless = await trained(madeUpOutcomes(400).map((outcome) => ({ ...outcome, success: false })))
    expect((await orderOf([small, large], learned({ index: hopeless, worthUsd: 100 }), about(hard)))[0]).toBe('small')
  })

  it.each([
    [
      'the task is like none that is known',
      recipe,
      {},
      /^large: in-order: learned: it is like no task that is known \(familiarity 0\.\d\d\)/,
    ],
    ['too few outcomes are known', hard, { minOutcomes: 1_000 }, /^large: in-order: learned: too few outcomes are known/],
  ])('falls back, and says why, where %s', async (_, text, options, message) => {
    const index = await trained(undefined, options)
    expect((await decide([large, small], learned({ index, worthUsd: 0.05 }), about(text)))[0]).toMatch(message)
    const fallen = await decide([large, small], learned({ index, worthUsd: 0.05, otherwise: cheapest() }), about(text))
    expect(fallen[0]).toMatch(/^small: cheapest: learned: .*; about \$0\.001/)
    expect(fallen).toHaveLength(2)
  })

  it('falls back where no two models have both a price and outcomes', async () => {
    const policy = learned({ index: await trained(), worthUsd: 0.05 })
    expect((await decide([unheard, small, unpriced], policy, about(hard)))[0]).toMatch(/^unheard: in-order: learned: fewer than two models/)
  })

  it('never abstains with an abstainShare of 0', async () => {
    const index = await trained(undefined, { abstainShare: 0 })
    expect((await decide([large, small], learned({ index, worthUsd: 0.05 }), about(recipe)))[0]).toMatch(/expected-gain/)
  })

  it('puts models that it knows nothing of after the others, in the order of the other policy', async () => {
    const policy = learned({ index: await trained(), worthUsd: 0.05, otherwise: cheapest() })
    expect(await orderOf([unpriced, unheard, small, large], policy, about(hard))).toEqual(['large', 'small', 'unheard', 'unpriced'])
  })

  it('ranks no model that is not cleared or not able, however good it was', async () => {
    const facts = { location: fc.constantFrom('public', 'private', 'local'), tools: fc.boolean(), window: fc.constantFrom(500, 200_000) }
    const ids = ['small', 'large', 'unheard', 'nobody']
    const index = await trained([
      ...madeUpOutcomes(200),
      ...madeUpOutcomes(200).map((outcome) => ({ ...outcome, model: 'nobody', success: true })),
    ])
    const fleet = fc.tuple(...ids.map((id) => fc.record(facts).map((fact) => ({ id, ...fact }))))
    const label = fc.constantFrom('public', 'internal', 'confidential', 'restricted')
    const clearance = { public: 1, private: 2, local: 3 }
    const order = ['public', 'internal', 'confidential', 'restricted']
    await fc.assert(
      fc.asyncProperty(fleet, label, fc.constantFrom(easy, hard, recipe, ''), async (facts, sensitivity, text) => {
        const models = facts.map(({ id, location, tools, window }, at) =>
          modelOf(id, {
            ...{ location: location as 'local', contextWindow: window, price: { input: 1 + at, output: 0 } },
            capabilities: { tools, images: true, jsonSchema: true, reasoning: true, fim: true },
          }),
        )
        const may = facts.filter(
          ({ location, tools, window }) => clearance[location as 'local'] >= order.indexOf(sensitivity) && tools && window > 1_000,
        )
        const request = requestOf({ ...about(text), sensitivity: sensitivity as 'public' })
        const tools = [{ name: 'read', description: 'Reads.', parameters: { type: 'object' } }]
        const route = createRouter({ models, policy: learned({ index, worthUsd: 10 }) }).route({
          ...request,
          request: { ...request.request, tools, maxOutputTokens: 100 },
        })
        if (may.length === 0) {
          await expect(route).rejects.toMatchObject({ code: 'NO_ELIGIBLE_MODEL' })
          return
        }
        const { attempts, considered } = await route
        expect(attempts.map(({ model }) => model.id).sort()).toEqual(may.map(({ id }) => id).sort())
        expect(considered.map(({ model }) => model).sort()).toEqual([...ids].sort())
      }),
    )
  })

  it('learns while it routes, and forgets what had to go', async () => {
    const index = await trained(madeUpOutcomes(400), { maxTexts: 400 })
    const policy = learned({ index, worthUsd: 0.05 })
    expect((await orderOf([small, large], policy, about(hard)))[0]).toBe('large')
    await index.add(...madeUpOutcomes(400).map(({ text, model }) => ({ text: `${text} again`, model, success: true })))
    expect(index.size).toBe(400)
    expect((await orderOf([small, large], policy, about(hard)))[0]).toBe('small')
  })

  it('goes on as before with an index that could not be loaded', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'learned-'))
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const index = await trained()
    const policy = learned({ index, worthUsd: 0.05 })
    const before = await decide([small, large], policy, about(hard))
    writeFileSync(join(folder, 'broken'), 'batonout and nothing more')
    await expect(index.load(join(folder, 'broken'))).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      message: expect.stringMatching(/Nothing was changed; restore it from a copy, or move it away to begin anew\.$/),
    })
    await expect(index.load(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    expect(await decide([small, large], policy, about(hard))).toEqual(before)
  })

  it('reads the task from where it is told', async () => {
    const policy = learned({ index: await trained(), worthUsd: 0.05, text: ({ role }) => (role === 'code' ? hard : easy) })
    expect((await orderOf([small, large], policy, about('')))[0]).toBe('large')
    expect((await orderOf([small, large], policy, { ...about(''), role: 'chat' }))[0]).toBe('small')
  })

  it.each([
    [{ worthUsd: 0.05 }, /learned: index: expected an index of outcomes; see createOutcomeIndex/],
    [{ index: createOutcomeIndex() }, /worthUsd/],
    [{ index: createOutcomeIndex(), worthUsd: -1 }, /worthUsd/],
    [{ index: createOutcomeIndex(), worthUsd: 1, otherwise: 'cheapest' }, /otherwise/],
  ])('refuses %#', (options, message) => {
    expect(() => learned(options as never)).toThrow(message)
  })
})

import type { CallOutcome } from '@baton-sdk/core/plugin'
import { describe, expect, it } from 'vitest'
import { createRouter } from '../router.ts'
import { decide, modelOf, orderOf, requestOf } from '../testing/routing-fixtures.ts'
import { acceptIf } from '../verifiers/accept-if.ts'
import { acceptJudge } from '../verifiers/accept-judge.ts'
import { cascade } from './cascade.ts'
import { cheapest } from './cheapest.ts'

const flat = (id: string, usd: number) => modelOf(id, { price: { input: usd * 1_000, output: 0 } })
// A call has 1,000 tokens.
const [cheap, cheap2, strong, strong2] = [flat('cheap', 1), flat('cheap2', 2), flat('strong', 10), flat('strong2', 20)]
const models = [strong2, strong, cheap2, cheap]
const verify = acceptIf(() => true, { name: 'looks good' })
const tried = (model: string, message?: string): CallOutcome => ({
  ...{ taskId: 'task', role: 'code', model, result: 'not-accepted', ms: 1 },
  ...(message !== undefined && { error: { code: 'CHECK_FAILED', message } }),
})

describe('cascade', () => {
  it('tries one cheap model with the verifier, then the strong ones, and says what it expects of that', async () => {
    const policy = cascade({
      ...{ cheap: ['cheap', 'cheap2'], strong: ['strong', 'strong2'], verify },
      ...{ truePositiveRate: 0.8, falsePositiveRate: 0.1, cheapQuality: 0.5, strongQuality: 0.9 },
    })
    // Accepted: 0.5 × 0.8 + 0.5 × 0.1 = 0.45. Cost: 1 + 0.55 × 10. Good: 0.5 × 0.8 + 0.55 × 0.9.
    expect((await decide(models, policy))[0]).toBe(
      'cheap: cheap-first: checked by looks good; expected 45% accepted, 90% good, about $6.5; the strong model alone: 90%, $10 (assumed: 50% of cheap replies good, of which the verifier accepts 80%, and 10% of the bad)',
    )
    const { attempts } = await createRouter({ models, policy }).route(requestOf())
    expect(attempts.map(({ model, accept }) => [model.id, accept !== undefined])).toEqual([
      ['cheap', true],
      ['strong', false],
      ['strong2', false],
      ['cheap2', false],
    ])
  })

  it('goes to the strong one at once where the detour is neither cheaper nor better', async () => {
    const policy = cascade({ cheap: ['strong'], strong: ['strong2'], verify, cheapQuality: 0.3, truePositiveRate: 0.5 })
    expect((await decide(models, policy))[0]).toMatch(
      /^strong2: cascade-not-worth-it: expected 36% accepted, .* about \$22\.8; the strong model alone: 90%, \$20/,
    )
    const better = cascade({
      cheap: ['strong'],
      strong: ['strong2'],
      verify,
      cheapQuality: 0.8,
      truePositiveRate: 0.5,
      falsePositiveRate: 0,
    })
    expect((await orderOf(models, better))[0]).toBe('strong')
  })

  it('escalates where the work of one of its models was not good enough', async () => {
    const policy = cascade({ cheap: ['cheap', 'cheap2'], strong: ['strong', 'strong2'], verify })
    expect(await decide(models, policy, { previous: [tried('cheap', 'The check "test" failed after its work.')] })).toEqual([
      'strong: escalated: cheap was tried before: The check "test" failed after its work; strong: number 1 of 2',
      'strong2: strong: number 2 of 2',
      'cheap: cheap: number 1 of 2',
      'cheap2: cheap: number 2 of 2',
    ])
    expect((await orderOf(models, policy, { previous: [tried('strong')] }))[0]).toBe('strong')
    expect((await orderOf(models, policy, { previous: [tried('nobody/knows')] }))[0]).toBe('cheap')
  })

  it('leaves it to the checks where there is no verifier', async () => {
    const policy = cascade({ cheap: ['cheap'], strong: ['strong'] })
    const { attempts, considered } = await createRouter({ models, policy }).route(requestOf())
    expect(attempts.map(({ model, accept }) => [model.id, accept])).toEqual([
      ['cheap', undefined],
      ['strong', undefined],
    ])
    expect(considered[0]).toMatchObject({ reason: 'cheap-first', detail: 'until checks fail after its work' })
  })

  it('has steps of its own where the strong side is another cascade', async () => {
    const policy = cascade({ cheap: ['cheap'], strong: cascade({ cheap: ['cheap2'], strong: ['strong'], verify }), verify })
    const accepts = async (previous?: CallOutcome[]) =>
      (await createRouter({ models, policy }).route(requestOf({ previous }))).attempts.map(
        ({ model, accept }) => `${model.id}${accept ? '?' : ''}`,
      )
    expect(await accepts()).toEqual(['cheap?', 'cheap2?', 'strong'])
    expect(await accepts([tried('cheap')])).toEqual(['cheap2?', 'strong', 'cheap'])
    expect(await accepts([tried('cheap'), tried('cheap2')])).toEqual(['strong', 'cheap2', 'cheap'])
  })

  it('takes another cheap model where the first cannot be called now', async () => {
    const health = new Map([['cheap', { breaker: 'open' as const, failuresInARow: 5, retryAt: 0 }]])
    const policy = cascade({ cheap: ['cheap', 'cheap2'], strong: ['strong'], verify })
    expect(await orderOf(models, policy, { health })).toEqual(['cheap2', 'strong', 'cheap'])
  })

  it('uses what there is where one side may not take the call', async () => {
    const cloud = modelOf('cloud', { location: 'public' })
    const policy = cascade({ cheap: ['cheap'], strong: ['cloud'], verify })
    expect(await decide([cheap, cloud], policy, { sensitivity: 'restricted' })).toEqual([
      'cheap: cheap: no stronger model may take the call',
      expect.stringMatching(/^cloud: not-cleared/),
    ])
    const turned = cascade({ cheap: ['cloud'], strong: ['cheap'], verify })
    expect(await orderOf([cheap, cloud], turned, { sensitivity: 'restricted' })).toEqual(['cheap'])
  })

  it('does not count on a judge that may not see the content or cannot be paid', async () => {
    const judge = modelOf('judge', { location: 'public', price: { input: 1, output: 1 } })
    const policy = cascade({ cheap: ['cheap'], strong: ['strong'], verify: acceptJudge({ model: judge }) })
    expect((await orderOf(models, policy))[0]).toBe('cheap')
    expect((await decide(models, policy, { sensitivity: 'confidential' }))[0]).toMatch(
      /^strong: verifier-unavailable: no judge may take the reply: .*judge: not-cleared \(the content is confidential/,
    )
    const unpriced = acceptJudge({ model: modelOf('judge', { price: undefined }) })
    const paid = cascade({ cheap: ['cheap'], strong: ['strong'], verify: unpriced })
    expect((await decide(models, paid, { budgetUsd: 1_000 }))[0]).toMatch(/^strong: verifier-unavailable: .*price-unknown/)
  })

  it('counts what the judge costs', async () => {
    const judge = acceptJudge({ model: modelOf('judge', { price: { input: 3_000, output: 0 } }) })
    const policy = cascade({ cheap: ['cheap'], strong: ['strong'], verify: judge })
    // 2,800 tokens to judge at 3 thousandths each: more than the strong model saves.
    expect((await decide(models, policy))[0]).toMatch(/^strong: cascade-not-worth-it: expected 66% accepted, 85% good, about \$12\.8/)
  })

  it('takes policies for its sides', async () => {
    expect(await orderOf(models, cascade({ cheap: cheapest(), strong: ['strong'], verify }))).toEqual([
      'cheap',
      'strong',
      'cheap2',
      'strong2',
    ])
  })

  it.each([
    [{ cheap: [], strong: ['a'] }, 'cheap'],
    [{ cheap: ['a'], strong: ['b'], verify: () => true }, 'verify: expected a verifier, such as acceptSchema(…)'],
    [{ cheap: ['a'], strong: ['b'], truePositiveRate: 2 }, 'truePositiveRate'],
  ])('refuses %j', (options, message) => {
    expect(() => cascade(options as never)).toThrow(message)
  })
})

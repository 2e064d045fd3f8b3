import { describe, expect, it } from 'vitest'
import { decide, modelOf, orderOf } from '../testing/routing-fixtures.ts'
import { byRole } from './by-role.ts'
import { cheapest } from './cheapest.ts'

const [a, b, cloud] = [modelOf('a'), modelOf('b', { price: { input: 0.1, output: 0.1 } }), modelOf('cloud', { location: 'public' })]
const models = [a, b, cloud]

describe('byRole', () => {
  it('tries the models of the role in their order, and no others', async () => {
    expect(await decide(models, byRole({ code: ['cloud', 'a'] }))).toEqual([
      'cloud: role: number 1 of 2',
      'a: role: number 2 of 2',
      'b: left-out: by-role did not rank it',
    ])
  })

  it('leaves a role that is not in the table to the other policy', async () => {
    expect(await decide(models, byRole({ code: ['cloud'] }, cheapest()), { role: 'plan' })).toEqual([
      expect.stringMatching(/^b: cheapest: no models for the role "plan"; about \$/),
      expect.stringMatching(/^a: cheapest: about/),
      expect.stringMatching(/^cloud: cheapest: about/),
    ])
    expect(await orderOf(models, byRole({}), { role: 'constructor' })).toEqual(['a', 'b', 'cloud'])
  })

  it('goes on to it where none of the role may take the call', async () => {
    expect(await decide(models, byRole({ code: ['cloud'] }), { sensitivity: 'restricted' })).toEqual([
      'a: in-order: no model of the role "code" may take the call',
      'b: in-order',
      expect.stringMatching(/^cloud: not-cleared/),
    ])
  })

  it('takes a policy for a role', async () => {
    expect(await orderOf(models, byRole({ code: cheapest() }))).toEqual(['b', 'a', 'cloud'])
  })

  it('refuses a role without models', () => {
    expect(() => byRole({ code: [] })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    expect(() => byRole({ code: ['a'] }, {} as never)).toThrow('otherwise: expected a routing policy')
  })
})

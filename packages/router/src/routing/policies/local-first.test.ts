import { describe, expect, it } from 'vitest'
import { decide, modelOf, orderOf } from '../testing/routing-fixtures.ts'
import { byRole } from './by-role.ts'
import { cheapest } from './cheapest.ts'
import { localFirst } from './local-first.ts'

const models = [
  modelOf('cloud/dear', { location: 'public', price: { input: 9, output: 9 } }),
  modelOf('cloud/cheap', { location: 'public', price: { input: 0, output: 0 } }),
  modelOf('own', { location: 'private' }),
  modelOf('here/large', { price: { input: 1, output: 1 } }),
  modelOf('here/small', { price: { input: 0, output: 0 } }),
]

describe('localFirst', () => {
  it('tries this host, then infrastructure of one’s own, then clouds, each by the inner policy', async () => {
    expect(await orderOf(models, localFirst())).toEqual(['here/large', 'here/small', 'own', 'cloud/dear', 'cloud/cheap'])
    expect(await decide(models, localFirst(cheapest()))).toEqual([
      'here/small: local: runs on this host; cheapest: about $0',
      expect.stringMatching(/^here\/large: local: /),
      expect.stringMatching(/^own: private: runs on infrastructure of your own; cheapest: about \$/),
      'cloud/cheap: public: runs in a cloud; cheapest: about $0',
      expect.stringMatching(/^cloud\/dear: public: /),
    ])
  })

  it('has the inner policy rank each group by itself, so that a model here comes first though the policy prefers a cloud', async () => {
    expect(await orderOf(models, localFirst(byRole({ code: ['cloud/dear', 'own'] })))).toEqual([
      'here/large',
      'here/small',
      'own',
      'cloud/dear',
    ])
  })
})

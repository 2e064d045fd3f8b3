import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Choice, RoutingPolicy } from '../policy.ts'
import { compose, inOrder } from './compose.ts'
import { PolicySchema } from './policy-schema.ts'

const near = [
  ['local', 'runs on this host'],
  ['private', 'runs on infrastructure of your own'],
  ['public', 'runs in a cloud'],
] as const

/**
 * Models on this host first, then those on infrastructure of one's own, then clouds; within each, the order of the inner policy, which ranks
 * each group by itself.
 *
 * @param inner - default: the order in which the router was given its models
 * @throws BatonError `INVALID_OPTIONS`
 */
export function localFirst(inner: RoutingPolicy = inOrder): RoutingPolicy {
  parseOptions('localFirst', z.object({ inner: PolicySchema }), { inner })
  return compose(`local-first(${inner.name})`, [inner], async (candidates, request) => {
    const choices: Choice[] = []
    for (const [location, where] of near) {
      const group = candidates.filter(({ model }) => model.info.location === location)
      if (group.length === 0) continue
      for (const { candidate, reason, detail, accept } of await inner.rank(group, request)) {
        const why = detail === undefined ? reason : `${reason}: ${detail}`
        choices.push({ candidate, reason: location, detail: reason === 'in-order' ? where : `${where}; ${why}`, accept })
      }
    }
    return choices
  })
}

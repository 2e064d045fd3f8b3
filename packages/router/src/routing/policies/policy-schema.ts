import { z } from 'zod'
import type { RoutingPolicy } from '../policy.ts'

/** A schema for a policy. */
export const PolicySchema = z.custom<RoutingPolicy>(
  (value) => typeof value === 'object' && value !== null && 'rank' in value && typeof value.rank === 'function' && 'name' in value,
  { error: 'expected a routing policy, such as cheapest()' },
)

/** A schema for ids in order of preference, or a policy. */
export const PreferenceSchema = z.union([z.array(z.string()).min(1, { error: 'expected at least one model' }), PolicySchema], {
  error: 'expected ids of models or a routing policy',
})

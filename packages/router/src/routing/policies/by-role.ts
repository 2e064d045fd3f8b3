import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { RoutingPolicy } from '../policy.ts'
import { asPolicy, compose, inOrder } from './compose.ts'
import { PolicySchema } from './policy-schema.ts'

/** For each role the ids of its models in order of preference, or a policy of its own. Roles are an open set: `plan`, `code`, `review`, `summarize`, … */
export type Roles = Readonly<Record<string, readonly string[] | RoutingPolicy>>

/** A schema for {@link Roles}. */
export const RolesSchema = z.record(
  z.string(),
  z.union([z.array(z.string()).min(1, { error: 'expected at least one model for the role' }), PolicySchema]),
)

/**
 * The task table: each role has its models. Only those are tried for a call of the role; where none of them may or can take it, and for
 * a role that is not in the table, `otherwise` decides.
 *
 * @param otherwise - default: all models in the order in which the router was given them
 * @throws BatonError `INVALID_OPTIONS`
 */
export function byRole(roles: Roles, otherwise: RoutingPolicy = inOrder): RoutingPolicy {
  parseOptions('byRole', z.object({ roles: RolesSchema, otherwise: PolicySchema }), { roles, otherwise })
  const table = new Map(Object.entries(roles).map(([role, models]) => [role, asPolicy(models, 'role')]))
  return compose('by-role', [...table.values(), otherwise], async (candidates, request) => {
    const choices = (await table.get(request.role)?.rank(candidates, request)) ?? []
    if (choices.length > 0) return choices
    const missing = table.has(request.role)
      ? `no model of the role "${request.role}" may take the call`
      : `no models for the role "${request.role}"`
    const [first, ...rest] = await otherwise.rank(candidates, request)
    return first ? [{ ...first, detail: first.detail ? `${missing}; ${first.detail}` : missing }, ...rest] : []
  })
}

import type { Model } from '@baton-sdk/core'
import type { ModelHealth, ModelInfo, RouteRequest } from '@baton-sdk/core/plugin'
import type { RoutingPolicy } from '../policy.ts'
import { createRouter } from '../router.ts'

/** Facts of a model that may and can take everything. */
const able: ModelInfo = {
  contextWindow: 200_000,
  capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: true },
  price: { input: 1, output: 10, cachedInput: 0.1 },
  location: 'local',
}

/** A model that may not be called. */
export function modelOf(id: string, info: { [K in keyof ModelInfo]?: ModelInfo[K] | undefined } = {}): Model {
  return {
    id,
    info: Object.fromEntries(Object.entries({ ...able, ...info }).filter(([, value]) => value !== undefined)) as unknown as ModelInfo,
    generate() {
      throw new Error(`${id} was called`)
    },
  }
}

/** A question for a router. */
export function requestOf(
  changes: Partial<RouteRequest & { readonly health: ReadonlyMap<string, ModelHealth> }> = {},
): RouteRequest & { readonly health: ReadonlyMap<string, ModelHealth> } {
  return {
    taskId: 'task',
    role: 'code',
    request: { messages: [{ role: 'user', parts: [{ type: 'text', text: 'hello' }] }] },
    sensitivity: 'internal',
    estimatedTokens: 1_000,
    health: new Map(),
    ...changes,
  }
}

/** What a router over these models decides by a policy: `model: reason: detail` for each, in order of rank. */
export async function decide(
  models: readonly Model[],
  policy: RoutingPolicy,
  changes: Parameters<typeof requestOf>[0] = {},
): Promise<string[]> {
  const { considered } = await createRouter({ models, policy }).route(requestOf(changes))
  return considered.map(({ model, reason, detail }) => `${model}: ${reason}${detail === undefined ? '' : `: ${detail}`}`)
}

/** The same in short: the ids in the order in which they are tried. */
export async function orderOf(
  models: readonly Model[],
  policy: RoutingPolicy,
  changes: Parameters<typeof requestOf>[0] = {},
): Promise<string[]> {
  const { attempts } = await createRouter({ models, policy }).route(requestOf(changes))
  return attempts.map(({ model }) => model.id)
}

/** A model that calls made as fast as this. */
export function measured(firstChunkMs: number, tokensPerSecond?: number): ModelHealth {
  return { breaker: 'closed', failuresInARow: 0, firstChunkMs, tokensPerSecond }
}

import type { Model, Router } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import type { Attempt, Consideration, ModelMessage, Route, RouteRequest } from '@baton-sdk/core/plugin'
import { checkAvailability, eligibleModels, estimateRequestTokens, ModelInfo, parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import { nearestNames } from '../nearest-names.ts'
import { createCandidate } from './candidate.ts'
import type { Roles } from './policies/by-role.ts'
import { byRole, RolesSchema } from './policies/by-role.ts'
import { inOrder } from './policies/compose.ts'
import { PolicySchema } from './policies/policy-schema.ts'
import type { Candidate, Choice, RoutingPolicy, RoutingRequest } from './policy.ts'

/** Options of {@link createRouter}. */
export interface RouterOptions {
  /** Each with an id of its own. */
  readonly models: readonly Model[]
  /** The task table: for each role its models in order of preference, or a policy; as `byRole` takes it. Comes before `policy`. */
  readonly roles?: Roles | undefined
  /** Ranks the models that may and can take a call. Default: the order of `models`. */
  readonly policy?: RoutingPolicy | undefined
  /** Tokens that an answer is expected to have, for estimates of cost and time. Default: 800. */
  readonly expectedOutputTokens?: number | undefined
  /**
   * Milliseconds without a first chunk after which the next model is asked beside the first, where a choice of the policy says nothing else. That
   * costs a second prompt now and then; see `hedgeAfterMs` of `Attempt`. Default: never.
   */
  readonly hedgeAfterMs?: number | undefined
  /**
   * The highest label that the product has to be able to work with. Where no model is cleared for it, creating the router fails rather than the
   * first call with such content. Default: not checked.
   */
  readonly serves?: RouteRequest['sensitivity'] | undefined
}

const ModelSchema = z
  .custom<Model>((value) => typeof value === 'object' && value !== null && 'generate' in value && typeof value.generate === 'function', {
    error: 'expected a Model, such as createOpenAIModel(…) returns',
  })
  .superRefine((model, context) => {
    if (typeof model !== 'object' || model === null) return
    if (typeof model.id !== 'string' || model.id === '')
      context.addIssue({ code: 'custom', path: ['id'], message: 'expected a name such as "openai/gpt-5.4-mini"' })
    const { error } = ModelInfo.safeParse(model.info)
    for (const { path, message } of error?.issues ?? [])
      context.addIssue({ code: 'custom', path: ['info', ...path], message: `${message} (${String(model.id)})` })
  })

const Options = z.strictObject({
  models: z.array(ModelSchema).min(1, { error: 'expected at least one model' }),
  roles: RolesSchema.optional(),
  policy: PolicySchema.default(inOrder),
  expectedOutputTokens: z.int().positive().default(800),
  hedgeAfterMs: z.number().nonnegative().optional(),
  serves: z.enum(['public', 'internal', 'confidential', 'restricted']).optional(),
})

/**
 * A router over any number of models. For each call it first leaves out what may not or cannot take it (clearance, capabilities, context window,
 * budget), then has the policy rank the rest; models whose breaker is open or whose provider asked to wait come after those that can be
 * called now. Every model is in `considered` once, with the reason for its place.
 *
 * @throws BatonError `INVALID_OPTIONS`: no model, two with one id, a price below zero, a role without a model, a name that no model has
 * (the nearest are told), no model that is cleared for `serves`.
 */
export function createRouter(options: RouterOptions): Router {
  const { roles, policy: otherwise, expectedOutputTokens, hedgeAfterMs, serves, models } = parseOptions('createRouter', Options, options)
  const policy = roles ? byRole(roles, otherwise) : otherwise
  checkNames(models, policy)
  if (serves) checkServes(models, serves)
  return {
    models,
    async route(request) {
      const { eligible, refused } = eligibleModels(models, request)
      const asked = routingRequest(request, expectedOutputTokens)
      const candidates = eligible.map((model) => createCandidate(model, asked))
      const ranking = await policy.rank(candidates, asked)
      return routeOf({ candidates, ranking, refused, policy: policy.name, tokens: asked.estimatedTokens, hedgeAfterMs })
    },
    observe: (outcome) => policy.observe?.(outcome),
  }
}

function checkNames(models: readonly Model[], { modelIds = [] }: RoutingPolicy): void {
  const ids = models.map(({ id }) => id)
  const double = ids.find((id, at) => ids.indexOf(id) !== at)
  if (double !== undefined)
    throw new BatonError('INVALID_OPTIONS', `createRouter: models: two have the id "${double}"; give one another \`id\`.`)
  const unknown = modelIds.find((id) => !ids.includes(id))
  if (unknown === undefined) return
  const nearest = nearestNames(unknown, ids)
  const known = nearest.length > 0 ? `Nearest: ${nearest.join(', ')}.` : `Known: ${ids.slice(0, 20).join(', ')}.`
  throw new BatonError(
    'INVALID_OPTIONS',
    `createRouter: roles or policy name the model "${unknown}", and there is none of that id. ${known}`,
    {
      details: { model: unknown, nearest },
    },
  )
}

function checkServes(models: readonly Model[], serves: RouteRequest['sensitivity']): void {
  try {
    eligibleModels(models, { taskId: '', role: '', request: { messages: [] }, sensitivity: serves, estimatedTokens: 0 })
  } catch (error) {
    if (!BatonError.isInstance(error, 'NO_ELIGIBLE_MODEL')) throw error
    throw new BatonError('INVALID_OPTIONS', `createRouter: serves: no model is cleared for ${serves} content. ${error.message}`, {
      cause: error,
      details: error.details,
    })
  }
}

function routingRequest(request: RouteRequest & Pick<RoutingRequest, 'health'>, expected: number): RoutingRequest {
  const { maxOutputTokens = expected, messages } = request.request
  return {
    ...request,
    expectedOutputTokens: Math.min(expected, maxOutputTokens),
    seenTokens:
      request.lastModel === undefined ? 0 : Math.max(0, request.estimatedTokens - unseenTokens(messages, request.estimatedTokens)),
  }
}

/** Tokens from the last answer on: what the model that gave it has not had in a prompt. */
function unseenTokens(messages: readonly ModelMessage[], all: number): number {
  const last = messages.findLastIndex(({ role }) => role === 'assistant')
  return last < 0 ? all : estimateRequestTokens({ messages: messages.slice(last) })
}

interface Decision {
  readonly candidates: readonly Candidate[]
  readonly ranking: readonly Choice[]
  readonly refused: readonly Consideration[]
  /** Name of the policy. */
  readonly policy: string
  readonly tokens: number
  readonly hedgeAfterMs: number | undefined
}

/** Puts a ranking into a route. What a policy ranks that it was not given is dropped: it may not be called. */
function routeOf({ candidates, ranking, refused, policy, tokens, hedgeAfterMs }: Decision): Route {
  const left = new Set(candidates)
  const now: Placed[] = []
  const later: Placed[] = []
  const place = (choice: Choice) => {
    const { candidate } = choice
    if (!left.delete(candidate)) return
    const why = checkAvailability(candidate.model, candidate.health, tokens)
    if (why) later.push({ choice, why })
    else now.push({ choice, why })
  }
  for (const choice of ranking) place(choice)
  if (left.size === candidates.length)
    for (const candidate of candidates) place({ candidate, reason: 'in-order', detail: `${policy} ranked none` })
  const placed = later.length === 0 ? now : [...now, ...later]
  const considered = placed.map(considerationOf)
  const detail = `${policy} did not rank it`
  for (const { model } of left) considered.push({ model: model.id, reason: 'left-out', detail })
  return {
    attempts: placed.map(({ choice }) => attemptOf(choice, hedgeAfterMs)),
    considered: considered.concat(refused),
  }
}

function attemptOf({ candidate: { model }, accept, hedgeAfterMs }: Choice, otherwiseMs: number | undefined): Attempt {
  const afterMs = hedgeAfterMs ?? otherwiseMs
  if (afterMs === undefined) return accept ? { model, accept } : { model }
  return accept ? { model, accept, hedgeAfterMs: afterMs } : { model, hedgeAfterMs: afterMs }
}

interface Placed {
  readonly choice: Choice
  readonly why: Consideration | undefined
}

function considerationOf({ choice: { candidate, reason, detail }, why }: Placed, at: number): Consideration {
  const model = candidate.model.id
  const rank = at + 1
  if (why) return { model, rank, reason: why.reason, detail: `${why.detail}; else ${reason}${detail === undefined ? '' : `: ${detail}`}` }
  return detail === undefined ? { model, rank, reason } : { model, rank, reason, detail }
}

import { BatonError } from '../errors.ts'
import type { Consideration } from '../events/model-events.ts'
import type { Model } from './model.ts'
import type { ModelHealth, RouteRequest } from './router.ts'
import { clearanceOf, isCleared } from './sensitivity.ts'

/** Why a model may not or cannot take a call. */
export type Ineligibility =
  | 'not-cleared'
  | 'lacks-tools'
  | 'lacks-images'
  | 'lacks-json-schema'
  | 'lacks-reasoning'
  | 'lacks-fim'
  | 'window-too-small'
  | 'price-unknown'
  | 'over-budget'

/** A model that is left out, and why. */
export interface Refusal extends Consideration {
  readonly reason: Ineligibility
  readonly detail: string
}

/**
 * The hard filters that every router owes its users: clearance, capabilities, context window, price and budget. Not health, which passes.
 *
 * @returns the first reason to leave the model out, or undefined where it may and can take the call.
 */
export function checkEligibility(model: Model, request: RouteRequest): Refusal | undefined {
  return eligibilityFor(request)(model)
}

/** Which of some models may and can take a call. */
export interface Eligibility {
  /** At least one, in the order given. */
  readonly eligible: readonly Model[]
  /** The others, each with the first reason. */
  readonly refused: readonly Refusal[]
}

/**
 * {@link checkEligibility} for all models of a router at once.
 *
 * @throws BatonError `NO_ELIGIBLE_MODEL`, naming each model with the reason, where none is eligible.
 */
export function eligibleModels(models: readonly Model[], request: RouteRequest): Eligibility {
  const check = eligibilityFor(request)
  const eligible: Model[] = []
  const refused: Refusal[] = []
  for (const model of models) {
    const refusal = check(model)
    if (refusal) refused.push(refusal)
    else eligible.push(model)
  }
  if (eligible.length === 0) throw noEligibleModel(refused)
  return { eligible, refused }
}

/** Reads what the request needs once. */
function eligibilityFor(request: RouteRequest): (model: Model) => Refusal | undefined {
  const needs = needsOf(request)
  return (model) => checkClearance(model, request) ?? checkCapabilities(model, request, needs) ?? checkBudget(model, request)
}

/** A model that cannot be called right now, and why. It may still be offered, behind those that can: the executor waits where there is no other. */
export interface Unavailability extends Consideration {
  readonly reason: 'unhealthy' | 'rate-limited'
  readonly detail: string
}

/**
 * Whether a model's breaker is open, its provider asked to wait, or a limit of its own is used up. A breaker that is half open lets the next call through.
 *
 * @param tokens - of the call, to compare with what is left of the model's tokens per minute. Default: not compared.
 */
export function checkAvailability(model: Model, health: ModelHealth | undefined, tokens = 0): Unavailability | undefined {
  if (!health) return undefined
  const { breaker, retryAt, failuresInARow, limit, tokensLeft } = health
  const until = retryAt === undefined ? '' : `; to be tried again at ${new Date(retryAt).toISOString()}`
  if (breaker === 'open') return { model: model.id, reason: 'unhealthy', detail: `its last ${failuresInARow} calls failed${until}` }
  if (breaker === 'probing') return { model: model.id, reason: 'unhealthy', detail: 'its last calls failed, and a call is trying it out' }
  if (retryAt === undefined) {
    if (tokensLeft === undefined || tokens <= tokensLeft) return undefined
    const detail = `the call needs about ${tokens} tokens, and ${tokensLeft} are left of its limit per minute`
    return { model: model.id, reason: 'rate-limited', detail }
  }
  const why = limit ? `its limit of ${limit} per minute is used up` : 'its provider asked to wait'
  return { model: model.id, reason: 'rate-limited', detail: `${why}${until}` }
}

/** The part of {@link checkEligibility} that core repeats before every send. */
export function checkPermission(
  model: Model,
  request: Pick<RouteRequest, 'sensitivity' | 'budgetUsd' | 'estimatedTokens'>,
): Refusal | undefined {
  return checkClearance(model, request) ?? checkBudget(model, request)
}

function checkClearance(model: Model, { sensitivity }: Pick<RouteRequest, 'sensitivity'>): Refusal | undefined {
  if (isCleared(model.info, sensitivity)) return undefined
  return refusal(model, 'not-cleared', `the content is ${sensitivity}, and it is cleared up to ${clearanceOf(model.info)}`)
}

function checkCapabilities(model: Model, { request, estimatedTokens }: RouteRequest, needs: Needs): Refusal | undefined {
  const { capabilities, contextWindow } = model.info
  if (needs.tools && !capabilities.tools) return refusal(model, 'lacks-tools', 'the call uses tools, and it has no tool calls')
  if (needs.images && !capabilities.images) return refusal(model, 'lacks-images', 'the prompt holds an image, and it reads text only')
  if (needs.jsonSchema && !capabilities.jsonSchema)
    return refusal(model, 'lacks-json-schema', 'the call asks for JSON by a schema, and it cannot keep to one')
  if (needs.reasoning && !capabilities.reasoning) return refusal(model, 'lacks-reasoning', 'the call asks for reasoning, and it has none')
  if (needs.fim && !capabilities.fim) return refusal(model, 'lacks-fim', 'the call is to fill in the middle, and it cannot')
  const tokens = estimatedTokens + (request.maxOutputTokens ?? 1)
  if (tokens <= contextWindow) return undefined
  return refusal(model, 'window-too-small', `the call needs about ${tokens} tokens, and its window has ${contextWindow}`)
}

interface Needs {
  readonly tools: boolean
  readonly images: boolean
  readonly jsonSchema: boolean
  readonly reasoning: boolean
  readonly fim: boolean
}

function needsOf({ request, needs = [] }: RouteRequest): Needs {
  let tools = request.tools !== undefined && request.tools.length > 0
  let images = false
  for (const message of request.messages) {
    if (message.role === 'tool') tools = true
    else if (message.role === 'user') images ||= message.parts.some((part) => part.type !== 'text')
  }
  const jsonSchema = request.responseSchema !== undefined
  return { tools, images, jsonSchema, reasoning: needs.includes('reasoning'), fim: needs.includes('fim') }
}

function checkBudget(model: Model, request: Pick<RouteRequest, 'budgetUsd' | 'estimatedTokens'>): Refusal | undefined {
  const { budgetUsd, estimatedTokens } = request
  if (budgetUsd === undefined) return undefined
  const { price } = model.info
  if (!price) return refusal(model, 'price-unknown', 'the task has a cost limit, and its price is not known')
  const costUsd = (estimatedTokens * price.input) / 1e6
  if (costUsd <= budgetUsd) return undefined
  return refusal(model, 'over-budget', `the prompt alone costs about $${costUsd.toFixed(4)}, and $${budgetUsd.toFixed(4)} is left`)
}

function refusal(model: Model, reason: Ineligibility, detail: string): Refusal {
  return { model: model.id, reason, detail }
}

const advice: Readonly<Record<string, string>> = {
  'not-cleared': 'add a model that is cleared for this label, or set `clearance` in its info where it is trusted with it',
  'lacks-tools': 'add a model with tool calls',
  'lacks-images': 'add a model that reads images',
  'lacks-json-schema': 'add a model with structured output',
  'lacks-reasoning': 'add a model that reasons',
  'lacks-fim': 'add a model that fills in the middle',
  'window-too-small': 'add a model with a larger window, or compact the context',
  'price-unknown': 'give its `price`, or lift the cost limit',
  'over-budget': 'raise the cost limit, or add a cheaper model',
}

/** The error of a router that has no model for a call: names each model with the reason, and what would help. */
export function noEligibleModel(considered: readonly Consideration[]): BatonError {
  const models = considered.map(({ model, reason, detail }) => `${model}: ${reason}${detail ? ` (${detail})` : ''}`)
  const helps = [...new Set(considered.map(({ reason }) => advice[reason]).filter((text) => text !== undefined))]
  const what = models.length === 0 ? 'The router offered none.' : `${models.join('; ')}.`
  const help = helps.length === 0 ? '' : ` To go on, ${helps.join('; or ')}.`
  return new BatonError('NO_ELIGIBLE_MODEL', `No model may or can take this call. ${what}${help}`, { details: { considered } })
}

import type { Model } from '@baton-sdk/core'
import type { ModelErrorKind, ModelInfo, ModelRequest } from '@baton-sdk/core/plugin'
import type { ScriptedStep } from '@baton-sdk/core/testing'
import { scriptedModel } from '@baton-sdk/core/testing'

/** How secret a piece of content is; what cannot be classified may reach no model at all. */
export type Secrecy = 'public' | 'internal' | 'confidential' | 'restricted' | 'unknowable'
const ranks: Readonly<Record<Secrecy, number>> = { public: 0, internal: 1, confidential: 2, restricted: 3, unknowable: 4 }

/** What a model does with one request. */
export type Act =
  | { readonly do: 'say' | 'echo' | 'malformed' }
  | { readonly do: 'fetch'; readonly secrecy: Secrecy; readonly padding: number }
  | { readonly do: 'deploy'; readonly count: number }
  | { readonly do: 'fail'; readonly kind: ModelErrorKind }
  | { readonly do: 'cut' | 'stall'; readonly after: number }
  | { readonly do: 'slow'; readonly ms: number }

/** What a judge says of one reply. */
export type Ruling = 'yes' | 'no' | 'nonsense' | 'fail' | 'stall'

/** A model and what it does, one request after the other and then again from the start. */
export interface Actor {
  readonly id: string
  readonly info: Pick<ModelInfo, 'location' | 'contextWindow'> & {
    readonly clearance?: ModelInfo['clearance']
    readonly price?: ModelInfo['price']
  }
  readonly acts: readonly Act[]
  readonly rulings: readonly Ruling[]
}

/**
 * Everything outside of a task: its models, what reached them, and what was done. Content carries its secrecy in its own text, `<<restricted 7>>`,
 * so what a model may not see is told from what it was sent, and not from what anybody says about it.
 */
export interface World {
  /** What went wrong, in words. */
  readonly violations: string[]
  /** How often each number was deployed. */
  readonly deployed: ReadonlyMap<number, number>
  /** Requests so far, of judges too. */
  readonly requests: number
  readonly judged: number
  /** The most that one reply cost. */
  readonly dearestUsd: number
  /** A new piece of content. */
  content(secrecy: Secrecy, padding?: number): string
  /** Takes a request as it came in, and says what to do with it. */
  receive(actor: Actor, request: string): ScriptedStep
  deploy(number: number): void
  /** Called at each request. */
  onRequest(listener: (count: number) => void): void
}

const clearances = { local: 'restricted', private: 'confidential', public: 'internal' } as const
const marker = /<<(public|internal|confidential|restricted|unknowable) \d+>>/g
/** After so many requests models only say that they are done. */
const maxRequests = 24

/** The pieces of content in a text. */
export function markersIn(text: string): { readonly text: string; readonly secrecy: Secrecy }[] {
  return Array.from(text.matchAll(marker), ([all, secrecy]) => ({ text: all, secrecy: secrecy as Secrecy }))
}

/** A classifier that finds what {@link World.content} wrote, and throws on what cannot be classified. */
export function classifyMarkers(text: string): 'public' | 'internal' | 'confidential' | 'restricted' {
  let highest: 'public' | 'internal' | 'confidential' | 'restricted' = 'public'
  for (const { secrecy } of markersIn(text)) {
    if (secrecy === 'unknowable') throw new Error('this cannot be classified')
    if (ranks[secrecy] > ranks[highest]) highest = secrecy
  }
  return highest
}

/** Builds a {@link World}. */
export function createWorld(): World {
  const violations: string[] = []
  const deployed = new Map<number, number>()
  const turns = new Map<string, number>()
  const listeners: ((count: number) => void)[] = []
  let numbers = 0
  let requests = 0
  let judged = 0
  let dearestUsd = 0

  function receive(actor: Actor, request: string): ScriptedStep {
    requests += 1
    for (const listener of listeners) listener(requests)
    const clearance = actor.info.clearance ?? clearances[actor.info.location]
    for (const { text, secrecy } of markersIn(request))
      if (ranks[secrecy] > ranks[clearance]) violations.push(`${actor.id}, cleared up to ${clearance}, was sent ${text}`)
    const turn = turns.get(actor.id) ?? 0
    turns.set(actor.id, turn + 1)
    const usage = { inputTokens: Math.ceil(request.length / 3), outputTokens: 50 }
    const { price } = actor.info
    if (price) dearestUsd = Math.max(dearestUsd, (usage.inputTokens * price.input + usage.outputTokens * price.output) / 1e6)
    if (actor.rulings.length > 0) {
      judged += 1
      return { ...rule(actor.rulings[turn % actor.rulings.length] as Ruling), usage }
    }
    if (requests > maxRequests) return { text: 'Done.', usage }
    const act = actor.acts[turn % actor.acts.length] as Act
    return perform(act, request, usage)
  }

  function perform(act: Act, request: string, usage: { inputTokens: number; outputTokens: number }): ScriptedStep {
    switch (act.do) {
      case 'say':
        return { text: 'Done.', usage }
      case 'echo':
        return {
          text: `I have seen ${markersIn(request)
            .map(({ text }) => text)
            .join(' ')}`,
          usage,
        }
      case 'malformed':
        return { toolCalls: [{ tool: 'deploy', arguments: '{"number": ' }], usage }
      case 'fetch':
        return { toolCalls: [{ tool: 'fetch', input: { secrecy: act.secrecy, padding: act.padding, number: ++numbers } }], usage }
      case 'deploy':
        return { toolCalls: Array.from({ length: act.count }, () => ({ tool: 'deploy', input: { number: ++numbers } })), usage }
      case 'fail':
        return { error: { kind: act.kind, retryAfterMs: 1 } }
      case 'cut':
        return { toolCalls: [{ tool: 'deploy', input: { number: ++numbers } }], usage, cutAfter: act.after }
      case 'stall':
        return { toolCalls: [{ tool: 'deploy', input: { number: ++numbers } }], usage, stallAfter: act.after }
      case 'slow':
        return { toolCalls: [{ tool: 'deploy', input: { number: ++numbers } }], usage, delayMs: act.ms }
    }
  }

  return {
    violations,
    deployed,
    get requests() {
      return requests
    },
    get judged() {
      return judged
    },
    get dearestUsd() {
      return dearestUsd
    },
    content: (secrecy, padding = 0) => `<<${secrecy} ${++numbers}>> ${'x'.repeat(padding)}`,
    receive,
    deploy(number) {
      deployed.set(number, (deployed.get(number) ?? 0) + 1)
    },
    onRequest: (listener) => void listeners.push(listener),
  }
}

function rule(ruling: Ruling): ScriptedStep {
  switch (ruling) {
    case 'yes':
    case 'no':
      return { text: JSON.stringify({ accepted: ruling === 'yes', reason: 'because' }) }
    case 'nonsense':
      return { text: 'Who knows?' }
    case 'fail':
      return { error: { kind: 'server' } }
    case 'stall':
      return { text: 'I …', stallAfter: 1 }
  }
}

/** What is known of an actor as a model. */
export function infoOf({ info }: Actor): ModelInfo {
  return { capabilities: { tools: true, images: true, jsonSchema: true, reasoning: true, fim: false }, ...info }
}

/** An actor as a model in this process. */
export function inProcess(world: World, actor: Actor): Model {
  const { id } = actor
  const answer = (request: ModelRequest) => world.receive(actor, JSON.stringify(request))
  // The options' own defaults would price what has no price here.
  return { ...scriptedModel(answer, { id }), info: infoOf(actor) }
}

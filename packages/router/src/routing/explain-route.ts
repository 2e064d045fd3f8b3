import type { EventTypes } from '@baton-sdk/core'
import type { Consideration, Route } from '@baton-sdk/core/plugin'

/**
 * A routing decision as text for a person: the models that are tried in their order, and those that were left out, each with the reason.
 *
 * @param decision - a route, or the data of a `model.called` event
 */
export function explainRoute(decision: Pick<Route, 'considered'> | EventTypes['model.called']): string {
  const considered = 'why' in decision ? decision.why : decision.considered
  const ranked = considered.filter(({ rank }) => rank !== undefined).sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0))
  const others = considered.filter(({ rank }) => rank === undefined)
  const width = Math.max(0, ...considered.map(({ model }) => model.length))
  return [
    headline(decision, ranked, considered.length),
    ...ranked.map((each) => `${String(each.rank).padStart(3)}. ${line(each, width)}`),
    ...others.map((each) => `  -  ${line(each, width)}`),
  ].join('\n')
}

function headline(decision: object, ranked: readonly Consideration[], all: number): string {
  const chosen = ranked[0]?.model ?? 'no model'
  const models = `${ranked.length} of ${all} ${all === 1 ? 'model' : 'models'}`
  if (!('why' in decision)) return `${chosen} (${models})`
  const { role, sensitivity, estimatedTokens } = decision as EventTypes['model.called']
  return `${role}: ${chosen} (${models}; ${sensitivity} content, about ${estimatedTokens} tokens)`
}

function line({ model, reason, detail }: Consideration, width: number): string {
  return `${model.padEnd(width)}  ${reason}${detail === undefined ? '' : `: ${detail}`}`
}

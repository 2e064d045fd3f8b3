import { createOutcomeIndex } from '../../learning/outcome-index.ts'
import { balanced } from '../policies/balanced.ts'
import { byRole } from '../policies/by-role.ts'
import { cascade } from '../policies/cascade.ts'
import { cheapest } from '../policies/cheapest.ts'
import { fastest } from '../policies/fastest.ts'
import { learned } from '../policies/learned.ts'
import { localFirst } from '../policies/local-first.ts'
import { sticky } from '../policies/sticky.ts'
import type { RoutingPolicy, RoutingRequest } from '../policy.ts'
import { acceptIf } from '../verifiers/accept-if.ts'
import type { Verifier } from '../verifiers/verifier.ts'
import { modelOf } from './routing-fixtures.ts'

/** Ids that policies name are those of the models at hand. */
export type PolicyOf = (ids: readonly string[], verify: Verifier) => RoutingPolicy | undefined

const halves = (ids: readonly string[]) => {
  const middle = Math.ceil(ids.length / 2)
  return { cheap: ids.slice(0, middle), strong: ids.length > 1 ? ids.slice(middle) : ids }
}

/** Knows of models that the tests have, and of some that they have not. */
const index = createOutcomeIndex({ minOutcomes: 1 })
const learnedOf = ['local/able', 'cloud/able', 'cloud/dear', 'model-0', 'model-1', 'model-2', 'nobody/knows']
const verbs = ['Rename', 'Remove', 'Explain', 'Test', 'Document', 'Speed up']
const nouns = ['the parser', 'the login page', 'our scheduler', 'the date picker', 'that cache']
const texts = verbs.flatMap((verb) => nouns.map((noun) => `${verb} ${noun}.`))
await index.add(...learnedOf.flatMap((model, at) => texts.map((text) => ({ text, model, success: at % 3 > 0 }))))

/** Some call in five is about something else. */
function taskOf({ estimatedTokens }: RoutingRequest): string {
  return estimatedTokens % 5 === 4 ? 'quite another matter' : (texts[estimatedTokens % texts.length] ?? '')
}

/** One policy of each kind, and some that misbehave. */
export const leaves: Readonly<Record<string, PolicyOf>> = {
  'no policy': () => undefined,
  byRole: (ids) => byRole({ code: ids.slice(0, 2), plan: fastest() }),
  cheapest: () => cheapest(),
  fastest: () => fastest({ explore: 0.5 }),
  localFirst: () => localFirst(),
  balanced: (ids) => balanced({ qualities: { [ids[0] as string]: 1 }, speed: 3 }),
  sticky: () => sticky(cheapest()),
  cascade: (ids, verify) => cascade({ ...halves(ids), verify }),
  'cascade by checks': (ids) => cascade(halves(ids)),
  'cascade with a function': (ids) => cascade({ ...halves(ids), verify: acceptIf(({ text }) => text.length % 2 === 0) }),
  learned: () => learned({ index, worthUsd: 0.05, otherwise: cheapest(), text: taskOf }),
  'none ranked': () => ({ name: 'silent', rank: () => [] }),
  'strange ones ranked': () => ({
    name: 'strange',
    rank: (candidates) => {
      const stranger = { model: modelOf('stranger'), costUsd: 0, warmCostUsd: 0, health: undefined }
      return [...candidates, stranger, ...candidates].map((candidate) => ({ candidate, reason: 'strange' }))
    },
  }),
}

import type { Sensitivity } from '../events/envelope.ts'
import { highestSensitivity } from '../models/sensitivity.ts'
import type { BatonParts } from './runtime.ts'

/** The label of content that may reach a prompt; nothing where there is no classifier. What the classifier throws is for the caller to decide on. */
export async function labelOf(
  { classifier }: Pick<BatonParts, 'classifier'>,
  content: string,
  sources: readonly string[],
): Promise<{ readonly sensitivity?: Sensitivity }> {
  if (!classifier) return {}
  return { sensitivity: highestSensitivity('public', await classifier.classify(content, sources)) }
}

import type { Finding, Sensitivity } from '../events/envelope.ts'
import type { ModelInfo } from './model.ts'

const order: Readonly<Record<Sensitivity, number>> = { public: 0, internal: 1, confidential: 2, restricted: 3 }

/** The higher of labels. */
export function highestSensitivity(first: Sensitivity, ...others: readonly (Sensitivity | undefined)[]): Sensitivity {
  let highest = first
  for (const label of others) if (label !== undefined && order[label] > order[highest]) highest = label
  return highest
}

/** The highest label a model may see: what it was given, else what follows from where it runs. */
export function clearanceOf(info: ModelInfo): Sensitivity {
  if (info.clearance) return info.clearance
  return info.location === 'local' ? 'restricted' : info.location === 'private' ? 'confidential' : 'internal'
}

/** Whether a model may see content with a label. */
export function isCleared(info: ModelInfo, label: Sensitivity): boolean {
  return order[clearanceOf(info)] >= order[label]
}

/** What a classifier says of a piece of content. */
export interface Classification {
  readonly label: Sensitivity
  /** What in the content the label comes from. Kept with the content, for people to see; none where the label comes from the sources. */
  readonly findings?: readonly Finding[] | undefined
}

/** Labels content before it is stored. Called once for each piece that can reach a prompt. */
export interface Classifier {
  /**
   * The label of a piece of content, with what was found in it where there is more to say. Content that it throws for is withheld.
   *
   * @param content - the text
   * @param sources - where it came from: `file:PATH`, `host:NAME`, `tool:NAME`
   */
  classify(content: string, sources: readonly string[]): Sensitivity | Classification | Promise<Sensitivity | Classification>
}

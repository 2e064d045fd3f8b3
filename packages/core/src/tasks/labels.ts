import { BatonError } from '../errors.ts'
import { Finding, Sensitivity } from '../events/envelope.ts'
import type { BatonParts } from './runtime.ts'

/** More findings in one piece of content say nothing more. */
const maxFindings = 100

/** What is kept of a classification with the content. */
export interface ContentLabel {
  readonly sensitivity?: Sensitivity
  readonly findings?: Finding[]
}

/** The label of content that may reach a prompt; nothing where there is no classifier. What the classifier throws is for the caller to decide on. */
export async function labelOf(
  { classifier }: Pick<BatonParts, 'classifier'>,
  content: string,
  sources: readonly string[],
): Promise<ContentLabel> {
  if (!classifier) return {}
  const said = await classifier.classify(content, sources)
  const { label, findings = [] } = typeof said === 'object' ? said : { label: said }
  const sensitivity = Sensitivity.safeParse(label)
  if (!sensitivity.success) {
    throw new BatonError(
      'INVALID_OPTIONS',
      `The classifier said ${JSON.stringify(label)}; a label is one of ${Sensitivity.options.join(', ')}.`,
    )
  }
  const kept = findings.slice(0, maxFindings).map((finding) => Finding.parse(finding))
  return { sensitivity: sensitivity.data, ...(kept.length > 0 && { findings: kept }) }
}

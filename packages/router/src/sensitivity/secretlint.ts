import { BatonError } from '@baton-sdk/core'
import type { Finding } from './finding.ts'
import { isPlaceholder, isReference } from './placeholders.ts'

/** Finds what secretlint's recommended preset finds. */
export interface SecretlintScan {
  scan(text: string): Promise<Finding[]>
}

/**
 * Loads secretlint with its recommended preset.
 *
 * @returns undefined where one of the two packages is not installed and none is required
 * @throws BatonError `INVALID_OPTIONS` where one is required and not installed
 */
export async function loadSecretlint(required: boolean): Promise<SecretlintScan | undefined> {
  try {
    const [{ lintSource }, { creator }] = await Promise.all([
      import('@secretlint/core'),
      import('@secretlint/secretlint-rule-preset-recommend'),
    ])
    const rules = [{ id: '@secretlint/secretlint-rule-preset-recommend', rule: creator, options: {} }]
    return { scan: (text) => scanWith(lintSource, rules, text) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    if (!required) return undefined
    throw new BatonError(
      'INVALID_OPTIONS',
      'createClassifier: secretlint: not installed. Run npm install @secretlint/core @secretlint/secretlint-rule-preset-recommend, or leave it at "auto".',
      { cause: error },
    )
  }
}

type LintSource = typeof import('@secretlint/core')['lintSource']
type Rules = Parameters<LintSource>[0]['options']['config']['rules']

async function scanWith(lintSource: LintSource, rules: Rules, content: string): Promise<Finding[]> {
  const source = { filePath: 'content.txt', content, ext: '.txt', contentType: 'text' as const }
  const { messages } = await lintSource({ source, options: { noPhysicFilePath: true, config: { rules } } })
  return messages.flatMap(({ ruleId, range: [from, to] }): Finding[] => {
    const value = content.slice(from, to)
    if (value === '' || isPlaceholder(value) || isReference(value)) return []
    return [{ kind: `secretlint-${ruleId.replace(/^.*secretlint-rule-/, '')}`, offset: from, length: value.length }]
  })
}

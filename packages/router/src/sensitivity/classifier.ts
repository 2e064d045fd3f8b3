import { createHash } from 'node:crypto'
import type { Classifier, Sensitivity } from '@baton-sdk/core'
import type { Classification } from '@baton-sdk/core/plugin'
import { parseOptions } from '@baton-sdk/core/plugin'
import { z } from 'zod'
import type { Finding, FindingKind } from './finding.ts'
import { findingLabels, mergeFindings, moreTelling } from './finding.ts'
import type { SourceLabel } from './path-labels.ts'
import { createSourceRules, defaultPathLabels } from './path-labels.ts'
import { scanContent } from './scan-content.ts'
import type { SecretlintScan } from './secretlint.ts'
import { loadSecretlint } from './secretlint.ts'

/** Options of {@link createClassifier}. */
export interface ClassifierOptions {
  /**
   * Labels by where content comes from: patterns as in a .gitignore (`secrets/**`, `*.pem`, also `{a,b}`), for files, or behind `host:` or `tool:`
   * for hosts and tools. They ignore case. The highest label of all that match counts; `none` takes what it matches back from the rules before it.
   * They come after the built-in ones (`.env`, `*.pem`, `secrets/`, `.ssh/`, …), each of which a rule with the same pattern replaces.
   */
  readonly paths?: Readonly<Record<string, SourceLabel>> | undefined
  /**
   * Labels by what is found; `none` ignores it. Default: secrets are restricted; card numbers, IBANs and national ids confidential; e-mail
   * addresses and telephone numbers internal.
   */
  readonly findings?: Readonly<Partial<Record<FindingKind, SourceLabel>>> | undefined
  /** Use secretlint's recommended preset too: where it is installed (`auto`), always, or never. What it finds is restricted. Default: `auto`. */
  readonly secretlint?: 'auto' | boolean | undefined
  /** The label of content that nothing is known of. A task's own label is a floor in any case. Default: `public`. */
  readonly minimum?: Sensitivity | undefined
}

/** A classifier by rules. */
export interface ContentClassifier extends Classifier {
  /** The label of a piece of content, with what was found in it that is labelled. */
  classify(content: string, sources: readonly string[]): Promise<Classification>
  /** What is found in a text, each with its label; in order, without overlaps. */
  find(text: string): Promise<(Finding & { readonly label: Sensitivity })[]>
}

const labels = ['public', 'internal', 'confidential', 'restricted'] as const
const Label = z.enum(labels)
const LabelOrNone = z.enum([...labels, 'none'])
const kinds = Object.keys(findingLabels)

const Options = z.strictObject({
  paths: z
    .record(z.string(), LabelOrNone)
    .superRefine((paths, context) => {
      for (const pattern of Object.keys(paths)) {
        const problem = problemOf(pattern)
        if (problem !== undefined) context.addIssue({ code: 'custom', path: [pattern], message: problem })
      }
    })
    .default({}),
  findings: z
    .record(z.string(), LabelOrNone)
    .superRefine((findings, context) => {
      for (const kind of Object.keys(findings)) {
        if (kinds.includes(kind) || kind.startsWith('secretlint-')) continue
        context.addIssue({ code: 'custom', path: [kind], message: `there is no such kind; known: ${kinds.join(', ')}, secretlint-…` })
      }
    })
    .default({}),
  secretlint: z.union([z.literal('auto'), z.boolean()]).default('auto'),
  minimum: Label.default('public'),
})

function problemOf(pattern: string): string | undefined {
  if (pattern.trim() === '') return 'a pattern cannot be empty'
  if (pattern.startsWith('!')) return `write ${JSON.stringify(pattern.slice(1))}: 'none' to take back what it matches`
  if (pattern.split('{').length !== pattern.split('}').length || /\{[^}]*\{/.test(pattern))
    return 'braces have to be closed, and cannot be nested'
  return undefined
}

/**
 * Labels content by where it comes from and by what is found in it: the highest label counts.
 *
 * @throws BatonError `INVALID_OPTIONS`; where secretlint is required and not installed, by the first call
 */
export function createClassifier(options: ClassifierOptions = {}): ContentClassifier {
  const given = parseOptions('createClassifier', Options, options)
  const labelsOf = createSourceRules({ ...defaultPathLabels, ...given.paths })
  const labelByKind: Readonly<Record<string, SourceLabel>> = { ...findingLabels, ...given.findings }
  let secretlint: Promise<SecretlintScan | undefined> | undefined

  async function findAnew(text: string): Promise<LabelledFinding[]> {
    secretlint ??= given.secretlint === false ? Promise.resolve(undefined) : loadSecretlint(given.secretlint === true)
    const others = (await (await secretlint)?.scan(text)) ?? []
    const found = [...scanContent(text), ...others]
    const labelled = found.flatMap((finding) => {
      const label = labelByKind[finding.kind] ?? 'restricted'
      return label === 'none' ? [] : [{ ...finding, label }]
    })
    return mergeFindings(labelled, (a, b) => ({ ...moreTelling(a, b), label: highest([a.label, b.label]) }))
  }

  const find = remembered(findAnew)

  return {
    find,
    async classify(content, sources) {
      const findings = await find(content)
      const label = highest([given.minimum, ...labelsOf(sources), ...findings.map((finding) => finding.label)])
      return { label, findings: findings.map(({ kind, offset, length }) => ({ kind, offset, length })) }
    },
  }
}

type LabelledFinding = Finding & { readonly label: Sensitivity }

/** Texts and findings that are remembered. */
const maxRemembered = 20_000

/**
 * A conversation is looked at again with every call, and only its end is new. What was found in a text is remembered under its hash: neither the
 * text nor a value stays in memory for it.
 */
function remembered(find: (text: string) => Promise<LabelledFinding[]>): (text: string) => Promise<LabelledFinding[]> {
  const known = new Map<string, readonly LabelledFinding[]>()
  let size = 0

  function keep(key: string, findings: readonly LabelledFinding[]): void {
    if (known.delete(key)) size -= 1 + findings.length
    known.set(key, findings)
    size += 1 + findings.length
    for (const [oldest, gone] of known) {
      if (size <= maxRemembered) break
      known.delete(oldest)
      size -= 1 + gone.length
    }
  }

  return async (text) => {
    // As UTF-16: in UTF-8 all lone surrogates are one.
    const key = createHash('sha256').update(text, 'utf16le').digest('base64')
    const findings = known.get(key) ?? (await find(text))
    keep(key, findings)
    return findings.map((finding) => ({ ...finding }))
  }
}

function highest(all: readonly (SourceLabel | undefined)[]): Sensitivity {
  return labels.reduce((found, label) => (all.includes(label) ? label : found))
}

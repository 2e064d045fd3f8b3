import type { Sensitivity } from '@baton-sdk/core'

/**
 * What each kind of finding is labelled unless told otherwise, the most telling kind first: where two findings overlap, they become one of the
 * kind that stands higher here.
 */
export const findingLabels = {
  /** PEM, OpenSSH, PGP, PuTTY and age private keys. */
  'private-key': 'restricted',
  'aws-access-key': 'restricted',
  'github-token': 'restricted',
  'gitlab-token': 'restricted',
  'slack-token': 'restricted',
  'slack-webhook': 'restricted',
  'stripe-key': 'restricted',
  'anthropic-key': 'restricted',
  'openai-key': 'restricted',
  /** API keys, OAuth client secrets and access tokens. */
  'google-key': 'restricted',
  'npm-token': 'restricted',
  'pypi-token': 'restricted',
  'sendgrid-key': 'restricted',
  'twilio-key': 'restricted',
  'azure-storage-key': 'restricted',
  'vault-token': 'restricted',
  'huggingface-token': 'restricted',
  /** A token with the known prefix of another provider. */
  'provider-token': 'restricted',
  jwt: 'restricted',
  /** The password in the address of a database, cache or queue. */
  'connection-string': 'restricted',
  /** Name and password for HTTP, in an address, a header or a command. */
  'basic-auth': 'restricted',
  'bearer-token': 'restricted',
  /** A value that was assigned to a name such as `password`, `apiKey` or `JWT_SECRET`. */
  secret: 'restricted',
  'card-number': 'confidential',
  iban: 'confidential',
  /** Where check digits make it certain: France (NIR), Italy (codice fiscale). */
  'national-id': 'confidential',
  email: 'internal',
  phone: 'internal',
} as const satisfies Record<string, Sensitivity>

/** What was found. `secretlint-RULE` comes from secretlint. */
export type FindingKind = keyof typeof findingLabels | `secretlint-${string}`

/** Where something is that should not get about. Never the thing itself. */
export interface Finding {
  readonly kind: FindingKind
  /** Where it begins, in UTF-16 code units as JavaScript counts them. */
  readonly offset: number
  readonly length: number
}

const ranks = new Map<string, number>(Object.keys(findingLabels).map((kind, index) => [kind, index]))
const rankOf = (kind: FindingKind): number => ranks.get(kind) ?? ranks.size

/**
 * Findings in the order of the text; those that overlap are made one.
 *
 * @param join - makes one of two that overlap, of which the first begins earlier; its place is set afterwards
 */
export function mergeFindings<F extends Finding>(findings: readonly F[], join: (a: F, b: F) => F = moreTelling): F[] {
  const merged: F[] = []
  for (const finding of [...findings].sort((a, b) => a.offset - b.offset || b.length - a.length)) {
    const last = merged.at(-1)
    if (!last || finding.offset >= last.offset + last.length) {
      merged.push(finding)
      continue
    }
    const end = Math.max(last.offset + last.length, finding.offset + finding.length)
    merged[merged.length - 1] = { ...join(last, finding), offset: last.offset, length: end - last.offset }
  }
  return merged
}

/** The one of the kind that stands higher in {@link findingLabels}. */
export function moreTelling<F extends Finding>(a: F, b: F): F {
  return rankOf(b.kind) < rankOf(a.kind) ? b : a
}

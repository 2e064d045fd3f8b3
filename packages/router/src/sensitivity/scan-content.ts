import { findAssignments } from './assignments.ts'
import { findCredentials } from './credentials.ts'
import { findEmailAddresses } from './email-addresses.ts'
import type { Finding } from './finding.ts'
import { mergeFindings } from './finding.ts'
import { findJsonWebTokens } from './json-web-tokens.ts'
import { findNumbers } from './numbers.ts'
import { findPrivateKeys } from './private-keys.ts'
import { findProviderTokens } from './provider-tokens.ts'
import { findUrlCredentials } from './url-credentials.ts'

/**
 * Finds secrets and personal data in a text: private keys, tokens, passwords, card and account numbers, addresses. Says where they are and of
 * which kind, in the order of the text and without overlaps, never what they are. Takes time in proportion to the text's length.
 */
export function scanContent(text: string): Finding[] {
  const lower = lowerCase(text)
  return mergeFindings([
    ...findProviderTokens(text),
    ...findPrivateKeys(text),
    ...findJsonWebTokens(text),
    ...findUrlCredentials(text),
    ...findCredentials(text, lower),
    ...findAssignments(text, lower),
    ...findNumbers(text),
    ...findEmailAddresses(text),
  ])
}

/** In lower case with every character in its place, which toLowerCase does not promise (İ becomes two). */
function lowerCase(text: string): string {
  const lower = text.toLowerCase()
  return lower.length === text.length ? lower : text.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase())
}

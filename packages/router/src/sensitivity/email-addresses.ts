import { isNamePart } from './characters.ts'
import type { Finding } from './finding.ts'

const domain = /@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}([A-Za-z]{2,24})(?![A-Za-z0-9-])/y
/** Reserved (RFC 2606, RFC 6761) or made up, so that they are nobody's. */
const nobody =
  /@(?:.*\.)?(?:example(?:\.(?:com|org|net))?|test|invalid|localhost|local|internal|(?:test|domain|email|mail|company|yourcompany|your-?domain|foo|bar)\.(?:com|org|net))$/i
const mailboxOfMachine = /^(?:git|no-?reply|do-?not-?reply|svn|hg|root|npm)@/i
const fileEndings =
  /^(?:png|jpe?g|gif|svg|webp|avif|ico|css|scss|less|m?js|cjs|jsx|m?ts|tsx|json|md|html?|txt|ya?ml|lock|pdf|map|vue|py|rb|go|rs|sh)$/i

/** Addresses of persons; not those of machines and examples. */
export function findEmailAddresses(text: string): Finding[] {
  const findings: Finding[] = []
  for (let at = text.indexOf('@'); at >= 0; at = text.indexOf('@', at + 1)) {
    let start = at
    while (start > 0 && at - start < 64 && (isNamePart(text, start - 1) || text[start - 1] === '+' || text[start - 1] === '%')) start--
    if (start < at && /n|r|t/.test(text[start] as string) && text[start - 1] === '\\') start++
    while (text[start] === '.' || text[start] === '-') start++
    if (start >= at || !opens(text, start)) continue
    domain.lastIndex = at
    const found = domain.exec(text)
    if (!found || fileEndings.test(found[1] as string)) continue
    const address = text.slice(start, at + found[0].length)
    if (nobody.test(address) || mailboxOfMachine.test(address)) continue
    findings.push({ kind: 'email', offset: start, length: address.length })
    at += found[0].length - 1
  }
  return findings
}

/** Not in the middle of a path or of `scheme://name:password@host`. */
function opens(text: string, start: number): boolean {
  const before = text[start - 1]
  if (before === '/' || before === '@' || before === '$' || before === '}') return false
  return before !== ':' || text.slice(Math.max(0, start - 7), start).toLowerCase() === 'mailto:'
}

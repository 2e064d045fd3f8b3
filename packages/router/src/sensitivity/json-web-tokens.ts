import { startsToken } from './characters.ts'
import type { Finding } from './finding.ts'

const token =
  /eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,32000}\.[A-Za-z0-9_-]{16,8000}(?:\.[A-Za-z0-9_-]{0,32000}\.[A-Za-z0-9_-]{10,200})?/y

/** JSON Web Tokens (RFC 7519), signed or encrypted: the head has to say how. */
export function findJsonWebTokens(text: string): Finding[] {
  const findings: Finding[] = []
  for (let at = text.indexOf('eyJ'); at >= 0; at = text.indexOf('eyJ', at + 3)) {
    if (!startsToken(text, at)) continue
    token.lastIndex = at
    const found = token.exec(text)?.[0]
    if (found === undefined || !saysAlgorithm(found.slice(0, found.indexOf('.')))) continue
    findings.push({ kind: 'jwt', offset: at, length: found.length })
    at += found.length
  }
  return findings
}

function saysAlgorithm(head: string): boolean {
  return Buffer.from(head, 'base64url').toString('latin1').includes('"alg"')
}

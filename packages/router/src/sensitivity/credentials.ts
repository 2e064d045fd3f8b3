import type { Finding, FindingKind } from './finding.ts'
import { isPlaceholder, isReference } from './placeholders.ts'
import { isSecretValue } from './secret-values.ts'

interface Rule {
  readonly kind: FindingKind
  /** In lower case; looked for before the pattern is tried. */
  readonly hint: string
  /** With what is secret as its only group, from the hint on. */
  readonly pattern: RegExp
  accepts(value: string): boolean
}

const isPasswordLike = (value: string): boolean =>
  value.length >= 6 && !isReference(value) && !isPlaceholder(value) && !/^[\d.:]+$/.test(value)
const isNameAndPassword = (value: string): boolean => {
  const at = value.indexOf(':')
  const [name, password] = [value.slice(0, at), value.slice(at + 1)]
  return isPasswordLike(password) && !/^(?:user|name|your|login)/i.test(name) && !isReference(name) && name !== password
}

const rules: readonly Rule[] = [
  {
    kind: 'bearer-token',
    hint: 'bearer ',
    pattern: /bearer ([A-Za-z0-9._~+/=-]{16,4096})/iy,
    accepts: (value) => isSecretValue(value, 'token', 'quoted'),
  },
  {
    kind: 'basic-auth',
    hint: 'basic ',
    pattern: /basic ([A-Za-z0-9+/]{8,1024}={0,2})/iy,
    accepts: (value) => {
      const decoded = Buffer.from(value, 'base64').toString('latin1')
      return /^[\x20-\x39\x3b-\x7e]{0,64}:[\x20-\x7e]+$/.test(decoded) && isNameAndPassword(decoded)
    },
  },
  {
    kind: 'basic-auth',
    hint: 'curl ',
    pattern: /curl [^\n|;]{0,300}?(?:-u ?|--user[ =])["']?([^\s:'"]{1,64}:[^\s'"]{4,128})/iy,
    accepts: isNameAndPassword,
  },
  { kind: 'secret', hint: 'mysql', pattern: /mysql(?:dump|admin)?\b[^\n|;]{0,120}? -p([^\s'"-][^\s'"]{5,128})/iy, accepts: isPasswordLike },
  { kind: 'secret', hint: 'sshpass', pattern: /sshpass -p ?["']?([^\s'"]{4,128})/iy, accepts: isPasswordLike },
]

/** Credentials in headers and commands. */
export function findCredentials(text: string, lower: string): Finding[] {
  const findings: Finding[] = []
  for (const { kind, hint, pattern, accepts } of rules) {
    for (let at = lower.indexOf(hint); at >= 0; at = lower.indexOf(hint, at + hint.length)) {
      pattern.lastIndex = at
      const found = pattern.exec(text)
      if (!found?.[1] || !accepts(found[1])) continue
      findings.push({ kind, offset: at + found[0].length - found[1].length, length: found[1].length })
      at += found[0].length - hint.length
    }
  }
  return findings
}

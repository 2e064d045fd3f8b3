import type { Finding } from './finding.ts'
import { isPlaceholder, isReference } from './placeholders.ts'

const credentials = /([^\s:/@"'<>`\\()[\]]{0,128}):([^\s@/"'<>`\\]{1,256})@[A-Za-z0-9[(_-]/y
const web = /(?:https?|git|ftps?|sftp|ssh|wss?)$/i
/** Names that a product gives its accounts by default: such a password is no secret. */
const defaults = new Set([
  'postgres',
  'root',
  'admin',
  'guest',
  'user',
  'username',
  'mysql',
  'mongo',
  'redis',
  'minio',
  'minioadmin',
  'sa',
  'x',
])

/** Passwords in addresses: `scheme://name:password@host` (RFC 3986, section 3.2.1). */
export function findUrlCredentials(text: string): Finding[] {
  const findings: Finding[] = []
  for (let at = text.indexOf('://'); at >= 0; at = text.indexOf('://', at + 3)) {
    credentials.lastIndex = at + 3
    const found = credentials.exec(text)
    if (!found) continue
    const [, name = '', password = ''] = found
    if (
      password.length < 5 ||
      password === name ||
      defaults.has(password.toLowerCase()) ||
      isReference(password) ||
      isPlaceholder(password)
    )
      continue
    const kind = web.test(text.slice(Math.max(0, at - 8), at)) ? 'basic-auth' : 'connection-string'
    findings.push({ kind, offset: at + 3 + name.length + 1, length: password.length })
  }
  return findings
}

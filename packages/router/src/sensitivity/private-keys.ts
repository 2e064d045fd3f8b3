import { createFinder } from './characters.ts'
import type { Finding } from './finding.ts'

const begin = /-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/g
const endLine = /-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----/y
/** What a key that was cut off goes on with: Base64, line ends (also escaped), quotes and signs of string literals and diffs. */
const bodyPart = /^[A-Za-z0-9+/=\s\\"'>|-]*/
/** Longer than any key in use. */
const maxLength = 32 * 1024

/** Private keys with a head line, also where the end is missing. */
export function findPrivateKeys(text: string): Finding[] {
  const findings: Finding[] = []
  const nextEnd = createFinder(text, '-----END ')
  const nextBegin = createFinder(text, '-----BEGIN ')
  for (const { index, 0: head } of text.matchAll(begin)) {
    const from = index + head.length
    const limit = Math.min(nextBegin(from), from + maxLength, text.length)
    const found = nextEnd(from)
    endLine.lastIndex = found
    const closing = found < limit ? endLine.exec(text)?.[0] : undefined
    let end = closing === undefined ? limit : found
    if (closing === undefined) {
      end = from + (bodyPart.exec(text.slice(from, limit))?.[0].length ?? 0)
    }
    if (!hasKeyMaterial(text.slice(from, end))) continue
    findings.push({ kind: 'private-key', offset: index, length: end + (closing?.length ?? 0) - index })
  }
  return [...findings, ...findPuttyKeys(text)]
}

function hasKeyMaterial(body: string): boolean {
  const run = /[A-Za-z0-9+/]{38}/.exec(body)?.[0]
  return run !== undefined && new Set(run).size >= 12
}

function findPuttyKeys(text: string): Finding[] {
  const findings: Finding[] = []
  const nextMac = createFinder(text, 'Private-MAC:')
  for (const { index } of text.matchAll(/PuTTY-User-Key-File-\d:/g)) {
    const end = nextMac(index)
    if (end - index < maxLength && /Private-Lines:\s*\d+\s+[A-Za-z0-9+/=]{20}/.test(text.slice(index, end))) {
      findings.push({ kind: 'private-key', offset: index, length: end - index })
    }
  }
  return findings
}

import { isNamePart } from './characters.ts'
import type { Finding } from './finding.ts'
import type { NameStrength } from './secret-names.ts'
import { secretNameParts, strengthOfName } from './secret-names.ts'
import type { ValueForm } from './secret-values.ts'
import { isSecretValue } from './secret-values.ts'

const anyPart = new RegExp(secretNameParts.join('|'), 'g')
const maxName = 80
/** What is longer and no secret is data: names in it are not looked at. */
const longRun = 256

/**
 * What may stand between a name and its value, with the characters that it can begin with: `=`, `:`, `=>`, `:=`, a type, `" value="`, `', '` in a
 * call, a closing tag's end, a space. The last group is the quote that opens the value.
 */
const separators: readonly (readonly [form: ValueForm, begins: string, pattern: RegExp])[] = [
  // password = …   'password' => '…'   ['password'] = …   password: …
  ['bare', '\\"\'`]) \t\r\n=:', /\\?["'`]?[\])]?\s{0,20}(?:=>|:=|=(?!=)|:(?!:|\/\/))[ \t]{0,20}(?:[bruf]{1,2}(?=["']))?(\\?["'`])?/y],
  // const SECRET: &str = "…"
  ['bare', ' :', /\s?:\s?&?[A-Za-z][\w<>[\]'&]{0,30}\s?=\s?(\\?["'`])/y],
  // "name": "DB_PASSWORD", "value": "…"   - name: DB_PASSWORD⏎  value: …
  ['bare', '\\"\', \t\r\n', /\\?["']?\s{0,20}(?:,\s{0,20})?\\?["']?[Vv]alue\\?["']?\s{0,4}[:=]\s{0,4}(\\?["'`])?/y],
  // define('PASSWORD', '…')   setToken("…")
  ['bare', '\\"\'', /\\?["']\s{0,4},\s{0,4}(\\?["'])/y],
  ['bare', '(', /\((\\?["'])/y],
  // <string name="token">…   <password>…</password>
  ['bare', '\\"\'', /\\?["'][^<>"'\n]{0,60}>()/y],
  ['bare', '>', />()/y],
  // PASSWORD '…'
  ['bare', ' \t\r\n', /\s{1,4}(\\?["'`])/y],
  // --password …   ENV TOKEN …   the password is …
  ['prose', ' ', / {1,4}(?:is |was )?(["'`])?/y],
]
const bareValue = /[^\s"'`;,<>\\]{1,4200}/y

/** Values of names such as `password`, `API_KEY` and `X-Auth-Token`, in whatever language or format. */
export function findAssignments(text: string, lower: string): Finding[] {
  const findings: Finding[] = []
  const strengths = new Map<string, NameStrength | undefined>()
  let done = 0
  anyPart.lastIndex = 0
  for (let hit = anyPart.exec(lower); hit; hit = anyPart.exec(lower)) {
    const name = nameAround(text, hit.index, hit[0].length, done)
    done = name.end
    anyPart.lastIndex = name.end
    // Most names are not followed by a value at all.
    if (name.end - name.start > maxName || !mayBeFollowed.has(text.charCodeAt(name.end))) continue
    const word = text.slice(name.start, name.end)
    let strength = strengths.get(word)
    if (strength === undefined && !strengths.has(word)) {
      strength = strengthOfName(word)
      strengths.set(word, strength)
    }
    if (strength === undefined) continue
    const found = valueAfter(text, name, strength)
    if ('skipTo' in found) {
      anyPart.lastIndex = found.skipTo
      continue
    }
    findings.push({
      kind: found.value.length === 88 && /^[A-Za-z0-9+/]{86}==$/.test(found.value) ? 'azure-storage-key' : 'secret',
      offset: found.offset,
      length: found.value.length,
    })
    done = found.offset + found.value.length
    anyPart.lastIndex = done
  }
  return findings
}

const mayBeFollowed = new Set(separators.flatMap(([, begins]) => [...begins].map((character) => character.charCodeAt(0))))

interface Name {
  readonly start: number
  readonly end: number
}

function nameAround(text: string, at: number, length: number, from: number): Name {
  let start = at
  while (start > from && isNamePart(text, start - 1)) start--
  if (text[start - 1] === '\\' && /[nrt]/.test(text[start] as string)) start++
  let end = at + length
  while (isNamePart(text, end)) end++
  while (end > at + length && /[.-]/.test(text[end - 1] as string)) end--
  return { start, end }
}

/** The secret that is assigned to a name, or where to go on looking for the next name. */
function valueAfter(text: string, name: Name, strength: NameStrength): { offset: number; value: string } | { skipTo: number } {
  let skipTo = name.end
  const first = text[name.end] as string
  for (const [form, begins, pattern] of separators) {
    if (!begins.includes(first)) continue
    pattern.lastIndex = name.end
    const found = pattern.exec(text)
    if (!found) continue
    // A space says little; what comes after it has to say the more.
    if (form === 'prose' && strength === 'weak') continue
    const offset = name.end + found[0].length
    const quote = found[1]
    const value = quote ? quotedValue(text, offset, quote) : readBareValue(text, offset, text[name.start - 1])
    if (value === undefined) continue
    if (isSecret(value, strength, quote ? 'quoted' : form)) return { offset, value }
    // Not once again for each name in it.
    if (value.length > longRun) skipTo = offset + value.length
  }
  return { skipTo }
}

function isSecret(value: string, strength: NameStrength, form: ValueForm): boolean {
  return isSecretValue(value, strength, form) || (strength === 'weak' && isNameAndPassword(value))
}

/** `name:password` in Base64, as Docker and npm store it. */
function isNameAndPassword(value: string): boolean {
  if (!/^[A-Za-z0-9+/]{16,}={0,2}$/.test(value)) return false
  return /^[\x21-\x39\x3b-\x7e]{1,64}:[\x20-\x7e]{6,}$/.test(Buffer.from(value, 'base64').toString('latin1'))
}

function quotedValue(text: string, offset: number, quote: string): string | undefined {
  const line = text.slice(offset, offset + 4200)
  const end = line.indexOf(quote)
  const value = end < 0 ? undefined : line.slice(0, end)
  return value?.includes('\n') ? undefined : value
}

function readBareValue(text: string, offset: number, before: string | undefined): string | undefined {
  bareValue.lastIndex = offset
  const found = bareValue.exec(text)?.[0]
  if (found === undefined) return undefined
  const value = before === '?' || before === '&' ? (found.split('&', 1)[0] as string) : found
  return value.replace(/[)\]}.:]+$/, '')
}

import { isPlaceholder, isReference } from './placeholders.ts'
import type { NameStrength } from './secret-names.ts'
import { splitCase } from './secret-names.ts'

/** How a value was written; without quotes it may be an expression, after a space it may be prose. */
export type ValueForm = 'quoted' | 'bare' | 'prose'

const uuid = /^\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?$/i
const hash = /^(?:sha(?:1|224|256|384|512)|md5|h1|blake\w*)[-:=]|^\$(?:2[aby]|argon2\w*|5|6|pbkdf2[\w-]*|scrypt)\$/i
const encoded = /^(?:data:|iVBORw0KGgo|AGFzbQ|d09GMg|PHN2Zy|R0lGOD|\/9j\/|ssh-(?:rsa|ed25519|dss) |AAAA[BC]3Nza|Ag[A-D][\w+/]{300})/
const hexOnly = /^[0-9a-f]+$/i
const expression = /[()[\]{}|<>]|::|->|=>|\.\.|^[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)+$|^\//

/** Nothing that could make it a reference, an expression or a path. */
const plain = /^[A-Za-z0-9_+]+={0,2}$/
const address = /^0x[0-9a-f]+$/i

function mayBeSecret(value: string, form: ValueForm): boolean {
  if (/\s/.test(value) || isReference(value) || uuid.test(value) || hash.test(value)) return false
  if (form !== 'quoted' && expression.test(value)) return false
  return !/^\w+:\/\/|^\.{0,2}\/[\w.-]+\//.test(value)
}

/** Whether a value that was assigned to a name is a secret rather than a placeholder, reference, id, hash, path or phrase. */
export function isSecretValue(value: string, strength: NameStrength, form: ValueForm): boolean {
  if (value.length < 8 || value.length > 4096 || isPlaceholder(value)) return false
  if (!plain.test(value) && !mayBeSecret(value, form)) return false
  if (address.test(value) || encoded.test(value) || (isWordy(value) && !isWordyPassword(value, strength, form))) return false
  if (strength === 'password') return isPassword(value, form) || isToken(value)
  if (strength === 'token') return isToken(value) || (form !== 'prose' && isStrongPassword(value))
  return isRandomKey(value)
}

/** `Saturn77_ember`: people make passwords of words, and start them with a capital. */
function isWordyPassword(value: string, strength: NameStrength, form: ValueForm): boolean {
  return strength === 'password' && form !== 'prose' && /^[A-Z]/.test(value) && /[a-z]/.test(value) && hasDigit(value)
}

/** Words of people and programs, joined: `reset-password-form`, `acme.auth.token.v2`, `order_id_2026`, `TokenService`. */
function isWordy(value: string): boolean {
  if (/\d[a-z]/.test(value)) return false
  const parts = value.split(/[-_./:,+]+/).flatMap((part) => splitCase(part))
  return (
    parts.every((part) => part === '' || /^(?:[a-z]{1,15}|[A-Z][a-z]{1,14}|[A-Z]{1,12})\d{0,4}$|^\d{1,8}$/.test(part)) &&
    looksPronounceable(parts)
  )
}

/** Random letters without vowels, or in short runs of changing case, are no words. */
function looksPronounceable(parts: readonly string[]): boolean {
  const letters = parts.join('').replace(/[^A-Za-z]/g, '')
  if (letters.length === 0) return true
  const vowels = letters.replace(/[^aeiouyAEIOUY]/g, '').length
  return vowels / letters.length > 0.15 && letters.length / parts.length >= 2.5
}

function isPassword(value: string, form: ValueForm): boolean {
  if (form === 'prose' && !/[!#$%&*?@^~]/.test(value) && value.length < 12) return false
  return isStrongPassword(value) || (hasDigit(value) && hasLetter(value) && entropy(value) >= 2.5)
}

const isStrongPassword = (value: string): boolean =>
  hasDigit(value) && hasLetter(value) && /[^A-Za-z0-9_./:-]/.test(value) && entropy(value) >= 2.8

function isToken(value: string): boolean {
  if (value.length < 16 || !/^[\w+/=.~!@#$%^&*:-]+$/.test(value)) return false
  if (hexOnly.test(value)) return value.length >= 24 && hasDigit(value) && entropy(value) >= 2.9
  if (!hasLetter(value)) return false
  return entropy(value) >= 3.2 && (hasDigit(value) || hasOddCase(value))
}

function isRandomKey(value: string): boolean {
  const body = value.replace(/^base64:/, '')
  if (body.length < 20 || hexOnly.test(body) || !/^[\w+/=~!@#$%^&*-]+$/.test(body)) return false
  return hasDigit(body) && /[a-z]/.test(body) && /[A-Z]/.test(body) && entropy(body) >= 3.8
}

const hasDigit = (value: string): boolean => /\d/.test(value)
const hasLetter = (value: string): boolean => /[A-Za-z]/.test(value)

/** Capitals all over, as no name has them. */
function hasOddCase(value: string): boolean {
  const turns = value.match(/[a-z][A-Z]|[A-Z]{2}[a-z]/g)?.length ?? 0
  return turns / value.length > 0.18
}

const counted = 256
const counts = new Uint16Array(128)
/** What the sum of n·log2(n) over the counts grows by when one grows to n. */
const growth = Float64Array.from({ length: counted + 1 }, (_, n) => (n < 2 ? 0 : n * Math.log2(n) - (n - 1) * Math.log2(n - 1)))

/** Bits per character, from the value's own frequencies; of its first 256 characters, and of the last seven bits of each. */
function entropy(value: string): number {
  counts.fill(0)
  const length = Math.min(value.length, counted)
  let sum = 0
  for (let at = 0; at < length; at++) {
    const code = value.charCodeAt(at) & 127
    const count = (counts[code] as number) + 1
    counts[code] = count
    sum += growth[count] as number
  }
  return Math.log2(length) - sum / length
}

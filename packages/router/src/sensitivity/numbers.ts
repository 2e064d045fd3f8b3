import { followsEscape, isAlphanumeric, isDigit } from './characters.ts'
import type { Finding, FindingKind } from './finding.ts'

const card = /\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{5}/y
/** Issuer, and how many digits its numbers have (ISO/IEC 7812; the issuers' published ranges). */
const issuers =
  /^(?:4\d{15}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|6(?:011|4[4-9]\d|5\d\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11})$/
/** Numbers that payment providers publish for tests. */
const testCards = new Set(
  ['4111111111111111', '4242424242424242', '4012888888881881', '4000056655665556', '5555555555554444', '5105105105105100'].concat(
    '2223003122003222',
    '378282246310005',
    '371449635398431',
    '6011111111111117',
    '6011000990139424',
    '3530111333300000',
    '4000000000000002',
  ),
)
const international = /\+[1-9]\d{0,3}(?:(?:[ .-]| ?\(|\) ?)?\d{1,14}){1,6}/y
const northAmerican = /(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])[2-9]\d{2}[-.]\d{4}/y
const french = /[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3} ?\d{2}/y
const italian = /[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]/y
/** Length of an IBAN by country (SWIFT IBAN registry). */
const ibanLengths: Readonly<Record<string, number>> = Object.fromEntries(
  (
    'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 ' +
    'HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 ' +
    'QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20'
  )
    .split(' ')
    .map((entry) => [entry.slice(0, 2), Number(entry.slice(2))]),
)

/** Card numbers, IBANs and national ids with the right check digits, and telephone numbers: one walk over the runs of digits. */
export function findNumbers(text: string): Finding[] {
  const findings: Finding[] = []
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 48 || code > 57) continue
    let end = at + 1
    while (isDigit(text, end)) end++
    const found = numberAt(text, at, end)
    if (found) findings.push(found)
    at = found ? found.offset + found.length - 1 : end - 1
  }
  return findings
}

/** What the run of digits from `at` to `end` begins, or is in the beginning of. */
function numberAt(text: string, at: number, end: number): Finding | undefined {
  const length = end - at
  const before = text.charCodeAt(at - 1)
  if (before === 43) return phoneAt(text, at - 1, international)
  if (before === 40 && length === 3) return phoneAt(text, at - 1, northAmerican)
  if (isAlphanumeric(text, at - 1) && !followsEscape(text, at)) return ibanAt(text, at - 2) ?? italianIdAt(text, at - 6)
  if (before === 46 || before === 45 || before === 95) return undefined
  const next = text.charCodeAt(end)
  if (length >= 13 || (length === 4 && (next === 32 || next === 45))) {
    const found = cardAt(text, at)
    if (found) return found
  }
  if (length === 15 || (length === 1 && next === 32)) return frenchIdAt(text, at)
  if (length === 3 && (next === 45 || next === 46)) return phoneAt(text, at, northAmerican)
  return undefined
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  if (at < 0) return undefined
  pattern.lastIndex = at
  const found = pattern.exec(text)?.[0]
  return found === undefined || goesOn(text, at + found.length) ? undefined : found
}

/** Whether a number is only a part of something longer. */
function goesOn(text: string, end: number): boolean {
  const next = text.charCodeAt(end)
  return isAlphanumeric(text, end) || next === 95 || ((next === 45 || next === 46) && isDigit(text, end + 1))
}

const finding = (kind: FindingKind, offset: number, found: string): Finding => ({ kind, offset, length: found.length })

function cardAt(text: string, at: number): Finding | undefined {
  const found = match(card, text, at)
  if (found === undefined) return undefined
  const number = found.replace(/[ -]/g, '')
  return issuers.test(number) && passesLuhn(number) && !testCards.has(number) ? finding('card-number', at, found) : undefined
}

/** ISO/IEC 7812-1, annex B. */
function passesLuhn(number: string): boolean {
  let sum = 0
  for (let at = 0; at < number.length; at++) {
    const doubled = number.charCodeAt(number.length - 1 - at) - 48
    const digit = at % 2 === 1 ? doubled * 2 : doubled
    sum += digit > 9 ? digit - 9 : digit
  }
  return sum % 10 === 0
}

function phoneAt(text: string, at: number, pattern: RegExp): Finding | undefined {
  const before = at - 1
  if ((isAlphanumeric(text, before) && !followsEscape(text, at)) || text[before] === ')' || text[before] === ']') return undefined
  const found = match(pattern, text, at)
  if (found === undefined) return undefined
  const digits = found.replace(/\D/g, '')
  // E.164: at most 15 digits. A line of a diff begins with a plus too.
  if (digits.length < 8 || digits.length > 15) return undefined
  const onNewLine = at === 0 || text.charCodeAt(before) === 10
  if (onNewLine && found.length === digits.length + 1) return undefined
  // 555-01xx is kept free for fiction.
  if (new Set(digits).size < 3 || /55501\d\d$/.test(digits)) return undefined
  return finding('phone', at, found)
}

/** ISO 13616: the check digits make the remainder by 97 one. */
function ibanAt(text: string, at: number): Finding | undefined {
  if (at < 0 || (isAlphanumeric(text, at - 1) && !followsEscape(text, at))) return undefined
  const expected = ibanLengths[text.slice(at, at + 2)]
  if (expected === undefined) return undefined
  let compact = ''
  let end = at
  while (compact.length < expected) {
    const character = text[end] ?? ''
    if (/[A-Z0-9]/.test(character)) compact += character
    else if (character !== ' ' || compact.length % 4 !== 0) return undefined
    end++
  }
  if (isAlphanumeric(text, end) || /^[A-Z]{2}\d{2}0+$/.test(compact) || remainder97(compact.slice(4) + compact.slice(0, 4)) !== 1)
    return undefined
  return { kind: 'iban', offset: at, length: end - at }
}

function remainder97(text: string): number {
  let rest = 0
  for (const character of text) {
    const value = Number.parseInt(character, 36)
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97
  }
  return rest
}

/** NIR: 13 digits and a key that makes them divisible by 97. */
function frenchIdAt(text: string, at: number): Finding | undefined {
  const found = match(french, text, at)
  if (found === undefined) return undefined
  const digits = found.replaceAll(' ', '')
  return (remainder97(digits.slice(0, 13)) + Number(digits.slice(13))) % 97 === 0 ? finding('national-id', at, found) : undefined
}

/** Values of the characters in odd places, 0 to 9 as A to J (Decreto 23/12/1976, article 6). */
const italianOdd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]

function italianIdAt(text: string, at: number): Finding | undefined {
  if (isAlphanumeric(text, at - 1)) return undefined
  const found = match(italian, text, at)
  if (found === undefined) return undefined
  let sum = 0
  for (let place = 0; place < 15; place++) {
    const value = Number.parseInt(found[place] as string, 36)
    const index = value > 9 ? value - 10 : value
    sum += place % 2 === 0 ? (italianOdd[index] as number) : index
  }
  return found.charCodeAt(15) - 65 === sum % 26 ? finding('national-id', at, found) : undefined
}

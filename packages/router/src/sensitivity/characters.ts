const kinds = new Uint8Array(128)
const digit = 1
const letter = 2
const joint = 4
for (let code = 48; code < 58; code++) kinds[code] = digit
for (let code = 65; code < 91; code++) kinds[code] = letter
for (let code = 97; code < 123; code++) kinds[code] = letter
for (const code of [45, 46, 95]) kinds[code] = joint

const kindAt = (text: string, at: number): number => kinds[text.charCodeAt(at)] ?? 0

/** Whether there is an ASCII digit. False outside of the text, as the other ones here. */
export const isDigit = (text: string, at: number): boolean => kindAt(text, at) === digit
/** Whether there is an ASCII letter or digit. */
export const isAlphanumeric = (text: string, at: number): boolean => (kindAt(text, at) & (digit | letter)) !== 0
/** Whether there is a letter, digit, hyphen, dot or underscore. */
export const isNamePart = (text: string, at: number): boolean => kindAt(text, at) !== 0

/** Whether a token can begin here: after no letter, digit, `_` or `-`, but after `\n` in an escaped string and after the sign of a line in a diff. */
export function startsToken(text: string, at: number): boolean {
  if (at === 0) return true
  const before = text.charCodeAt(at - 1)
  if (before === 45) return at === 1 || text.charCodeAt(at - 2) === 10
  if (before === 95) return false
  return !isAlphanumeric(text, at - 1) || followsEscape(text, at)
}

/** Whether the character before is the second half of `\n`, `\r` or `\t`. */
export function followsEscape(text: string, at: number): boolean {
  const before = text.charCodeAt(at - 1)
  return (before === 110 || before === 114 || before === 116) && text.charCodeAt(at - 2) === 92
}

/** Finds a string again and again at rising places, without reading any part of the text twice. */
export function createFinder(text: string, what: string): (from: number) => number {
  let found = -1
  return (from) => {
    if (found < from) {
      const next = text.indexOf(what, from)
      found = next < 0 ? Number.POSITIVE_INFINITY : next
    }
    return found
  }
}

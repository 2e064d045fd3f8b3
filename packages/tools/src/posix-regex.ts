/** A regular expression in the POSIX dialect, or why it cannot be said in it. */
export type PosixRegex = { readonly pattern: string } | { readonly unsupported: string }

const outside: Readonly<Record<string, string>> = {
  d: '[0-9]',
  D: '[^0-9]',
  w: '[A-Za-z0-9_]',
  W: '[^A-Za-z0-9_]',
  s: '[[:space:]]',
  S: '[^[:space:]]',
  t: '\t',
}
const inside: Readonly<Record<string, string>> = { d: '0-9', w: 'A-Za-z0-9_', s: '[:space:]', t: '\t' }

/**
 * Says the regular expression that a model gives (Perl's and Rust's dialect) as a POSIX extended one, for a grep that knows no other. Whether a
 * quantifier is lazy makes no difference to which lines match. Source: POSIX.1-2024, section 9.4.
 */
export function toPosixRegex(pattern: string): PosixRegex {
  let result = ''
  for (let at = 0; at < pattern.length; ) {
    const rest = pattern.slice(at)
    const group = /^\(\?(:)?/.exec(rest)
    const quantifier = /^([*+?]|\{\d*,?\d*\})\?/.exec(rest)
    if (rest.startsWith('[')) {
      const bracket = readBracket(pattern, at)
      if ('unsupported' in bracket) return bracket
      result += bracket.pattern
      at = bracket.end
    } else if (rest.startsWith('\\')) {
      const letter = rest[1] ?? ''
      if (/[pPnxuAzZQEkG1-9]/.test(letter)) return { unsupported: `\\${letter}` }
      result += outside[letter] ?? `\\${letter}`
      at += 2
    } else if (group !== null) {
      if (group[1] === undefined) return { unsupported: rest.slice(0, 3) }
      result += '('
      at += 3
    } else if (quantifier !== null) {
      result += quantifier[1]
      at += quantifier[0].length
    } else {
      result += pattern[at]
      at++
    }
  }
  return { pattern: result }
}

/** A bracket expression, in which POSIX knows no backslash: `]` stands first, `-` last, `^` not first. */
function readBracket(pattern: string, start: number): { pattern: string; end: number } | { unsupported: string } {
  const negated = pattern[start + 1] === '^'
  let at = start + (negated ? 2 : 1)
  let [members, closing, dash, caret] = ['', '', '', '']
  for (let first = true; pattern[at] !== ']' || first; first = false) {
    const character = pattern[at]
    if (character === undefined) return { unsupported: 'an open [' }
    if (character === '\\') {
      const letter = pattern[at + 1] ?? ''
      if (letter === ']') closing = ']'
      else if (letter === '-') dash = '-'
      else if (letter === '^') caret = '^'
      else if (inside[letter] !== undefined) members += inside[letter]
      else if (/[A-Za-z0-9]/.test(letter)) return { unsupported: `[\\${letter}]` }
      else members += letter
      at += 2
    } else if (character === '[' && pattern[at + 1] === ':') {
      const end = pattern.indexOf(':]', at)
      if (end === -1) return { unsupported: '[:' }
      members += pattern.slice(at, end + 2)
      at = end + 2
    } else {
      if (character === ']') closing = ']'
      else members += character
      at++
    }
  }
  const body = closing + members + caret + dash
  // A lone ^ in brackets would negate them.
  return { pattern: body === '^' && !negated ? '\\^' : `[${negated ? '^' : ''}${body}]`, end: at + 1 }
}

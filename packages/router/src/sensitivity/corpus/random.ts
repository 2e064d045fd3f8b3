const lower = 'abcdefghijklmnopqrstuvwxyz'
const digits = '0123456789'
const base62 = `${lower.toUpperCase()}${lower}${digits}`
const words = ['Falcon', 'Harbor', 'Quartz', 'Timber', 'Velvet', 'Copper', 'Meadow', 'Saturn', 'Walnut', 'Ember', 'Glacier', 'Lantern']

/** Values that look like the real thing and are nobody's: made from a seed, so that no scanner finds one in this repository. */
export type Random = ReturnType<typeof createRandom>

export function createRandom(seed: number) {
  let state = seed >>> 0
  // mulberry32
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const int = (below: number): number => Math.floor(next() * below)
  const pick = <T>(from: readonly T[]): T => from[int(from.length)] as T
  const of =
    (alphabet: string) =>
    (length: number): string =>
      Array.from({ length }, () => alphabet[int(alphabet.length)]).join('')
  const hex = of('0123456789abcdef')
  const number = of(digits)
  const self = {
    int,
    pick,
    hex,
    digits: number,
    base62: of(base62),
    base64: of(`${base62}+/`),
    base64url: of(`${base62}-_`),
    lower: of(`${lower}${digits}`),
    upper: of(`${lower.toUpperCase()}${digits}`),
    base32: of('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'),
    uuid: (): string => `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`,
    /** As a person makes one up. */
    password: (): string => `${pick(words)}${number(2 + int(3))}${pick(['!', '#', '$', '%', '&', '*', '?'])}${pick(words).toLowerCase()}`,
    jwt(): string {
      const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
      return `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ sub: number(9), iat: 1767000000 + int(1e6), scope: 'admin' })}.${of(`${base62}-_`)(43)}`
    },
    pem(label: string, lines = 12, newline = '\n'): string {
      const body = Array.from({ length: lines }, () => of(`${base62}+/`)(64))
      return [`-----${'BEGIN'} ${label}-----`, ...body, `${of(base62)(30)}==`, `-----${'END'} ${label}-----`].join(newline)
    },
    /** A card number that passes the Luhn check. */
    card(prefix = '4', length = 16): string {
      const body = prefix + number(length - prefix.length - 1)
      for (let check = 0; check < 10; check++) if (luhn(`${body}${check}`)) return `${body}${check}`
      return body
    },
    iban(country: string, length: number): string {
      const account = number(length)
      const rest = BigInt(`${account}${letters(country)}00`) % 97n
      return `${country}${String(98n - rest).padStart(2, '0')}${account}`
    },
  }
  return self
}

function luhn(number: string): boolean {
  let sum = 0
  for (let at = 0; at < number.length; at++) {
    const digit = Number(number[number.length - 1 - at])
    sum += at % 2 === 1 ? (digit * 2 > 9 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

const letters = (text: string): string => [...text].map((letter) => String(letter.charCodeAt(0) - 55)).join('')

/** How surely a name's value is a secret: a password may be a word with a digit, a `key` has to look random. */
export type NameStrength = 'password' | 'token' | 'weak'

const passwords = new Set(['password', 'passwd', 'passphrase', 'pass', 'pwd', 'passcode', 'identified by'])
const tokens = new Set([
  'secret',
  'token',
  'apikey',
  'authtoken',
  'accesstoken',
  'accesskey',
  'secretkey',
  'privatekey',
  'sessionid',
  'phpsessid',
  'jsessionid',
  'signature',
])
const weak = new Set(['key', 'auth', 'credential', 'credentials', 'secrets', 'session', 'cookie'])
/** What may come before `key` to make it a secret one. */
const keyOf = new Set(
  'access account admin aes api app application auth aws cipher client consumer crypt deploy encrypt encryption hmac ingest jwt license master private read root secret security server service session shared sign signing storage subscription webhook write'.split(
    ' ',
  ),
)
/** What may come before to say that it is none. */
const harmless = new Set(
  'public pub publishable site cache idempotency primary foreign sort partition range hash query cursor next page continuation cancel cancellation sync csrf xsrf pad unk bos eos sep cls mask stop special react translation i18n lookup dedupe map tree row object'.split(
    ' ',
  ),
)
/** What may stand behind a name without changing what it is. */
const tails = new Set(
  'value val string str prod production stage staging live base hex b64 base64 raw plain plaintext env main primary secondary current default'.split(
    ' ',
  ),
)
const endings = /(password|passwd|passphrase|secret|token|apikey|accesskey|secretkey|privatekey)$/

/** Names of secrets, as part of any name: what the text is searched for before anything else is looked at. */
export const secretNameParts = ['pass', 'pwd', 'secret', 'token', 'key', 'auth', 'credential', 'sess', 'cookie', 'identified by'] as const

/** What the value of a variable, field, header or option of this name is. */
export function strengthOfName(name: string): NameStrength | undefined {
  const words = wordsOf(name)
  while (words.length > 1 && (tails.has(words.at(-1) as string) || /^(?:v?\d+)$/.test(words.at(-1) as string))) words.pop()
  const last = (words.at(-1) ?? '').replace(/\d+$/, '')
  const before = words.at(-2) ?? ''
  if (harmless.has(before) || words.some((word) => word === 'public' || word === 'publishable')) return undefined
  if (passwords.has(last) || passwords.has(`${before} ${last}`)) return 'password'
  if (tokens.has(last)) return 'token'
  if (last === 'key' && keyOf.has(before)) return 'token'
  if (weak.has(last)) return 'weak'
  const ending = endings.exec(last)?.[1]
  if (ending === undefined) return undefined
  return passwords.has(ending) ? 'password' : 'token'
}

function wordsOf(name: string): string[] {
  return splitCase(name)
    .flatMap((part) => part.toLowerCase().split(/[^a-z0-9]+/))
    .filter((word) => word !== '')
}

/** Apart where capitals begin a word: `dbPassword`, `APIKey`, `X509Token`. */
export function splitCase(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .split(' ')
}

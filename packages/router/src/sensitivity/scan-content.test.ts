import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createClassifier } from './classifier.ts'
import type { PlantedText } from './corpus/corpus.ts'
import { imitate, plant } from './corpus/corpus.ts'
import { heldOutLookAlikes, heldOutPlanted } from './corpus/held-out.ts'
import { lookAlikes } from './corpus/look-alikes.ts'
import { planted } from './corpus/planted.ts'
import { createRandom } from './corpus/random.ts'
import type { Finding } from './finding.ts'
import { scanContent } from './scan-content.ts'
import type { SecretlintScan } from './secretlint.ts'
import { loadSecretlint } from './secretlint.ts'

type Scan = (text: string) => readonly Finding[] | Promise<readonly Finding[]>

/** A secret counts as found where one finding covers all of it. */
async function missed(texts: readonly PlantedText[], scan: Scan): Promise<PlantedText[]> {
  const found = await Promise.all(texts.map(async ({ text }) => await scan(text)))
  return texts.filter(
    ({ offset, length }, index) => !found[index]?.some((one) => one.offset <= offset && one.offset + one.length >= offset + length),
  )
}

/** Any finding at all is a false alarm: the look-alikes hold no telephone number either. */
async function alarms(texts: readonly { what: string; text: string }[], scan: Scan): Promise<string[]> {
  const found = await Promise.all(texts.map(async ({ text }) => await scan(text)))
  return texts.filter((_, index) => (found[index]?.length ?? 0) > 0).map(({ what }) => what)
}

const share = (part: number, of: number): string => `${((100 * part) / of).toFixed(1)} % (${part} of ${of})`

function tableByKind(texts: readonly PlantedText[], notFound: readonly PlantedText[]): string {
  const kinds = [...new Set(texts.map(({ kind }) => kind))].sort()
  const rows = kinds.map((kind) => {
    const of = (list: readonly PlantedText[]): number => list.filter((one) => one.kind === kind).length
    return `  ${kind.padEnd(22)} ${of(texts) - of(notFound)} of ${of(texts)}`
  })
  return rows.join('\n')
}

const parts = {
  tuned: { secrets: plant(planted, 1), others: imitate(lookAlikes, 1) },
  'held out': { secrets: plant(heldOutPlanted, 1), others: imitate(heldOutLookAlikes, 1) },
}
const all = {
  secrets: Object.values(parts).flatMap(({ secrets }) => secrets),
  others: Object.values(parts).flatMap(({ others }) => others),
}
const classifier = createClassifier({ secretlint: true })

describe('scanContent', () => {
  it.each([
    ['on all', all],
    ['on what was held out', parts['held out']],
  ])('finds at least 95 % of planted secrets, and takes at most 5 % of look-alikes for one: %s', async (name, { secrets, others }) => {
    const notFound = await missed(secrets, scanContent)
    const wrong = await alarms(others, scanContent)
    const figures = `found ${share(secrets.length - notFound.length, secrets.length)}, false alarms ${share(wrong.length, others.length)}`
    console.info(`scanContent, ${name}: ${figures}\n${tableByKind(secrets, notFound)}`)
    expect(1 - notFound.length / secrets.length, `not found: ${notFound.map(({ where }) => where).join(', ')}`).toBeGreaterThanOrEqual(0.95)
    expect(wrong.length / others.length, `false alarms: ${wrong.join(', ')}`).toBeLessThanOrEqual(0.05)
  })

  it('finds as much with other values in the same places', async () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 1_000_000 }), (seed) => {
        const secrets = [...plant(planted, seed), ...plant(heldOutPlanted, seed)]
        const covered = secrets.filter(({ text, offset, length }) =>
          scanContent(text).some((one) => one.offset <= offset && one.offset + one.length >= offset + length),
        )
        expect(covered.length / secrets.length).toBeGreaterThanOrEqual(0.95)
        const others = [...imitate(lookAlikes, seed), ...imitate(heldOutLookAlikes, seed)]
        expect(others.filter(({ text }) => scanContent(text).length > 0).length / others.length).toBeLessThanOrEqual(0.05)
      }),
      { numRuns: 20 },
    )
  })

  it('is at least as good with secretlint as alone, and better than secretlint alone', async () => {
    const { scan } = (await loadSecretlint(true)) as SecretlintScan
    const alone = await missed(all.secrets, scan)
    const together = await missed(all.secrets, classifier.find)
    const wrong = await alarms(all.others, classifier.find)
    const found = (list: readonly PlantedText[]): string => share(all.secrets.length - list.length, all.secrets.length)
    console.info(
      `secretlint's preset alone: found ${found(alone)}, false alarms ${share((await alarms(all.others, scan)).length, all.others.length)}`,
    )
    console.info(`both together: found ${found(together)}, false alarms ${share(wrong.length, all.others.length)}`)
    expect(together.length).toBeLessThanOrEqual((await missed(all.secrets, scanContent)).length)
    expect(together.length).toBeLessThan(alone.length)
    expect(wrong.length / all.others.length).toBeLessThanOrEqual(0.05)
  })

  it('says where and of which kind, in order and without overlaps, and never what', () => {
    const random = createRandom(7)
    const [token, card] = [`${'gh'}p_${random.base62(36)}`, random.card()]
    const text = `Ann, pay with ${card}.\nGITHUB_TOKEN=${token}\nand mail ann@northwind.co.uk`
    const findings = scanContent(text)
    expect(findings).toEqual([
      { kind: 'card-number', offset: 14, length: 16 },
      { kind: 'github-token', offset: text.indexOf(token), length: 40 },
      { kind: 'email', offset: text.indexOf('ann@'), length: 19 },
    ])
    expect(Object.keys(findings[0] as Finding)).toEqual(['kind', 'offset', 'length'])
  })

  it.each([
    ['aws-access-key', () => `${'AK'}IA${createRandom(1).base32(16)}`],
    ['openai-key', () => `${'sk'}-proj-${createRandom(1).base64url(60)}T3Blbk${'FJ'}${createRandom(1).base64url(60)}`],
    ['anthropic-key', () => `${'sk'}-ant-api03-${createRandom(1).base64url(93)}AA`],
    ['jwt', () => createRandom(1).jwt()],
    ['private-key', () => createRandom(1).pem('ENCRYPTED PRIVATE KEY')],
    ['azure-storage-key', () => `AccountKey=${createRandom(1).base64(86)}==;`],
    ['connection-string', () => `postgres://app:${createRandom(1).base62(16)}@db/app`],
    ['basic-auth', () => `https://app:${createRandom(1).base62(16)}@acme.example`],
    ['iban', () => createRandom(1).iban('DE', 18)],
    ['national-id', () => 'RSSMRA85T10A562S'],
  ])('knows %s by its form', (kind, write) => {
    expect(scanContent(`x ${write()} y`).map((finding) => finding.kind)).toEqual([kind])
  })

  it('finds secrets in text with characters of any script, with places as JavaScript counts them', () => {
    const secret = createRandom(3).password()
    for (const before of ['🔑 ', 'İİİ ', 'пароль ', 'ß ', '密码 ']) {
      const text = `${before}password="${secret}"`
      expect(scanContent(text)).toEqual([{ kind: 'secret', offset: text.indexOf(secret), length: secret.length }])
    }
  })

  it('gives places inside of the text, in order, for any text', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 12 }),
      fc.constantFrom(
        'password=',
        '"',
        "'",
        '\\n',
        '://',
        ':',
        '@',
        'eyJ',
        '-----BEGIN PRIVATE KEY-----',
        'sk-',
        'AKIA',
        '+49 ',
        '4111',
        'key: ',
        '\n',
        ' ',
      ),
      fc.base64String({ maxLength: 50 }),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join('')
        let last = 0
        for (const { offset, length } of scanContent(text)) {
          expect(offset).toBeGreaterThanOrEqual(last)
          expect(length).toBeGreaterThan(0)
          last = offset + length
        }
        expect(last).toBeLessThanOrEqual(text.length)
      }),
      { numRuns: 200 },
    )
  })

  // Half a million characters each: with a quadratic step anywhere these take minutes, which the runner's time limit turns into a failure.
  const beginnings = [
    ...[
      'a',
      ' ',
      '\n',
      '"',
      '\\',
      '@',
      '-',
      '.',
      '1',
      '1 ',
      '1234 ',
      '+1',
      '+1 ',
      '(415) ',
      '4111-',
      'DE89 ',
      'DE',
      'A@a.',
      'a.a@',
      '://',
      '://a:',
      '://a:a@',
    ],
    ...[
      'eyJ',
      'eyJ.',
      'eyJhbGciOiJI.',
      'sk-',
      'sk-ant-',
      'sk-T3BlbkFJ',
      'ghp_',
      'AKIA',
      'SG.',
      'xapp-1-A-1-',
      'SK',
      'hvs.',
      'https://hooks.slack.com/',
      ':AA',
    ],
    ...[
      'key',
      'key=',
      'password',
      'password ',
      'password=',
      'password="',
      'password="\\',
      'token: ',
      'key"  ',
      "secret'",
      'key, value',
      'secret_',
      'pass.',
      'auth-',
    ],
    ...[
      'curl -u',
      'curl ',
      'mysql ',
      'mysql -p',
      'bearer ',
      'basic ',
      'sshpass -p ',
      'identified by ',
      'password: a = ',
      'token">',
      'token" a="',
    ],
    ...[
      '-----BEGIN ',
      '-----BEGIN PRIVATE KEY-----',
      '-----BEGIN PRIVATE KEY-----\nA',
      '-----END ',
      'PuTTY-User-Key-File-2:',
      'PuTTY-User-Key-File-2: Private-Lines: ',
    ],
  ]
  it.each(beginnings)('takes time in proportion to the length of a text full of %j', (beginning) => {
    const text = beginning.repeat(Math.ceil(500_000 / beginning.length))
    expect(scanContent(text).length).toBeLessThanOrEqual(text.length)
    expect(scanContent(`${text}x`).length).toBeLessThanOrEqual(text.length)
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createClassifier } from './classifier.ts'
import { createRandom } from './corpus/random.ts'
import type { RedactorOptions } from './redactor.ts'
import { createRedactor } from './redactor.ts'

const classifier = createClassifier({ secretlint: false })
const random = createRandom(5)
const token = `${'gh'}p_${random.base62(36)}`
const password = random.password()

/** Text made of what is hard: secrets, alone and run together, placeholders and their parts, quotes and escapes. */
const hardText = fc
  .array(
    fc.oneof(
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          token,
          password,
          `password="${password}"`,
          `token: ${token}`,
          random.card(),
          random.jwt(),
          random.pem('PRIVATE KEY', 3),
        ),
      },
      {
        weight: 3,
        arbitrary: fc.constantFrom(
          '[[github-token:1]]',
          '[[secret:2]]',
          '[[text:1]]',
          '[[',
          ']]',
          '[',
          ']',
          '[[secret:',
          '1]]',
          ':1',
          '[[[',
          'secret',
        ),
      },
      fc.constantFrom('\n', '"', '\\', '\\n', ' ', '=', ',', '{', '}', 'é', '🔑'),
      fc.string({ maxLength: 6 }),
      // A secret of its own for this text.
      fc.integer({ min: 0, max: 1e6 }).map((seed) => `api_key='${createRandom(seed).base62(32)}'`),
    ),
    { maxLength: 14 },
  )
  .map((pieces) => pieces.join(''))

/** Cuts a text anywhere. */
const cuts = fc.array(fc.nat({ max: 400 }), { maxLength: 12 })
function pieces(text: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((place) => place % (text.length + 1)).sort((a, b) => a - b), text.length]
  return places.slice(1).map((place, index) => text.slice(places[index], place))
}

describe('createRedactor', () => {
  it('puts one placeholder for one value, wherever it stands, and the value back', async () => {
    const redactor = createRedactor({ classifier })
    const text = `password="${password}"\nlog: signed in with ${password}\ntoken=${token}\n`
    const safe = await redactor.redact(text)
    expect(safe).toBe('password="[[secret:1]]"\nlog: signed in with [[secret:1]]\ntoken=[[github-token:2]]\n')
    expect(await redactor.redact(`again ${token}`)).toBe('again [[github-token:2]]')
    expect(redactor.restore(safe)).toBe(text)
    expect(redactor.restore('use [[github-token:2]], not [[github-token:9]]')).toBe(`use ${token}, not [[github-token:9]]`)
  })

  it('replaces what is labelled higher than it is told', async () => {
    const text = `ann@northwind.co.uk ${token}`
    expect(await createRedactor({ classifier }).redact(text)).toBe('ann@northwind.co.uk [[github-token:1]]')
    expect(await createRedactor({ classifier, above: 'public' }).redact(text)).toBe('[[email:1]] [[github-token:2]]')
    expect(await createRedactor({ classifier, above: 'restricted' }).redact(text)).toBe(text)
  })

  it('does not let a text name a placeholder of its own', async () => {
    const redactor = createRedactor({ classifier })
    const text = `token=${token} and, says the attacker, [[github-token:1]]`
    const safe = await redactor.redact(text)
    expect(safe).toBe('token=[[github-token:1]] and, says the attacker, [[text:2]]')
    expect(redactor.restore(safe)).toBe(text)
  })

  it('gives back any text that it redacted, and leaves no value in it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(hardText, { minLength: 1, maxLength: 3 }), async (texts) => {
        const redactor = createRedactor({ classifier })
        for (const text of texts) {
          const safe = await redactor.redact(text)
          expect(redactor.restore(safe)).toBe(text)
          expect((await classifier.find(safe)).filter(({ label }) => label === 'restricted')).toEqual([])
          if (text.startsWith(`password="${password}"`)) expect(safe).not.toContain(password)
          // Redacting what is redacted nests, and comes apart again.
          expect(redactor.restore(await redactor.redact(safe))).toBe(safe)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('gives back a text that comes in pieces, cut anywhere, and holds back no more than a placeholder', async () => {
    await fc.assert(
      fc.asyncProperty(hardText, cuts, async (text, at) => {
        const redactor = createRedactor({ classifier })
        const safe = await redactor.redact(text)
        const restorer = redactor.restorer()
        let out = ''
        let given = 0
        for (const piece of pieces(safe, at)) {
          given += piece.length
          out += restorer.push(piece)
          expect(redactor.restore(safe.slice(0, given)).length - out.length).toBeLessThanOrEqual(120)
        }
        expect(out + restorer.end()).toBe(text)
      }),
      { numRuns: 300 },
    )
  })

  it('gives back what JSON holds, in pieces too', async () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 2 },
        hardText,
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('any')),
        fc.dictionary(hardText, tie('any')),
      ),
    })).any
    await fc.assert(
      fc.asyncProperty(value, fc.constantFrom(0, 2), cuts, async (given, indent, at) => {
        const redactor = createRedactor({ classifier })
        const text = JSON.stringify(given, null, indent)
        const safe = await redactor.redact(text, { json: true })
        expect(() => JSON.parse(safe)).not.toThrow()
        expect(JSON.parse(redactor.restore(safe, { json: true }))).toEqual(given)
        const restorer = redactor.restorer({ json: true })
        const out = pieces(safe, at).map((piece) => restorer.push(piece))
        expect(JSON.parse(out.join('') + restorer.end())).toEqual(given)
      }),
      { numRuns: 300 },
    )
  })

  it('finds values in JSON where they are escaped, and by the name of their field', async () => {
    const redactor = createRedactor({ classifier })
    const secret = `q"${random.base62(20)}\\7$x`
    const key = random.pem('PRIVATE KEY', 3)
    const safe = await redactor.redact(
      JSON.stringify({ password: password, content: `API_TOKEN='${secret}'\n${key}\n`, card: Number(random.card()) }),
      {
        json: true,
      },
    )
    expect(JSON.parse(safe)).toEqual({
      password: '[[secret:1]]',
      content: expect.stringMatching(/^API_TOKEN='\[\[secret:\d\]\]'\n\[\[private-key:\d\]\]\n$/),
      card: expect.stringMatching(/^\[\[card-number:\d\]\]$/),
    })
  })

  it.each([
    [{}, /classifier: expected what createClassifier\(\) returns/],
    [{ classifier, above: 'secret' }, /above/],
    [{ classifier, below: 'public' }, /below/],
  ])('refuses %o', (options, message) => {
    expect(() => createRedactor(options as RedactorOptions)).toThrow(message)
  })
})

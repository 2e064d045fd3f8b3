import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createAnswerVerifier } from './answer-verifier.ts'
import type { Outcome, OutcomeIndex } from './outcome-index.ts'
import { createOutcomeIndex } from './outcome-index.ts'
import { madeUpOutcomes, madeUpTask } from './trial/made-up-outcomes.ts'

const easy = madeUpTask(0, 10_001)
const hard = madeUpTask(1, 10_002)

async function trained(outcomes: readonly Outcome[] = madeUpOutcomes(400), options = {}): Promise<OutcomeIndex> {
  const index = createOutcomeIndex(options)
  await index.add(...outcomes)
  return index
}

async function successOf(index: OutcomeIndex, model: string, text: string): Promise<number> {
  return (await index.estimate(text)).models.get(model)?.success ?? Number.NaN
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'outcomes-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const words = fc.constantFrom('cache', 'query', 'index', 'token', 'parse', 'render', 'queue', 'socket', 'retry', '7', 'γλώσσα', '修复')
const text = fc.array(words, { minLength: 1, maxLength: 12 }).map((list) => list.join(' '))
const outcome = fc.record({ text, model: fc.constantFrom('a', 'b', 'c'), success: fc.boolean() })
const outcomes = fc.array(outcome, { minLength: 1, maxLength: 120 })

describe('createOutcomeIndex', () => {
  it('tells by the words of a text which model will be right', async () => {
    const index = await trained()
    expect(await successOf(index, 'small', easy)).toBeGreaterThan(0.9)
    expect(await successOf(index, 'small', hard)).toBeLessThan(0.1)
    expect(await successOf(index, 'large', hard)).toBe(1)
    expect(await index.estimate(easy)).toMatchObject({ abstains: false })
  })

  it('learns one outcome at a time, and says the same in whatever order they came', async () => {
    await fc.assert(
      fc.asyncProperty(outcomes, text, fc.infiniteStream(fc.nat()), async (list, question, random) => {
        const [one, other] = [createOutcomeIndex({ minOutcomes: 1 }), createOutcomeIndex({ minOutcomes: 1 })]
        await one.add(...list)
        for (const item of list.toSorted(() => ((random.next().value as number) % 3) - 1)) await other.add(item)
        const [first, second] = [await one.estimate(question), await other.estimate(question)]
        expect(new Map([...second.models].sort())).toEqual(new Map([...first.models].sort()))
      }),
      { numRuns: 60 },
    )
  })

  it('always says a probability between what it has seen', async () => {
    await fc.assert(
      fc.asyncProperty(outcomes, fc.oneof(text, fc.string({ unit: 'binary' })), async (list, question) => {
        const { models, familiarity } = await (await trained(list, { minOutcomes: 1 })).estimate(question)
        expect(familiarity).toBeGreaterThanOrEqual(0)
        for (const [model, { success, evidence }] of models) {
          const seen = list.filter((item) => item.model === model).map((item) => Number(item.success))
          expect(success).toBeGreaterThanOrEqual(Math.min(...seen))
          expect(success).toBeLessThanOrEqual(Math.max(...seen))
          expect(evidence).toBeGreaterThanOrEqual(0)
        }
      }),
      { numRuns: 60 },
    )
  })

  describe('abstains', () => {
    it.each([
      ['another field', 'Give me a recipe for a soup with leeks and potatoes, please'],
      ['another script', '修复登录页面的错误'],
      ['nothing', ''],
      ['signs', '?!?! --- ((('],
      ['one strange word again and again', 'zyzzyva '.repeat(10_000)],
    ])('on a text of %s', async (_, question) => {
      expect(await (await trained()).estimate(question)).toMatchObject({ abstains: true, familiarity: expect.any(Number) })
    })

    it('on about the share of known texts that it was told to', async () => {
      const questions = Array.from({ length: 200 }, (_, at) => madeUpTask(at % 2 === 0 ? 0 : 1, 20_000 + at))
      const shareOf = async (index: OutcomeIndex) => {
        const estimates = await Promise.all(questions.map((question) => index.estimate(question)))
        return estimates.filter(({ abstains }) => abstains).length / questions.length
      }
      expect(await shareOf(await trained())).toBeLessThan(0.15)
      expect(await shareOf(await trained(undefined, { abstainShare: 0.5 }))).toBeGreaterThan(0.3)
    })

    it.each([
      ['like the known ones', easy],
      ['wholly other words', 'Give me a recipe for a soup with leeks and potatoes, please'],
      ['no words', ''],
      ['another script', '修复登录页面的错误'],
    ])('never, with a share of 0, on %s', async (_, question) => {
      const index = await trained(undefined, { abstainShare: 0 })
      expect(await index.estimate(question)).toMatchObject({ abstains: false, familiarity: expect.any(Number) })
      expect(await createOutcomeIndex({ abstainShare: 0 }).estimate(question)).toMatchObject({ abstains: true, models: new Map() })
    })

    it('while too few outcomes are known, of all models or of one', async () => {
      const index = createOutcomeIndex()
      expect(await index.estimate(easy)).toEqual({ abstains: true, familiarity: 0, models: new Map() })
      await index.add(...madeUpOutcomes(29))
      expect(await index.estimate(easy)).toMatchObject({ abstains: true, models: new Map() })
      await index.add(...madeUpOutcomes(40).filter(({ model }) => model === 'large'))
      expect([...(await index.estimate(easy)).models.keys()]).toEqual(['large'])
    })
  })

  describe('poisoned outcomes', () => {
    it('move an estimate by a fifth at most with one text, however often it is said', async () => {
      const index = await trained()
      const before = await successOf(index, 'small', easy)
      await index.add({ text: easy, model: 'small', success: false })
      const once = await successOf(index, 'small', easy)
      expect(before - once).toBeGreaterThan(0)
      expect(before - once).toBeLessThanOrEqual(0.2)
      await index.add(...Array.from({ length: 500 }, () => ({ text: easy, model: 'small', success: false })))
      expect(await successOf(index, 'small', easy)).toBeCloseTo(once, 10)
      expect(index.size).toBe((await trained()).size + 1)
    })

    it('elsewhere leave it nearly as it was', async () => {
      const index = await trained()
      const before = await successOf(index, 'small', easy)
      await index.add(...Array.from({ length: 20 }, (_, at) => ({ text: madeUpTask(1, 30_000 + at), model: 'small', success: true })))
      expect(Math.abs((await successOf(index, 'small', easy)) - before)).toBeLessThan(0.02)
    })
  })

  describe('maxTexts', () => {
    it('makes the text go that was not added to for the longest time', async () => {
      const index = createOutcomeIndex({ maxTexts: 2, minOutcomes: 1 })
      await index.add({ text: 'first one', model: 'a', success: true }, { text: 'second one', model: 'b', success: true })
      await index.add({ text: 'first one', model: 'a', success: true }, { text: 'third one', model: 'c', success: true })
      expect(index.size).toBe(2)
      expect([...(await index.estimate('one')).models.keys()]).toEqual(['a', 'c'])
    })

    it('leaves an index that says what one says that never had the others', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(outcome, { selector: (item) => item.text, minLength: 20, maxLength: 120 }),
          text,
          async (list, question) => {
            const small = await trained(list, { maxTexts: 15, minOutcomes: 1 })
            const fresh = await trained(list.slice(-15), { minOutcomes: 1 })
            const [one, other] = [await small.estimate(question), await fresh.estimate(question)]
            expect(new Map([...one.models].sort())).toEqual(new Map([...other.models].sort()))
          },
        ),
        { numRuns: 60 },
      )
    })
  })

  describe('embed', () => {
    /** A stand-in for an embedding model: one direction for each kind of task. */
    const embed = async (question: string) =>
      Float32Array.from([
        question.includes('mutex') || question.includes('lock') ? 5 : 0.2,
        /format|import|lint/.test(question) ? 3 : 0.1,
        1,
      ])

    it('compares by the vectors in place of the words', async () => {
      const index = await trained(undefined, { embed })
      expect(await successOf(index, 'small', 'wholly other words about a mutex')).toBeLessThan(0.4)
      expect(await successOf(index, 'small', 'wholly other words about a linter: lint')).toBeGreaterThan(0.6)
    })

    it.each([
      ['vectors of another size', async () => new Float32Array(7).fill(1), /expected 3 numbers as before, received 7/],
      ['vectors without a direction', async () => new Float32Array(3), /finite numbers that are not all 0/],
      ['vectors of nothing', async () => Float32Array.from([Number.NaN, 1, 1]), /finite numbers/],
    ])('refuses %s', async (_, broken, message) => {
      let current: typeof embed = embed
      const index = await trained(madeUpOutcomes(40), { embed: (question: string) => current(question) })
      current = broken
      await expect(index.estimate(easy)).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringMatching(message) })
      await expect(index.add({ text: 'x', model: 'small', success: true })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
      expect(index.size).toBe((await trained(madeUpOutcomes(40))).size)
    })

    it('comes back from a file', async () => {
      const path = join(folder(), 'outcomes')
      const index = await trained(undefined, { embed })
      await index.save(path)
      const loaded = createOutcomeIndex({ embed })
      await loaded.load(path)
      expect(await loaded.estimate(easy)).toEqual(await index.estimate(easy))
      await expect(createOutcomeIndex().load(path)).rejects.toMatchObject({
        code: 'INVALID_OPTIONS',
        message: expect.stringMatching(/holds outcomes of embeddings, and outcomes were to be loaded/),
      })
    })
  })

  it.each([
    [{ maxTexts: 0 }, /maxTexts/],
    [{ abstainShare: 2 }, /abstainShare/],
    [{ embed: 'gpt' }, /embed: expected a function/],
    [{ size: 5 }, /size/],
  ])('refuses %j', (options, message) => {
    expect(() => createOutcomeIndex(options as never)).toThrow(message)
  })

  it('refuses an outcome that is none, and takes in none of the others', async () => {
    const index = createOutcomeIndex()
    const good = { text: 'x', model: 'a', success: true }
    await expect(index.add(good, { text: 'x', model: 'a', success: 1 } as never)).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(/OutcomeIndex.add: 1.success/),
    })
    expect(index.size).toBe(0)
  })
})

describe('OutcomeIndex.save and load', () => {
  it('bring back what says the same, goes on learning the same, and saves to the same bytes', async () => {
    await fc.assert(
      fc.asyncProperty(outcomes, outcomes, text, async (list, later, question) => {
        const dir = folder()
        const index = await trained(list, { minOutcomes: 1, maxTexts: 40 })
        await index.save(join(dir, 'one'))
        const loaded = createOutcomeIndex({ minOutcomes: 1, maxTexts: 40 })
        await loaded.load(join(dir, 'one'))
        expect(loaded.size).toBe(index.size)
        await loaded.save(join(dir, 'two'))
        expect(readFileSync(join(dir, 'two'))).toEqual(readFileSync(join(dir, 'one')))
        for (const one of [index, loaded]) await one.add(...later)
        const [expected, found] = [await index.estimate(question), await loaded.estimate(question)]
        expect(found.familiarity).toBe(expected.familiarity)
        expect(new Map([...found.models].sort())).toEqual(new Map([...expected.models].sort()))
      }),
      { numRuns: 40 },
    )
  })

  it('keep the youngest where fewer are kept now', async () => {
    const path = join(folder(), 'outcomes')
    await (await trained()).save(path)
    const loaded = createOutcomeIndex({ maxTexts: 50 })
    await loaded.load(path)
    expect(loaded.size).toBe(50)
    const young = await trained(madeUpOutcomes(400).slice(-100))
    expect(await successOf(loaded, 'small', hard)).toBe(await successOf(young, 'small', hard))
  })

  it('go by the share of the index that loads them', async () => {
    const path = join(folder(), 'outcomes')
    await (await trained()).save(path)
    const wary = createOutcomeIndex({ abstainShare: 1 })
    await wary.load(path)
    for (const question of [easy, hard]) {
      expect(await wary.estimate(question)).toMatchObject({ abstains: true })
      expect(await (await trained()).estimate(question)).toMatchObject({ abstains: false })
    }
  })

  it('take up 2 or 3 bytes for each n-gram, and leave nothing beside the file', async () => {
    const dir = folder()
    const index = await trained()
    await index.save(join(dir, 'outcomes'))
    await index.save(join(dir, 'outcomes'))
    expect(readdirSync(dir)).toEqual(['outcomes'])
    expect(readFileSync(join(dir, 'outcomes')).length / index.size).toBeLessThan(100)
  })

  it('refuse a file that was changed anywhere or cut off, and leave file and index as they were', async () => {
    const path = join(folder(), 'outcomes')
    const index = await trained(madeUpOutcomes(60))
    await index.save(path)
    const whole = readFileSync(path)
    const other = await trained(madeUpOutcomes(40))
    const before = await other.estimate(easy)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), async (at, change, cut) => {
        const damaged = Buffer.from(whole)
        damaged[at] = (damaged[at] as number) ^ change
        writeFileSync(path, cut ? whole.subarray(0, at) : damaged)
        await expect(other.load(path)).rejects.toMatchObject({ code: 'CORRUPT_FILE', details: { path } })
        expect(readFileSync(path)).toEqual(cut ? whole.subarray(0, at) : damaged)
      }),
      { numRuns: 100 },
    )
    expect(await other.estimate(easy)).toEqual(before)
  })

  /** A file with this after its name, and the right hash. */
  const signed = (...bytes: readonly number[]) => {
    const body = Buffer.concat([Buffer.from('batonout'), Buffer.from(bytes)])
    return Buffer.concat([body, createHash('sha256').update(body).digest()])
  }
  const outcomesKind = [8, ...Buffer.from('outcomes')]
  const header = [1, ...outcomesKind, 0, 0, 0, 0, 0, 0, 0, 0, 0]

  it.each([
    [
      'a later version',
      signed(2, ...outcomesKind),
      /later version of Baton, in format 2 where this one reads 1\. Nothing was changed; load it with that version, or move it away to begin anew/,
    ],
    ['more entries than it has', signed(...header, 0, 0, 5), /what it says of itself cannot be/],
    ['more than its entries', signed(...header, 0, 0, 0, 9), /cannot be/],
    ['more models than could be', signed(...header, 0, 255, 255, 255, 255, 255, 255, 255), /cannot be/],
    ['too many n-grams', signed(...header, 0, 0, 1, ...Array(28).fill(0), 255, 1), /cannot be/],
    ['an n-gram that cannot be', signed(...header, 0, 0, 1, ...Array(28).fill(0), 1, 255, 255, 255, 127), /cannot be/],
    ['a tally of no model', signed(...header, 0, 0, 1, ...Array(28).fill(0), 0, 1, 0, 1, 1), /cannot be/],
    ['a tally of nothing', signed(...header, 0, 1, 1, 97, 1, ...Array(28).fill(0), 0, 1, 0, 0, 0), /cannot be/],
    ['something else', Buffer.from('{"outcomes": []}'), /no file of outcomes/],
    ['nothing', Buffer.alloc(0), /no file of outcomes/],
  ])('refuse a file with %s', async (_, data, message) => {
    const path = join(folder(), 'outcomes')
    writeFileSync(path, data)
    await expect(createOutcomeIndex().load(path)).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      message: expect.stringMatching(message),
    })
  })

  it('take the smallest file that can be', async () => {
    const path = join(folder(), 'outcomes')
    writeFileSync(path, signed(...header, 0, 1, 1, 97, 1, ...Array(28).fill(0), 0, 1, 0, 1, 1))
    const index = createOutcomeIndex({ minOutcomes: 1 })
    await index.load(path)
    expect([...(await index.estimate('x')).models]).toEqual([['a', { success: 1, evidence: 1 }]])
  })

  it('refuse what is not there, holds something else or cannot be written', async () => {
    const dir = folder()
    const index = await trained(madeUpOutcomes(40))
    await expect(index.load(join(dir, 'none'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
    await expect(index.load(dir)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await expect(index.save(join(dir, 'no', 'folder'))).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await expect(index.save(dir)).rejects.toMatchObject({ code: 'STORE_FAILED' })
    const verifier = createAnswerVerifier()
    verifier.add({ text: 'x', answer: 'y', success: true })
    await verifier.save(join(dir, 'answers'))
    await expect(index.load(join(dir, 'answers'))).rejects.toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringMatching(
        /holds outcomes of answers, and outcomes were to be loaded\. Nothing was changed; load it with createAnswerVerifier\(\)/,
      ),
    })
    expect(readdirSync(dir)).toEqual(['answers'])
  })
})

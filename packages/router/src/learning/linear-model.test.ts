import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLinearModel } from './linear-model.ts'

const figures = fc.array(fc.integer({ min: -128, max: 128 }), { minLength: 3, maxLength: 3 }).map((list) => Float32Array.from(list))
const example = fc.record({ figures, share: fc.constantFrom(0, 0.25, 0.5, 1) })

describe('createLinearModel', () => {
  it('finds which figures matter', () => {
    const model = createLinearModel(3)
    for (let at = 0; at < 600; at++) {
      const [a, b, c] = [at % 2, (at >> 1) % 2, (at >> 2) % 2].map((bit) => bit * 16) as [number, number, number]
      model.add(Float32Array.of(a, b, c), a > 0 ? 1 : 0)
    }
    expect(model.predict(Float32Array.of(16, 0, 0))).toBeGreaterThan(0.9)
    expect(model.predict(Float32Array.of(0, 16, 16))).toBeLessThan(0.1)
  })

  it('knows nothing before the first example, and says the mean where figures say nothing', () => {
    const model = createLinearModel(2)
    expect(model.predict(Float32Array.of(1, 2))).toBeUndefined()
    for (const share of [1, 1, 0, 1]) model.add(Float32Array.of(5, 5), share)
    expect(model.predict(Float32Array.of(5, 5))).toBe(0.75)
  })

  it('says the same in any order of examples, and without those that were taken out again', () => {
    fc.assert(
      fc.property(
        fc.array(example, { minLength: 1, maxLength: 40 }),
        fc.array(example, { maxLength: 20 }),
        figures,
        (kept, gone, question) => {
          const [one, other] = [createLinearModel(3), createLinearModel(3)]
          for (const item of kept) one.add(item.figures, item.share)
          for (const item of [...gone, ...kept.toReversed()]) other.add(item.figures, item.share)
          for (const item of gone) other.remove(item.figures, item.share)
          expect(other.examples).toBe(kept.length)
          expect(other.predict(question)).toBe(one.predict(question))
          expect(one.predict(question)).toBeGreaterThanOrEqual(0)
          expect(one.predict(question)).toBeLessThanOrEqual(1)
        },
      ),
    )
  })
})

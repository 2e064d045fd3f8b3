import type { Random } from './random.ts'
import { createRandom } from './random.ts'

/** A text with one secret in it, between « and ». */
export type Planted = readonly [where: string, kind: string, write: (random: Random) => string]
/** A text that looks as if it had one. */
export type LookAlike = readonly [what: string, write: (random: Random) => string]

export interface PlantedText {
  readonly where: string
  readonly kind: string
  readonly text: string
  readonly offset: number
  readonly length: number
}

/** Writes the texts out, the same ones each time. */
export function plant(cases: readonly Planted[], seed: number): PlantedText[] {
  return cases.map(([where, kind, write], index) => {
    const marked = write(createRandom(seed + index * 7919))
    const offset = marked.indexOf('«')
    const length = marked.indexOf('»') - offset - 1
    if (offset < 0 || length <= 0) throw new Error(`${where} (${kind}) marks no secret`)
    return { where, kind, text: marked.replace('«', '').replace('»', ''), offset, length }
  })
}

export function imitate(cases: readonly LookAlike[], seed: number): { what: string; text: string }[] {
  return cases.map(([what, write], index) => ({ what, text: write(createRandom(seed + index * 7919)) }))
}

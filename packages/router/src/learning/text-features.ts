import { createHash } from 'node:crypto'

/** Sets of n-grams are cut to so many, the same ones in every text that has them. */
export const maxNgrams = 128
/** Hashes of n-grams are counted in so many buckets. */
export const ngramBuckets = 1 << 17

/** What is kept of a text: which n-grams it has, as hashes, and its shape. The text itself cannot be read back from it. */
export interface TextFeatures {
  /** Buckets of its words and pairs of words, ascending, each once; at most {@link maxNgrams}. */
  readonly ngrams: Int32Array
  /** Base-2 logarithm of its characters. */
  readonly length: number
  /** Base-2 logarithm of the numbers in it. */
  readonly numbers: number
  /** Numbers among its words, from 0 to 8. */
  readonly density: number
}

/** Of a long text the beginning and the end are read. */
const read = { head: 6_000, tail: 2_000 }
/** Characters of a word that count, so that `integral` and `integrals` are the same. */
const stem = 6

const token = /[\p{L}\p{M}]+(?:['’]\p{L}+)?|\p{N}+(?:[.,]\p{N}+)*|[^\s\p{L}\p{M}\p{N}]/gu
const number = /^\p{N}/u
const word = /^[\p{L}\p{M}]/u
/** Scripts that put no spaces between words: each character is a word there, and a pair of them a pair of words. */
const unspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** Reads the features of a text. */
export function textFeatures(text: string): TextFeatures {
  const hashes = new Set<number>()
  let previous: number | undefined
  let [words, numbers] = [0, 0]
  for (const item of tokens(text)) {
    if (word.test(item)) words++
    else if (number.test(item)) numbers++
    const hash = hashOf(item)
    hashes.add(mix(hash))
    if (previous !== undefined) hashes.add(mix(Math.imul(previous, 0x9e3779b1) ^ hash))
    previous = hash
  }
  return {
    ngrams: sketch(hashes),
    // Single precision, as in a file: what was loaded says the same as what was saved.
    length: Math.fround(Math.log2(1 + text.length)),
    numbers: Math.fround(Math.log2(1 + numbers)),
    density: Math.fround((8 * numbers) / (1 + numbers + words)),
  }
}

/** Tells texts apart: 128 bits in hexadecimal. */
export function textKey(...parts: readonly string[]): string {
  const hash = createHash('sha256')
  // Lengths keep `ab` + `c` apart from `a` + `bc`; the parts are hashed as UTF-16, so that lone surrogates stay apart too.
  for (const part of parts) hash.update(`${part.length}:`).update(Buffer.from(part, 'utf16le'))
  return hash.digest('hex').slice(0, 32)
}

function* tokens(text: string): Generator<string> {
  const { head, tail } = read
  const shown = text.length <= head + tail ? text : `${text.slice(0, head)} ${text.slice(-tail)}`
  for (const [item] of shown.normalize('NFKC').toLowerCase().matchAll(token)) {
    if (number.test(item)) yield `#${Math.min(item.length, stem)}`
    else if (unspaced.test(item)) yield* item
    else yield item.slice(0, stem)
  }
}

/**
 * Of many n-grams those with the smallest hashes are kept. Which ones these are does not depend on the text, so that two long texts share
 * as large a part of what is kept as of the whole (bottom-k sketch: Broder, "On the resemblance and containment of documents", 1997).
 */
function sketch(hashes: ReadonlySet<number>): Int32Array {
  const kept = Uint32Array.from(hashes).sort().subarray(0, maxNgrams)
  return Int32Array.from(new Set(kept.map((hash) => hash % ngramBuckets))).sort()
}

/** FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. */
function hashOf(item: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < item.length; at++) hash = Math.imul(hash ^ item.charCodeAt(at), 0x01000193)
  return hash
}

/** Spreads the bits of a hash: both the order by size and the lowest bits have to be even. */
function mix(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x7feb352d)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846ca68b)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

import { createHash, randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { BatonError } from '@baton-sdk/core'
import type { ByteReader, ByteWriter } from './byte-codec.ts'
import { createByteReader, createByteWriter } from './byte-codec.ts'
import type { OutcomeTable, TableEntry, Tally } from './outcome-table.ts'
import { maxNgrams, ngramBuckets } from './text-features.ts'

/*
 * Format, version 1. Counts are LEB128, figures 32-bit floats, texts UTF-8 after their length.
 * "batonout", version, what it holds (text), the scale (figure, figure, count), figures in `dense`, ids of models ascending, then the entries, oldest first:
 * key (16 bytes), length, numbers, density, n-grams (their count, then the steps from one to the next), `dense`,
 * tallies (their count, then model, right, tried). At the end the SHA-256 of all before it.
 */
const magic = Buffer.from('batonout')
const version = 1
const hashBytes = 32
const keyBytes = 16

/** What a file of outcomes is for. */
export type OutcomeFileKind = 'outcomes' | 'outcomes of embeddings' | 'outcomes of answers'

/** How like known texts are to each other at least, and how many came in since that was measured. */
export interface OutcomeScale {
  readonly floor: number
  /** The share of texts that may be less like the others than that; single precision, as all figures in a file. */
  readonly share: number
  readonly unmeasured: number
}

/** What a file holds. */
interface OutcomeFile {
  readonly kind: OutcomeFileKind
  readonly table: OutcomeTable
  /** Ids of models, where the tallies find them. */
  readonly models: string[]
  readonly scale: OutcomeScale
}

/** Writes all entries of a table to a file: aside, synced, then renamed. */
export async function writeOutcomes(path: string, file: OutcomeFile): Promise<void> {
  const writer = createByteWriter()
  encode(writer, file)
  const body = writer.done()
  const aside = `${path}.${randomUUID()}.tmp`
  try {
    const handle = await open(aside, 'wx')
    try {
      await handle.writeFile(body)
      await handle.writeFile(sha256(body))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true })
    throw fileError(error, path, 'saved')
  }
  await syncFolder(dirname(path))
}

/**
 * Puts the entries of a file into an empty table, and the ids of models into an empty list; both are to be thrown away when this throws.
 *
 * @throws BatonError `FILE_NOT_FOUND`, `CORRUPT_FILE`, `INVALID_OPTIONS`, `STORE_FAILED`
 */
export async function readOutcomes(path: string, { kind, table, models }: Omit<OutcomeFile, 'scale'>): Promise<OutcomeScale> {
  let data: Buffer
  try {
    data = await readFile(path)
  } catch (error) {
    throw fileError(error, path, 'loaded')
  }
  const body = data.subarray(0, Math.max(0, data.length - hashBytes))
  if (!body.subarray(0, magic.length).equals(magic)) throw corrupt(path, 'it is no file of outcomes')
  if (!sha256(body).equals(data.subarray(body.length))) throw corrupt(path, 'it is damaged or was cut off')
  const reader = createByteReader(body.subarray(magic.length))
  try {
    const found = reader.count()
    if (found > version)
      throw corrupt(path, `it was written by a later version of Baton, in format ${found} where this one reads ${version}`, {
        advice: 'load it with that version',
      })
    const held = reader.text()
    if (held !== kind)
      throw new BatonError('INVALID_OPTIONS', `${path} holds ${held}, and ${kind} were to be loaded. ${loadedWith(held)}`, {
        details: { path },
      })
    const scale = { floor: reader.float(), share: reader.float(), unmeasured: reader.count() }
    decode(reader, table, models)
    return scale
  } catch (error) {
    throw BatonError.isInstance(error) ? error : corrupt(path, 'what it says of itself cannot be', { cause: error })
  }
}

function encode(writer: ByteWriter, { kind, table, models, scale }: OutcomeFile): void {
  const entries = [...table.entries()]
  // Only those that are still there, in an order of their own: equal tables have equal files.
  const used = [...new Set(entries.flatMap(({ tallies }) => tallies.map((tally) => tally.model)))]
  const names = used.map((model) => models[model] as string).sort()
  const places = new Map(names.map((name, place) => [models.indexOf(name), place]))
  writer.bytes(magic)
  writer.count(version)
  writer.text(kind)
  writer.float(scale.floor)
  writer.float(scale.share)
  writer.count(scale.unmeasured)
  writer.count(entries[0]?.dense?.length ?? 0)
  writer.count(names.length)
  for (const name of names) writer.text(name)
  writer.count(entries.length)
  for (const { key, features, dense = [], tallies } of entries) {
    writer.bytes(Buffer.from(key, 'hex'))
    for (const figure of [features.length, features.numbers, features.density]) writer.float(figure)
    writer.count(features.ngrams.length)
    features.ngrams.forEach((ngram, at) => {
      writer.count(ngram - (features.ngrams[at - 1] ?? 0))
    })
    for (const figure of dense) writer.float(figure)
    const rows = tallies.map((tally) => ({ ...tally, place: places.get(tally.model) as number })).sort((a, b) => a.place - b.place)
    writer.count(rows.length)
    for (const { place, right, tried } of rows) for (const value of [place, right, tried]) writer.count(value)
  }
}

function decode(reader: ByteReader, table: OutcomeTable, models: string[]): void {
  const figures = reader.count()
  for (let left = reader.count(); left > 0; left--) models.push(reader.text())
  for (let left = reader.count(); left > 0; left--) table.put(decodeEntry(reader, figures, models.length))
  if (reader.left > 0) throw new RangeError(`${reader.left} bytes more than there should be`)
}

function decodeEntry(reader: ByteReader, figures: number, models: number): TableEntry {
  const key = Buffer.from(reader.bytes(keyBytes)).toString('hex')
  const [length, numbers, density] = [reader.float(), reader.float(), reader.float()]
  const ngrams = new Int32Array(atMost(maxNgrams, reader.count()))
  let ngram = 0
  for (let at = 0; at < ngrams.length; at++) {
    ngram += reader.count()
    ngrams[at] = atMost(ngramBuckets - 1, ngram)
  }
  const dense = figures > 0 ? Float32Array.from({ length: atMost(reader.left / 4, figures) }, () => reader.float()) : undefined
  const tallies: Tally[] = []
  for (let left = reader.count(); left > 0; left--) {
    const [model, right, tried] = [atMost(models - 1, reader.count()), reader.count(), reader.count()]
    if (tried === 0) throw new RangeError('a tally of nothing')
    tallies.push({ model, right: atMost(tried, right), tried })
  }
  return { key, features: { ngrams, length, numbers, density }, dense, tallies }
}

function atMost(limit: number, value: number): number {
  if (value > limit) throw new RangeError(`${value} where at most ${limit} can be`)
  return value
}

function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest()
}

function corrupt(
  path: string,
  why: string,
  { advice = 'restore it from a copy', cause }: { readonly advice?: string; readonly cause?: unknown } = {},
): BatonError {
  return new BatonError(
    'CORRUPT_FILE',
    `${path} cannot be loaded: ${why}. Nothing was changed; ${advice}, or move it away to begin anew.`,
    {
      details: { path },
      ...(cause !== undefined && { cause }),
    },
  )
}

/** What to load a file with that holds something else. */
function loadedWith(held: string): string {
  const loaders: Readonly<Record<OutcomeFileKind, string>> = {
    outcomes: 'createOutcomeIndex()',
    'outcomes of embeddings': 'createOutcomeIndex({ embed })',
    'outcomes of answers': 'createAnswerVerifier()',
  }
  const loader = held in loaders ? loaders[held as OutcomeFileKind] : undefined
  return loader === undefined ? 'Nothing was changed.' : `Nothing was changed; load it with ${loader}.`
}

function fileError(error: unknown, path: string, what: 'saved' | 'loaded'): BatonError {
  const code = (error as NodeJS.ErrnoException).code
  const reason = error instanceof Error ? error.message : String(error)
  const kind =
    code === 'ENOENT' && what === 'loaded' ? 'FILE_NOT_FOUND' : code === 'ENOSPC' || code === 'EDQUOT' ? 'STORE_FULL' : 'STORE_FAILED'
  return new BatonError(kind, `The outcomes could not be ${what}: ${reason}`, { cause: error, details: { path } })
}

/** So that the new name is still there after a power loss, where folders can be synced. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => undefined)
  await folder?.close()
}

import { fileError } from '../events/store-errors.ts'
import type { PackedObject, PackFile } from './pack-file.ts'
import { openPackFile, unpackObject } from './pack-file.ts'
import type { PackIndex } from './pack-index.ts'
import { parsePackIndex } from './pack-index.ts'
import type { FinishedPack, PackWriter } from './pack-writer.ts'
import { createPackWriter, discardPack } from './pack-writer.ts'

/** Objects that wait for the next commit: in memory, and beyond a limit in packs that nobody else sees yet. */
export interface UnwrittenObjects {
  has(oid: string): boolean
  read(oid: string): PackedObject | undefined
  /** Throws `STORE_FULL` or `STORE_FAILED` where memory is used up and cannot be written out; nothing was added then. */
  add(oid: string, packed: Buffer): void
  /** In memory. */
  readonly objects: ReadonlyMap<string, Buffer>
  /** Whole, but not synced. */
  readonly spilled: readonly SpilledPack[]
  /** Hands over what was written out, pack by pack. */
  publishSpilled(publish: (pack: FinishedPack) => void): void
  /** Takes over what another one has, after it could not be written. */
  absorb(other: UnwrittenObjects): void
  /** Removes what was written out. */
  discard(): void
}

/** A pack that stands aside and is read. */
interface SpilledPack {
  readonly finished: FinishedPack
  readonly index: PackIndex
  readonly file: PackFile
}

const memoryBytes = 33_554_432
/** What an object costs beside its bytes. */
const overheadBytes = 300

/** @param folder - where packs are written to, which is there by the time something is added */
export function createUnwrittenObjects(dir: string, folder: string): UnwrittenObjects {
  const objects = new Map<string, Buffer>()
  const spilled: SpilledPack[] = []
  let bytes = 0

  function spill(): void {
    try {
      const finished = writePack(folder, objects)
      const index = parsePackIndex(finished.index, dir, finished.aside.index)
      spilled.push({ finished, index, file: openPackFile(finished.aside.pack, dir) })
    } catch (error) {
      throw fileError(error, `Keeping content for the next commit of ${dir}`)
    }
    objects.clear()
    bytes = 0
  }

  function add(oid: string, packed: Buffer): void {
    if (objects.has(oid)) return
    if (bytes > memoryBytes) spill()
    objects.set(oid, packed)
    bytes += packed.length + overheadBytes
  }

  function locate(oid: string): { file: PackFile; offset: number } | undefined {
    const key = Buffer.from(oid, 'hex')
    for (const { index, file } of spilled) {
      const position = index.position(key)
      if (position >= 0) return { file, offset: index.offsetAt(position) }
    }
    return undefined
  }

  return {
    objects,
    spilled,
    has: (oid) => objects.has(oid) || locate(oid) !== undefined,
    read(oid) {
      const packed = objects.get(oid)
      if (packed) return unpackObject(packed)
      const place = locate(oid)
      return place?.file.readAt(place.offset)
    },
    add,
    publishSpilled(publish) {
      for (let [pack] = spilled; pack; [pack] = spilled) {
        publish(pack.finished)
        spilled.shift()
        pack.file.close()
      }
    },
    absorb(other) {
      spilled.push(...other.spilled)
      for (const [oid, packed] of other.objects) {
        objects.set(oid, packed)
        bytes += packed.length + overheadBytes
      }
    },
    discard() {
      for (const { finished, file } of spilled) {
        file.close()
        discardPack(finished)
      }
      spilled.length = 0
      objects.clear()
    },
  }
}

/** Writes objects to a pack that stands aside. One that fails leaves nothing behind. */
export function writePack(folder: string, objects: ReadonlyMap<string, Buffer>): FinishedPack {
  let writer: PackWriter | undefined
  try {
    writer = createPackWriter(folder, objects.size)
    for (const [oid, packed] of objects) writer.add(oid, packed)
    return writer.finish()
  } catch (error) {
    writer?.discard()
    throw error
  }
}

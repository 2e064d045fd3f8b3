import type { PackFolder, PackInfo } from './pack-folder.ts'

/** Which objects are needed: one byte for each object of each pack. An object that is in several packs is marked in one of them. */
export interface LiveMarks {
  /** Marks an object, and says whether it was not before. One that is not there stays unmarked. */
  add(oid: string): boolean
  remove(oid: string): void
  has(oid: string): boolean
  isLive(pack: PackInfo, position: number): boolean
  /** Whether every object of a pack is marked. */
  isAllLive(pack: PackInfo): boolean
}

/** The packs may not be merged or removed meanwhile. */
export function createLiveMarks(packs: PackFolder): LiveMarks {
  const marks = new Map<string, Uint8Array>()

  function marksOf(pack: PackInfo): Uint8Array {
    const known = marks.get(pack.name) ?? new Uint8Array(packs.index(pack)?.count ?? 0)
    marks.set(pack.name, known)
    return known
  }

  function set(oid: string, mark: 0 | 1): boolean {
    const place = packs.find(oid)
    if (!place) return false
    const known = marksOf(place.pack)
    const isDifferent = known[place.position] !== mark
    known[place.position] = mark
    return isDifferent
  }

  return {
    add: (oid) => set(oid, 1),
    remove(oid) {
      set(oid, 0)
    },
    has(oid) {
      const place = packs.find(oid)
      return place !== undefined && marksOf(place.pack)[place.position] === 1
    },
    isLive: (pack, position) => marksOf(pack)[position] === 1,
    isAllLive: (pack) => marksOf(pack).every((mark) => mark === 1),
  }
}

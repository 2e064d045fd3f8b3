import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate as pause } from 'node:timers/promises'
import type { PackFolder, PackInfo } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'
import type { FinishedPack, PackStretch } from './pack-writer.ts'
import { createPackWriter, discardPack } from './pack-writer.ts'

/** As many packs of about one size are merged into one of the next size: each object is copied once per size. */
const packsOfOneSize = 8
const smallestBytes = 32_768
/** Larger packs stay as they are. */
const largestBytes = 134_217_728
/** A pack that is made of others has no more objects and bytes than this. */
const limits = { objects: 1_048_576, bytes: 1_073_741_824 }
/** What is copied before others get a turn. */
const turn = { objects: 4_096, bytes: 4_194_304 }

/** What is copied, from which pack. */
interface Part {
  readonly pack: PackInfo
  readonly stretch: PackStretch
}

/** The packs that are to be merged now, or none. Source: the tiers of log-structured merge trees (O'Neil et al., 1996). */
export function packsToMerge(packs: PackFolder): readonly PackInfo[] {
  const tiers = new Map<number, PackInfo[]>()
  for (const pack of packs.list()) {
    if (pack.bytes > largestBytes) continue
    const tier = Math.max(0, Math.ceil(Math.log(pack.bytes / smallestBytes) / Math.log(packsOfOneSize)))
    tiers.set(tier, [...(tiers.get(tier) ?? []), pack])
  }
  const full = [...tiers].filter(([, members]) => members.length >= packsOfOneSize).sort(([a], [b]) => a - b)
  for (const [, members] of full) {
    let objects = 0
    const fitting = members.filter((pack) => {
      objects += packs.index(pack)?.count ?? 0
      return objects <= limits.objects
    })
    // Merging fewer would soon be merging the same ones again.
    if (fitting.length >= packsOfOneSize / 2) return fitting
  }
  return []
}

/** Copies what is to be kept of some packs into new ones, which stand aside. One that fails leaves nothing behind. */
export async function copyPacks(
  folder: string,
  packs: PackFolder,
  inputs: readonly PackInfo[],
  keeps: (pack: PackInfo, position: number, index: PackIndex) => boolean,
): Promise<FinishedPack[]> {
  const parts: Part[] = []
  for (const pack of inputs) {
    const index = packs.index(pack)
    // Another process has merged it meanwhile: the caller begins again some other time.
    if (!index) throw new Error(`The pack ${pack.name} is gone.`)
    for (const stretch of stretchesOf(pack, index, (position) => keeps(pack, position, index))) parts.push({ pack, stretch })
    await pause()
  }
  const finished: FinishedPack[] = []
  try {
    for (const group of grouped(parts)) finished.push(await copyParts(folder, group))
    return finished
  } catch (error) {
    for (const pack of finished) discardPack(pack)
    throw error
  }
}

/** Keeps of an object that is in several inputs the first. */
export function firstOfEach(
  packs: PackFolder,
  inputs: readonly PackInfo[],
): (pack: PackInfo, position: number, index: PackIndex) => boolean {
  return (pack, position, index) => {
    const oid = index.oidAt(position)
    return !inputs.slice(0, inputs.indexOf(pack)).some((earlier) => (packs.index(earlier)?.position(oid) ?? -1) >= 0)
  }
}

/** What is to be kept of a pack, in the order in which it stands, in pieces of one turn. */
function stretchesOf(pack: PackInfo, index: PackIndex, keeps: (position: number) => boolean): PackStretch[] {
  const order = Uint32Array.from({ length: index.count }, (_, position) => position)
  const offsets = Float64Array.from(order, (position) => index.offsetAt(position))
  order.sort((a, b) => (offsets[a] ?? 0) - (offsets[b] ?? 0))
  const stretches: PackStretch[] = []
  let first = 0
  const close = (end: number): void => {
    const from = offsets[order[first] ?? 0] ?? 0
    const to = end < order.length ? (offsets[order[end] ?? 0] ?? 0) : pack.bytes - 20
    if (end > first) stretches.push({ from, to, index, positions: order.subarray(first, end) })
  }
  order.forEach((position, at) => {
    const bytes = (offsets[position] ?? 0) - (offsets[order[first] ?? 0] ?? 0)
    const kept = keeps(position)
    if (kept && at - first < turn.objects && bytes < turn.bytes) return
    close(at)
    first = kept ? at : at + 1
  })
  close(order.length)
  return stretches
}

function* grouped(parts: readonly Part[]): Generator<Part[]> {
  let group: Part[] = []
  let objects = 0
  let bytes = 0
  for (const part of parts) {
    const { positions, from, to } = part.stretch
    if (group.length > 0 && (objects + positions.length > limits.objects || bytes + to - from > limits.bytes)) {
      yield group
      group = []
      objects = 0
      bytes = 0
    }
    group.push(part)
    objects += positions.length
    bytes += to - from
  }
  if (group.length > 0) yield group
}

async function copyParts(folder: string, parts: readonly Part[]): Promise<FinishedPack> {
  const files = new Map<string, number>()
  const writer = createPackWriter(
    folder,
    parts.reduce((sum, { stretch }) => sum + stretch.positions.length, 0),
  )
  try {
    for (const { pack, stretch } of parts) {
      const fd = files.get(pack.name) ?? openSync(join(folder, `${pack.name}.pack`), 'r')
      files.set(pack.name, fd)
      writer.copy(fd, stretch)
      await pause()
    }
    return writer.finish()
  } catch (error) {
    writer.discard()
    throw error
  } finally {
    for (const fd of files.values()) closeSync(fd)
  }
}

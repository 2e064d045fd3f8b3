import { randomUUID } from 'node:crypto'
import { syncNames } from '../events/durable-file.ts'
import type { LockOwner } from '../events/file-lock.ts'
import { fileError } from '../events/store-errors.ts'
import { objectIdPattern } from './git-object.ts'
import type { LedgerFolder } from './ledger-folder.ts'
import { readIfThere } from './ledger-folder.ts'
import type { LedgerReader } from './ledger-reader.ts'
import type { LedgerRefs } from './ledger-refs.ts'
import { copyPacks, firstOfEach, packsToMerge } from './merge-packs.ts'
import type { PackFolder, PackInfo } from './pack-folder.ts'
import type { PackIndex } from './pack-index.ts'
import { discardPack, publishPack, removePack, syncPack } from './pack-writer.ts'
import { findLiveObjects } from './prune-ledger.ts'

/** Keeps the packs of a ledger few, and removes what nobody needs. */
export interface LedgerUpkeep {
  /** Merges packs where there are many of one size, in the background. */
  mergeSoon(): void
  prune(taskIds: readonly string[]): Promise<void>
  /** Resolves when nothing of it is under way. */
  settled(): Promise<void>
}

/** Who merges packs, or removes objects. */
const upkeepLock = 'upkeep'
/** Who puts a pack in its place that relies on objects stored before, or removes objects. Held for moments, but by a prune. */
export const contentLock = 'content'
/** A lock that nobody seems to touch is taken over by those who cannot see that its holder lives. */
const beatMs = 2_000

/** What upkeep works on. */
interface UpkeepOptions {
  readonly folder: LedgerFolder
  readonly packs: PackFolder
  readonly refs: LedgerRefs
  readonly reader: LedgerReader
  readonly locks: LockOwner
  readonly isDurable: boolean
}

export function createLedgerUpkeep({ folder, packs, refs, reader, locks, isDurable }: UpkeepOptions): LedgerUpkeep {
  let merging: Promise<void> | undefined

  /** Puts in the place of some packs what is to be kept of them. At any moment all of that is there. */
  async function replacePacks(
    inputs: readonly PackInfo[],
    keeps: (pack: PackInfo, position: number, index: PackIndex) => boolean,
  ): Promise<void> {
    const copies = await copyPacks(folder.packs, packs, inputs, keeps)
    try {
      if (isDurable) await Promise.all(copies.map(syncPack))
      for (const pack of copies) publishPack(pack, folder.packs)
    } catch (error) {
      for (const pack of copies) discardPack(pack)
      throw error
    }
    if (isDurable) await syncNames(folder.packs)
    const names = new Set(copies.map(({ name }) => name))
    for (const { name } of inputs) if (!names.has(name)) removePack(folder.packs, name)
    packs.refresh()
  }

  async function locked(names: readonly string[], work: () => Promise<void>): Promise<void> {
    const taken: string[] = []
    const beat = setInterval(() => locks.tryAcquire('beat') && locks.release('beat'), beatMs)
    beat.unref()
    try {
      for (const name of names) {
        await locks.acquire(name)
        taken.push(name)
      }
      await work()
    } finally {
      clearInterval(beat)
      for (const name of taken) locks.release(name)
    }
  }

  async function merge(): Promise<void> {
    packs.refresh()
    for (
      let inputs = packsToMerge(packs), before: readonly PackInfo[] = [];
      inputs.length > 0;
      before = inputs, inputs = packsToMerge(packs)
    ) {
      // They could not be removed, as on Windows while someone reads them.
      if (inputs.some((pack) => before.includes(pack))) return
      await replacePacks(inputs, firstOfEach(packs, inputs))
    }
  }

  async function prune(taskIds: readonly string[]): Promise<void> {
    packs.refresh()
    const going = new Set(taskIds.map((taskId) => `refs/baton/${taskId}`))
    const all = refs.all()
    const roots = new Map([...all].filter(([name]) => !going.has(name)))
    // The mark also says what a prune was about to remove that did not come to its end.
    const interrupted = (readIfThere(folder.pruneMark) ?? '').split('\n').filter((line) => objectIdPattern.test(line))
    const pruned = [...interrupted, ...[...all].flatMap(([name, oid]) => (going.has(name) ? oid : []))]
    const live = await findLiveObjects(reader, packs, roots, pruned)
    await folder.replace(folder.pruneMark, [randomUUID(), ...pruned].join('\n'))
    await refs.remove(taskIds)
    const inputs = packs.list().filter((pack) => !live.isAllLive(pack))
    await replacePacks(inputs, (pack, position) => live.isLive(pack, position))
    await folder.replace(folder.pruneMark, randomUUID())
  }

  return {
    mergeSoon() {
      if (merging || packsToMerge(packs).length === 0) return
      // What does not work now (a full disk) is tried again after the next commit; nothing depends on it.
      merging = locked([upkeepLock], merge)
        .catch(() => {})
        .finally(() => {
          merging = undefined
        })
    },
    async prune(taskIds) {
      try {
        await locked([upkeepLock, contentLock], () => prune(taskIds))
      } catch (error) {
        throw fileError(error, `Pruning the ledger ${folder.dir}`)
      }
    },
    settled: async () => await merging,
  }
}

import { throwIfAborted } from '../errors.ts'
import { syncNames } from '../events/durable-file.ts'
import type { LockOwner } from '../events/file-lock.ts'
import { fileError } from '../events/store-errors.ts'
import type { StageTarget } from './build-stages.ts'
import { buildStages } from './build-stages.ts'
import type { ObjectType } from './git-object.ts'
import { objectId } from './git-object.ts'
import { decodeTree, encodeTree } from './git-tree.ts'
import type { LedgerStage } from './ledger.ts'
import type { LedgerFolder } from './ledger-folder.ts'
import { readIfThere } from './ledger-folder.ts'
import type { LedgerReader } from './ledger-reader.ts'
import { contentLock } from './ledger-upkeep.ts'
import type { PackedObject } from './pack-file.ts'
import { inflateObject, packObject, unpackObject } from './pack-file.ts'
import type { PackFolder } from './pack-folder.ts'
import type { FinishedPack } from './pack-writer.ts'
import { discardPack, publishPack, syncPack } from './pack-writer.ts'
import { createReliedContent } from './relied-content.ts'
import { createTreeCache } from './tree-cache.ts'
import type { UnwrittenObjects } from './unwritten-objects.ts'
import { createUnwrittenObjects, writePack } from './unwritten-objects.ts'

/** Writes content and commits. Commits that come while one is being written go to the disk together, as one pack. */
export interface CommitQueue {
  /** Keeps content for the next commit, and returns its id. */
  put(content: Uint8Array): string
  commit(base: string | undefined, stages: readonly LedgerStage[], signal: AbortSignal | undefined): Promise<readonly string[]>
  /** Content that is not on the disk yet. */
  read(oid: string): PackedObject | undefined
  /** Waits for commits under way, and drops content that no commit came for. */
  close(): Promise<void>
}

/** What a queue works on. */
interface CommitQueueOptions {
  readonly folder: LedgerFolder
  readonly packs: PackFolder
  readonly reader: LedgerReader
  readonly locks: LockOwner
  /** Whether to wait for the disk. */
  readonly isDurable: boolean
}

/** A commit that waits. */
interface Request {
  readonly base: string | undefined
  readonly stages: readonly LedgerStage[]
  readonly signal: AbortSignal | undefined
  readonly resolve: (ids: readonly string[]) => void
  readonly reject: (error: unknown) => void
}

/** Trees and commits that were made for some requests, and what to answer once they are written. */
interface Attempt {
  readonly made: ReadonlyMap<string, Buffer>
  readonly answers: readonly (() => void)[]
  readonly refusals: readonly (() => void)[]
}

/** About 20 MB. */
const cachedEntries = 100_000
const reliedBytes = 16_777_216

export function createCommitQueue({ folder, packs, reader, locks, isDurable }: CommitQueueOptions): CommitQueue {
  const cache = createTreeCache(cachedEntries)
  const relied = createReliedContent(reliedBytes)
  const waiting: Request[] = []
  let pending = createUnwrittenObjects(folder.dir, folder.packs)
  let writing: UnwrittenObjects | undefined
  let draining: Promise<void> | undefined
  let knownMark: string | undefined

  async function drain(): Promise<void> {
    while (waiting.length > 0) await writeTogether(waiting.splice(0))
    draining = undefined
  }

  async function writeTogether(requests: readonly Request[]): Promise<void> {
    const content = pending
    writing = content
    pending = createUnwrittenObjects(folder.dir, folder.packs)
    try {
      const attempt = await writeAttempt(requests, content)
      writing = undefined
      if (attempt.answers.length === 0) pending.absorb(content)
      for (const answer of [...attempt.refusals, ...attempt.answers]) answer()
    } catch (error) {
      writing = undefined
      pending.absorb(content)
      for (const { reject } of requests) reject(fileError(error, `Writing a commit to ${folder.dir}`))
    }
  }

  /** Makes and writes commits, anew when another process has removed objects in between: these may rely on them. */
  async function writeAttempt(requests: readonly Request[], content: UnwrittenObjects): Promise<Attempt> {
    for (;;) {
      const mark = readIfThere(folder.pruneMark)
      if (mark !== knownMark) packs.refresh()
      knownMark = mark
      const attempt = build(requests, content)
      if (attempt.answers.length === 0) return attempt
      const pack = writePack(folder.packs, new Map([...attempt.made, ...content.objects]))
      if (await publish(pack, content, mark)) return attempt
    }
  }

  function build(requests: readonly Request[], content: UnwrittenObjects): Attempt {
    const made = new Map<string, Buffer>()
    const answers: (() => void)[] = []
    const refusals: (() => void)[] = []
    const target = stageTarget(made, content)
    for (const { base, stages, signal, resolve, reject } of requests) {
      try {
        throwIfAborted(signal, 'Ledger.commit')
        const ids = buildStages(target, base, stages)
        answers.push(() => resolve(ids))
      } catch (error) {
        refusals.push(() => reject(error))
      }
    }
    return { made, answers, refusals }
  }

  function stageTarget(made: Map<string, Buffer>, content: UnwrittenObjects): StageTarget {
    const add = (type: ObjectType, object: Uint8Array): string => {
      const oid = objectId(type, object)
      if (!made.has(oid) && !packs.has(oid)) made.set(oid, packObject(type, object))
      return oid
    }
    const storeAgain = (oid: string): boolean => {
      const lost = relied.get(oid)
      return lost !== undefined && add('blob', lost) === oid
    }
    const madeTree = (oid: string): ReturnType<typeof decodeTree> => {
      const packed = made.get(oid)
      return packed && decodeTree(inflateObject(unpackObject(packed)) ?? Buffer.of())
    }
    return {
      dir: folder.dir,
      has: (oid) => content.has(oid) || packs.find(oid) !== undefined || storeAgain(oid),
      readCommit: (oid) => reader.commit(oid),
      readTree: (oid) => cache.get(oid) ?? madeTree(oid) ?? reader.tree(oid),
      writeTree(entries) {
        const oid = add('tree', encodeTree(entries))
        cache.set(oid, entries)
        return oid
      },
      writeCommit: (object) => add('commit', object),
    }
  }

  /** Returns false, and takes the pack back, where objects were removed since the mark was read. */
  async function publish(pack: FinishedPack, content: UnwrittenObjects, mark: string | undefined): Promise<boolean> {
    try {
      if (isDurable) await Promise.all([pack, ...content.spilled.map(({ finished }) => finished)].map(syncPack))
      await locks.acquire(contentLock)
      try {
        if (readIfThere(folder.pruneMark) !== mark) {
          discardPack(pack)
          return false
        }
        content.publishSpilled((spilled) => place(spilled))
        place(pack)
      } finally {
        locks.release(contentLock)
      }
    } catch (error) {
      discardPack(pack)
      throw error
    }
    if (isDurable) await syncNames(folder.packs)
    return true
  }

  function place(pack: FinishedPack): void {
    publishPack(pack, folder.packs)
    packs.add(pack)
  }

  return {
    put(content) {
      const oid = objectId('blob', content)
      if (pending.has(oid) || writing?.has(oid)) return oid
      if (packs.has(oid)) {
        relied.add(oid, content)
        return oid
      }
      folder.prepare()
      pending.add(oid, packObject('blob', content))
      return oid
    },
    commit: (base, stages, signal) =>
      new Promise((resolve, reject) => {
        waiting.push({ base, stages, signal, resolve, reject })
        draining ??= drain()
      }),
    read: (oid) => pending.read(oid) ?? writing?.read(oid),
    async close() {
      await draining
      pending.discard()
    },
  }
}

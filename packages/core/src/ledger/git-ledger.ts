import { createHash } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import { BatonError, throwIfAborted } from '../errors.ts'
import { Actor } from '../events/envelope.ts'
import { createLockOwner } from '../events/file-lock.ts'
import { parseOptions } from '../options.ts'
import { createCommitQueue } from './commit-queue.ts'
import { compareCommits, filesOf } from './compare-commits.ts'
import { objectIdPattern } from './git-object.ts'
import type { Ledger, LedgerFile, LedgerOptions } from './ledger.ts'
import { defaultMaxFileBytes } from './ledger.ts'
import { missingError } from './ledger-errors.ts'
import { createLedgerFolder } from './ledger-folder.ts'
import { createLedgerReader } from './ledger-reader.ts'
import { createLedgerRefs } from './ledger-refs.ts'
import { createLedgerUpkeep } from './ledger-upkeep.ts'
import { pointerFor } from './lfs-pointer.ts'
import { createPackFolder } from './pack-folder.ts'

const maxFileBytes = z.int().positive().max(1_073_741_824, 'expected at most 1 GiB').default(defaultMaxFileBytes)
const Options = z.object({ dir: z.string().min(1, 'expected the path of a folder'), maxFileBytes })

const ObjectId = z.string().regex(objectIdPattern, 'expected the id of a commit, 40 lower-case hexadecimal digits')
const TaskId = z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, 'expected 1 to 128 letters, digits, hyphens and underscores')
const File = z.object({ mode: z.enum(['100644', '100755', '120000']), oid: ObjectId, hashOnly: z.boolean().optional() })
const Stages = z.array(z.object({ author: Actor, message: z.string(), files: z.map(z.string(), File.optional()) }))
// Made once: each of them is compiled when it is first used.
const CommitInput = z.object({ commit: ObjectId })
const TasksInput = z.object({ taskIds: z.array(TaskId) })
const StagesInput = z.object({ base: ObjectId.optional(), stages: Stages })

/** A prune keeps others waiting for as long as it takes. */
const patienceMs = 600_000

/**
 * Keeps a ledger in a bare git repository (SHA-1) of its own. A commit is one pack: written aside, synced, renamed. Nothing is ever written over, so it is whole
 * whenever a process dies. Packs are merged as they get many, in the background.
 */
export function createLedger(options: LedgerOptions): Ledger {
  return openLedger(parseOptions('createLedger', Options, options), true)
}

/** A ledger in a folder of its own among the temporary files, which is removed when it is closed. It does not wait for the disk. */
export function createTemporaryLedger(options: Omit<LedgerOptions, 'dir'> = {}): Ledger {
  const parsed = parseOptions('createTemporaryLedger', z.object({ maxFileBytes }), options)
  const ledger = openLedger({ ...parsed, dir: mkdtempSync(join(tmpdir(), 'baton-ledger-')) }, false)
  return {
    ...ledger,
    async close() {
      await ledger.close()
      await rm(ledger.dir, { recursive: true, force: true })
    },
  }
}

function openLedger({ dir: path, maxFileBytes }: z.output<typeof Options>, isDurable: boolean): Ledger {
  const dir = resolve(path)
  const folder = createLedgerFolder(dir, isDurable)
  const packs = createPackFolder(dir, folder.packs)
  const reader = createLedgerReader(dir, { read: (oid) => queue.read(oid) ?? packs.read(oid), head: packs.head })
  const refs = createLedgerRefs(folder)
  const locks = createLockOwner(folder.locks, { patienceMs })
  const queue = createCommitQueue({ folder, packs, reader, locks, isDurable })
  const upkeep = createLedgerUpkeep({ folder, packs, refs, reader, locks, isDurable })
  const running = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined

  function assertOpen(): void {
    if (closing !== undefined) throw new BatonError('CLOSED', `The ledger ${dir} is closed. Create another one to go on.`)
  }

  function checkCommit(where: string, commit: string): string {
    return parseOptions(where, CommitInput, { commit }).commit
  }

  function checkTasks(where: string, taskIds: readonly string[]): void {
    parseOptions(where, TasksInput, { taskIds })
  }

  /** Runs what closing has to wait for. */
  async function run<T>(work: () => Promise<T>): Promise<T> {
    assertOpen()
    const result = work()
    const settled = result.catch(() => {}).finally(() => running.delete(settled))
    running.add(settled)
    return await result
  }

  async function shut(): Promise<void> {
    await Promise.all(running)
    await queue.close()
    await upkeep.settled()
    locks.close()
    packs.close()
  }

  return {
    dir,
    maxFileBytes,
    files: (commit, { signal } = {}) => run(() => filesOf(reader, checkCommit('Ledger.files', commit), signal)),
    compare: (from, to, { signal } = {}) =>
      run(() => compareCommits(reader, checkCommit('Ledger.compare', from), checkCommit('Ledger.compare', to), signal)),
    read: (file) => run(() => reader.blob(parseOptions('Ledger.read', File, file).oid)),
    put(content, mode = '100644') {
      assertOpen()
      return putFile(content, mode)
    },
    commit: (base, stages, { signal } = {}) =>
      run(async () => {
        throwIfAborted(signal, 'Ledger.commit')
        parseOptions('Ledger.commit', StagesInput, { base, stages })
        if (stages.length === 0) return []
        folder.prepare()
        const ids = await queue.commit(base, stages, signal)
        upkeep.mergeSoon()
        return ids
      }),
    point: (taskId, commit) =>
      run(async () => {
        checkTasks('Ledger.point', [taskId])
        if (!packs.find(checkCommit('Ledger.point', commit))) throw missingError(dir, commit, `what task ${taskId} should point to`)
        await refs.set(taskId, commit)
      }),
    head: (taskId) =>
      run(async () => {
        checkTasks('Ledger.head', [taskId])
        return refs.get(taskId)
      }),
    prune: (taskIds) =>
      run(async () => {
        checkTasks('Ledger.prune', taskIds)
        folder.prepare()
        await upkeep.prune(taskIds)
      }),
    close: () => (closing ??= shut()),
  }

  function putFile(content: Uint8Array, mode: LedgerFile['mode']): LedgerFile {
    if (content.length <= maxFileBytes) return { mode, oid: queue.put(content) }
    return { mode, oid: queue.put(pointerFor(createHash('sha256').update(content).digest('hex'), content.length)), hashOnly: true }
  }
}

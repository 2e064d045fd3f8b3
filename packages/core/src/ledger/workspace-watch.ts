import { z } from 'zod'
import { throwIfAborted } from '../errors.ts'
import { implementing, parseOptions } from '../options.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'
import { createDifferences } from './differences.ts'
import { createFileTable } from './file-table.ts'
import type { Ledger, WorkspaceLook, WorkspaceWatch } from './ledger.ts'
import { readContents } from './read-contents.ts'
import { createReadGuard } from './read-guard.ts'
import { createWorkspaceScan } from './workspace-scan.ts'

const WatchOptions = z.strictObject({
  ledger: implementing<Ledger>('a ledger', 'files', 'put'),
  maxFileBytes: z.int().positive().optional(),
})

/** Options of {@link createWorkspaceWatch}. */
export interface WorkspaceWatchOptions {
  /** Where contents go. */
  readonly ledger: Ledger
  /** Of a larger file only the hash is kept, and it does not leave the sandbox; in bytes. Default: as the ledger's own, above which it may not be. */
  readonly maxFileBytes?: number | undefined
}

/**
 * Watches one sandbox at a time; with another one it begins anew. Looks take turns.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createWorkspaceWatch(options: WorkspaceWatchOptions): WorkspaceWatch {
  const { ledger, maxFileBytes = ledger.maxFileBytes } = parseOptions('createWorkspaceWatch', WatchOptions, options)
  const table = createFileTable()
  const differences = createDifferences(table, ledger)
  const guard = createReadGuard()
  const scan = createWorkspaceScan({ table, differences, guard, maxFileBytes })
  let sandboxId: string | undefined
  let compared: { readonly state: string | undefined } | undefined
  /** Since the last look nothing was forgotten. */
  let looked = false
  let turn: Promise<unknown> = Promise.resolve()

  const reset = (): void => {
    for (const part of [table, differences]) part.clear()
    for (const part of [guard, scan]) part.reset()
    compared = undefined
    looked = false
  }
  const compareWith = async (state: string | undefined, signal: AbortSignal | undefined): Promise<void> => {
    if (compared !== undefined && compared.state === state) return
    differences.compareWith(state === undefined ? new Map() : await ledger.files(state, { signal }))
    scan.reconsider()
    compared = { state }
  }
  const readAll = async (sandbox: Sandbox, stats: readonly FileStat[], signal: AbortSignal | undefined): Promise<string[]> => {
    const unreadable: string[] = []
    guard.reading()
    await readContents(sandbox, stats, {
      ...{ maxFileBytes, signal },
      onRead(stat, outcome) {
        const row = table.find(stat.path)
        const same = row !== undefined && table.looksLike(row, stat)
        if (outcome === 'unreadable') unreadable.push(stat.path)
        if (typeof outcome === 'string') guard.forget(stat.path)
        differences.take(stat, outcome, typeof outcome === 'object' && guard.isSure(stat, same))
      },
    })
    return unreadable
  }
  const look = async (sandbox: Sandbox, state: string | undefined, signal: AbortSignal | undefined): Promise<WorkspaceLook> => {
    throwIfAborted(signal, 'looking at the workspace')
    if (sandboxId !== sandbox.id) reset()
    sandboxId = sandbox.id
    looked = false
    await compareWith(state, signal)
    const { toRead, unlisted } = await scan.run(sandbox, signal)
    for (const path of table.unseen()) {
      differences.remove(path)
      guard.forget(path)
    }
    const unreadable = await readAll(sandbox, toRead, signal)
    looked = true
    return { changes: differences.changes(), sha256: differences.hashes(), unreadable: [...unlisted, ...unreadable] }
  }

  return {
    look(sandbox, state, { signal } = {}) {
      const result = turn.then(() => look(sandbox, state, signal))
      turn = result.catch(() => undefined)
      return result
    },
    settle(commit) {
      if (!looked) return
      differences.settle()
      compared = { state: commit }
    },
    reset,
  }
}

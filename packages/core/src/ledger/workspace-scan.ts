import { pathFromBytes } from '../sandbox/path-bytes.ts'
import type { FileStat, Sandbox, ScanOptions } from '../sandbox/sandbox.ts'
import type { Differences } from './differences.ts'
import type { FileTable } from './file-table.ts'
import { createFileTable } from './file-table.ts'
import { objectId } from './git-object.ts'
import { createIgnoreRules, parentOf } from './ignore-rules.ts'
import { readContents } from './read-contents.ts'
import type { ReadGuard } from './read-guard.ts'

/** What a scan has found. */
export interface FoundByScan {
  /** The files and links that are new, do not look as they did, or are to be read again. */
  readonly toRead: FileStat[]
  /** Folders that could not be listed. What the state has in them stands. */
  readonly unlisted: string[]
}

/** Finds what has to be read in a sandbox, without what git ignores. */
export interface WorkspaceScan {
  /** What is gone is not seen in the table after it. */
  run(sandbox: Sandbox, signal: AbortSignal | undefined): Promise<FoundByScan>
  /** The state that is compared with has other files now. */
  reconsider(): void
  reset(): void
}

/** What a {@link WorkspaceScan} works on. */
export interface WorkspaceScanOptions {
  readonly table: FileTable
  readonly differences: Differences
  readonly guard: ReadGuard
  readonly maxFileBytes: number
}

/** What one pass met. */
interface Pass {
  readonly unknown: FileStat[]
  readonly folders: string[]
  readonly unlisted: string[]
  readonly ignoreFiles: FileStat[]
}

/** Where rules change while they are read, it is scanned so often at most; the next look finds the rest. */
const maxPasses = 5
/** When more folders are to be left out, all are walked once more instead, since most may be gone. */
const maxSkipped = 1_000
/** So many tests leave enough in memory to let go of it. */
const manyTests = 1_000

/** Makes the scan of a sandbox that was not scanned yet. */
export function createWorkspaceScan({ table, differences, guard, maxFileBytes }: WorkspaceScanOptions): WorkspaceScan {
  const rules = createIgnoreRules()
  /** The `.gitignore` files whose rules are known. */
  const ignoreFiles = createFileTable()
  /** Folders that git ignores, with files that the state has nevertheless. */
  let forced = new Set<string>()
  /** Topmost folders that git ignores, as far as they were met. */
  let skipped = new Set<string>()
  let stale = false

  const isLeftOut = (folder: string): boolean => rules.ignoresFolder(folder) && !forced.has(folder)

  /** Leaves out the topmost ignored ones of these folders from the next pass on. */
  const skipOf = (folders: Iterable<string>): void => {
    for (const folder of folders) if (isLeftOut(folder) && !isLeftOut(parentOf(folder))) skipped.add(folder)
    if (skipped.size > maxSkipped) skipped = new Set()
  }

  const applyRules = (): void => {
    stale = false
    forced = new Set()
    for (const path of differences.heldPaths()) {
      if (!rules.ignoresFile(path)) continue
      for (let folder = parentOf(path); folder !== '' && !forced.has(folder); folder = parentOf(folder)) forced.add(folder)
    }
    // Rows that are ignored no more are new to the next pass.
    for (const [path, row] of table.rows()) {
      const ignored = rules.ignoresFile(path)
      if (table.isIgnored(row) ? !ignored : ignored && differences.held(path) === undefined) differences.drop(path)
    }
    const before = skipped
    skipped = new Set()
    skipOf(before)
    rules.trim()
  }

  const pass = async (sandbox: Sandbox, signal: AbortSignal | undefined): Promise<Pass> => {
    const met: Pass = { unknown: [], folders: [], unlisted: [], ignoreFiles: [] }
    table.newRound()
    for await (const batch of batchesOf(sandbox, { skip: ['.git'], skipPaths: [...skipped], signal })) {
      for (const stat of batch) {
        guard.see(stat.ctimeMs)
        if (stat.kind === 'folder') {
          met.folders.push(stat.path)
          if (stat.unlisted === true) met.unlisted.push(stat.path)
        } else if (stat.kind !== 'other' && !isNamed(stat.path, '.git')) {
          if (stat.kind === 'file' && isNamed(stat.path, '.gitignore')) met.ignoreFiles.push(stat)
          const row = table.see(stat.path)
          if (row === undefined || !table.isKnown(row, stat)) met.unknown.push(stat)
        }
      }
    }
    guard.scanned()
    return met
  }

  /** Whether a rule is another now. */
  const readRules = async (found: readonly FileStat[], sandbox: Sandbox, signal: AbortSignal | undefined): Promise<boolean> => {
    let changed = false
    const set = (folder: string, text: string | undefined): void => {
      changed = rules.set(folder, text) || changed
    }
    const there = new Set(found.map(({ path }) => parentOf(path)))
    for (const folder of rules.folders()) if (!there.has(folder)) set(folder, undefined)
    for (const level of byDepth(found)) {
      // Rules of a folder that is left out by rules further out say nothing.
      const inForce = level.filter(({ path }) => !rules.ignoresFolder(parentOf(path)))
      for (const { path } of level) if (rules.ignoresFolder(parentOf(path))) set(parentOf(path), undefined)
      const unread = inForce.filter((stat) => {
        const row = ignoreFiles.find(stat.path)
        return row === undefined || !ignoreFiles.isKnown(row, stat)
      })
      guard.reading()
      await readContents(sandbox, unread, {
        ...{ maxFileBytes, signal },
        onRead(stat, outcome) {
          const row = ignoreFiles.find(stat.path)
          const same = row !== undefined && ignoreFiles.looksLike(row, stat)
          if (typeof outcome === 'string' || outcome.link || outcome.hashOnly) return set(parentOf(stat.path), undefined)
          const file = { mode: '100644', oid: objectId('blob', outcome.content) } as const
          ignoreFiles.set(stat, file, !guard.isSure(stat, same))
          set(parentOf(stat.path), pathFromBytes(outcome.content))
        },
      })
    }
    return changed
  }

  /** Of what is unknown, what is to be read. */
  const wanted = (unknown: readonly FileStat[]): FileStat[] =>
    unknown.filter((stat) => {
      if (table.find(stat.path) !== undefined || differences.held(stat.path) !== undefined) return true
      if (!rules.ignoresFile(stat.path)) return true
      // In a folder that git ignores, the folder says it already.
      if (!rules.ignoresFolder(parentOf(stat.path))) table.setIgnored(stat)
      return false
    })

  const keepIn = (folders: readonly string[]): void => {
    const prefixes = folders.map((folder) => `${folder}/`)
    for (const path of [...differences.heldPaths()]) if (prefixes.some((prefix) => path.startsWith(prefix))) differences.keep(path)
  }

  return {
    async run(sandbox, signal) {
      if (stale) applyRules()
      for (let passes = 1; ; passes++) {
        const met = await pass(sandbox, signal)
        const changed = await readRules(met.ignoreFiles, sandbox, signal)
        if (changed) applyRules()
        skipOf(met.folders)
        if (changed && passes < maxPasses) continue
        const toRead = wanted(met.unknown)
        if (met.unknown.length > manyTests) rules.trim()
        const unlisted = met.unlisted.filter((folder) => !isLeftOut(folder))
        if (unlisted.length > 0) keepIn(unlisted)
        return { toRead, unlisted }
      }
    },
    reconsider() {
      stale = true
    },
    reset() {
      for (const folder of rules.folders()) rules.set(folder, undefined)
      ignoreFiles.clear()
      forced.clear()
      skipped.clear()
      stale = false
    },
  }
}

function batchesOf(sandbox: Sandbox, options: ScanOptions): AsyncIterable<readonly FileStat[]> {
  return sandbox.scanBatches?.(options) ?? oneByOne(sandbox.scan(options))
}

async function* oneByOne(stats: AsyncIterable<FileStat>): AsyncGenerator<readonly FileStat[]> {
  for await (const stat of stats) yield [stat]
}

function isNamed(path: string, name: string): boolean {
  return path.endsWith(name) && (path.length === name.length || path[path.length - name.length - 1] === '/')
}

/** Outer ones first. */
function byDepth(stats: readonly FileStat[]): FileStat[][] {
  const levels: FileStat[][] = []
  for (const stat of stats) {
    const depth = stat.path.split('/').length
    levels[depth] ??= []
    levels[depth].push(stat)
  }
  return levels.filter((level) => level !== undefined)
}

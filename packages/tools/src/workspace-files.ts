import type { Sandbox } from '@baton-sdk/core'
import { createIgnoreRules } from './ignore-rules.ts'
import { folderOf } from './tool-paths.ts'

/** An entry of the workspace. */
export interface WorkspaceEntry {
  /** Relative to the workdir. */
  readonly path: string
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  readonly size: number
}

/** What is in the workspace, or a folder of it. */
export interface WorkspaceFiles {
  /** Without `.git` and what git ignores; sorted, a folder before what is in it. */
  readonly entries: readonly WorkspaceEntry[]
  /** What `path` is. */
  readonly kind: WorkspaceEntry['kind']
  /** False where `path` is itself ignored, so that what is in it was asked for by name and is all shown. */
  readonly filtered: boolean
  /** Whether there was too much to look at all of it. */
  readonly incomplete: boolean
}

/** Most entries that one call looks at. */
const maxEntries = 300_000

/** Lists the workspace, or the file or folder `path`, as git would see it, without needing git. Rejects as `scan` does. */
export async function workspaceFiles(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<WorkspaceFiles> {
  const rules = createIgnoreRules(sandbox, signal)
  await rules.read(foldersTo(path))
  const skip = rules.everywhereIgnored()
  const first = await scanFolder(sandbox, path, ['.git', ...skip], signal)
  await rules.read(gitignoreFolders(first.entries))
  // A folder that was not entered because of its name may be wanted after all, by a deeper rule.
  const enterAll = skip.length > 0 && rules.takesBack(skip)
  const scanned = enterAll ? await scanFolder(sandbox, path, ['.git'], signal) : first
  if (enterAll) await rules.read(gitignoreFolders(scanned.entries))

  const kind = scanned.own ?? 'folder'
  const named = rules.ignores(path, kind === 'folder' ? 'folder' : 'file')
  if (named) return { ...(await everythingIn(sandbox, path, signal)), kind, filtered: false }
  const entries = scanned.entries.filter(
    (entry) => !/(^|\/)\.git$/.test(entry.path) && !rules.ignores(entry.path, entry.kind === 'folder' ? 'folder' : 'file'),
  )
  return { entries: sorted(entries), kind, filtered: true, incomplete: scanned.incomplete }
}

async function everythingIn(sandbox: Sandbox, path: string, signal: AbortSignal) {
  const { entries, incomplete } = await scanFolder(sandbox, path, ['.git'], signal)
  return { entries: sorted(entries), incomplete }
}

async function scanFolder(sandbox: Sandbox, path: string, skip: readonly string[], signal: AbortSignal) {
  const entries: WorkspaceEntry[] = []
  let own: WorkspaceEntry['kind'] | undefined
  for await (const stat of sandbox.scan({ path, skip, signal })) {
    if (stat.path === path) own = stat.kind
    if (stat.path === path && stat.kind === 'folder') continue
    if (entries.length === maxEntries) return { entries, own, incomplete: true }
    entries.push({ path: stat.path, kind: stat.kind, size: stat.size })
  }
  return { entries, own, incomplete: false }
}

function gitignoreFolders(entries: readonly WorkspaceEntry[]): string[] {
  return entries.filter(({ path, kind }) => kind === 'file' && /(^|\/)\.gitignore$/.test(path)).map(({ path }) => folderOf(path))
}

/** The folders from the workdir to the one that a path is in. */
function foldersTo(path: string): string[] {
  const folders = ['.']
  if (path === '.') return folders
  const names = path.split('/')
  for (let length = 1; length < names.length; length++) folders.push(names.slice(0, length).join('/'))
  return folders
}

function sorted(entries: WorkspaceEntry[]): WorkspaceEntry[] {
  return entries.sort((a, b) => compareNames(a.path, b.path))
}

/** By character code, with `/` before everything, so that a folder is followed by what is in it. */
function compareNames(a: string, b: string): number {
  const [first, second] = [a.replaceAll('/', '\0'), b.replaceAll('/', '\0')]
  return first < second ? -1 : first > second ? 1 : 0
}

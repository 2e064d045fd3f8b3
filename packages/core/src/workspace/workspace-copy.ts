import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink, realpath, rm, rmdir } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { extract } from 'tar-stream'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { packLocal } from '../sandbox/pack-local.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'
import { unpackLocal } from '../sandbox/unpack-local.ts'
import { ignoredBy, listWorkspaceFiles } from './workspace-files.ts'

/** One file of a workspace as it was copied. */
export const BaselineFile = z.object({ path: z.string(), mode: z.int(), sha256: z.string(), link: z.boolean().optional() })
export type BaselineFile = z.infer<typeof BaselineFile>

/** A difference between the sandbox and the workspace as it was copied. */
export interface WorkspaceChange {
  /** Relative, with forward slashes. */
  readonly path: string
  readonly change: 'created' | 'modified' | 'deleted'
}

/** What {@link applyChanges} did. */
export interface ApplyResult {
  readonly applied: readonly WorkspaceChange[]
  /** Paths that are no longer as they were when the task began. With any of these, nothing was written. */
  readonly conflicts: readonly string[]
}

/** Folders that never travel back, whatever `.gitignore` says. */
const neverBack = ['.git', 'node_modules']

/** Copies the workspace into a sandbox. Returns what was copied, to tell changes by later. */
export async function copyIn(path: string, sandbox: Sandbox, options: Abortable): Promise<readonly BaselineFile[]> {
  const files = await listWorkspaceFiles(path)
  const baseline = await fingerprint(path, files)
  if (files.length > 0) await sandbox.unpack(packLocal(await realpath(path), { ...options, paths: files }), options)
  return baseline
}

async function fingerprint(root: string, files: readonly string[]): Promise<BaselineFile[]> {
  const baseline: BaselineFile[] = []
  for (const path of files) {
    const found = await fingerprintOf(join(root, path), path)
    if (found) baseline.push(found)
  }
  return baseline
}

async function fingerprintOf(full: string, path: string): Promise<BaselineFile | undefined> {
  const stats = await lstat(full).catch(() => undefined)
  if (!stats) return undefined
  const link = stats.isSymbolicLink()
  if (!link && !stats.isFile()) return undefined
  const content = link ? Buffer.from(await readlink(full)) : await readFile(full)
  return { path, mode: stats.mode & 0o777, sha256: sha256(content), ...(link && { link }) }
}

/** A difference with what is in the sandbox now. */
interface FoundChange extends WorkspaceChange {
  readonly now?: BaselineFile | undefined
}

/** What is different in the sandbox by now; files that git ignores are left out. */
export async function findChanges(
  sandbox: Sandbox,
  baseline: readonly BaselineFile[],
  options: Abortable,
): Promise<readonly FoundChange[]> {
  const before = new Map(baseline.map((file) => [file.path, file]))
  // A project that keeps such a folder under git has it in the baseline; then it is compared like any other.
  const skip = neverBack.filter((name) => !baseline.some(({ path }) => path.split('/').includes(name)))
  const found: FileStat[] = []
  for await (const entry of sandbox.scan({ ...options, skip })) if (entry.kind === 'file' || entry.kind === 'link') found.push(entry)
  const ignored = ignoredBy(await readIgnoreFiles(sandbox, found, options))
  const wanted = found.filter(({ path }) => before.has(path) || !ignored(path))
  const targets = await readLinks(
    sandbox,
    wanted.filter(({ kind }) => kind === 'link').map(({ path }) => path),
    options,
  )
  const changes: FoundChange[] = []
  for (const { path, kind, mode } of wanted) {
    const old = before.get(path)
    before.delete(path)
    const content = kind === 'link' ? Buffer.from(targets.get(path) ?? '') : await sandbox.readFile(path, options)
    const now: BaselineFile = { path, mode: mode & 0o777, sha256: sha256(content), ...(kind === 'link' && { link: true }) }
    if (!old) changes.push({ path, change: 'created', now })
    else if (!same(old, now)) changes.push({ path, change: 'modified', now })
  }
  for (const path of before.keys()) changes.push({ path, change: 'deleted' })
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Alike in all that git keeps: content, kind, and whether it can be run. */
function same(a: BaselineFile | undefined, b: BaselineFile | undefined): boolean {
  if (!a || !b) return a === b
  return a.sha256 === b.sha256 && (a.link ?? false) === (b.link ?? false) && (a.link === true || (a.mode & 0o100) === (b.mode & 0o100))
}

function readIgnoreFiles(sandbox: Sandbox, found: readonly FileStat[], options: Abortable): Promise<{ path: string; text: string }[]> {
  const files = found.filter(({ path, kind }) => kind === 'file' && (path === '.gitignore' || path.endsWith('/.gitignore')))
  return Promise.all(files.map(async ({ path }) => ({ path, text: Buffer.from(await sandbox.readFile(path, options)).toString('utf8') })))
}

/** Where links point; the tar says so, and every sandbox can make one. */
async function readLinks(sandbox: Sandbox, paths: readonly string[], options: Abortable): Promise<ReadonlyMap<string, string>> {
  const targets = new Map<string, string>()
  if (paths.length === 0) return targets
  const reader = Readable.fromWeb(sandbox.pack({ ...options, paths }) as NodeReadableStream).pipe(extract())
  for await (const entry of reader) {
    if (entry.header.type === 'symlink') targets.set(entry.header.name, entry.header.linkname ?? '')
    entry.resume()
  }
  return targets
}

/**
 * Brings changes back into the workspace: all of them, or none where a file there is neither as it was copied nor already as it should be.
 * Returns the new baseline too.
 */
export async function applyChanges(
  path: string,
  sandbox: Sandbox,
  baseline: readonly BaselineFile[],
  changes: readonly FoundChange[],
  options: Abortable,
): Promise<ApplyResult & { readonly baseline: readonly BaselineFile[] }> {
  const root = await realpath(path)
  const after = new Map(baseline.map((file) => [file.path, file]))
  const leaving = new Set(changes.filter(({ now }) => !now).map((change) => change.path))
  const conflicts: string[] = []
  const needed: FoundChange[] = []
  for (const change of changes) {
    const there = await fingerprintOf(join(root, change.path), change.path)
    if (await isObstructed(root, change, leaving)) conflicts.push(change.path)
    else if (!same(there, change.now)) {
      if (same(there, after.get(change.path))) needed.push(change)
      else conflicts.push(change.path)
    }
    if (change.now) after.set(change.path, change.now)
    else after.delete(change.path)
  }
  if (conflicts.length > 0) return { applied: [], conflicts, baseline }
  const written = needed.filter(({ now }) => now).map((change) => change.path)
  // First of all what goes, since a folder may come where a file was, or a file where a folder was.
  for (const { path: gone, now } of needed) if (!now) await removeFile(root, gone)
  if (written.length > 0) await unpackLocal(root, sandbox.pack({ ...options, paths: written }), options)
  return { applied: changes.map(({ path: changed, change }) => ({ path: changed, change })), conflicts: [], baseline: [...after.values()] }
}

/** Whether something of a person's is in the way: a folder that is a link now, or a folder with other files where a file should be. */
export async function isObstructed(
  root: string,
  { path, now }: { readonly path: string; readonly now?: unknown },
  leaving: ReadonlySet<string>,
): Promise<boolean> {
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) {
    const stats = await lstat(join(root, folder)).catch(() => undefined)
    if (stats?.isSymbolicLink() && !leaving.has(folder)) return true
  }
  if (!now || !(await lstat(join(root, path)).catch(() => undefined))?.isDirectory()) return false
  for (const entry of await readdir(join(root, path), { recursive: true, withFileTypes: true })) {
    const inside = relative(root, join(entry.parentPath, entry.name)).split(sep).join('/')
    if (!entry.isDirectory() && !leaving.has(inside)) return true
  }
  return false
}

/** Removes a file, and the folders that are empty without it. */
export async function removeFile(root: string, path: string): Promise<void> {
  await rm(join(root, path), { force: true })
  try {
    for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) await rmdir(join(root, folder))
  } catch {
    // Not empty, so it stays.
  }
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

/** The baseline as it is kept in the blob store, read back. */
export function parseBaseline(bytes: Uint8Array): readonly BaselineFile[] {
  const parsed = z.array(BaselineFile).safeParse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  if (!parsed.success) throw new BatonError('CORRUPT_LOG', 'The list of copied workspace files is damaged.', { cause: parsed.error })
  return parsed.data
}

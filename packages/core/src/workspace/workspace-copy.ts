import { createHash } from 'node:crypto'
import { lstat, readFile, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
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
  if (files.length > 0) await withHostFolder(path, (host) => sandbox.unpack(host.pack({ ...options, paths: files }), options))
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

/** What is different in the sandbox by now; files that git ignores are left out. */
export async function findChanges(
  sandbox: Sandbox,
  baseline: readonly BaselineFile[],
  options: Abortable,
): Promise<readonly WorkspaceChange[]> {
  const before = new Map(baseline.map((file) => [file.path, file]))
  const changes: WorkspaceChange[] = []
  const paths: { path: string; kind: string }[] = []
  // A project that keeps such a folder under git has it in the baseline; then it is compared like any other.
  const skip = neverBack.filter((name) => !baseline.some(({ path }) => path.split('/').includes(name)))
  for await (const { path, kind } of sandbox.scan({ ...options, skip })) {
    if (kind === 'file' || kind === 'link') paths.push({ path, kind })
  }
  const gitignores = await Promise.all(
    paths
      .filter(({ path, kind }) => kind === 'file' && (path === '.gitignore' || path.endsWith('/.gitignore')))
      .map(async ({ path }) => ({ path, text: Buffer.from(await sandbox.readFile(path, options)).toString('utf8') })),
  )
  const ignored = ignoredBy(gitignores)
  for (const { path, kind } of paths) {
    const old = before.get(path)
    before.delete(path)
    if (!old) {
      if (!ignored(path)) changes.push({ path, change: 'created' })
    } else if ((old.link ?? false) !== (kind === 'link')) {
      changes.push({ path, change: 'modified' })
    } else if (kind === 'file' && sha256(await sandbox.readFile(path, options)) !== old.sha256) {
      changes.push({ path, change: 'modified' })
    }
  }
  for (const path of before.keys()) changes.push({ path, change: 'deleted' })
  return changes.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Brings changes back into the workspace: all of them, or none where a file there is no longer as it was copied. */
export async function applyChanges(
  path: string,
  sandbox: Sandbox,
  baseline: readonly BaselineFile[],
  changes: readonly WorkspaceChange[],
  options: Abortable,
): Promise<ApplyResult> {
  const before = new Map(baseline.map((file) => [file.path, file]))
  const conflicts: string[] = []
  for (const change of changes) {
    const now = await fingerprintOf(join(path, change.path), change.path)
    if (now?.sha256 !== before.get(change.path)?.sha256) conflicts.push(change.path)
  }
  if (conflicts.length > 0) return { applied: [], conflicts }
  const written = changes.filter(({ change }) => change !== 'deleted').map((change) => change.path)
  await withHostFolder(path, async (host) => {
    if (written.length > 0) await host.unpack(sandbox.pack({ ...options, paths: written }), options)
  })
  for (const { path: gone, change } of changes) if (change === 'deleted') await rm(join(path, gone), { force: true })
  return { applied: changes, conflicts: [] }
}

/** Host folders are reached through a sandbox on them too: it keeps links and names from leading out. */
async function withHostFolder<T>(path: string, use: (host: Sandbox) => Promise<T>): Promise<T> {
  const host = await createLocalSandboxProvider({ isolation: 'none' }).create({ inPlace: path })
  try {
    return await use(host)
  } finally {
    await host.close()
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

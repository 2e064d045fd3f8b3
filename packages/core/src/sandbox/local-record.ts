import { randomUUID } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { Isolation } from '../events/sandbox-events.ts'
import { codeOf } from './local-folder.ts'

/** What is kept of a local sandbox beside its folder, so that it is found again after this program has ended. Mode 0600: `env` may hold secrets. */
export const LocalRecord = z.object({
  v: z.literal(1),
  id: z.string(),
  isolation: Isolation.extract(['none', 'process']),
  network: z.enum(['none', 'full']),
  workdir: z.string(),
  inPlace: z.boolean(),
  env: z.record(z.string(), z.string()),
  labels: z.record(z.string(), z.string()),
  createdAt: z.string(),
})
export type LocalRecord = z.infer<typeof LocalRecord>

/** The folders of one sandbox. All are in one folder of mode 0700, which only `workdir` may be outside of. */
export interface LocalFolders {
  readonly base: string
  readonly work: string
  readonly home: string
  readonly tmp: string
  readonly processes: string
}

const idPattern = /^local-[0-9a-f]{32}$/

/** Where sandboxes are made unless it is said: a folder of this user in the folder for temporary files. */
export function defaultRoot(): string {
  return join(tmpdir(), `baton-sandboxes-${userInfo().uid}`)
}

/** A new sandbox's id. */
export function newLocalId(): string {
  return `local-${randomUUID().replaceAll('-', '')}`
}

/** Where the folders of a sandbox are. */
export function foldersOf(root: string, id: string): LocalFolders {
  const base = join(root, id)
  return { base, work: join(base, 'work'), home: join(base, 'home'), tmp: join(base, 'tmp'), processes: join(base, 'processes') }
}

/** Makes the root where it is missing and returns its real path. Throws where another user could put things there. */
export async function openRoot(root: string): Promise<string> {
  await mkdir(root, { recursive: true, mode: 0o700 })
  const real = await realpath(root)
  const stats = await lstat(real)
  const uid = process.getuid?.() ?? stats.uid
  if (stats.uid !== uid || (stats.mode & 0o022) !== 0) throw new Error(`${real} belongs to, or can be written by, another user`)
  return real
}

/** Makes a sandbox's folders, and its record last. */
export async function createFolders(folders: LocalFolders, record: LocalRecord): Promise<void> {
  await mkdir(folders.base, { mode: 0o700 })
  const inside = [folders.home, folders.tmp, folders.processes, ...(record.inPlace ? [] : [folders.work])]
  await Promise.all(inside.map((folder) => mkdir(folder, { mode: 0o700 })))
  const aside = join(folders.base, 'sandbox.json.tmp')
  await writeFile(aside, JSON.stringify(record), { mode: 0o600 })
  await rename(aside, recordPath(folders))
}

/** Removes a sandbox's folders, also what a command has taken the permissions of. Never the folder of a sandbox that works in place. */
export async function removeFolders(folders: LocalFolders): Promise<void> {
  const remove = () => rm(folders.base, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
  await rm(recordPath(folders), { force: true })
  try {
    await remove()
  } catch (error) {
    if (codeOf(error) !== 'EACCES' && codeOf(error) !== 'EPERM') throw error
    await openUp(Buffer.from(folders.base))
    await remove()
  }
}

/** The record of a sandbox; undefined where there is none. */
export async function readRecord(root: string, id: string): Promise<LocalRecord | undefined> {
  if (!idPattern.test(id)) return undefined
  try {
    const parsed = LocalRecord.safeParse(JSON.parse(await readFile(recordPath(foldersOf(root, id)), 'utf8')))
    return parsed.success && parsed.data.id === id ? parsed.data : undefined
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}

/** A folder without a record that is so old belongs to no sandbox that is being made or removed. */
const leftoverMs = 3_600_000

/** Removes what processes left that died while they made or removed a sandbox. */
export async function removeLeftovers(root: string): Promise<void> {
  for (const id of await listIds(root)) {
    const folders = foldersOf(root, id)
    const [record, base] = await Promise.all([recordPath(folders), folders.base].map((path) => lstat(path).catch(() => undefined)))
    if (!record && base && Date.now() - base.mtimeMs > leftoverMs) await removeFolders(folders)
  }
}

/** The ids of the sandboxes under a root. */
export async function listIds(root: string): Promise<string[]> {
  return (await readdir(root)).filter((name) => idPattern.test(name)).sort()
}

function recordPath(folders: LocalFolders): string {
  return join(folders.base, 'sandbox.json')
}

/** Gives every folder its permissions back. A removal that failed may still be removing others meanwhile. */
async function openUp(folder: Buffer): Promise<void> {
  try {
    await chmod(folder, 0o700)
    for (const entry of await readdir(folder, { withFileTypes: true, encoding: 'buffer' })) {
      if (entry.isDirectory()) await openUp(Buffer.concat([folder, Buffer.from('/'), entry.name]))
    }
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
}

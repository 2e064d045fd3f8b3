import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { findRepository } from '../workspace/repository-layout.ts'

/**
 * Everything of a git repository and its work tree that a commit would change: HEAD, the index, refs, reflogs and settings by content, objects by name and
 * size, and each file of the work tree by times and inode. Equal fingerprints: nobody wrote anything.
 */
export async function fingerprintRepository(path: string): Promise<Record<string, string>> {
  const { root, gitDir, commonDir } = await findRepository(path)
  const found: Record<string, string> = {}
  for (const dir of new Set([gitDir, commonDir]))
    for (const file of await filesBelow(dir)) found[`git ${file}`] = await gitStateOf(join(dir, file))
  for (const file of await filesBelow(root)) if (!/(^|\/)\.git(\/|$)/.test(file)) found[file] = await fileStateOf(join(root, file))
  return found
}

async function filesBelow(root: string, folder = ''): Promise<string[]> {
  const files: string[] = []
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory()) files.push(...(await filesBelow(root, path)))
    else files.push(path)
  }
  return files
}

/** Of objects the size; git sets the time of one anew when it would write it again. */
async function gitStateOf(path: string): Promise<string> {
  const stats = await lstat(path)
  if (/\/objects\//.test(path)) return String(stats.size)
  const content = stats.isSymbolicLink() ? await readlink(path) : await readFile(path)
  return createHash('sha256').update(content).digest('hex')
}

async function fileStateOf(path: string): Promise<string> {
  const { mode, size, mtimeNs, ino } = await lstat(path, { bigint: true })
  return [mode, size, mtimeNs, ino].join(' ')
}

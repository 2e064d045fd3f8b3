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
    for (const file of await filesBelow(dir)) found[`git ${file}`] = await stateOf(join(dir, file), !/(^|\/)objects\//.test(file))
  for (const file of await filesBelow(root)) if (!/(^|\/)\.git(\/|$)/.test(file)) found[file] = await stateOf(join(root, file), false)
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

async function stateOf(path: string, byContent: boolean): Promise<string> {
  const stats = await lstat(path, { bigint: true })
  if (!byContent) return `${stats.mode} ${stats.size} ${stats.mtimeNs} ${stats.ino}`
  const content = stats.isSymbolicLink() ? await readlink(path) : await readFile(path)
  return createHash('sha256').update(content).digest('hex')
}

import { randomBytes } from 'node:crypto'
import { copyFile, lstat, mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncNames } from '../events/durable-file.ts'
import { codeOf } from '../events/store-errors.ts'
import { fsPath } from '../sandbox/path-bytes.ts'
import type { CommitPlan } from './commit-plan.ts'
import { takeLock, writeDurable } from './git-lock.ts'
import type { RefMove, Repository } from './repository.ts'
import type { PlannedFile } from './work-tree-state.ts'
import { removeFile } from './workspace-copy.ts'

/**
 * Puts the files and the index in place and then moves the branch, all under the lock of the index, so that no git command switches branches meanwhile.
 * False: something is not as it was planned with, and nothing was written.
 */
export async function updateWorkTree(
  repository: Repository,
  plan: CommitPlan,
  holdBranch: () => Promise<RefMove | undefined>,
): Promise<boolean> {
  return underIndexLock(repository, async () => {
    if (!(await plan.isCurrent())) return false
    const move = await holdBranch()
    if (!move) return false
    try {
      await putAllInPlace(repository, plan)
    } catch (error) {
      await move.abort()
      throw error
    }
    await move.commit()
    return true
  })
}

/** Keeps git commands away from index and HEAD meanwhile, as they do among themselves. */
export async function underIndexLock<T>({ gitDir }: Repository, work: () => Promise<T>): Promise<T> {
  const lock = await takeLock(join(gitDir, 'index.lock'), 'the index')
  try {
    // What a process left that died at it.
    for (const name of await readdir(gitDir))
      if (/^baton-(work|index)-/.test(name)) await rm(join(gitDir, name), { recursive: true, force: true })
    return await work()
  } finally {
    await lock.release()
  }
}

/** Puts the files of the work tree in place, and after them the index. */
export async function putAllInPlace(repository: Repository, { files, index: changes }: Pick<CommitPlan, 'files' | 'index'>): Promise<void> {
  const { gitDir, root } = repository
  const aside = join(gitDir, `baton-work-${randomBytes(6).toString('hex')}`)
  try {
    await mkdir(aside)
    const staged = await stageFiles(aside, files)
    const index = changes.size > 0 ? await repository.indexWith(changes) : undefined
    if (index) await writeDurable(join(aside, 'index'), index)
    // What goes first, since a folder may come where a file was, or a file where a folder was.
    for (const { path, file } of files) if (!file) await removeFile(root, path)
    for (const [path, from] of staged) await putInPlace(from, root, path)
    if (index) {
      await rename(join(aside, 'index'), join(gitDir, 'index'))
      await syncNames(gitDir)
    }
  } finally {
    await rm(aside, { recursive: true, force: true })
  }
}

/** Writes the files beside the repository's own, so that each appears whole. */
async function stageFiles(aside: string, files: readonly PlannedFile[]): Promise<Map<string, string>> {
  const staged = new Map<string, string>()
  for (const { path, file } of files) {
    if (!file) continue
    const to = join(aside, String(staged.size))
    const content = await file.content()
    if (file.mode === '120000') await symlink(Buffer.from(content), to)
    else await writeFile(to, content, { flag: 'wx', mode: file.mode === '100755' ? 0o777 : 0o666 })
    staged.set(path, to)
  }
  return staged
}

async function putInPlace(from: string, root: string, path: string): Promise<void> {
  const to = fsPath(join(root, path))
  await mkdir(fsPath(dirname(join(root, path))), { recursive: true })
  try {
    await rename(from, to)
  } catch (error) {
    // An empty folder is in the way, or the repository is on another file system.
    if (codeOf(error) === 'EISDIR') await rm(to, { recursive: true })
    else if (codeOf(error) !== 'EXDEV') throw error
    if ((await lstat(from)).isSymbolicLink() || codeOf(error) === 'EISDIR') await rename(from, to)
    else await copyFile(from, to)
  }
}

import { BatonError } from '../errors.ts'
import { openWithGit } from './git-command-repository.ts'
import { runGit } from './git-process.ts'
import { openWithIsomorphicGit } from './isomorphic-repository.ts'
import type { OpenRepositoryOptions, Repository } from './repository.ts'
import { findRepository } from './repository-layout.ts'

/**
 * Opens the git repository that a folder belongs to. Works by the git command line where it is installed, since only that knows every setting and
 * attribute; else by isomorphic-git, which takes a plain repository: SHA-1, refs in files, one work tree, whole history, no attributes.
 *
 * @throws BatonError `INVALID_WORKSPACE` where there is no repository with a work tree, `UNSUPPORTED_REPOSITORY` where neither can work on it.
 */
export async function openRepository(path: string, options: OpenRepositoryOptions = {}): Promise<Repository> {
  const layout = await findRepository(path)
  if (options.commandLine !== false && (await isGitInstalled(options.signal))) return openWithGit(layout, options)
  return openWithIsomorphicGit(layout)
}

async function isGitInstalled(signal: AbortSignal | undefined): Promise<boolean> {
  try {
    return (await runGit(['--version'], { cwd: '/', signal })).code === 0
  } catch (error) {
    if (BatonError.isInstance(error, 'UNSUPPORTED_REPOSITORY')) return false
    throw error
  }
}

import { existsSync } from 'node:fs'
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { BatonError } from '../errors.ts'

/** Where the parts of a repository are. */
export interface RepositoryLayout {
  /** The folder with `.git`. */
  readonly root: string
  /** From the root to the workspace: empty, or ending in a slash. */
  readonly prefix: string
  readonly gitDir: string
  readonly commonDir: string
}

/**
 * Finds the repository around a folder: the nearest folder above it, or itself, that has a `.git`. What a repository's configuration says of another
 * work tree is not followed. Source: gitrepository-layout(5).
 *
 * @throws BatonError `INVALID_WORKSPACE` where there is none, or it is a bare one.
 */
export async function findRepository(path: string): Promise<RepositoryLayout> {
  const start = await realpath(path).catch((cause: unknown) => {
    throw new BatonError(
      'INVALID_WORKSPACE',
      `${JSON.stringify(path)} cannot be read. Give the path of the folder that holds the project.`,
      { cause },
    )
  })
  for (let root = start; ; root = dirname(root)) {
    const gitDir = await gitDirOf(root)
    if (gitDir !== undefined) {
      const prefix = start === root ? '' : `${start.slice(root === '/' ? 1 : root.length + 1).replaceAll('\\', '/')}/`
      return { root, prefix, gitDir, commonDir: await commonDirOf(gitDir) }
    }
    if (isGitDir(root)) throw noRepository(path, `${JSON.stringify(root)} is a git directory, without a work tree`)
    if (dirname(root) === root) throw noRepository(path, 'it belongs to no git repository')
  }
}

function noRepository(path: string, why: string): BatonError {
  return new BatonError(
    'INVALID_WORKSPACE',
    `${JSON.stringify(path)} cannot take commits: ${why}. Give a folder of a work tree, or run git init.`,
    {
      details: { path },
    },
  )
}

async function gitDirOf(root: string): Promise<string | undefined> {
  const dotGit = join(root, '.git')
  const found = await stat(dotGit).catch(() => undefined)
  if (found?.isDirectory()) return isGitDir(dotGit) ? realpath(dotGit) : undefined
  if (!found?.isFile()) return undefined
  const target = /^gitdir: (.+)$/m.exec(await readFile(dotGit, 'utf8'))?.[1]
  const gitDir = target === undefined ? undefined : resolve(root, target)
  return gitDir !== undefined && isGitDir(gitDir) ? realpath(gitDir) : undefined
}

function isGitDir(path: string): boolean {
  return existsSync(join(path, 'HEAD')) && (existsSync(join(path, 'commondir')) || existsSync(join(path, 'objects')))
}

async function commonDirOf(gitDir: string): Promise<string> {
  const common = await readFile(join(gitDir, 'commondir'), 'utf8').catch(() => undefined)
  return common === undefined ? gitDir : realpath(resolve(gitDir, common.trim()))
}

/** What git is in the middle of in this work tree: an operation that changes HEAD or the index when it goes on. */
export function operationInProgress(gitDir: string): string | undefined {
  const signs = {
    'rebase-merge': 'rebase',
    'rebase-apply': 'rebase',
    MERGE_HEAD: 'merge',
    CHERRY_PICK_HEAD: 'cherry-pick',
    REVERT_HEAD: 'revert',
    sequencer: 'cherry-pick',
    BISECT_LOG: 'bisect',
  }
  return Object.entries(signs).find(([name]) => existsSync(join(gitDir, name)))?.[1]
}

/** Larger packs isomorphic-git cannot read: it takes a pack into one buffer. */
const maxPackBytes = 2 ** 31 - 1

/** Why isomorphic-git cannot work on a repository; empty: it can. `config` reads the repository's own settings. */
export async function whyNotIsomorphic(layout: RepositoryLayout, config: (name: string) => Promise<string | undefined>): Promise<string[]> {
  const { gitDir, commonDir } = layout
  const reasons: string[] = []
  if (gitDir !== commonDir) reasons.push('it is a linked work tree')
  if ((await config('extensions.objectformat'))?.toLowerCase() === 'sha256') reasons.push('its objects are named by SHA-256')
  if ((await config('extensions.refstorage')) !== undefined || existsSync(join(commonDir, 'reftable')))
    reasons.push('its refs are in reftables')
  if (existsSync(join(commonDir, 'shallow'))) reasons.push('it is a shallow clone')
  if (existsSync(join(commonDir, 'objects/info/alternates'))) reasons.push('it borrows objects of another repository (alternates)')
  const packs = await packFiles(join(commonDir, 'objects/pack'))
  if (packs.some(({ name }) => name.endsWith('.promisor'))) reasons.push('it is a partial clone')
  if (packs.some(({ name, bytes }) => name.endsWith('.pack') && bytes > maxPackBytes)) reasons.push('it has a pack of 2 GiB or more')
  if (existsSync(join(commonDir, 'info/attributes'))) reasons.push('it has attributes')
  for (const name of ['core.autocrlf', 'core.eol', 'core.attributesfile', 'core.sparsecheckout', 'include.path'])
    if (!['', 'false', undefined].includes((await config(name))?.toLowerCase())) reasons.push(`it sets ${name}`)
  return reasons
}

async function packFiles(folder: string): Promise<{ name: string; bytes: number }[]> {
  const names = await readdir(folder).catch(() => [])
  return Promise.all(names.map(async (name) => ({ name, bytes: (await lstat(join(folder, name))).size })))
}

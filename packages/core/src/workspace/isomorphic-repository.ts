import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { appendFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { currentBranch, getConfigAll, listBranches, readObject, resolveRef } from 'isomorphic-git'
import { BatonError } from '../errors.ts'
import { syncNames } from '../events/durable-file.ts'
import { codeOf } from '../events/store-errors.ts'
import { changeIndex, parseIndex } from './git-index-file.ts'
import { takeLock, writeDurable } from './git-lock.ts'
import { cleanName } from './git-objects.ts'
import type { RefMove, Repository } from './repository.ts'
import type { RepositoryLayout } from './repository-layout.ts'
import { whyNotIsomorphic } from './repository-layout.ts'

/**
 * Works on a plain repository by isomorphic-git and, where that does not write safely, by its own hands: refs and the index are locked and replaced as
 * git does it. Reads the repository's own settings only.
 *
 * @throws BatonError `UNSUPPORTED_REPOSITORY` where the repository is not plain.
 */
export async function openWithIsomorphicGit(layout: RepositoryLayout): Promise<Repository> {
  const { gitDir } = layout
  const place = { fs, gitdir: gitDir }
  const config = async (name: string): Promise<string | undefined> => {
    const value: unknown = (await getConfigAll({ ...place, path: name })).at(-1)
    return value === undefined ? undefined : String(value)
  }
  const reasons = await whyNotIsomorphic(layout, config)
  if (reasons.length > 0)
    throw new BatonError(
      'UNSUPPORTED_REPOSITORY',
      `The repository ${layout.root} needs the git command line: ${reasons.join(', ')}. Install git.`,
      {
        details: { reasons },
      },
    )
  const cache = {}

  const resolve = async (ref: string): Promise<string | undefined> => {
    try {
      return await resolveRef({ ...place, ref })
    } catch (error) {
      if (codeOf(error) === 'NotFoundError') return undefined
      throw error
    }
  }

  return {
    ...layout,
    kind: 'isomorphic-git',
    objectFormat: 'sha1',
    config,
    async head() {
      const ref = (await currentBranch({ ...place, fullname: true })) || undefined
      return { ref, commit: await resolve('HEAD') }
    },
    resolve,
    async read(oid) {
      const { type, object } = await readObject({ ...place, oid, format: 'content', cache }).catch((cause: unknown) => {
        throw new BatonError('UNSUPPORTED_REPOSITORY', `The repository lacks the object ${oid}.`, { cause, details: { oid } })
      })
      return { type: type as 'blob', content: object as Uint8Array }
    },
    async index() {
      const file = await readIndex(gitDir)
      return file ? parseIndex(file) : new Map()
    },
    indexWith: async (changes) => changeIndex(await readIndex(gitDir), changes),
    async attributes(paths, files) {
      if (files.size > 0)
        throw new BatonError(
          'UNSUPPORTED_REPOSITORY',
          'The repository has .gitattributes. Install the git command line, which can read them.',
        )
      const none = { text: 'unspecified', crlf: 'unspecified', eol: 'unspecified', filter: 'unspecified', ident: 'unspecified' }
      return new Map(paths.map((path) => [path, { ...none, 'working-tree-encoding': 'unspecified' }]))
    },
    checkedOutElsewhere: (ref) => checkedOutInLinkedTrees(layout, ref),
    holdRef: async (ref, move) => {
      await checkName(ref, await listBranches(place))
      return holdRef(gitDir, ref, move, resolve)
    },
    async close() {},
  }
}

function readIndex(gitDir: string): Promise<Uint8Array | undefined> {
  return readFile(join(gitDir, 'index')).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
}

async function checkedOutInLinkedTrees({ commonDir }: RepositoryLayout, ref: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await readdir(join(commonDir, 'worktrees')).catch(() => [])) {
    const folder = join(commonDir, 'worktrees', name)
    const head = await readFile(join(folder, 'HEAD'), 'utf8').catch(() => '')
    if (head.trim() === `ref: ${ref}`) found.push(dirname((await readFile(join(folder, 'gitdir'), 'utf8')).trim()))
  }
  return found
}

/** A branch cannot be a folder of another one, wherever the two are kept. */
async function checkName(ref: string, branches: readonly string[]): Promise<void> {
  const other = branches.map((name) => `refs/heads/${name}`).find((name) => name.startsWith(`${ref}/`) || ref.startsWith(`${name}/`))
  if (other !== undefined)
    throw new BatonError('INVALID_STATE', `The branch ${ref} cannot be made, since there is ${other}. Take another name.`, {
      details: { ref },
    })
}

/** As git does it: locked by a file beside it, and the reflog is written first. Source: git's refs/files-backend.c. */
async function holdRef(
  gitDir: string,
  ref: string,
  { from, to, log, by }: Parameters<Repository['holdRef']>[1],
  resolve: Repository['resolve'],
): Promise<RefMove | undefined> {
  const path = join(gitDir, ref)
  await mkdir(dirname(path), { recursive: true })
  const lock = await takeLock(`${path}.lock`, ref)
  const aside = join(gitDir, `baton-ref-${randomBytes(6).toString('hex')}`)
  const abort = async (): Promise<void> => {
    await rm(aside, { force: true })
    await lock.release()
  }
  try {
    await writeDurable(aside, Buffer.from(`${to}\n`))
    if ((await resolve(ref)) !== from) {
      await abort()
      return undefined
    }
  } catch (error) {
    await abort()
    throw error
  }
  return {
    abort,
    async commit() {
      const time = `${Math.floor(Date.now() / 1000)} +0000`
      const line = `${from ?? '0'.repeat(40)} ${to} ${cleanName(by.name)} <${cleanName(by.email)}> ${time}\t${log.replace(/\s+/g, ' ')}\n`
      const head = (await readFile(join(gitDir, 'HEAD'), 'utf8')).trim()
      for (const name of [ref, ...(head === `ref: ${ref}` ? ['HEAD'] : [])]) {
        await mkdir(dirname(join(gitDir, 'logs', name)), { recursive: true })
        await appendFile(join(gitDir, 'logs', name), line)
      }
      await rename(aside, path)
      await syncNames(dirname(path))
      await lock.release()
    },
  }
}

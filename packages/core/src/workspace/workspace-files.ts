import * as fs from 'node:fs'
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import type { Ignore } from 'ignore'
import ignore from 'ignore'
import { listFiles } from 'isomorphic-git'
import { BatonError, messageOf } from '../errors.ts'
import { gitOutput } from './git-process.ts'

/** Instructions longer than this are cut. */
const maxInstructionBytes = 32 * 1024

/**
 * Checks that a workspace is a folder that can be read.
 *
 * @throws BatonError `INVALID_WORKSPACE`
 */
export async function checkWorkspace(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new BatonError(
      'INVALID_WORKSPACE',
      `workspace.path: ${JSON.stringify(path)} cannot be read (${messageOf(cause)}). Give the path of a folder.`,
      { cause },
    )
  })
  if (!found.isDirectory()) {
    throw new BatonError(
      'INVALID_WORKSPACE',
      `workspace.path: ${JSON.stringify(path)} is no folder. Give the path of the folder that holds the project.`,
    )
  }
}

/** The AGENTS.md of a workspace, where it has one. A link that leads out of the workspace is not followed: what is there was not meant for a model. */
export async function readInstructions(path: string): Promise<{ source: string; text: string; truncated?: boolean }[]> {
  const bytes = await readInside(path, 'AGENTS.md').catch(() => undefined)
  if (!bytes) return []
  const truncated = bytes.length > maxInstructionBytes
  // A character that is cut in two is left out.
  const text = new TextDecoder().decode(bytes.subarray(0, maxInstructionBytes), { stream: truncated })
  return [{ source: 'AGENTS.md', text, ...(truncated && { truncated }) }]
}

async function readInside(root: string, name: string): Promise<Uint8Array | undefined> {
  const file = await realpath(join(root, name))
  if (!file.startsWith(`${await realpath(root)}${sep}`) || !(await stat(file)).isFile()) return undefined
  return readFile(file)
}

/**
 * The files of a workspace that a task works on, relative, with forward slashes: tracked and untracked ones, without what git ignores and
 * without `.git`. Asks the git command line where it is there (no hook and no configured program runs); reads the index and the
 * `.gitignore` files itself otherwise.
 */
export async function listWorkspaceFiles(path: string): Promise<readonly string[]> {
  const byGit = await listWithGit(path)
  // A folder that a repository around it ignores has no files by git, and is a workspace nevertheless.
  const listed = byGit && byGit.length > 0 ? byGit : await listByHand(path)
  const present = await Promise.all(listed.map(async (file) => ((await isFileOrLink(join(path, file))) ? file : undefined)))
  return present.filter((file) => file !== undefined)
}

async function listWithGit(path: string): Promise<readonly string[] | undefined> {
  try {
    const stdout = await gitOutput(['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: path })
    return [
      ...new Set(
        stdout
          .toString()
          .split('\0')
          .filter((file) => file !== ''),
      ),
    ]
  } catch {
    return undefined
  }
}

async function listByHand(path: string): Promise<readonly string[]> {
  const tracked = await listFiles({ fs, dir: path }).catch(() => [])
  const found = new Set(tracked)
  await walk(path, '', [], found)
  return [...found]
}

async function walk(root: string, folder: string, rules: readonly { base: string; rules: Ignore }[], found: Set<string>): Promise<void> {
  const own = await readFile(join(root, folder, '.gitignore'), 'utf8').catch(() => undefined)
  const here = own === undefined ? rules : [...rules, { base: folder, rules: ignore().add(own) }]
  for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
    if (entry.name === '.git') continue
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (isIgnored(path, entry.isDirectory(), here)) continue
    if (entry.isDirectory()) await walk(root, path, here, found)
    else found.add(path)
  }
}

/** Whether nested `.gitignore` files leave a path out; the innermost that says anything decides. */
function isIgnored(path: string, folder: boolean, rules: readonly { base: string; rules: Ignore }[]): boolean {
  for (const { base, rules: own } of rules.toReversed()) {
    const verdict = own.test(`${base === '' ? path : path.slice(base.length + 1)}${folder ? '/' : ''}`)
    if (verdict.ignored) return true
    if (verdict.unignored) return false
  }
  return false
}

async function isFileOrLink(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined)
  return found !== undefined && (found.isFile() || found.isSymbolicLink())
}

/** A test for paths that git ignores, from the `.gitignore` files of a list of files. */
export function ignoredBy(files: readonly { readonly path: string; readonly text: string }[]): (path: string) => boolean {
  const rules = files
    .filter(({ path }) => path === '.gitignore' || path.endsWith('/.gitignore'))
    .map(({ path, text }) => ({ base: path === '.gitignore' ? '' : path.slice(0, -'/.gitignore'.length), rules: ignore().add(text) }))
    .sort((a, b) => a.base.length - b.base.length)
  return (path) => {
    const parts = path.split('/')
    return parts.some((_, index) => {
      const part = parts.slice(0, index + 1).join('/')
      const relevant = rules.filter(({ base }) => base === '' || part.startsWith(`${base}/`))
      return isIgnored(part, index < parts.length - 1, relevant)
    })
  }
}

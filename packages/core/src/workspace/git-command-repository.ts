import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Abortable } from '../options.ts'
import { fsPath, pathFromBytes, pathToBytes } from '../sandbox/path-bytes.ts'
import type { ObjectReader } from './git-object-reader.ts'
import { startObjectReader } from './git-object-reader.ts'
import type { GitObject, TreeEntry } from './git-objects.ts'
import { gitFailed, gitOutput, runGit, splitBytes } from './git-process.ts'
import { holdRefWithGit } from './git-ref-move.ts'
import type { IndexEntry, PathAttributes, Repository } from './repository.ts'
import type { RepositoryLayout } from './repository-layout.ts'

const attributeNames = ['text', 'crlf', 'eol', 'filter', 'ident', 'working-tree-encoding'] as const

/**
 * Works on a repository by the git command line, which can do all of them. Only plumbing is used that runs no program of the repository's.
 *
 * @throws BatonError `UNSUPPORTED_REPOSITORY` where git itself refuses it, such as by an extension that it does not know.
 */
export async function openWithGit(layout: RepositoryLayout, { signal }: Abortable): Promise<Repository> {
  const place = [`--git-dir=${layout.gitDir}`, `--work-tree=${layout.root}`]
  const options = { cwd: layout.root, signal }
  const git = (...args: string[]): Promise<Buffer> => gitOutput([...place, ...args], options)
  const format = (await git('rev-parse', '--show-object-format')).toString().trim()
  if (format !== 'sha1' && format !== 'sha256') throw gitFailed('rev-parse', `unknown object format ${format}`)
  let reader: ObjectReader | undefined

  const resolve = async (ref: string): Promise<string | undefined> => {
    const { code, stdout } = await runGit([...place, 'rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{commit}`], options)
    return code === 0 ? stdout.toString().trim() : undefined
  }

  return {
    ...layout,
    kind: 'git',
    objectFormat: format,
    async config(name) {
      const { code, stdout } = await runGit([...place, 'config', '--null', '--get', name], options)
      return code === 0 ? stdout.toString().split('\0')[0] : undefined
    },
    async head() {
      const { code, stdout } = await runGit([...place, 'symbolic-ref', '--quiet', 'HEAD'], options)
      return { ref: code === 0 ? stdout.toString().trim() : undefined, commit: await resolve('HEAD') }
    },
    resolve,
    read(oid): Promise<GitObject> {
      reader ??= startObjectReader(place, options)
      return reader.read(oid)
    },
    async index() {
      const entries = new Map<string, IndexEntry>()
      for (const row of splitBytes(await git('ls-files', '--stage', '-z', '--full-name'), 0)) {
        const tab = row.indexOf(0x09)
        const [mode = '', oid = '', stage] = row.toString('latin1', 0, tab).split(' ')
        entries.set(pathFromBytes(row.subarray(tab + 1)), { mode, oid, stage: Number(stage) })
      }
      return entries
    },
    indexWith: (changes) => indexWith(place, options, layout.gitDir, format, changes),
    attributes: (paths, files) => readAttributes(layout, options, paths, files),
    async checkedOutElsewhere(ref) {
      const [main = '', ...linked] = (await git('worktree', 'list', '--porcelain')).toString().split('\n\n')
      // Of a submodule the first one is said to be its git directory.
      const others = layout.gitDir === layout.commonDir ? linked : [main, ...linked]
      const found = others.filter((block) => block.split('\n').includes(`branch ${ref}`)).map((block) => block.split('\n')[0] ?? '')
      return found.map((line) => line.slice('worktree '.length)).filter((path) => path !== layout.root)
    },
    holdRef: (ref, move) => holdRefWithGit(place, options, ref, move),
    async close() {
      await reader?.close()
    },
  }
}

/** Lets git write the index into a file of its own beside the real one, which stays as it is. */
async function indexWith(
  place: readonly string[],
  options: { cwd: string; signal?: AbortSignal | undefined },
  gitDir: string,
  format: 'sha1' | 'sha256',
  changes: ReadonlyMap<string, TreeEntry | undefined>,
): Promise<Uint8Array> {
  const folder = await mkdtemp(join(gitDir, 'baton-index-'))
  const file = join(folder, 'index')
  try {
    await copyFile(join(gitDir, 'index'), file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    const none = '0'.repeat(format === 'sha1' ? 40 : 64)
    // What goes first, since a file may come where a folder was.
    const rows = [...changes].sort(([, a], [, b]) => Number(a !== undefined) - Number(b !== undefined))
    const input = rows.flatMap(([path, entry]) => [
      Buffer.from(`${entry?.mode ?? '0'} ${entry?.oid ?? none}\t`),
      pathToBytes(path),
      Buffer.from([0]),
    ])
    const env = { GIT_INDEX_FILE: file }
    // A split index would leave a second file behind that belongs to the copy.
    await gitOutput(['-c', 'core.splitIndex=false', ...place, 'update-index', '-z', '--index-info'], {
      ...options,
      env,
      input: Buffer.concat(input),
    })
    return await readFile(file)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Asks git about attributes in a folder that has nothing but the `.gitattributes` files. */
async function readAttributes(
  layout: RepositoryLayout,
  options: { signal?: AbortSignal | undefined },
  paths: readonly string[],
  files: ReadonlyMap<string, Uint8Array>,
): Promise<ReadonlyMap<string, PathAttributes>> {
  const folder = await mkdtemp(join(tmpdir(), 'baton-attributes-'))
  try {
    for (const [path, content] of files) {
      await mkdir(join(folder, dirname(path)), { recursive: true })
      await writeFile(Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(fsPath(path))]), content)
    }
    const args = [`--git-dir=${layout.gitDir}`, `--work-tree=${folder}`, 'check-attr', '-z', '--stdin', ...attributeNames]
    const input = Buffer.concat(paths.flatMap((path) => [pathToBytes(path), Buffer.from([0])]))
    const env = { GIT_INDEX_FILE: join(folder, '.git-no-index') }
    const rows = splitBytes(await gitOutput(args, { ...options, cwd: folder, input, env }), 0)
    const found = new Map<string, Record<string, string>>()
    for (let at = 0; at + 2 < rows.length; at += 3) {
      const path = pathFromBytes(rows[at] ?? Buffer.alloc(0))
      found.set(path, { ...found.get(path), [rows[at + 1]?.toString() ?? '']: rows[at + 2]?.toString() ?? '' })
    }
    return found as unknown as ReadonlyMap<string, PathAttributes>
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

import { execFile } from 'node:child_process'
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fsPath } from '../sandbox/path-bytes.ts'
import type { WorkFile } from './commit-work.ts'
import { objectId } from './git-objects.ts'
import type { PathAttributes, Repository } from './repository.ts'
import type { TextConversion } from './text-conversion.ts'
import { isLfsPointer, lfsPointer, textConversion, toStored, toWorkTree } from './text-conversion.ts'
import type { TreeEdit } from './tree-edit.ts'

/** A file as git is to store it. */
export interface StoredFile {
  readonly mode: string
  readonly oid: string
  /** What is stored. */
  content(): Promise<Uint8Array>
  /** Of a Git LFS pointer: the content that it stands for. */
  readonly lfs?: { readonly sha256: string; content(): Promise<Uint8Array> } | undefined
}

/** Converts between work tree and object store as git does, for a set of paths. */
export interface StoredContent {
  /** Why a path cannot be converted: its filter is a program that is not run, or Git LFS is not installed. */
  problem(path: string): 'filter' | 'lfs' | undefined
  /** Whether its content is a pointer, which no one can merge. */
  isLfs(path: string): boolean
  /** `before` reads what is stored at the path now. */
  store(path: string, file: WorkFile, before: () => Promise<Uint8Array | undefined>): Promise<StoredFile>
  toWorkTree(path: string, content: Uint8Array): Uint8Array
}

/** Asks for the attributes of paths, as they are with the `.gitattributes` files that the work leaves. */
export async function readConversions(
  repository: Repository,
  paths: readonly string[],
  attributeFiles: ReadonlyMap<string, Uint8Array>,
): Promise<StoredContent> {
  const attributes = await repository.attributes(paths, attributeFiles)
  const settings = { autocrlf: await repository.config('core.autocrlf'), eol: await repository.config('core.eol') }
  const problems = new Map<string, 'filter' | 'lfs'>()
  for (const [path, of] of attributes) {
    const problem = await problemWith(repository, of)
    if (problem) problems.set(path, problem)
  }
  const conversion = (path: string): TextConversion => {
    const of = attributes.get(path)
    return of ? textConversion(of, settings) : { text: 'none', crlfOut: false }
  }
  const isLfs = (path: string): boolean => attributes.get(path)?.filter === 'lfs'
  return {
    problem: (path) => problems.get(path),
    isLfs,
    async store(path, file, before) {
      const convert = async (raw: Uint8Array): Promise<Uint8Array> => {
        if (file.mode === '120000') return raw
        if (isLfs(path)) return isLfsPointer(raw) ? raw : lfsPointer(raw).pointer
        return toStored(raw, conversion(path), before)
      }
      const raw = await file.content()
      const content = await convert(raw)
      const isPointer = file.mode !== '120000' && isLfs(path) && !isLfsPointer(raw)
      return {
        mode: file.mode,
        oid: objectId(repository.objectFormat, { type: 'blob', content }),
        content: async () => convert(await file.content()),
        ...(isPointer && { lfs: { sha256: lfsPointer(raw).sha256, content: () => file.content() } }),
      }
    },
    toWorkTree: (path, content) => toWorkTree(content, conversion(path)),
  }
}

/** The `.gitattributes` that have a say about paths: those that the work leaves, else those of the work tree, else the branch's. */
export async function attributeFiles(
  repository: Repository,
  tree: TreeEdit,
  work: ReadonlyMap<string, WorkFile | undefined>,
  checkedOut: boolean,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const names = new Set<string>()
  for (const path of work.keys()) {
    const parts = path.split('/')
    for (let depth = 0; depth < parts.length; depth++) names.add([...parts.slice(0, depth), '.gitattributes'].join('/'))
  }
  const files = new Map<string, Uint8Array>()
  for (const name of names) {
    const content = work.has(name) ? await regular(work.get(name)) : await found(repository, tree, name, checkedOut)
    if (content) files.set(name, content)
  }
  return files
}

async function regular(file: WorkFile | undefined): Promise<Uint8Array | undefined> {
  return file && file.mode !== '120000' ? file.content() : undefined
}

async function found(repository: Repository, tree: TreeEdit, name: string, checkedOut: boolean): Promise<Uint8Array | undefined> {
  if (checkedOut) {
    const path = join(repository.root, name)
    if ((await lstat(fsPath(path)).catch(() => undefined))?.isFile()) return readFile(fsPath(path))
  }
  const entry = await tree.get(name)
  return entry?.mode.startsWith('100') ? (await repository.read(entry.oid)).content : undefined
}

async function problemWith(repository: Repository, attributes: PathAttributes): Promise<'filter' | 'lfs' | undefined> {
  const { filter, ident } = attributes
  const encoding = attributes['working-tree-encoding']
  if (!['unspecified', 'unset'].includes(ident)) return 'filter'
  if (!['unspecified', 'unset', 'set'].includes(encoding) && !/^utf-?8$/i.test(encoding)) return 'filter'
  if (filter === 'lfs') return (await isLfsInstalled()) && (await repository.config('lfs.storage')) === undefined ? undefined : 'lfs'
  if (['unspecified', 'unset', 'set'].includes(filter)) return undefined
  for (const name of ['clean', 'smudge', 'process']) if (await repository.config(`filter.${filter}.${name}`)) return 'filter'
  return undefined
}

/** Not by `git lfs`, which an alias of the repository could stand for. */
async function isLfsInstalled(): Promise<boolean> {
  try {
    await promisify(execFile)('git-lfs', ['version'], { cwd: '/' })
    return true
  } catch {
    return false
  }
}

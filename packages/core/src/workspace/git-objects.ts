import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { deflate } from 'node:zlib'
import PQueue from 'p-queue'
import { BatonError } from '../errors.ts'
import { syncNames } from '../events/durable-file.ts'
import { pathFromBytes, pathToBytes } from '../sandbox/path-bytes.ts'

/** A disk syncs many files at once in the time that it takes for one. */
const parallelWrites = 32

/** An object as it is stored, without its header. */
export interface GitObject {
  readonly type: 'blob' | 'tree' | 'commit' | 'tag'
  readonly content: Uint8Array
}

/** Objects that are to be written, by id; read when their turn comes. */
export type NewObjects = ReadonlyMap<string, () => Promise<GitObject>>

/** One name in a tree. */
export interface TreeEntry {
  /** Octal, six digits: `100644`, `100755`, `120000` (a link), `040000` (a tree), `160000` (a submodule). */
  readonly mode: string
  readonly oid: string
}

/** Names an object as git does. Source: gitformat-loose(5). */
export function objectId(format: 'sha1' | 'sha256', { type, content }: GitObject): string {
  return createHash(format).update(`${type} ${content.length}\0`).update(content).digest('hex')
}

/** The entries of a tree object by name. Source: git's `Documentation/gitformat` of trees: mode, space, name, NUL, id in binary. */
export function parseTree(content: Uint8Array, format: 'sha1' | 'sha256'): Map<string, TreeEntry> {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  const idLength = format === 'sha1' ? 20 : 32
  const entries = new Map<string, TreeEntry>()
  for (let at = 0; at < bytes.length; ) {
    const space = bytes.indexOf(0x20, at)
    const end = bytes.indexOf(0, space)
    const mode = bytes.toString('latin1', at, space).padStart(6, '0')
    at = end + 1 + idLength
    entries.set(pathFromBytes(bytes.subarray(space + 1, end)), { mode, oid: bytes.toString('hex', end + 1, at) })
  }
  return entries
}

/** A tree object of these entries, in git's order: by bytes, a folder as if its name ended in a slash. */
export function encodeTree(entries: ReadonlyMap<string, TreeEntry>): Uint8Array {
  const rows = [...entries].map(([name, { mode, oid }]) => {
    const bytes = pathToBytes(name)
    return { mode, oid, bytes, key: mode === '040000' ? Buffer.concat([bytes, Buffer.from('/')]) : bytes }
  })
  rows.sort((a, b) => Buffer.compare(a.key, b.key))
  return Buffer.concat(
    rows.flatMap(({ mode, oid, bytes }) => [Buffer.from(`${mode.replace(/^0/, '')} `), bytes, Buffer.from([0]), Buffer.from(oid, 'hex')]),
  )
}

/** What a commit is made of. */
export interface CommitParts {
  readonly tree: string
  readonly parents: readonly string[]
  readonly author: { readonly name: string; readonly email: string; readonly time: Date }
  readonly committer: { readonly name: string; readonly email: string; readonly time: Date }
  readonly message: string
}

/** A commit object. Names are rid of what would end them, as git does. */
export function encodeCommit({ tree, parents, author, committer, message }: CommitParts): Uint8Array {
  const person = ({ name, email, time }: CommitParts['author']): string =>
    `${cleanName(name) || 'unknown'} <${cleanName(email)}> ${Math.floor(time.getTime() / 1000)} +0000`
  const lines = [
    `tree ${tree}`,
    ...parents.map((parent) => `parent ${parent}`),
    `author ${person(author)}`,
    `committer ${person(committer)}`,
  ]
  return Buffer.from(`${lines.join('\n')}\n\n${message.replaceAll('\0', '').trimEnd()}\n`)
}

/** A name or an address without what would end it in a commit, a trailer or a reflog. */
export function cleanName(name: string): string {
  const plain = [...name].map((character) => (character < ' ' || '<>'.includes(character) ? ' ' : character)).join('')
  return plain.replace(/ +/g, ' ').trim()
}

/** The tree of a commit. */
export function treeOf(content: Uint8Array): string {
  return Buffer.from(content).toString('latin1', 0, 80).split('\n')[0]?.slice('tree '.length) ?? ''
}

/**
 * Writes objects into the object store, each in a file of its own that appears whole; all are durable when it resolves. An object that is there already
 * stays. Source: gitformat-loose(5).
 */
export async function writeObjects(objectsDir: string, format: 'sha1' | 'sha256', objects: NewObjects): Promise<void> {
  const { mode } = await stat(objectsDir)
  const folders = new Map<string, Promise<void>>()
  const queue = new PQueue({ concurrency: parallelWrites })
  const write = async (oid: string, load: () => Promise<GitObject>): Promise<void> => {
    const folder = join(objectsDir, oid.slice(0, 2))
    const path = join(folder, oid.slice(2))
    if (await stat(path).catch(() => undefined)) return
    const { type, content } = await load()
    if (objectId(format, { type, content }) !== oid)
      throw new BatonError('INVALID_STATE', 'The content of a file changed while it was committed.')
    if (!folders.has(folder)) folders.set(folder, makeFolder(folder, mode))
    await folders.get(folder)
    await writeWhole(path, await promisify(deflate)(Buffer.concat([Buffer.from(`${type} ${content.length}\0`), content])))
  }
  await queue.addAll(
    [...objects].map(
      ([oid, load]) =>
        () =>
          write(oid, load),
    ),
  )
  await queue.addAll([...folders.keys()].map((folder) => () => syncNames(folder)))
  if (folders.size > 0) await syncNames(objectsDir)
}

async function makeFolder(folder: string, mode: number): Promise<void> {
  // Where people share a repository by group, git's own folders say how.
  if ((await mkdir(folder, { recursive: true })) !== undefined) await chmod(folder, mode & 0o7777)
}

async function writeWhole(path: string, data: Uint8Array): Promise<void> {
  const aside = join(dirname(path), `tmp_obj_${randomBytes(6).toString('hex')}`)
  const file = await open(aside, 'wx', 0o444)
  try {
    await file.writeFile(data)
    await file.datasync()
  } catch (error) {
    await rm(aside, { force: true })
    throw error
  } finally {
    await file.close()
  }
  await rename(aside, path)
}

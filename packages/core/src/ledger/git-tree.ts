import { pathFromBytes, pathToBytes } from '../sandbox/path-bytes.ts'
import type { LedgerFile } from './ledger.ts'

/** A line of a tree object. */
export interface TreeEntry {
  /** Its bytes, each as a character (latin1): compares as git compares. */
  readonly name: string
  readonly mode: string
  readonly oid: string
}

/** How trees are read and stored. */
export interface TreeStore {
  readTree(oid: string): readonly TreeEntry[]
  writeTree(entries: readonly TreeEntry[]): string
}

/** What is to be different at a path and below it. */
export interface PathChange {
  /** A file stands here, or (null) none does any more. */
  file?: LedgerFile | null
  /** By name, as {@link TreeEntry} has it. */
  readonly below: Map<string, PathChange>
}

/** The mode of a folder. */
export const folderMode = '40000'

/** The order of a tree: by bytes, a folder as if its name ended in a slash. Walking trees in it gives whole paths in byte order. */
export function sortKey({ name, mode }: TreeEntry): string {
  return mode === folderMode ? `${name}/` : name
}

/** The entries of a tree object; undefined where it is none that can be read. */
export function decodeTree(content: Buffer): TreeEntry[] | undefined {
  const entries: TreeEntry[] = []
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(32, at)
    const end = content.indexOf(0, space)
    if (space < 0 || end < 0 || end + 21 > content.length) return undefined
    entries.push({
      mode: content.toString('latin1', at, space),
      name: content.toString('latin1', space + 1, end),
      oid: content.toString('hex', end + 1, end + 21),
    })
    at = end + 21
  }
  return entries
}

/** The tree object of entries in their order. */
export function encodeTree(entries: readonly TreeEntry[]): Buffer {
  let bytes = 0
  for (const { mode, name } of entries) bytes += mode.length + name.length + 22
  const content = Buffer.allocUnsafe(bytes)
  let at = 0
  for (const { mode, name, oid } of entries) {
    at += content.write(`${mode} ${name}\0`, at, 'latin1')
    at += content.write(oid, at, 'hex')
  }
  return content
}

/**
 * Writes the tree that a change makes out of another one. Only folders on the way to what is different are read and written. What is new
 * replaces what stands in its way: a file a folder, and a folder a file.
 *
 * @returns its id, or undefined when nothing is left in it
 */
export function changeTree(store: TreeStore, base: string | undefined, changes: PathChange['below']): string | undefined {
  const before = base === undefined ? [] : store.readTree(base)
  const after: TreeEntry[] = []
  const touched = new Map<string, TreeEntry>()
  for (const entry of before) changes.has(entry.name) ? touched.set(entry.name, entry) : after.push(entry)
  for (const [name, change] of changes) {
    const entry = changedEntry(store, name, touched.get(name), change)
    if (entry) after.push(entry)
  }
  if (after.length === 0) return undefined
  const keyed = after.map((entry) => ({ key: sortKey(entry), entry }))
  keyed.sort((a, b) => (a.key < b.key ? -1 : 1))
  return store.writeTree(keyed.map(({ entry }) => entry))
}

function changedEntry(store: TreeStore, name: string, before: TreeEntry | undefined, change: PathChange): TreeEntry | undefined {
  if (change.file) return { name, mode: change.file.mode, oid: change.file.oid }
  const isFolder = before?.mode === folderMode
  if (isFolder && change.below.size === 0) return before
  const below = change.below.size > 0 ? changeTree(store, isFolder ? before.oid : undefined, change.below) : undefined
  if (below !== undefined) return { name, mode: folderMode, oid: below }
  return isFolder || change.file === null ? undefined : before
}

const ascii = /^\p{ASCII}*$/u

/** A path as trees have it: its bytes, each as a character. */
export function namesOf(path: string): string[] {
  return (ascii.test(path) ? path : pathToBytes(path).toString('latin1')).split('/')
}

/** The path of bytes that each stand as a character. */
export function pathOf(bytes: string): string {
  return ascii.test(bytes) ? bytes : pathFromBytes(Buffer.from(bytes, 'latin1'))
}

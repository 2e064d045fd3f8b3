import type { GitObject, TreeEntry } from './git-objects.ts'
import { encodeTree, objectId, parseTree } from './git-objects.ts'
import type { Repository } from './repository.ts'

/** A tree that is changed path by path; only the folders on the way are read and written. */
export interface TreeEdit {
  /** What is at a path: a file, a folder (mode `040000`), a submodule, or nothing. */
  get(path: string): Promise<TreeEntry | undefined>
  /** Puts a file there, or takes away what is there. A folder that becomes empty goes with it. */
  set(path: string, entry: TreeEntry | undefined): Promise<void>
  /** The nearest folder above a path that is no folder here, if there is one: nothing can be put below it. */
  obstacle(path: string): Promise<{ readonly path: string; readonly entry: TreeEntry } | undefined>
  /** Adds the changed trees to `objects` and returns the id of the root. */
  finish(objects: Map<string, () => Promise<GitObject>>): string
}

interface Folder {
  /** None: the folder is new. */
  readonly oid: string | undefined
  readonly entries: Map<string, TreeEntry>
  /** Those that were looked into. */
  readonly below: Map<string, Folder>
  changed: boolean
}

/** The mode of a folder. */
export const folderMode = '040000'

/** Begins to change a tree (undefined: an empty one). */
export async function editTree(repository: Pick<Repository, 'read' | 'objectFormat'>, root: string | undefined): Promise<TreeEdit> {
  const format = repository.objectFormat
  const load = async (oid: string | undefined): Promise<Folder> => {
    const entries = oid === undefined ? new Map<string, TreeEntry>() : parseTree((await repository.read(oid)).content, format)
    return { oid, entries, below: new Map(), changed: oid === undefined }
  }
  const top = await load(root)

  /** The root and the folders down to a path; `make` puts new ones where none are. */
  const open = async (parts: readonly string[], make: boolean): Promise<Folder[] | undefined> => {
    const way = [top]
    for (const name of parts) {
      const folder = way.at(-1) as Folder
      const entry = folder.entries.get(name)
      if (entry?.mode !== folderMode && !make) return undefined
      const next = folder.below.get(name) ?? (await load(entry?.mode === folderMode ? entry.oid : undefined))
      folder.below.set(name, next)
      if (make) folder.entries.set(name, entry?.mode === folderMode ? entry : { mode: folderMode, oid: '' })
      way.push(next)
    }
    return way
  }

  const get = async (path: string): Promise<TreeEntry | undefined> => {
    const { parents, name } = split(path)
    return (await open(parents, false))?.at(-1)?.entries.get(name)
  }

  const finish = (folder: Folder, objects: Map<string, () => Promise<GitObject>>): string => {
    if (!folder.changed && folder.oid !== undefined) return folder.oid
    for (const [name, child] of folder.below) folder.entries.set(name, { mode: folderMode, oid: finish(child, objects) })
    const tree: GitObject = { type: 'tree', content: encodeTree(folder.entries) }
    const oid = objectId(format, tree)
    objects.set(oid, async () => tree)
    return oid
  }

  return {
    get,
    async set(path, entry) {
      const { parents, name } = split(path)
      const way = await open(parents, entry !== undefined)
      if (!way) return
      for (const folder of way) folder.changed = true
      way.at(-1)?.below.delete(name)
      if (entry) way.at(-1)?.entries.set(name, entry)
      else {
        way.at(-1)?.entries.delete(name)
        prune(way, parents)
      }
    },
    async obstacle(path) {
      const { parents } = split(path)
      for (let length = 1; length <= parents.length; length++) {
        const above = parents.slice(0, length).join('/')
        const entry = await get(above)
        if (!entry) return undefined
        if (entry.mode !== folderMode) return { path: above, entry }
      }
      return undefined
    },
    finish: (objects) => finish(top, objects),
  }
}

function split(path: string): { parents: string[]; name: string } {
  const parents = path.split('/')
  return { name: parents.pop() ?? '', parents }
}

/** Takes folders out that hold nothing any more, from the innermost up. */
function prune(way: readonly Folder[], names: readonly string[]): void {
  for (let depth = names.length; depth > 0; depth--) {
    const name = names[depth - 1] ?? ''
    if ((way[depth]?.entries.size ?? 0) > 0) return
    way[depth - 1]?.below.delete(name)
    way[depth - 1]?.entries.delete(name)
  }
}

import { BatonError } from '../errors.ts'
import type { CommitPlan } from './commit-plan.ts'
import type { MadeCommit } from './commit-work.ts'
import type { GitObject } from './git-objects.ts'
import { encodeCommit, objectId, treeOf, writeObjects } from './git-objects.ts'
import type { Repository } from './repository.ts'
import { editTree, folderMode } from './tree-edit.ts'

const notesRef = 'refs/notes/ai'

/** Writes the notes of commits, after the commits. Source: git-notes(1); the ref is that of the Git AI Standard v3.0.0, section 1.1. */
export async function writeNotes(
  repository: Repository,
  plan: CommitPlan,
  note: (commit: MadeCommit) => Promise<string | undefined>,
): Promise<void> {
  const notes = new Map<string, string>()
  for (const commit of plan.commits) {
    const tree = await editTree(repository, commit.tree)
    const read = async (path: string): Promise<Uint8Array | undefined> => {
      const entry = await tree.get(repository.prefix + path)
      return entry && entry.mode !== folderMode && entry.mode !== '160000' ? (await repository.read(entry.oid)).content : undefined
    }
    const text = await note({ oid: commit.oid, parent: commit.parent, paths: commit.paths, read })
    if (text !== undefined) notes.set(commit.oid, text)
  }
  // Others write notes too; then it is done again on top of theirs.
  for (let attempt = 0; notes.size > 0; attempt++) {
    if (await addNotes(repository, plan, notes)) return
    if (attempt === 5)
      throw new BatonError('INVALID_STATE', `The commits were made, but ${notesRef} keeps changing, so they have no notes.`)
  }
}

async function addNotes(repository: Repository, { committer }: CommitPlan, notes: ReadonlyMap<string, string>): Promise<boolean> {
  const tip = await repository.resolve(notesRef)
  const tree = await editTree(repository, tip === undefined ? undefined : treeOf((await repository.read(tip)).content))
  const objects = new Map<string, () => Promise<GitObject>>()
  const add = (object: GitObject): string => {
    const oid = objectId(repository.objectFormat, object)
    objects.set(oid, async () => object)
    return oid
  }
  for (const [commit, text] of notes) {
    const oid = add({ type: 'blob', content: Buffer.from(text) })
    await tree.set(await notePath(commit, async (path) => (await tree.get(path))?.mode === folderMode), { mode: '100644', oid })
  }
  const by = { ...committer, time: new Date() }
  const message = "Notes added by 'baton'"
  const parents = tip === undefined ? [] : [tip]
  const to = add({ type: 'commit', content: encodeCommit({ tree: tree.finish(objects), parents, author: by, committer: by, message }) })
  await writeObjects(`${repository.commonDir}/objects`, repository.objectFormat, objects)
  const move = await repository.holdRef(notesRef, { from: tip, to, log: message, by: committer })
  await move?.commit()
  return move !== undefined
}

/** Many notes are spread over folders by the first digits of the commit; a note goes where those of its neighbours are. Source: git's notes.c. */
async function notePath(commit: string, isFolder: (path: string) => Promise<boolean>): Promise<string> {
  let folder = ''
  let rest = commit
  while (rest.length > 2 && (await isFolder(folder + rest.slice(0, 2)))) {
    folder += `${rest.slice(0, 2)}/`
    rest = rest.slice(2)
  }
  return folder + rest
}

import { BatonError } from '../errors.ts'
import type { GitCommit } from './git-commit.ts'
import { encodeCommit } from './git-commit.ts'
import type { PathChange, TreeStore } from './git-tree.ts'
import { changeTree, namesOf } from './git-tree.ts'
import type { LedgerStage } from './ledger.ts'
import { missingError } from './ledger-errors.ts'

/** What commits are made of. */
export interface StageTarget extends TreeStore {
  readonly dir: string
  readCommit(oid: string): GitCommit
  /** Whether content is there to be named. */
  has(oid: string): boolean
  /** Adds a commit and returns its id. */
  writeCommit(content: Buffer): string
}

/** Makes the commits of stages, one on top of the other, and returns their ids. Throws `INVALID_OPTIONS` or `LEDGER_DAMAGED` before anything is added. */
export function buildStages(target: StageTarget, base: string | undefined, stages: readonly LedgerStage[]): readonly string[] {
  const start = base === undefined ? undefined : target.readCommit(base)
  const changes = stages.map(({ files }) => changesOf(files))
  for (const { files } of stages) checkContent(target, files)
  const seconds = Math.floor(Date.now() / 1000)
  let parent = base
  let tree = start?.tree
  let mayHoldPointers = start?.mayHoldPointers ?? false
  return stages.map(({ author, message, files }, index) => {
    mayHoldPointers ||= [...files.values()].some((file) => file?.hashOnly === true)
    tree = changeTree(target, tree, changes[index] ?? new Map()) ?? target.writeTree([])
    parent = target.writeCommit(encodeCommit({ tree, parent, author, message, seconds, mayHoldPointers }))
    return parent
  })
}

/** Content that is named has to be there: a commit is whole. */
function checkContent(target: StageTarget, files: LedgerStage['files']): void {
  for (const [path, file] of files) {
    if (file && !target.has(file.oid))
      throw missingError(target.dir, file.oid, `to stand at ${JSON.stringify(path)}; put it first`, { path })
  }
}

function changesOf(files: LedgerStage['files']): PathChange['below'] {
  const root: PathChange = { below: new Map() }
  for (const [path, file] of files) {
    let change = root
    for (const name of namesOf(path)) {
      if (name === '' || name === '.' || name === '..' || name.includes('\0')) throw pathError(path, 'is no relative path of a file')
      const next: PathChange = change.below.get(name) ?? { below: new Map() }
      change.below.set(name, next)
      change = next
    }
    change.file = file ?? null
  }
  refuseFilesInFiles(root, files)
  return root.below
}

function refuseFilesInFiles(root: PathChange, files: LedgerStage['files']): void {
  for (const [path, file] of files) {
    if (!file) continue
    let change: PathChange | undefined = root
    const names = namesOf(path)
    for (const name of names.slice(0, -1)) {
      change = change?.below.get(name)
      if (change?.file) throw pathError(path, 'is below a file')
    }
  }
}

function pathError(path: string, problem: string): BatonError {
  return new BatonError('INVALID_OPTIONS', `Ledger.commit: stages: ${JSON.stringify(path)} ${problem}.`, { details: { path } })
}

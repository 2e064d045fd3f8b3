import type { BatonError } from '../errors.ts'
import type { GitCommit } from './git-commit.ts'
import { decodeCommit } from './git-commit.ts'
import type { GitObject } from './git-object.ts'
import type { TreeEntry } from './git-tree.ts'
import { decodeTree } from './git-tree.ts'
import { damagedError, missingError } from './ledger-errors.ts'
import type { PackedObject } from './pack-file.ts'
import { inflateLater, inflateObject } from './pack-file.ts'

/** Reads objects, wherever they are. */
export interface LedgerReader {
  /** Throws `LEDGER_DAMAGED`, saying what it is that is not there. */
  object(oid: string, what: string): GitObject
  /** The length of an object's content. */
  size(oid: string): number | undefined
  /** The content of a file; a large one is inflated on another thread. Rejects with `LEDGER_DAMAGED`. */
  blob(oid: string): Promise<Buffer>
  /** Throws `LEDGER_DAMAGED`. */
  tree(oid: string): readonly TreeEntry[]
  /** Throws `LEDGER_DAMAGED`. */
  commit(oid: string): GitCommit
  commitIfThere(oid: string): GitCommit | undefined
  /** The error for an object that is not what it should be. */
  damaged(oid: string, what: string): BatonError
}

/** Finds what is stored. */
interface ObjectFinder {
  read(oid: string): PackedObject | undefined
  head(oid: string): Pick<PackedObject, 'size'> | undefined
}

export function createLedgerReader(dir: string, { read, head }: ObjectFinder): LedgerReader {
  const damaged = (oid: string, what: string): BatonError =>
    damagedError(dir, `has an object ${oid}, which is ${what}, that cannot be read`, { oid })

  function object(oid: string, what: string): GitObject {
    const found = read(oid)
    if (!found) throw missingError(dir, oid, what)
    const content = inflateObject(found)
    if (!content) throw damaged(oid, what)
    return { type: found.type, content }
  }

  function commit(oid: string): GitCommit {
    const { type, content } = object(oid, 'a commit')
    const commit = type === 'commit' ? decodeCommit(content) : undefined
    if (!commit) throw damaged(oid, 'a commit')
    return commit
  }

  return {
    object,
    size: (oid) => head(oid)?.size,
    damaged,
    async blob(oid) {
      const found = read(oid)
      if (!found) throw missingError(dir, oid, 'the content of a file')
      const content = found.type === 'blob' ? await inflateLater(found) : undefined
      if (!content) throw damaged(oid, 'the content of a file')
      return content
    },
    tree(oid) {
      const { type, content } = object(oid, 'a folder')
      const entries = type === 'tree' ? decodeTree(content) : undefined
      if (!entries) throw damaged(oid, 'a folder')
      return entries
    },
    commit,
    commitIfThere: (oid) => (read(oid) ? commit(oid) : undefined),
  }
}

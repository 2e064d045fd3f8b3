import type { Abortable } from '../options.ts'
import type { GitObject, TreeEntry } from './git-objects.ts'

/** A file as git keeps it: its content in the object store, and what it is. */
export type IndexEntry = TreeEntry & {
  /** 0, or the side of a merge that waits for a person. */
  readonly stage: number
}

/** What `.gitattributes` say about one path; `set`, `unset`, `unspecified` or a value. Source: gitattributes(5). */
export interface PathAttributes {
  readonly text: string
  readonly crlf: string
  readonly eol: string
  readonly filter: string
  readonly ident: string
  readonly 'working-tree-encoding': string
}

/** Name and address, as git keeps them. */
export interface GitIdentity {
  readonly name: string
  readonly email: string
}

/** A branch that is held still, to be moved or let go. */
export interface RefMove {
  /** Moves it. */
  commit(): Promise<void>
  /** Leaves it as it was. */
  abort(): Promise<void>
}

/**
 * A user's git repository, as far as it takes to put commits onto a branch of it. Reading runs no hook and no program that the repository configures.
 * Paths are relative to the root of the work tree, with forward slashes; a byte that is no UTF-8 stands as a lone surrogate (PEP 383).
 */
export interface Repository {
  /** Which implementation works on it. */
  readonly kind: 'git' | 'isomorphic-git'
  /** The work tree, absolute. */
  readonly root: string
  /** From the root to the workspace: empty, or ending in a slash. */
  readonly prefix: string
  /** The git directory of this work tree: it has `HEAD` and the index. */
  readonly gitDir: string
  /** The git directory that all its work trees share: it has the objects and the branches. */
  readonly commonDir: string
  /** How objects are named. */
  readonly objectFormat: 'sha1' | 'sha256'
  /** The last value of a setting. */
  config(name: string): Promise<string | undefined>
  /** The branch that is checked out (none: detached), and its commit (none: there is none yet). */
  head(): Promise<{ readonly ref: string | undefined; readonly commit: string | undefined }>
  /** The commit that a ref points to. */
  resolve(ref: string): Promise<string | undefined>
  /** Rejects with `UNSUPPORTED_REPOSITORY` where the object is not there, as in a partial clone. */
  read(oid: string): Promise<GitObject>
  /** Everything in the index, by path; of a merge that waits for a person the entry of the highest side. */
  index(): Promise<ReadonlyMap<string, IndexEntry>>
  /** What the index file would be with these entries; undefined: without. */
  indexWith(changes: ReadonlyMap<string, TreeEntry | undefined>): Promise<Uint8Array>
  /** What attributes say about paths when the work tree's `.gitattributes` files are these, by path. */
  attributes(paths: readonly string[], files: ReadonlyMap<string, Uint8Array>): Promise<ReadonlyMap<string, PathAttributes>>
  /** The folders of other work trees that have a branch checked out. */
  checkedOutElsewhere(ref: string): Promise<readonly string[]>
  /**
   * Holds a branch still where it points to `from` (undefined: there is no such branch), to let it point to `to`. Writes the reflog.
   * Undefined: it points elsewhere by now.
   */
  holdRef(ref: string, move: { from: string | undefined; to: string; log: string; by: GitIdentity }): Promise<RefMove | undefined>
  close(): Promise<void>
}

/** Options of {@link openRepository}. */
export interface OpenRepositoryOptions extends Abortable {
  /** Whether the git command line may be used, where it is installed. Default true; without it only plain repositories can be worked on. */
  readonly commandLine?: boolean | undefined
}

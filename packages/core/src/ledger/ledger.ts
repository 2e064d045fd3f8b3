import type { Actor } from '../events/envelope.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'

/** A file as a commit of the ledger has it. */
export interface LedgerFile {
  /** As git says it: an ordinary file, one that can be run, or a link (whose content is its target). */
  readonly mode: '100644' | '100755' | '120000'
  /** Git object id of the content, SHA-1, 40 lower-case hexadecimal digits. */
  readonly oid: string
  /**
   * The content is not kept, since the file is larger than the ledger's limit: `oid` names a Git LFS pointer (spec v1) with its SHA-256 and size
   * instead.
   */
  readonly hashOnly?: boolean | undefined
}

/** One path that is different between two states. */
export interface LedgerChange {
  /** Relative, with forward slashes; a byte that is no UTF-8 stands as a lone surrogate, U+DC80 to U+DCFF (PEP 383). */
  readonly path: string
  readonly before?: LedgerFile | undefined
  readonly after?: LedgerFile | undefined
}

/** One commit to be: files that are different in it from the one before. */
export interface LedgerStage {
  readonly author: Actor
  /** Subject, and after an empty line what else there is to say. */
  readonly message: string
  /** By path; undefined: it is gone. */
  readonly files: ReadonlyMap<string, LedgerFile | undefined>
}

/**
 * The workspace's history of all tasks of one Baton: a bare git repository on the host, one ref per task (`refs/baton/<task id>`). Every state is a
 * commit; a state is whole and durable before its id is given out. The ref follows the log: what the log does not name was never there.
 */
export interface Ledger {
  /** The git directory. Plain git reads it: `git --git-dir=… log refs/baton/<task id>`. */
  readonly dir: string
  /** Of a larger file only the hash is kept, in bytes. */
  readonly maxFileBytes: number
  /** The files of a commit by path. Rejects with `LEDGER_DAMAGED` where the commit, or part of it, is not there. */
  files(commit: string, options?: Abortable): Promise<ReadonlyMap<string, LedgerFile>>
  /** What is different between two commits, by path in byte order. */
  compare(from: string, to: string, options?: Abortable): Promise<readonly LedgerChange[]>
  /** The content of a file, or of a pointer where the content is not kept. Rejects with `LEDGER_DAMAGED`. */
  read(file: LedgerFile): Promise<Uint8Array>
  /**
   * Keeps content, to be named by a later stage. Durable with the next `commit`; until then beyond 32 MiB in files that nobody else sees. Leave the content as
   * it is. Throws `STORE_FULL` or `STORE_FAILED`.
   */
  put(content: Uint8Array, mode?: LedgerFile['mode']): LedgerFile
  /**
   * Writes stages one after the other on top of a commit (undefined: an empty workspace) in one durable write, and returns their ids in order. An empty list
   * of stages gives an empty list. Moves no ref.
   */
  commit(base: string | undefined, stages: readonly LedgerStage[], options?: Abortable): Promise<readonly string[]>
  /** Lets a task's ref point to a commit, wherever it was. What a task's log names has to be reached from its ref: the rest can be pruned. */
  point(taskId: string, commit: string): Promise<void>
  /** The commit that a task's ref points to. */
  head(taskId: string): Promise<string | undefined>
  /**
   * Removes the refs of these tasks, and every object that no other ref needs. A commit of the last day that no ref needs stays, unless it stands on one that
   * goes: its ref may be about to follow. Commits wait for it. Rejects with `LEDGER_DAMAGED`, and removes nothing, where it cannot tell what is needed.
   */
  prune(taskIds: readonly string[]): Promise<void>
  close(): Promise<void>
}

/** The limit where none is given, in bytes: 10 MiB. */
export const defaultMaxFileBytes: number = 10 * 1024 * 1024

/** What a look into the sandbox found. */
export interface WorkspaceLook {
  /** Different from the state that was compared with, by path in byte order. Content is in the ledger already, durable with its next `commit`. */
  readonly changes: readonly LedgerChange[]
  /** SHA-256 of what each changed path holds now, lower-case hexadecimal; none where it is gone. */
  readonly sha256: ReadonlyMap<string, string>
  /** What could not be read, such as a file without read permission. It stands as the state has it, and is tried again by the next look. */
  readonly unreadable: readonly string[]
}

/**
 * Watches the files of one sandbox for a ledger. Remembers size, times and inode of what it saw, so that only what changed is read again; edits of the
 * same size in the same instant are found too. `.gitignore` is honoured, but for files that the state compared with holds; `.git` is never looked into.
 */
export interface WorkspaceWatch {
  /**
   * Compares the sandbox with a state (undefined: an empty workspace). The state it saw last is cheap; of any other, what is different is read anew. Rejects
   * with `ABORTED`, with `LEDGER_DAMAGED` for a state that cannot be read, and as the sandbox does.
   */
  look(sandbox: Sandbox, state: string | undefined, options?: Abortable): Promise<WorkspaceLook>
  /** What was looked at last is this commit now. */
  settle(commit: string): void
  /** Forgets what it saw, as after a move of the sandbox: the next look reads everything. */
  reset(): void
}

/** Options of a ledger. */
export interface LedgerOptions {
  /** The folder of the repository; it is made where it is not there. One process at a time may write a task, several processes may share the ledger. */
  readonly dir: string
  /** Of a larger file only the hash is kept, in bytes. Default 10 MiB. */
  readonly maxFileBytes?: number | undefined
}

import { BatonError } from '../errors.ts'
import type { EventTypes } from '../events/event.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'

/** A git operation, and the commit that was checked out after it. */
export type GitOperation = EventTypes['git.changed']

/** Where a repository stands. */
export type GitState = NonNullable<EventTypes['checkpoint.created']['git']>

/** What the reflog of the repository in a sandbox says. */
export interface GitLook {
  /** Undefined where there is no repository, or one without a commit. */
  readonly state: GitState | undefined
  /** What happened since the look that was asked about, oldest first. */
  readonly operations: readonly GitOperation[]
}

/** A reflog that is longer than this is not looked at, in bytes. */
const maxLogBytes = 4 * 1024 * 1024
/** Of many operations between two looks the last ones are told. */
const maxOperations = 100

/**
 * Reads the reflog of `HEAD` (gitrevisions(7), `.git/logs/HEAD`: a line each with the commits before and after, who, when, and git's own message). It is a
 * file of the sandbox like any other: what it says is passed on, and nothing is done by it.
 *
 * @param since - what the last look found; `null`: no repository. Undefined: there was no look, so nothing is news.
 */
export async function lookAtGit(sandbox: Sandbox, since: GitState | null | undefined, options: Abortable): Promise<GitLook> {
  const log = await read(sandbox, '.git/logs/HEAD', maxLogBytes, options)
  const lines = (log ?? '').split('\n').flatMap((line) => parse(line) ?? [])
  const head = lines.at(-1)?.to
  const state = head === undefined ? undefined : { head, entries: lines.length }
  if (since === undefined || !state || (since && since.head === head && since.entries === lines.length)) return { state, operations: [] }
  const known = since === null || (since.entries <= lines.length && lines[since.entries - 1]?.to === since.head)
  // Where the log was cut, as by `reflog expire`, only where it stands now can be told.
  const news = known ? lines.slice(since?.entries ?? 0) : lines.slice(-1)
  const branch = branchOf(await read(sandbox, '.git/HEAD', 4096, options))
  const operations = news.slice(-maxOperations).map((line) => ({ ...line, ...(branch !== undefined && { branch }) }))
  return { state, operations }
}

async function read(sandbox: Sandbox, path: string, maxBytes: number, { signal }: Abortable): Promise<string | undefined> {
  try {
    return Buffer.from(await sandbox.readFile(path, { maxBytes, signal })).toString('utf8')
  } catch (error) {
    const absent = ['FILE_NOT_FOUND', 'NOT_A_FILE', 'FILE_TOO_LARGE', 'PATH_OUTSIDE_WORKDIR']
    if (BatonError.isInstance(error) && absent.includes(error.code)) return undefined
    throw error
  }
}

function parse(line: string): Omit<GitOperation, 'branch'> | undefined {
  const [head, message = ''] = line.split('\t', 2)
  const hashes = /^([0-9a-f]{40,64}) ([0-9a-f]{40,64}) /.exec(head ?? '')
  if (!hashes) return undefined
  const operation = /^[A-Za-z-]+/.exec(message)?.[0] ?? 'other'
  return { operation, message: message.slice(0, 1000), from: hashes[1] as string, to: hashes[2] as string }
}

function branchOf(head: string | undefined): string | undefined {
  return /^ref: refs\/heads\/(.+)$/m.exec(head ?? '')?.[1]?.slice(0, 250)
}

import { BatonError } from '../errors.ts'
import type { EventTypes } from '../events/event.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'

/** A git operation, and the commit that was checked out after it. */
export type GitOperation = EventTypes['git.changed']

/** What the reflog of the repository in a sandbox says. */
export interface GitLook {
  /** The commit that is checked out; undefined where there is no repository, or one without a commit. */
  readonly head: string | undefined
  /** What happened since the commit that was asked about, oldest first. */
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
 * @param since - the commit at the last look; `null`: none had been made. Undefined: there was no look, so nothing is news.
 */
export async function lookAtGit(sandbox: Sandbox, since: string | null | undefined, options: Abortable): Promise<GitLook> {
  const log = await read(sandbox, '.git/logs/HEAD', maxLogBytes, options)
  if (log === undefined) return { head: undefined, operations: [] }
  const lines = log.split('\n').flatMap((line) => parse(line) ?? [])
  const head = lines.at(-1)?.to
  if (since === undefined || head === since) return { head, operations: [] }
  const last = since === null ? -1 : lines.findLastIndex(({ to }) => to === since)
  // Where the log does not know the commit any more, as after `reflog expire`, only where it stands now can be told.
  const news = last === -1 && since !== null ? lines.slice(-1) : lines.slice(last + 1)
  const branch = branchOf(await read(sandbox, '.git/HEAD', 4096, options))
  const operations = news.slice(-maxOperations).map((line) => ({ ...line, ...(branch !== undefined && { branch }) }))
  return { head, operations }
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

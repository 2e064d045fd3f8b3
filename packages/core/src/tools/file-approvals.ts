import { randomBytes } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { BatonError, messageOf } from '../errors.ts'
import { makeDurableFolder, syncNames } from '../events/durable-file.ts'
import { createLockOwner } from '../events/file-lock.ts'
import { codeOf, fileError } from '../events/store-errors.ts'
import { parseOptions } from '../options.ts'
import type { ApprovalMemory } from './approval-memory.ts'
import { RememberedApproval } from './approval-memory.ts'

/** Options of {@link createFileApprovals}. */
export interface FileApprovalsOptions {
  /** A JSON file, made when needed, with its folder. Several processes may use the same one at once. Keep it where no agent can write. */
  readonly path: string
}

const Options = z.strictObject({ path: z.string().min(1, 'expected the path of a file') })

const version = 1

/** What a later program adds to an approval stays there. */
const Content = z.object({ version: z.int().positive(), approvals: z.array(z.looseObject(RememberedApproval.shape)) })
type Entry = z.infer<typeof Content>['approvals'][number]

/**
 * Keeps approvals in one file, for all processes that use it. A change is there as a whole or not at all, and is on the disk when it resolves. A file
 * that is damaged is left as it is: everything rejects with `CORRUPT_FILE` until it was restored or moved away, and people are asked as if nothing were
 * remembered. `STORE_FULL` and `STORE_FAILED` where the disk says no.
 *
 * @throws BatonError `INVALID_OPTIONS`
 */
export function createFileApprovals(options: FileApprovalsOptions): ApprovalMemory {
  const path = resolve(parseOptions('createFileApprovals', Options, options).path)

  /** Changes the file under a lock of its own, so that no process undoes another's change. */
  async function change(next: (approvals: readonly Entry[]) => readonly Entry[] | undefined): Promise<boolean> {
    const locks = createLockOwner(`${path}.locks`)
    try {
      makeDurableFolder(dirname(path))
      await locks.acquire('file')
      try {
        const approvals = next(await read(path))
        if (approvals) await write(path, approvals)
        return approvals !== undefined
      } finally {
        locks.release('file')
      }
    } catch (error) {
      throw fileError(error, path)
    } finally {
      locks.close()
    }
  }

  return {
    async list({ workspace } = {}) {
      const approvals = await read(path)
      return approvals.filter((one) => workspace === undefined || one.workspace === workspace)
    },
    async add(approval) {
      const entry = parseOptions('ApprovalMemory.add', RememberedApproval, approval)
      await change((approvals) => [...approvals.filter(({ id }) => id !== entry.id), entry])
    },
    revoke: (id) => change((approvals) => (approvals.some((one) => one.id === id) ? approvals.filter((one) => one.id !== id) : undefined)),
  }
}

async function read(path: string): Promise<readonly Entry[]> {
  let text: string
  try {
    text = new TextDecoder('utf8', { fatal: true }).decode(await readFile(path))
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error instanceof TypeError ? corrupt(path, 'it is no text', error) : fileError(error, path)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw corrupt(path, messageOf(error), error)
  }
  const parsed = Content.safeParse(json)
  const found = (json as { version?: unknown } | null)?.version
  if (typeof found === 'number' && found > version) throw corrupt(path, `it was written by a later version of Baton, in format ${found}`)
  if (parsed.success) return parsed.data.approvals
  const [issue] = parsed.error.issues
  throw corrupt(path, `${issue?.path.map(String).join('.') || 'the whole of it'}: ${issue?.message}`, parsed.error)
}

function corrupt(path: string, why: string, cause?: unknown): BatonError {
  return new BatonError(
    'CORRUPT_FILE',
    `${path} holds no approvals that can be read: ${why}. Nothing was changed; restore it from a copy, or move it away to begin anew.`,
    { details: { path }, ...(cause !== undefined && { cause }) },
  )
}

/** Writes aside, and renames: whoever reads finds the old or the new. */
async function write(path: string, approvals: readonly Entry[]): Promise<void> {
  const aside = `${path}.${randomBytes(8).toString('hex')}.tmp`
  try {
    const file = await open(aside, 'wx', 0o600)
    try {
      await file.writeFile(`${JSON.stringify({ version, approvals }, undefined, 2)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(aside, path)
  } catch (error) {
    await rm(aside, { force: true }).catch(() => {})
    throw error
  }
  await syncNames(dirname(path))
}

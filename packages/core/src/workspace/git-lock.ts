import { open, readFile, rm } from 'node:fs/promises'
import { BatonError } from '../errors.ts'
import type { ProcessIdentity as Identity } from '../events/process-identity.ts'
import { identifyThisProcess, livenessOf, ProcessIdentity } from '../events/process-identity.ts'
import { codeOf } from '../events/store-errors.ts'

/** A lock file of git's that this process made. */
export interface GitLock {
  release(): Promise<void>
}

/**
 * Makes a lock file as git does, so that no git command works on the same thing meanwhile. The file names this process, so that one left behind by a
 * process of Baton that died is taken over; a git command's is not.
 *
 * @throws BatonError `INVALID_STATE` where it is there already.
 */
export async function takeLock(path: string, what: string): Promise<GitLock> {
  const self = identifyThisProcess()
  try {
    await writeDurable(path, Buffer.from(JSON.stringify({ baton: self })))
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw cause
    const holder = await holderOf(path)
    if (!holder || livenessOf(holder, self) !== 'dead') {
      throw new BatonError('INVALID_STATE', `Another git command works on ${what}. Where none runs, remove ${path}.`, {
        cause,
        details: { lock: path },
      })
    }
    await rm(path, { force: true })
    return takeLock(path, what)
  }
  return { release: () => rm(path, { force: true }) }
}

async function holderOf(path: string): Promise<Identity | undefined> {
  try {
    return ProcessIdentity.parse(JSON.parse(await readFile(path, 'utf8')).baton)
  } catch {
    return undefined
  }
}

/** Writes a new file; it is durable when it resolves. Rejects with `EEXIST` where there is one. */
export async function writeDurable(path: string, data: Uint8Array): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await file.writeFile(data)
    await file.datasync()
  } finally {
    await file.close()
  }
}

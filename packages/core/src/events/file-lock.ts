import { closeSync, linkSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { BatonError } from '../errors.ts'
import { makeDurableFolder, removeFile } from './durable-file.ts'
import { identifyThisProcess, livenessOf, ProcessIdentity } from './process-identity.ts'
import { codeOf } from './store-errors.ts'

/** How long a lock is left alone. */
export interface LockTiming {
  /** A lock whose owner cannot be checked is stale when it has not changed for so long. Default 10,000. */
  readonly unchangedMs?: number
  /** How long a lock that a living process holds is waited for. Default 30,000. */
  readonly patienceMs?: number
}

/** What link(2) says where there are no hard links, or too many. */
const noLinkCodes: ReadonlySet<string | undefined> = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
  'EXDEV',
  'EACCES',
  'EISDIR',
])

/** Takes locks between processes, each a file that says who holds it. One per store; every lock it holds is its own. */
export interface LockOwner {
  /** Takes the lock at once, or returns false. */
  tryAcquire(name: string): boolean
  /** Waits for the lock. Rejects with `STORE_FAILED` when a living process keeps it too long. */
  acquire(name: string): Promise<void>
  release(name: string): void
  close(): void
}

/** How a lock file that someone else holds was found. */
interface HeldLock {
  readonly owner: ProcessIdentity | undefined
  /** Changes whenever its owner takes or releases any lock. */
  readonly fingerprint: string
  readonly key: string
}

/** When each lock was first seen as it is now. */
type Sightings = Map<string, { readonly fingerprint: string; readonly since: number }>

/**
 * A lock is a hard link to the owner's file, so it appears whole and at once; where there are no hard links, a file created exclusively.
 * A dead owner's lock is removed under a guard, which is a lock of its own named after that owner, so two processes never both remove it
 * and the second one never removes a new owner's.
 *
 * @param folder - where the lock files are; created when needed
 */
export function createLockOwner(folder: string, { unchangedMs = 10_000, patienceMs = 30_000 }: LockTiming = {}): LockOwner {
  const self = identifyThisProcess()
  const content = JSON.stringify(self)
  const ownerFile = join(folder, `owner.${self.nonce}`)
  const heldSince = new Map<string, number>()
  let prepared = false
  let linking = true

  function prepare(): void {
    makeDurableFolder(folder)
    createExclusively(ownerFile, content)
    prepared = true
    sweep()
  }

  /** Removes what processes that died left behind. */
  function sweep(): void {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name)
      if (!name.startsWith('owner.')) clearStale(path, new Map())
      else if (isDead(inspect(path)?.owner)) removeFile(path)
    }
  }

  function isDead(owner: ProcessIdentity | undefined): boolean {
    return owner !== undefined && livenessOf(owner, self) === 'dead'
  }

  function take(path: string): boolean {
    for (let attempt = 0; ; attempt++) {
      if (!prepared) prepare()
      try {
        if (linking) linkSync(ownerFile, path)
        else createExclusively(path, content)
        return true
      } catch (error) {
        const code = codeOf(error)
        if (code === 'EEXIST') return false
        if (attempt < 2 && linking && noLinkCodes.has(code)) linking = false
        // Someone removed the folder, or the owner's file in it.
        else if (attempt < 2 && code === 'ENOENT') prepared = false
        else throw error
      }
    }
  }

  function isStale(path: string, held: HeldLock, sightings: Sightings): boolean {
    const liveness = held.owner ? livenessOf(held.owner, self) : 'unknown'
    if (liveness !== 'unknown') return liveness === 'dead'
    const now = performance.now()
    const sighting = sightings.get(path)
    if (sighting?.fingerprint === held.fingerprint) return now - sighting.since >= unchangedMs
    sightings.set(path, { fingerprint: held.fingerprint, since: now })
    return false
  }

  function clearStale(path: string, sightings: Sightings): void {
    const held = inspect(path)
    if (!held || !isStale(path, held, sightings)) return
    const guard = `${path}.takeover.${held.key}`
    if (!take(guard)) {
      clearStale(guard, sightings)
      return
    }
    try {
      if (inspect(path)?.fingerprint === held.fingerprint) removeFile(path)
    } finally {
      removeFile(guard)
    }
  }

  function tryAcquire(name: string): boolean {
    const taken = take(join(folder, name))
    if (taken) heldSince.set(name, performance.now())
    return taken
  }

  return {
    tryAcquire,
    async acquire(name) {
      const path = join(folder, name)
      const sightings: Sightings = new Map()
      const start = performance.now()
      for (let attempt = 0; !tryAcquire(name); attempt++) {
        clearStale(path, sightings)
        if (performance.now() - start > patienceMs) throw stuckError(path, inspect(path)?.owner, patienceMs)
        await delay(Math.random() * Math.min(8, 1 + attempt))
      }
    },
    release(name) {
      const path = join(folder, name)
      const since = heldSince.get(name)
      heldSince.delete(name)
      // Held for so long, it may have been taken over by someone who could not see that this process lives.
      if (since !== undefined && performance.now() - since > unchangedMs / 2 && inspect(path)?.owner?.nonce !== self.nonce) return
      removeFile(path)
    },
    close() {
      if (prepared) removeFile(ownerFile)
      prepared = false
    },
  }
}

function inspect(path: string): HeldLock | undefined {
  try {
    const { ino, ctimeMs } = statSync(path)
    const owner = parseOwner(readFileSync(path, 'utf8'))
    return { owner, fingerprint: `${ino}:${ctimeMs}:${owner?.nonce}`, key: owner?.nonce ?? `inode${ino}` }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function parseOwner(text: string): ProcessIdentity | undefined {
  try {
    return ProcessIdentity.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

function createExclusively(path: string, content: string): void {
  const fd = openSync(path, 'wx')
  try {
    writeSync(fd, content)
  } catch (error) {
    removeFile(path)
    throw error
  } finally {
    closeSync(fd)
  }
}

function stuckError(path: string, owner: ProcessIdentity | undefined, patienceMs: number): BatonError {
  const who = owner ? `process ${owner.pid}` : 'an unknown process'
  return new BatonError(
    'STORE_FAILED',
    `${path} has been held by ${who} for ${patienceMs / 1000} s. Look whether that process is stopped.`,
    {
      details: { path, pid: owner?.pid },
    },
  )
}

import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fdatasync, openSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { BatonError } from '../errors.ts'
import { makeDurableFolder, removeFile, syncNames } from '../events/durable-file.ts'
import { codeOf, fileError } from '../events/store-errors.ts'

/** Where the parts of a ledger are. */
export interface LedgerFolder {
  readonly dir: string
  readonly packs: string
  /** Each file in it is a task's ref. */
  readonly refs: string
  readonly locks: string
  /** Makes the repository where there is none. Throws `INVALID_OPTIONS` where the folder holds something else. */
  prepare(): void
  /** A file whose content changes each time objects are removed. */
  readonly pruneMark: string
  /** Replaces a file by another content, all or nothing, and waits until it is on the disk. */
  replace(path: string, content: string): Promise<void>
}

/** What a process that died left behind is removed when it is so old. */
const leftoverMs = 86_400_000

/** That it is a ledger says the last section. The others make `git gc` harmless, should someone call it: it packs without deltas, and leaves the refs. */
const config = `[core]
	repositoryformatversion = 0
	bare = true
	logAllRefUpdates = false
[gc]
	auto = 0
	packRefs = false
	cruftPacks = true
	writeCommitGraph = false
[pack]
	window = 0
	writeBitmaps = false
[baton]
	ledger = 1
`

/** @param isDurable - whether to wait for the disk */
export function createLedgerFolder(dir: string, isDurable: boolean): LedgerFolder {
  const packs = join(dir, 'objects', 'pack')
  const refs = join(dir, 'refs', 'baton')
  const locks = join(dir, 'baton', 'locks')
  let isPrepared = false

  function make(): void {
    makeDurableFolder(dir)
    if (!isLedger(dir)) {
      refuseOthers(dir)
      create(join(dir, 'config'), config)
    }
    for (const folder of [packs, join(dir, 'objects', 'info'), refs, locks]) makeDurableFolder(folder)
    if (!existsSync(join(dir, 'HEAD'))) create(join(dir, 'HEAD'), 'ref: refs/heads/main\n')
    removeLeftovers(packs)
  }

  function create(path: string, content: string): void {
    const aside = asideOf(dir)
    writeFileSync(aside, content, { flush: isDurable })
    renameSync(aside, path)
  }

  return {
    dir,
    packs,
    refs,
    locks,
    prepare() {
      if (isPrepared) return
      try {
        make()
      } catch (error) {
        throw fileError(error, `Making the ledger ${dir}`)
      }
      isPrepared = true
    },
    pruneMark: join(dir, 'baton', 'pruned'),
    async replace(path, content) {
      const aside = asideOf(join(dir, 'baton'))
      try {
        const fd = openSync(aside, 'wx')
        try {
          writeFileSync(fd, content)
          if (isDurable) await promisify(fdatasync)(fd)
        } finally {
          closeSync(fd)
        }
        renameSync(aside, path)
        if (isDurable) await syncNames(dirname(path))
      } catch (error) {
        removeFile(aside)
        throw fileError(error, `Writing ${path}`)
      }
    },
  }
}

/** The content of a file that may not be there. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw fileError(error, `Reading ${path}`)
  }
}

function asideOf(folder: string): string {
  return join(folder, `tmp_${randomBytes(8).toString('hex')}`)
}

function isLedger(dir: string): boolean {
  return /^\[baton\]\n\s*ledger = 1$/m.test(readIfThere(join(dir, 'config')) ?? '')
}

function refuseOthers(dir: string): void {
  const [other] = readdirSync(dir).filter((name) => !name.startsWith('tmp_'))
  if (other === undefined) return
  throw new BatonError(
    'INVALID_OPTIONS',
    `createLedger: dir: ${dir} holds something else (${other}). Give a folder that is empty, or not there.`,
    {
      details: { dir, found: other },
    },
  )
}

function removeLeftovers(packs: string): void {
  for (const name of readdirSync(packs)) {
    const path = join(packs, name)
    const isOld = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY) > leftoverMs
    const isLeftover = name.startsWith('tmp_') || (name.endsWith('.pack') && !existsSync(`${path.slice(0, -5)}.idx`))
    if (isOld && isLeftover) removeFile(path)
  }
}

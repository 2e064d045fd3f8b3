import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import { BatonError, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { notAFileError } from './local-folder.ts'
import { packOverlay } from './overlay-pack.ts'
import type { FileStat, Sandbox, ScanOptions } from './sandbox.ts'

/** A file that was written to an overlay. */
export interface StagedFile {
  /** What the sandbox held when it was first written to; undefined where there was no file. */
  readonly base: Uint8Array | undefined
  readonly proposed: Uint8Array
  /** Permission bits, where they were asked for. */
  readonly mode: number | undefined
}

/** A sandbox in which nothing is changed, and what was written to it. */
export interface Overlay {
  readonly sandbox: Sandbox
  /** By path relative to the workdir, in one spelling. */
  readonly staged: ReadonlyMap<string, StagedFile>
  /** The first thing that was asked for and that only the real sandbox can do. */
  readonly needed: string | undefined
}

/** Largest file that is held, before or after. */
const maxFileBytes = 16 * 1024 * 1024
/** Most of all that is written. */
const maxTotalBytes = 64 * 1024 * 1024

interface Entry extends StagedFile {
  readonly stat: FileStat
}

/**
 * Puts a layer over a sandbox that keeps in memory what is written to it. Reading, scanning and packing see the real files with that on top. Everything
 * else that could change something, a command above all, and files over 16 MiB (64 MiB together), reject with `INVALID_STATE` and are told of by `needed`. A
 * file is known by its path alone: written by one path and read by another that leads to it over a link, it is as it was.
 */
export function createOverlaySandbox(real: Sandbox): Overlay {
  const staged = new Map<string, Entry>()
  let needed: string | undefined
  let inodes = Number.MAX_SAFE_INTEGER

  function needsReal(what: string): BatonError {
    needed ??= what
    return new BatonError('INVALID_STATE', `${what}: what is done here is only a proposal, and this needs the sandbox itself.`, {
      details: { needs: what },
    })
  }

  /** A staged file further down makes this a folder. */
  const isNewFolder = (key: string): boolean => [...staged.keys()].some((path) => key === '' || path.startsWith(`${key}/`))

  async function readReal(path: string, options: Abortable): Promise<Uint8Array | undefined> {
    try {
      return await real.readFile(path, { ...options, maxBytes: maxFileBytes })
    } catch (error) {
      if (BatonError.isInstance(error, 'FILE_TOO_LARGE')) throw needsReal(`changing ${JSON.stringify(path)}, a file of this size,`)
      if (!BatonError.isInstance(error, 'FILE_NOT_FOUND')) throw error
      if (isNewFolder(keyOf(real, path))) throw notAFileError(path, 'a folder')
      await requireFolders(path, options)
      return undefined
    }
  }

  /** Where folders are missing, writing makes them; where a file is in their place, it cannot. */
  async function requireFolders(path: string, options: Abortable): Promise<void> {
    for (const folder of foldersAbove(keyOf(real, path))) {
      const isFile = staged.has(folder) || (await isRealFile(folder, options))
      if (isFile) throw notAFileError(path, 'under something that is no folder')
      if (isFile === false) return
    }
  }

  /** Undefined where nothing is. */
  async function isRealFile(path: string, options: Abortable): Promise<boolean | undefined> {
    try {
      await real.readFile(path, { ...options, maxBytes: 1 })
      return true
    } catch (error) {
      if (BatonError.isInstance(error, 'FILE_TOO_LARGE')) return true
      if (BatonError.isInstance(error, 'NOT_A_FILE')) return false
      if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) return undefined
      throw error
    }
  }

  function requireRoom(path: string, data: Uint8Array): void {
    let total = data.length
    for (const [other, { proposed }] of staged) if (other !== keyOf(real, path)) total += proposed.length
    if (data.length > maxFileBytes || total > maxTotalBytes) throw needsReal(`writing ${JSON.stringify(path)}, with so much content,`)
  }

  const blocked = (what: string) => () => Promise.reject(needsReal(what))
  const { attachProcess, snapshot, expose } = real
  const sandbox: Sandbox = {
    id: real.id,
    workdir: real.workdir,
    isolation: real.isolation,
    spawn: blocked('running a command'),
    unpack: blocked('unpacking'),
    ...(attachProcess && { attachProcess: blocked('finding a process') }),
    ...(snapshot && { snapshot: blocked('taking a snapshot') }),
    ...(expose && { expose: blocked('exposing a port') }),
    async readFile(path, options = {}) {
      throwIfAborted(options.signal, `reading ${path}`)
      const key = keyOf(real, path)
      const content = staged.get(key)?.proposed
      if (!content && isNewFolder(key)) throw notAFileError(path, 'a folder')
      if (!content) return real.readFile(path, options)
      const { maxBytes } = options
      if (maxBytes === undefined || content.length <= maxBytes) return content.slice()
      throw new BatonError('FILE_TOO_LARGE', `${JSON.stringify(path)} has ${content.length} bytes; at most ${maxBytes} were asked for.`, {
        details: { path, size: content.length, limit: maxBytes },
      })
    },
    async writeFile(path, data, { mode, ifSha256, signal } = {}) {
      throwIfAborted(signal, `writing ${path}`)
      const key = keyOf(real, path)
      const found = staged.has(key) ? undefined : await readReal(path, { signal })
      // Somebody may have written while that was read.
      const known = staged.get(key)
      const now = known ? known.proposed : found
      if (ifSha256 !== undefined && ifSha256 !== (now ? sha256Of(now) : null)) {
        throw new BatonError('FILE_CHANGED', `${JSON.stringify(path)} is not as expected. Read it again before writing.`, {
          details: { path },
        })
      }
      requireRoom(path, data)
      const times = { mtimeMs: Date.now(), ctimeMs: Date.now(), inode: known?.stat.inode ?? inodes-- }
      const bits = mode ?? known?.mode
      const stat: FileStat = { path: key, kind: 'file', size: data.length, mode: bits ?? 0o644, ...times }
      staged.set(key, { base: known ? known.base : found, proposed: new Uint8Array(data), mode: bits, stat })
    },
    scan: (options = {}) => scanOverlay(real, staged, options),
    pack: (options = {}) => (staged.size === 0 ? real.pack(options) : packOverlay(real, sandbox, staged, options)),
    // The real one is not its own to close.
    close: async () => {},
  }
  return {
    sandbox,
    staged,
    get needed() {
      return needed
    },
  }
}

/** The real entries with the written ones in their place, then those that are new, and their folders. */
async function* scanOverlay(real: Sandbox, staged: ReadonlyMap<string, Entry>, options: ScanOptions): AsyncGenerator<FileStat> {
  const left = addedUnder(keyOf(real, options.path ?? '.'), staged, options)
  try {
    for await (const stat of real.scan(options)) {
      const entry = staged.get(stat.path)
      left.delete(stat.path)
      if (entry && stat.kind === 'file') yield { ...stat, ...entry.stat, inode: stat.inode, mode: entry.mode ?? stat.mode }
      else yield stat
    }
  } catch (error) {
    if (left.size === 0 || !BatonError.isInstance(error, 'FILE_NOT_FOUND')) throw error
  }
  throwIfAborted(options.signal, 'the scan')
  yield* left.values()
}

/** What a scan from there would find if only the written files were there. */
function addedUnder(start: string, staged: ReadonlyMap<string, Entry>, { skip = [], skipPaths = [] }: ScanOptions): Map<string, FileStat> {
  const added = new Map<string, FileStat>()
  const inside = (path: string): boolean => start === '' || path === start || path.startsWith(`${start}/`)
  for (const [path, { stat }] of staged) {
    const folders = foldersAbove(path).reverse()
    const below = folders.filter((folder) => inside(folder) && folder !== start)
    if (!inside(path) || below.some((folder) => skip.includes(posix.basename(folder)) || skipPaths.includes(folder))) continue
    for (const folder of folders) if (inside(folder)) added.set(folder, { ...stat, path: folder, kind: 'folder', size: 0, mode: 0o755 })
    added.set(path, stat)
  }
  return added
}

/** One spelling for each path: relative to the workdir, which is itself the empty one. */
function keyOf({ workdir }: Sandbox, path: string): string {
  const inner = path.startsWith('/') ? posix.relative(workdir, path) : posix.normalize(path)
  return inner === '.' ? '' : inner.replace(/\/+$/, '')
}

/** The nearest first, without the workdir itself. */
function foldersAbove(path: string): string[] {
  const names = path.split('/')
  return names.slice(1).map((_, index) => names.slice(0, names.length - 1 - index).join('/'))
}

function sha256Of(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

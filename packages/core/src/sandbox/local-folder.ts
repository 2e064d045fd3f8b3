import type { Stats } from 'node:fs'
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { isAbsolute, join, normalize, relative, sep } from 'node:path'
import { BatonError } from '../errors.ts'
import { fsPath, pathFromBytes } from './path-bytes.ts'

/** A folder of the workdir that is held open, so that nothing that happens to its path can lead a file operation elsewhere. */
export interface HeldFolder {
  /** The path of an entry, for `node:fs`. On Linux it goes through the open folder itself, whatever its name is by then. */
  entry(name: string): string | Buffer
  /** Where the folder is now; on Linux, whatever became of the path it was opened by. */
  currentPath(): string
  close(): void
}

/** A place in the workdir: the folder, held open, and the name in it. The name is empty for the workdir itself. */
export interface HeldPlace extends HeldFolder {
  readonly name: string
  /** The path relative to the workdir, links resolved. Empty for the workdir itself. */
  readonly path: string
  /** The entry that is there and no link; undefined where there is none. */
  readonly stats: Stats | undefined
}

/** What {@link holdPlace} does on its way. */
export interface HoldOptions {
  /** Make the folders that are missing. */
  readonly makeFolders?: boolean | undefined
  /** Follow a link that the last name is. Default: true. */
  readonly followLast?: boolean | undefined
}

const linux = process.platform === 'linux'
const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
const maxLinks = 40

/** The error for a path that leads out. */
export function outsideError(path: string, workdir: string): BatonError {
  return new BatonError(
    'PATH_OUTSIDE_WORKDIR',
    `${JSON.stringify(path)} leads out of the sandbox's folder ${workdir}; give a path inside it.`,
    {
      details: { path, workdir },
    },
  )
}

/** The error for a path where nothing is. */
export function notFoundError(path: string): BatonError {
  return new BatonError('FILE_NOT_FOUND', `There is no ${JSON.stringify(path)} in the sandbox.`, { details: { path } })
}

/** The error for a path where something else is than the file that was asked for. */
export function notAFileError(path: string, what: string): BatonError {
  return new BatonError('NOT_A_FILE', `${JSON.stringify(path)} is ${what}, not a file.`, { details: { path } })
}

/**
 * The names that lead from the workdir to a path, which is relative or absolute. `..` is taken as text, before links are.
 *
 * @throws BatonError `PATH_OUTSIDE_WORKDIR`; `INVALID_OPTIONS` for a path with a NUL.
 */
export function namesInside(workdir: string, path: string): string[] {
  if (path.includes('\0'))
    throw new BatonError('INVALID_OPTIONS', `path: ${JSON.stringify(path)} contains a NUL character`, { details: { path } })
  const inner = isAbsolute(path) ? relative(workdir, path) : normalize(path)
  const names = inner.split(sep).filter((name) => name !== '' && name !== '.')
  if (names.includes('..') || isAbsolute(inner)) throw outsideError(path, workdir)
  return names
}

/**
 * Walks to a path from the workdir, one open folder to the next, following links only while they stay inside. Because each step starts at a
 * folder that is open, a process in the sandbox that swaps folders for links meanwhile cannot lead the walk out (the races that `openat`
 * exists for). Elsewhere than on Linux the steps go by path, with every component checked.
 *
 * @throws BatonError `PATH_OUTSIDE_WORKDIR`, `FILE_NOT_FOUND`, `NOT_A_FILE`, and `SANDBOX_LOST` when the workdir is gone.
 */
export function holdPlace(workdir: string, path: string, options: HoldOptions = {}): HeldPlace {
  const pending = namesInside(workdir, path)
  const above: string[] = []
  let folder = openWorkdir(workdir)
  let links = 0
  const restart = (): void => {
    folder.close()
    above.length = 0
    folder = openWorkdir(workdir)
  }
  try {
    for (;;) {
      const name = pending.shift()
      if (name === undefined) return { ...folder, name: '', path: '', stats: lstatOf(workdir) }
      const last = pending.length === 0
      const stats = lstatOf(folder.entry(name))
      if (stats?.isSymbolicLink() && (!last || options.followLast !== false)) {
        if (++links > maxLinks) throw notAFileError(path, 'behind too many links')
        const target = targetOf(folder.entry(name))
        // No link any more: it is looked at again.
        if (target === undefined) pending.unshift(name)
        else {
          pending.unshift(...namesOfLink(workdir, above, target, path))
          restart()
        }
      } else if (last) return { ...folder, name, path: [...above, name].join('/'), stats }
      else {
        if (stats === undefined && options.makeFolders !== true) throw notFoundError(path)
        if (stats !== undefined && !stats.isDirectory()) throw underFileError(path, options)
        const next = stepInto(folder, name, stats === undefined)
        // Undefined when the name became a link or vanished since; then it is looked at again.
        if (next === undefined) {
          if (++links > maxLinks) throw notFoundError(path)
          pending.unshift(name)
        } else {
          folder.close()
          folder = next
          above.push(name)
        }
      }
    }
  } catch (error) {
    folder.close()
    throw error
  }
}

/**
 * Opens a folder by its path relative to the workdir, which has no links in it, in one step. Undefined when it is not there, or no longer
 * the folder of that path.
 */
export function holdFolder(workdir: string, path: string): HeldFolder | undefined {
  const whole = path === '' ? workdir : fsPath(`${workdir}/${path}`)
  try {
    const folder = hold(whole, () => openSync(whole, folderFlags))
    if (folder.currentPath() === (path === '' ? workdir : `${workdir}/${path}`)) return folder
    folder.close()
    return undefined
  } catch (error) {
    if (path === '' && codeOf(error) === 'ENOENT') throw lostError(workdir, error)
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(codeOf(error))) return undefined
    throw error
  }
}

/** The names in a folder. */
export function namesIn(folder: HeldFolder): string[] {
  const names = readdirSync(folder.entry('.'))
  if (!names.some((name) => name.includes('\ufffd'))) return names
  return readdirSync(folder.entry('.'), { encoding: 'buffer' }).map(pathFromBytes)
}

/** Looking for a file under another file finds none; writing one there is another mistake. */
function underFileError(path: string, options: HoldOptions): BatonError {
  return options.makeFolders === true ? notAFileError(path, 'under something that is no folder') : notFoundError(path)
}

/** Where a link points; undefined when it is none by now. */
function targetOf(path: string | Buffer): string | undefined {
  try {
    return pathFromBytes(readlinkSync(path, { encoding: 'buffer' }))
  } catch (error) {
    if (codeOf(error) === 'EINVAL' || codeOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The names from the workdir to where a link in the folder `above` points. */
function namesOfLink(workdir: string, above: readonly string[], target: string, path: string): string[] {
  const names = isAbsolute(target) ? target : join(workdir, ...above, target)
  try {
    return namesInside(workdir, names)
  } catch {
    throw outsideError(path, workdir)
  }
}

function openWorkdir(workdir: string): HeldFolder {
  try {
    return hold(workdir, () => openSync(workdir, constants.O_RDONLY | constants.O_DIRECTORY))
  } catch (cause) {
    throw lostError(workdir, cause)
  }
}

function lostError(workdir: string, cause: unknown): BatonError {
  return new BatonError('SANDBOX_LOST', `The sandbox's folder ${workdir} is gone.`, { cause, details: { workdir } })
}

/** Opens a folder in a folder. Undefined when it is none any more. */
function stepInto(folder: HeldFolder, name: string, make: boolean): HeldFolder | undefined {
  const path = folder.entry(name)
  try {
    if (make) makeFolder(path)
    return hold(path, () => openSync(path, folderFlags))
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EEXIST'].includes(codeOf(error))) return undefined
    throw error
  }
}

function makeFolder(path: string | Buffer): void {
  try {
    mkdirSync(path, 0o755)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  }
}

function hold(path: string | Buffer, open: () => number): HeldFolder {
  const fd = open()
  if (!linux && !fstatSync(fd).isDirectory()) throw new Error('not a folder')
  let closed = false
  const base = linux ? `/proc/self/fd/${fd}` : path
  return {
    entry: (name) =>
      typeof base === 'string' ? fsPath(`${base}/${name}`) : Buffer.concat([base, Buffer.from('/'), Buffer.from(fsPath(name))]),
    currentPath: () =>
      pathFromBytes(linux ? readlinkSync(base, { encoding: 'buffer' }) : realpathSync.native(base, { encoding: 'buffer' })),
    close() {
      if (!closed) closeSync(fd)
      closed = true
    },
  }
}

/** The stats of what is at a path, without following a link; undefined where there is nothing. */
export function lstatOf(path: string | Buffer): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

/** The system's code of an error, such as `ENOENT`; empty where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}

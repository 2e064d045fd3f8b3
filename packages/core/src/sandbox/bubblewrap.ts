import { execFile } from 'node:child_process'
import { existsSync, lstatSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import { messageOf } from '../errors.ts'

/** Whether bubblewrap can be used on this machine. */
export type BubblewrapProbe = { readonly works: true } | { readonly works: false; readonly problem: string }

/** What one command under bubblewrap gets. */
export interface BubblewrapOptions {
  /** All absolute paths on the host; `workdir` and `home` have the same paths inside, `tmp` is `/tmp` there. */
  readonly root: string
  readonly workdir: string
  readonly home: string
  readonly tmp: string
  readonly cwd: string
  readonly network: 'none' | 'full'
  /** The value of PATH: what of it is in hidden folders is shown read-only. */
  readonly path: string
  /** Whether it outlives this program. */
  readonly detached: boolean
}

const isolationFlags = [
  ...['--unshare-user', '--disable-userns', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
  ...['--new-session', '--cap-drop', 'ALL', '--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc'],
]

/** What root could read through the read-only file system and a command must not. */
const secretPlaces = [
  '/etc/shadow',
  '/etc/shadow-',
  '/etc/gshadow',
  '/etc/gshadow-',
  '/etc/sudoers',
  '/etc/ssh',
  '/etc/ssl/private',
  '/var/lib/docker',
]

let probe: Promise<BubblewrapProbe> | undefined

/** Tries bubblewrap once per program, with the flags that commands get. It may be missing, or not be allowed (as in a container). */
export function probeBubblewrap(): Promise<BubblewrapProbe> {
  probe ??= tryBubblewrap()
  return probe
}

async function tryBubblewrap(): Promise<BubblewrapProbe> {
  if (process.platform !== 'linux') return { works: false, problem: 'it is for Linux' }
  try {
    await promisify(execFile)('bwrap', [...isolationFlags, '--unshare-net', '--die-with-parent', '--', 'true'], { timeout: 10_000 })
    return { works: true }
  } catch (error) {
    return { works: false, problem: messageOf(error).trim().split('\n').at(-1) ?? 'unknown' }
  }
}

/**
 * A command line that runs another under bubblewrap: own user, process, ipc and mount namespaces, no capabilities; the workdir, home and
 * temporary folder writable, the rest of the file system read-only, home folders, `/run` and temporary folders hidden. In the workdir `.git/hooks`
 * and `.git/config` are read-only, since a git on the host would run what they say. Children in the background end with the command.
 */
export function wrapInBubblewrap(argv: readonly string[], options: BubblewrapOptions): readonly string[] {
  return [
    'bwrap',
    ...isolationFlags,
    ...(options.network === 'none' ? ['--unshare-net'] : []),
    ...(options.detached ? [] : ['--die-with-parent']),
    ...hiddenFlags(options),
    ...visibleFlags(options),
    ...writableFlags(options),
    ...['--chdir', options.cwd],
    // bubblewrap itself ends with 1 for a command that is not there; a shell says 127 or 126.
    ...['--', '/bin/sh', '-c', 'exec "$@"', 'sh', ...argv],
  ]
}

function hiddenFolders({ root }: BubblewrapOptions): string[] {
  const folders = ['/home', '/root', '/run', '/var/tmp', homedir(), root].filter(existsSync).map((path) => realpathSync(path))
  return [...new Set(folders)].filter((path) => path !== '/' && !isWithin(path, '/tmp')).sort()
}

function hiddenFlags(options: BubblewrapOptions): string[] {
  const secrets = secretPlaces.filter(existsSync).flatMap((path) => {
    return lstatSync(path).isDirectory() ? ['--tmpfs', path] : ['--ro-bind', '/dev/null', path]
  })
  return [...hiddenFolders(options).flatMap((path) => ['--tmpfs', path]), '--bind', options.tmp, '/tmp', ...secrets]
}

/** Parts of hidden folders that commands need: programs of the PATH, npm's own modules beside them, and the resolver's settings. */
function visibleFlags(options: BubblewrapOptions): string[] {
  const hidden = [...hiddenFolders(options), '/tmp']
  const wanted = options.path.split(delimiter).flatMap((folder) => [folder, join(dirname(folder), 'lib', 'node_modules')])
  if (options.network === 'full' && existsSync('/etc/resolv.conf')) wanted.push(realpathSync('/etc/resolv.conf'))
  const shown = wanted.filter(
    (path) => isAbsolute(path) && existsSync(path) && hidden.some((folder) => isWithin(path, folder) && path !== folder),
  )
  return [...new Set(shown)].flatMap((path) => ['--ro-bind', path, path])
}

function writableFlags({ root, workdir, home }: BubblewrapOptions): string[] {
  const flags = ['--bind', workdir, workdir]
  // The records of other sandboxes stay out of sight also where their folder is inside this workdir.
  if (isWithin(root, workdir)) flags.push('--tmpfs', root)
  flags.push('--bind', home, home)
  return [...flags, ...gitFlags(workdir)]
}

function gitFlags(workdir: string): string[] {
  const git = join(workdir, '.git')
  if (!lstatSync(git, { throwIfNoEntry: false })?.isDirectory()) return []
  const fixed = ['hooks', 'config'].map((name) => join(git, name))
  const present = fixed.filter((path) => {
    const stats = lstatSync(path, { throwIfNoEntry: false })
    return stats?.isDirectory() || stats?.isFile()
  })
  // Bound onto itself, the folder cannot be moved away to put another in its place.
  return ['--bind', git, git, ...present.flatMap((path) => ['--ro-bind', path, path])]
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}

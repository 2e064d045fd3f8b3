import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { BatonError, messageOf } from '../errors.ts'
import { parseOptions } from '../options.ts'
import { wrapInBubblewrap } from './bubblewrap.ts'
import { openDetachedProcess, startDetachedProcess } from './detached-process.ts'
import { argvOf } from './local-command.ts'
import { createLocalFiles } from './local-files.ts'
import { holdPlace } from './local-folder.ts'
import type { LocalProcess } from './local-process.ts'
import { failedProcess, startLocalProcess } from './local-process.ts'
import type { LocalFolders, LocalRecord } from './local-record.ts'
import { foldersOf, removeFolders } from './local-record.ts'
import { createLocalScanner } from './local-scan.ts'
import { packLocal } from './pack-local.ts'
import { killTree, processMarker, sandboxMarker } from './process-tree.ts'
import type { Sandbox, SandboxProcess, SpawnOptions } from './sandbox.ts'
import { Command, SpawnOptionsSchema } from './spawn-options.ts'
import { resizeTerminal, wrapInTerminal } from './terminal.ts'
import { unpackLocal } from './unpack-local.ts'

/** What a local sandbox is opened with. */
export interface LocalSandboxSettings {
  readonly root: string
  readonly record: LocalRecord
  readonly shell: string
  /** What commands inherit. */
  readonly hostEnv: Readonly<Record<string, string>>
}

const offset = z.int().nonnegative()

/** The handle of a local sandbox whose folders are there. */
export function openLocalSandbox(settings: LocalSandboxSettings): Sandbox {
  const { record, root } = settings
  const { workdir } = record
  const folders = foldersOf(root, record.id)
  const running = new Map<string, LocalProcess>()

  return {
    id: record.id,
    workdir,
    isolation: record.isolation,
    ...createLocalFiles(workdir),
    ...createLocalScanner(workdir),
    pack: (options) => packLocal(workdir, options),
    unpack: (tar, options) => unpackLocal(workdir, tar, options),
    async spawn(command, options = {}) {
      parseOptions('spawn', z.object({ command: Command, options: SpawnOptionsSchema }), { command, options })
      if (options.user !== undefined) throw unsupported('user', 'is not possible on the host')
      if (options.tty !== undefined && options.detached) throw unsupported('tty', 'is not possible for a detached command')
      const id = randomBytes(8).toString('hex')
      const cwd = resolveCwd(workdir, options.cwd ?? '.')
      if (cwd.problem !== undefined) return failedProcess(id, 126, `cannot enter the folder ${options.cwd}: ${cwd.problem}`)
      return start(settings, folders, { id, command, cwd: cwd.path, options }, running)
    },
    async attachProcess(id, from) {
      const { stdoutFrom, stderrFrom } = parseOptions('attachProcess', z.object({ stdoutFrom: offset, stderrFrom: offset }), from)
      const folder = join(folders.processes, /^[0-9a-f]{16}$/.test(id) ? id : 'unknown')
      return openDetachedProcess({ id, folder }, { stdoutFrom, stderrFrom }).process
    },
    async close() {
      for (const { tree } of running.values()) await killTree(tree)
      await killTree({ marker: [sandboxMarker, record.id] })
      await removeFolders(folders)
    },
  }
}

interface Start {
  readonly id: string
  readonly command: string | readonly string[]
  readonly cwd: string
  readonly options: SpawnOptions
}

async function start(
  settings: LocalSandboxSettings,
  folders: LocalFolders,
  { id, command, cwd, options }: Start,
  running: Map<string, LocalProcess>,
): Promise<SandboxProcess> {
  const { record, root, shell } = settings
  const isolated = record.isolation === 'process'
  const tmp = { onHost: folders.tmp, inSandbox: isolated ? '/tmp' : folders.tmp }
  const env: Record<string, string> = {
    ...{ HOME: folders.home, TMPDIR: tmp.inSandbox },
    ...(options.tty !== undefined && { TERM: 'xterm-256color' }),
    ...settings.hostEnv,
    ...record.env,
    ...options.env,
    ...{ PWD: cwd, [sandboxMarker]: record.id, [processMarker]: id },
  }
  const plain = argvOf(command, shell, tmp, id)
  const { workdir, network } = record
  const bound = {
    root,
    workdir,
    home: folders.home,
    tmp: folders.tmp,
    cwd,
    network,
    path: env.PATH ?? '',
    detached: options.detached === true,
  }
  const onTerminal = options.tty === undefined ? plain : await wrapInTerminal(plain, options.tty)
  const argv = isolated ? wrapInBubblewrap(onTerminal, bound) : onTerminal
  if (options.detached) {
    const started = await startDetachedProcess({ id, argv, cwd, env }, { id, folder: join(folders.processes, id) }, options)
    running.set(id, started)
    return started.process
  }
  const started = await startLocalProcess({ id, argv, cwd, env }, options)
  running.set(id, started)
  void started.process.exit.then(() => running.delete(id))
  return options.tty === undefined ? started.process : { ...started.process, resize: (size) => resizeTerminal(started.tree, size) }
}

/** The real path of the folder to start in, or why there is none. One that leads out rejects. */
function resolveCwd(workdir: string, cwd: string): { path: string; problem?: undefined } | { problem: string } {
  try {
    const place = holdPlace(workdir, cwd)
    place.close()
    if (place.stats === undefined) return { problem: 'no such folder' }
    if (!place.stats.isDirectory()) return { problem: 'not a folder' }
    return { path: place.path === '' ? workdir : `${workdir}/${place.path}` }
  } catch (error) {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND') || BatonError.isInstance(error, 'NOT_A_FILE')) return { problem: messageOf(error) }
    throw error
  }
}

function unsupported(field: string, why: string): BatonError {
  return new BatonError('UNSUPPORTED_SPEC', `local sandbox: ${field} ${why}.`, { details: { field } })
}

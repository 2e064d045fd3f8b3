import { realpath, stat } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { z } from 'zod'
import { BatonError, messageOf, throwIfAborted } from '../errors.ts'
import { parseOptions } from '../options.ts'
import { probeBubblewrap } from './bubblewrap.ts'
import { findShell } from './local-command.ts'
import { inheritedNames, pickEnvironment } from './local-environment.ts'
import type { LocalRecord } from './local-record.ts'
import {
  createFolders,
  defaultRoot,
  foldersOf,
  listIds,
  newLocalId,
  openRoot,
  readRecord,
  removeFolders,
  removeLeftovers,
} from './local-record.ts'
import { openLocalSandbox } from './open-local-sandbox.ts'
import type { Sandbox, SandboxProvider } from './sandbox.ts'
import { SandboxSpec } from './sandbox.ts'
import { wrapSandboxProvider } from './wrap-provider.ts'

const LocalSandboxOptions = z.strictObject({
  root: z.string().refine(isAbsolute, 'expected an absolute path').optional(),
  isolation: z.enum(['auto', 'none', 'process']).default('auto'),
  inheritEnv: z.array(z.string()).default([]),
  shell: z.string().optional(),
})

/** Options of {@link createLocalSandboxProvider}. */
export interface LocalSandboxOptions {
  /** Absolute path of a folder of this user in which the sandboxes' folders are made. Default: `baton-sandboxes-UID` in the folder for temporary files. */
  readonly root?: string | undefined
  /**
   * `none`: plain processes of this user, which can read and write what the user can. `process`: under bubblewrap (Linux). Default `auto`:
   * `process` where bubblewrap works, else `none`; each sandbox says which it is.
   */
  readonly isolation?: 'auto' | 'none' | 'process' | undefined
  /**
   * Names of variables that commands inherit from the host besides `PATH`, `LANG`, `LANGUAGE`, `LC_*`, `TZ`, `TERM`, `USER` and `LOGNAME`; one
   * may end in `*`. `HOME` and `TMPDIR` are folders of the sandbox's own, unless named here.
   */
  readonly inheritEnv?: readonly string[] | undefined
  /** Absolute path of the shell for commands that are strings. Default: bash where it is, else `/bin/sh`. */
  readonly shell?: string | undefined
}

/**
 * Sandboxes on this machine, in a folder of their own or, with `inPlace`, in one that is there. `network` may be `none` under bubblewrap; without
 * it, and by default, it is `full`. `image`, `user`, `resources` and lists of hosts are refused with `UNSUPPORTED_SPEC`.
 */
export function createLocalSandboxProvider(options: LocalSandboxOptions = {}): SandboxProvider {
  const settings = parseOptions('createLocalSandboxProvider', LocalSandboxOptions, options)
  const shell = settings.shell ?? findShell()
  const rootPath = settings.root ?? defaultRoot()
  let swept: Promise<void> | undefined
  const open = (root: string, record: LocalRecord): Sandbox =>
    openLocalSandbox({ root, record, shell, hostEnv: pickEnvironment(process.env, [...inheritedNames, ...settings.inheritEnv]) })
  return wrapSandboxProvider({
    name: 'local',
    async create(spec, { signal } = {}) {
      const parsed = parseOptions('create', SandboxSpec, spec)
      const record = await recordOf(parsed, settings.isolation)
      const root = await usableRoot(rootPath)
      // Litter that cannot be removed is in nobody's way.
      swept ??= removeLeftovers(root).catch(() => {})
      await swept
      const folders = foldersOf(root, record.id)
      const workdir = record.inPlace ? record.workdir : folders.work
      try {
        await createFolders(folders, { ...record, workdir })
        throwIfAborted(signal, 'starting a local sandbox')
      } catch (error) {
        await removeFolders(folders).catch(() => undefined)
        throw error
      }
      return open(root, { ...record, workdir })
    },
    async attach(id) {
      const root = await usableRoot(rootPath)
      const record = await readRecord(root, id)
      if (record === undefined)
        throw new BatonError('UNKNOWN_SANDBOX', `There is no local sandbox ${id} under ${root}.`, { details: { sandboxId: id, root } })
      return open(root, record)
    },
    async *list() {
      const root = await usableRoot(rootPath)
      for (const id of await listIds(root)) {
        const record = await readRecord(root, id)
        if (record === undefined) continue
        const { isolation, labels, createdAt } = record
        yield { id, provider: 'local', isolation, labels, createdAt }
      }
    },
  })
}

async function recordOf(spec: SandboxSpec, wanted: 'auto' | 'none' | 'process'): Promise<LocalRecord> {
  for (const field of ['image', 'user', 'resources'] as const)
    if (spec[field] !== undefined) throw unsupported(field, 'is not possible on the host')
  const isolation = await isolationFor(spec, wanted)
  if (typeof spec.network === 'object') throw unsupported('network', 'can be "full" or "none", not a list of hosts')
  if (spec.network === 'none' && isolation === 'none') throw unsupported('network', 'can be "none" only under bubblewrap')
  return {
    v: 1,
    id: newLocalId(),
    isolation,
    network: spec.network ?? 'full',
    workdir: spec.inPlace === undefined ? '' : await requireFolder(spec.inPlace),
    inPlace: spec.inPlace !== undefined,
    env: spec.env ?? {},
    labels: spec.labels ?? {},
    createdAt: new Date().toISOString(),
  }
}

async function isolationFor(spec: SandboxSpec, wanted: 'auto' | 'none' | 'process'): Promise<'none' | 'process'> {
  if (spec.isolation === 'container' || spec.isolation === 'vm')
    throw unsupported('isolation', 'can be "none", or "process" under bubblewrap')
  const needed = wanted === 'process' || spec.isolation === 'process'
  if (wanted === 'none' && needed) throw unsupported('isolation', 'was set to "none" for this provider')
  if (wanted === 'none') return 'none'
  const bubblewrap = await probeBubblewrap()
  if (bubblewrap.works) return 'process'
  if (needed) throw unsupported('isolation', `"process" needs bubblewrap, which does not work here: ${bubblewrap.problem}`)
  return 'none'
}

async function requireFolder(path: string): Promise<string> {
  const problem = (why: string, cause?: unknown): BatonError =>
    new BatonError('INVALID_WORKSPACE', `inPlace: ${JSON.stringify(path)} ${why}; give the absolute path of a folder that exists.`, {
      details: { path },
      cause,
    })
  if (!isAbsolute(path)) throw problem('is not absolute')
  const real = await realpath(path).catch((error: unknown) => {
    throw problem(`cannot be opened (${messageOf(error)})`, error)
  })
  if (!(await stat(real)).isDirectory()) throw problem('is no folder')
  return real
}

async function usableRoot(path: string): Promise<string> {
  try {
    return await openRoot(path)
  } catch (cause) {
    throw new BatonError('SANDBOX_FAILED', `The folder for local sandboxes cannot be used: ${messageOf(cause)}`, {
      cause,
      details: { root: path },
    })
  }
}

function unsupported(field: string, why: string): BatonError {
  return new BatonError('UNSUPPORTED_SPEC', `local sandbox: ${field} ${why}.`, { details: { field } })
}

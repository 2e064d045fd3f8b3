import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { z } from 'zod'
import { BatonError, throwIfAborted } from '../errors.ts'
import { parseOptions } from '../options.ts'
import { failedProcess } from '../sandbox/local-process.ts'
import type { Sandbox, SandboxInfo, SandboxProcess, SandboxProvider, SpawnOptions } from '../sandbox/sandbox.ts'
import { SandboxSpec } from '../sandbox/sandbox.ts'
import { Command, SpawnOptionsSchema } from '../sandbox/spawn-options.ts'
import { wrapSandboxProvider } from '../sandbox/wrap-provider.ts'
import type { MemoryFiles } from './memory-files.ts'
import { createMemoryFiles } from './memory-files.ts'
import type { MemoryStreams } from './memory-process.ts'
import { startMemoryProcess } from './memory-process.ts'

/** What a scripted command has around it. */
export interface MemoryCommandContext extends MemoryStreams {
  /** The command's words, its name first. */
  readonly argv: readonly string[]
  /** As it was given: a string, or words. */
  readonly command: string | readonly string[]
  /** Absolute. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** The sandbox's files, by paths relative to the workdir. */
  readonly files: Pick<MemoryFiles, 'read' | 'write' | 'remove' | 'list'>
}

/** A command as a function; what it returns is the exit code, nothing is 0. */
export type MemoryCommand = (context: MemoryCommandContext) => number | undefined | Promise<number | undefined>

/** Options of {@link createMemorySandboxProvider}. */
export interface MemorySandboxOptions {
  /**
   * Commands by their name or, for a string, by the whole of it, which is looked for first. `*` takes what no other does. `cat`, `echo`, `false`,
   * `pwd`, `sleep` and `true` are there; everything else is not found (127).
   */
  readonly commands?: Readonly<Record<string, MemoryCommand>> | undefined
  /** What is in each new sandbox. */
  readonly files?: Readonly<Record<string, string | Uint8Array>> | undefined
}

const workdir = '/workspace'

/**
 * A double of a sandbox for tests of agents and tools: files in memory, commands that are functions, nothing that starts a process. A string is
 * taken apart into words by blanks and quotes; there is no shell.
 */
export function createMemorySandboxProvider(options: MemorySandboxOptions = {}): SandboxProvider {
  const sandboxes = new Map<string, { info: SandboxInfo; sandbox: Sandbox }>()
  return wrapSandboxProvider({
    name: 'memory',
    async create(spec) {
      const parsed = parseOptions('create', SandboxSpec, spec)
      requireSupported(parsed)
      const id = `memory-${randomUUID()}`
      const info = { id, provider: 'memory', isolation: 'none', labels: parsed.labels ?? {}, createdAt: new Date().toISOString() } as const
      const sandbox = openMemorySandbox(id, parsed.env ?? {}, options, () => sandboxes.delete(id))
      sandboxes.set(id, { info, sandbox })
      return sandbox
    },
    async attach(id) {
      const found = sandboxes.get(id)
      if (found === undefined) throw new BatonError('UNKNOWN_SANDBOX', `There is no memory sandbox ${id}.`, { details: { sandboxId: id } })
      return found.sandbox
    },
    async *list() {
      for (const { info } of [...sandboxes.values()]) yield info
    },
  })
}

function openMemorySandbox(id: string, env: Record<string, string>, options: MemorySandboxOptions, onClose: () => void): Sandbox {
  const files = createMemoryFiles(workdir)
  for (const [path, data] of Object.entries(options.files ?? {})) files.write(path, data)
  const running = new Set<SandboxProcess>()
  const { readFile, writeFile, scan, pack, unpack } = files
  return {
    ...{ id, workdir, isolation: 'none' },
    ...{ readFile, writeFile, scan, pack, unpack },
    async spawn(command, spawnOptions = {}) {
      parseOptions('spawn', z.object({ command: Command, options: SpawnOptionsSchema }), { command, options: spawnOptions })
      for (const field of ['tty', 'detached', 'user'] as const) if (spawnOptions[field]) throw unsupported(field)
      throwIfAborted(spawnOptions.signal, 'starting a command')
      const process = start(files, env, options.commands ?? {}, command, spawnOptions)
      running.add(process)
      void process.exit.then(() => running.delete(process))
      return process
    },
    async close() {
      onClose()
      for (const process of running) await process.kill()
    },
  }
}

function start(
  files: MemoryFiles,
  sandboxEnv: Record<string, string>,
  commands: Readonly<Record<string, MemoryCommand>>,
  command: string | readonly string[],
  options: SpawnOptions,
): SandboxProcess {
  const id = randomUUID()
  const cwd = options.cwd ?? '.'
  if (!files.isFolder(cwd)) return failedProcess(id, 126, `cannot enter the folder ${cwd}: no such folder`)
  const argv = typeof command === 'string' ? wordsOf(command) : command
  const name = argv[0] ?? ''
  const whole = typeof command === 'string' ? own(commands, command) : undefined
  const run = whole ?? own(commands, name) ?? own(builtIn, name) ?? own(commands, '*')
  if (run === undefined) return failedProcess(id, 127, `${name}: command not found`)
  const env = { ...sandboxEnv, ...options.env }
  const place = { argv, command, cwd: cwd.startsWith('/') ? cwd : `${workdir}/${cwd}`.replace(/\/\.$/, ''), env, files }
  return startMemoryProcess(id, async (streams) => (await run({ ...streams, ...place })) ?? 0, options)
}

function own(commands: Readonly<Record<string, MemoryCommand>>, name: string): MemoryCommand | undefined {
  return Object.hasOwn(commands, name) ? commands[name] : undefined
}

const builtIn: Readonly<Record<string, MemoryCommand>> = {
  true: () => 0,
  false: () => 1,
  async echo({ argv, stdout }) {
    await stdout(`${argv.slice(1).join(' ')}\n`)
    return 0
  },
  async pwd({ cwd, stdout }) {
    await stdout(`${cwd}\n`)
    return 0
  },
  async sleep({ argv, signal }) {
    await setTimeout(Number(argv[1]) * 1000, undefined, { signal }).catch(() => undefined)
    return 0
  },
  async cat({ argv, stdin, stdout, stderr, files }) {
    if (argv.length === 1) for await (const chunk of stdin) await stdout(chunk)
    let code = 0
    for (const path of argv.slice(1)) {
      const data = files.read(path)
      if (data !== undefined) await stdout(data)
      else {
        await stderr(`cat: ${path}: No such file or directory\n`)
        code = 1
      }
    }
    return code
  },
}

/** Words by blanks, with '…', "…" and \ for what has blanks in it. */
function wordsOf(line: string): string[] {
  const words = line.match(/(?:[^\s'"\\]|'[^']*'|"(?:[^"\\]|\\.)*"|\\.)+/gs) ?? []
  return words.map((word) =>
    word.replace(/'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)/gs, (_, single?: string, double?: string, escaped?: string) => {
      return single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? ''
    }),
  )
}

function requireSupported(spec: SandboxSpec): void {
  for (const field of ['inPlace', 'image', 'user', 'resources'] as const) if (spec[field] !== undefined) throw unsupported(field)
  if (spec.network !== undefined && spec.network !== 'full') throw unsupported('network')
  if (spec.isolation !== undefined && spec.isolation !== 'none') throw unsupported('isolation')
}

function unsupported(field: string): BatonError {
  return new BatonError('UNSUPPORTED_SPEC', `memory sandbox: ${field} is not possible in memory.`, { details: { field } })
}

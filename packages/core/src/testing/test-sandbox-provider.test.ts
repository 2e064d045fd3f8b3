import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { findTree, processMarker } from '../sandbox/process-tree.ts'
import type { FileStat, Sandbox, SandboxProcess, SandboxProvider } from '../sandbox/sandbox.ts'
import { collect } from './conformance.ts'
import { testSandboxProvider } from './test-sandbox-provider.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-broken-'))
const good = (): SandboxProvider => createLocalSandboxProvider({ isolation: 'none', root })
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** A provider whose sandboxes differ from the good ones. */
function brokenSandbox(change: (sandbox: Sandbox) => Partial<Sandbox>): () => SandboxProvider {
  return () => {
    const provider = good()
    const broken = (sandbox: Sandbox): Sandbox => ({ ...sandbox, ...change(sandbox) })
    return {
      name: provider.name,
      create: async (...args) => broken(await provider.create(...args)),
      attach: async (...args) => broken(await provider.attach(...args)),
      list: () => provider.list(),
    }
  }
}

/** A provider whose processes differ from the good ones. */
function brokenProcess(change: (process: SandboxProcess) => Partial<SandboxProcess>): () => SandboxProvider {
  return brokenSandbox((sandbox) => ({
    async spawn(...args) {
      const process = await sandbox.spawn(...args)
      return { ...process, ...change(process) }
    },
  }))
}

const treeOf = (process: SandboxProcess) => findTree({ marker: [processMarker, process.id] })

/** Each broken in one way, with the name of a test that must notice. */
const broken: Record<string, [provider: () => SandboxProvider, test: string]> = {
  'rejects for a command that fails': [
    brokenSandbox((sandbox) => ({
      async spawn(...args) {
        const process = await sandbox.spawn(...args)
        if ((await process.exit).code !== 0) throw new Error('the command failed')
        return process
      },
    })),
    'spawn returns a non-zero exit instead of rejecting',
  ],
  'kills only the first process': [
    brokenProcess((process) => ({
      async kill() {
        const first = treeOf(process).toSorted((one, other) => one.pid - other.pid)[0]
        if (first) globalThis.process.kill(first.pid, 'SIGKILL')
      },
    })),
    'kill ends the whole tree, also children in the background and those in a session of their own',
  ],
  'waits for children in the background': [
    brokenProcess((process) => ({
      exit: (async () => {
        const status = await process.exit
        while (treeOf(process).length > 0) await new Promise((resolve) => setTimeout(resolve, 50))
        return status
      })(),
    })),
    'exit settles when the command ends, and the streams end, although a child in the background holds them',
  ],
  'passes output through text': [
    brokenProcess((process) => ({
      stdout: process.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream()),
    })),
    'spawn gives a command its input exactly and closes it',
  ],
  'buffers all output': [
    brokenProcess((process) => ({ stdout: process.stdout.pipeThrough(new TransformStream(undefined, undefined, { highWaterMark: 1e9 })) })),
    'a flood that nobody reads does not grow memory',
  ],
  'has no time limit': [
    brokenSandbox((sandbox) => ({ spawn: (command, options) => sandbox.spawn(command, { ...options, timeoutMs: undefined }) })),
    'spawn ends what runs longer than timeoutMs, as timeout',
  ],
  'passes on the environment of the host': [
    brokenSandbox((sandbox) => ({
      spawn: (command, options) => {
        const host = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined)
        return sandbox.spawn(command, { ...options, env: { ...Object.fromEntries(host), ...options?.env } })
      },
    })),
    'spawn gives the environment of the spec and of the call, and none of the host',
  ],
  'puts commands on one line': [
    brokenSandbox((sandbox) => ({
      spawn: (command, options) => sandbox.spawn(typeof command === 'string' ? command.replaceAll('\n', ' ') : command, options),
    })),
    'spawn keeps quotes, newlines and every character of a command',
  ],
  'joins the words of an array': [
    brokenSandbox((sandbox) => ({
      spawn: (command, options) => sandbox.spawn(typeof command === 'string' ? command : command.join(' '), options),
    })),
    'spawn runs an array as it is',
  ],
  'reads wherever a link leads': [
    brokenSandbox((sandbox) => ({ readFile: async (path) => readFileSync(join(sandbox.workdir, path)) })),
    'a link that leads out rejects with PATH_OUTSIDE_WORKDIR, wherever in the path it is',
  ],
  'writes in place, in pieces': [
    brokenSandbox((sandbox) => ({
      async writeFile(path, data) {
        const file = join(sandbox.workdir, path)
        writeFileSync(file, data.subarray(0, data.length / 2))
        await new Promise((resolve) => setTimeout(resolve, 5))
        writeFileSync(file, data)
      },
    })),
    'writeFile writes all or nothing',
  ],
  'does not look before it writes': [
    brokenSandbox((sandbox) => ({
      writeFile: (path, data, options) => sandbox.writeFile(path, data, { mode: options?.mode, signal: options?.signal }),
    })),
    'writeFile with ifSha256 lets one of several win',
  ],
  'forgets permissions': [
    brokenSandbox((sandbox) => ({ writeFile: (path, data, options) => sandbox.writeFile(path, data, { ...options, mode: 0o644 }) })),
    'writeFile gives the mode, keeps the one that is there, and makes 0644 else',
  ],
  'leaves links out of a scan': [
    brokenSandbox((sandbox) => ({
      async *scan(options) {
        for await (const stat of sandbox.scan(options)) if (stat.kind !== 'link') yield stat
      },
    })),
    'scan tells links and other things apart, and follows no link',
  ],
  'walks the folders of skipPaths': [
    brokenSandbox((sandbox) => ({ scan: (options) => sandbox.scan({ ...options, skipPaths: [] }) })),
    'scan leaves out the folders of skipPaths, by their exact paths, and no file of such a path',
  ],
  'takes skipPaths for names': [
    brokenSandbox((sandbox) => ({
      scan: (options = {}) =>
        sandbox.scan({
          ...options,
          skipPaths: [],
          skip: [...(options.skip ?? []), ...(options.skipPaths ?? []).map((path) => basename(path))],
        }),
    })),
    'scan leaves out the folders of skipPaths, by their exact paths, and no file of such a path',
  ],
  'leaves files out of batches': [
    brokenSandbox(({ scanBatches }) => ({
      async *scanBatches(options) {
        for await (const batch of scanBatches?.(options) ?? []) yield batch.filter(({ kind }) => kind !== 'file')
      },
    })),
    'scanBatches, where it is there, gives what scan gives',
  ],
  'remembers what was in a folder': [
    brokenSandbox((sandbox) => {
      let first: FileStat[] | undefined
      return {
        async *scan(options) {
          first ??= await collect(sandbox.scan(options))
          yield* first
        },
      }
    }),
    'scan finds again and again what came, went and was swapped meanwhile',
  ],
  'unpacks with a tar that takes any name': [
    brokenSandbox((sandbox) => ({
      async unpack(tar) {
        const child = spawn('tar', ['-xPf', '-', '-C', sandbox.workdir], { stdio: ['pipe', 'ignore', 'ignore'] })
        await Promise.all([pipeline(Readable.from(tar), child.stdin), once(child, 'exit')])
      },
    })),
    'unpack refuses a name with .., and nothing outside is touched',
  ],
  'leaves a folder out of the tar': [
    brokenSandbox((sandbox) => ({ pack: (options) => sandbox.pack({ ...options, skip: ['bin', ...(options?.skip ?? [])] }) })),
    'pack and unpack carry a tree over whole',
  ],
  'lets a closed sandbox be used': [
    brokenSandbox((sandbox) => ({ spawn: async () => ({}) as SandboxProcess, close: () => sandbox.close() })),
    'every call after close rejects with CLOSED',
  ],
  'takes any spec': [
    () => {
      const provider = good()
      return { ...provider, create: ({ labels }, options) => provider.create({ labels }, options) }
    },
    'create refuses what it cannot honour with UNSUPPORTED_SPEC and leaves nothing',
  ],
  'keeps what an aborted create made': [
    () => {
      const provider = good()
      return {
        ...provider,
        async create(spec, options) {
          const sandbox = await provider.create(spec)
          options?.signal?.throwIfAborted()
          return sandbox
        },
      }
    },
    'create rejects with ABORTED and leaves nothing when it is aborted, before or meanwhile',
  ],
  'forgets labels': [
    () => {
      const provider = good()
      return { ...provider, create: (spec, options) => provider.create({ ...spec, labels: {} }, options) }
    },
    'list shows a sandbox with its labels, and attach finds it',
  ],
}

describe('testSandboxProvider', () => {
  const tests = (provider: () => SandboxProvider): Map<string, () => Promise<void>> => {
    const registered = new Map<string, () => Promise<void>>()
    testSandboxProvider((name, run) => registered.set(name, run), { provider, unsupported: [{ image: 'x' }, { isolation: 'vm' }] })
    return registered
  }

  it('gives each test a name of its own', () => {
    const names: string[] = []
    testSandboxProvider((name) => names.push(name), { provider: good, can: { tty: true, detached: true } })
    expect(names.length).toBeGreaterThan(70)
    expect(new Set(names).size).toBe(names.length)
  })

  for (const [what, [provider, name]] of Object.entries(broken))
    it.concurrent(`notices a provider that ${what}`, async () => {
      const run = tests(provider).get(name)
      expect(run, `there is no test ${name}`).toBeDefined()
      await expect(run?.()).rejects.toThrow()
    })
})

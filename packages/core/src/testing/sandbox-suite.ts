import assert from 'node:assert/strict'
import type { ExitStatus, Sandbox, SandboxProcess, SandboxProvider, SandboxSpec, SpawnOptions } from '../sandbox/sandbox.ts'
import type { TestFunction } from './conformance.ts'

/** What a backend can, beyond what every one must. A test for what it cannot is not registered. */
export interface SandboxAbilities {
  /** Commands run in a POSIX shell with the usual programs. Default: true. */
  readonly shell?: boolean | undefined
  /** The signal that ended a command is told from an exit code. Default: true. */
  readonly signals?: boolean | undefined
  /** `tty` and `resize`. Default: false. */
  readonly tty?: boolean | undefined
  /** `detached` and `attachProcess`. Default: false. */
  readonly detached?: boolean | undefined
}

/** Options of {@link testSandboxProvider}. */
export interface SandboxSuiteOptions {
  /** A provider; called for each test. */
  readonly provider: () => SandboxProvider | Promise<SandboxProvider>
  /** What sandboxes are made of. Default: nothing in particular. */
  readonly spec?: SandboxSpec | undefined
  readonly can?: SandboxAbilities | undefined
  /** Specs that this backend must refuse with `UNSUPPORTED_SPEC`. */
  readonly unsupported?: readonly SandboxSpec[] | undefined
}

/** What the tests of the suite share. */
export interface SandboxSuite {
  readonly it: TestFunction
  readonly can: Required<SandboxAbilities>
  readonly options: SandboxSuiteOptions
  /** Registers a test that gets a sandbox of its own, which is closed after it. */
  test(name: string, run: (sandbox: Sandbox, provider: SandboxProvider) => Promise<void>): void
}

/** What a command came to, whole. */
export interface Outcome {
  readonly exit: ExitStatus
  readonly stdout: Buffer
  readonly stderr: Buffer
}

/** The shared part of the suite's files. */
export function createSandboxSuite(it: TestFunction, options: SandboxSuiteOptions): SandboxSuite {
  const can = { shell: true, signals: true, tty: false, detached: false, ...definedOf(options.can) }
  return {
    it,
    can,
    options,
    test(name, run) {
      it(name, async () => {
        const provider = await options.provider()
        const sandbox = await provider.create(options.spec ?? {})
        try {
          await run(sandbox, provider)
        } finally {
          await sandbox.close()
        }
      })
    },
  }
}

function definedOf(can: SandboxAbilities = {}): Partial<Required<SandboxAbilities>> {
  return Object.fromEntries(Object.entries(can).filter(([, value]) => value !== undefined))
}

/** Runs a command to its end, gives it input and reads all of its output. */
export async function runToEnd(
  sandbox: Sandbox,
  command: string | readonly string[],
  options: SpawnOptions & { readonly input?: Uint8Array | undefined } = {},
): Promise<Outcome> {
  const { input, ...spawnOptions } = options
  return finish(await sandbox.spawn(command, spawnOptions), input)
}

/** The end of a process that is running. */
export async function finish(process: SandboxProcess, input?: Uint8Array): Promise<Outcome> {
  const [exit, stdout, stderr] = await Promise.all([
    within(process.exit, 'exit did not settle'),
    within(readAll(process.stdout), 'stdout did not end'),
    within(readAll(process.stderr), 'stderr did not end'),
    writeAll(process, input),
  ])
  return { exit, stdout, stderr }
}

/** All that a stream gives. */
export async function readAll(stream: ReadableStream<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function writeAll(process: SandboxProcess, input?: Uint8Array): Promise<void> {
  const writer = process.stdin.getWriter()
  if (input !== undefined) await writer.write(input)
  await writer.close()
}

/** Reads a stream up to a text, and says all that came until then. */
export async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, text: string): Promise<string> {
  let seen = ''
  while (!seen.includes(text)) {
    const { done, value } = await within(reader.read(), `${JSON.stringify(text)} did not come; until then: ${JSON.stringify(seen)}`)
    if (done) assert.fail(`the stream ended without ${JSON.stringify(text)}: ${JSON.stringify(seen)}`)
    seen += Buffer.from(value).toString()
  }
  return seen
}

/** Fails with the message when nothing happens for ten seconds, so that a hang has a name. */
export async function within<T>(promise: Promise<T>, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new assert.AssertionError({ message: `${message} within ten seconds` })), 10_000)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** The shell command for a loop that shows it is alive by writing to a file. */
export function heartbeat(file: string): string {
  return `while :; do echo x >> ${file}; sleep 0.02; done`
}

/** Checks that nothing writes to the file of a {@link heartbeat} any more: for ten times as long as one beat takes, it stays as it is. */
export async function expectNoHeartbeat(sandbox: Sandbox, file: string): Promise<void> {
  const before = (await sandbox.readFile(file)).length
  assert.ok(before > 0, `${file} was never written`)
  await new Promise((resolve) => setTimeout(resolve, 200))
  assert.equal((await sandbox.readFile(file)).length, before, `what writes ${file} is still alive`)
}

/** Waits until a file is there. */
export async function waitForFile(sandbox: Sandbox, file: string): Promise<void> {
  const there = async (): Promise<void> => {
    for (;;) {
      const found = await sandbox.readFile(file).then(
        (data) => data.length > 0,
        () => false,
      )
      if (found) return
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  await within(there(), `${file} did not appear`)
}

/** The bytes of a text. */
export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

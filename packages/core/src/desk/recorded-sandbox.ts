import { createHash, randomUUID } from 'node:crypto'
import { posix } from 'node:path'
import { BatonError } from '../errors.ts'
import type { ExitStatus, Sandbox, SandboxProcess, SpawnOptions, WriteOptions } from '../sandbox/sandbox.ts'
import { diffTexts } from '../workspace/file-diff.ts'
import type { Relay } from './relay.ts'
import { relay } from './relay.ts'

/** A command that a person starts. */
export interface DeskCommandStarted {
  readonly commandId: string
  /** Undefined where it is not known, as in some terminals. */
  readonly command?: string | readonly string[] | undefined
  readonly cwd?: string | undefined
}

/** How it ended. */
export interface DeskCommandFinished {
  readonly commandId: string
  readonly code: number | null
  readonly ms: number
  /** Known of commands that were started one by one, not of those in a terminal. */
  readonly exit?: ExitStatus | undefined
  readonly stdoutBytes?: number | undefined
  readonly stderrBytes?: number | undefined
}

/** A file that a person wrote. */
export interface DeskFileWritten {
  /** Relative to the workdir. */
  readonly path: string
  readonly change: 'created' | 'modified'
  /** SHA-256, lower-case hexadecimal; undefined where there was no file, or one of more than 64 MiB, which is not read. */
  readonly before?: string | undefined
  readonly after: string
  /** Unified, at most 64 KiB. Undefined for a file that is binary, or of more than 8 MiB. */
  readonly diff?: string | undefined
  readonly addedLines?: number | undefined
  readonly removedLines?: number | undefined
  readonly content: Uint8Array
}

/** Hears what a person does at the desk. */
export interface DeskRecorder {
  /** Before the command starts; a rejection keeps it from starting. */
  commandStarted(command: DeskCommandStarted): Promise<void>
  /** When it has ended; `exit` of its process waits for this. A rejection changes nothing. */
  commandFinished(command: DeskCommandFinished): Promise<void>
  /** After the file was written, before the call returns, which passes a rejection on. */
  fileWritten(file: DeskFileWritten): Promise<void>
}

const maxBeforeBytes = 64 * 1024 * 1024
const maxComparedBytes = 8 * 1024 * 1024
const maxDiffBytes = 64 * 1024
const maxWrites = 3

/**
 * A person's view of a sandbox: the same one, where each command and each write is recorded. What `unpack` and other tools change is not; the ledger finds it.
 * A write without `ifSha256` is made over what was there just before it, so that the record is true: when somebody else writes in between, it is made again over
 * theirs, up to three times, and then rejects with `FILE_CHANGED`. A write that changes nothing is not recorded. `close` ends the view, and all of
 * its methods reject with `CLOSED`; the sandbox stays, and what runs in it goes on and is recorded.
 */
export function recordSandbox(sandbox: Sandbox, record: DeskRecorder): Sandbox {
  let closed = false
  const { attachProcess, snapshot, expose } = sandbox
  const open = (what: string): Sandbox => {
    if (closed) throw new BatonError('CLOSED', `${what}: the desk is closed.`, { details: { sandboxId: sandbox.id } })
    return sandbox
  }
  return {
    id: sandbox.id,
    workdir: sandbox.workdir,
    isolation: sandbox.isolation,
    spawn: async (command, options) => spawnRecorded(open('starting a command'), record, command, options),
    writeFile: async (path, data, options) => writeRecorded(open(`writing ${path}`), record, path, data, options),
    readFile: async (path, options) => open(`reading ${path}`).readFile(path, options),
    async *scan(options) {
      yield* open('the scan').scan(options)
    },
    pack(options) {
      if (!closed) return sandbox.pack(options)
      return new ReadableStream({ pull: () => void open('packing') })
    },
    unpack: async (tar, options) => open('unpacking').unpack(tar, options),
    ...(attachProcess && { attachProcess: async (id, from) => attachProcess.call(open('finding a process'), id, from) }),
    ...(snapshot && { snapshot: async (options) => snapshot.call(open('taking a snapshot'), options) }),
    ...(expose && { expose: async (port, options) => expose.call(open('exposing a port'), port, options) }),
    async close() {
      closed = true
    },
  }
}

async function spawnRecorded(
  sandbox: Sandbox,
  record: DeskRecorder,
  command: string | readonly string[],
  options: SpawnOptions | undefined,
): Promise<SandboxProcess> {
  const commandId = randomUUID()
  await record.commandStarted({ commandId, command, cwd: options?.cwd })
  const since = performance.now()
  const finished = (exit: ExitStatus, stdoutBytes: number, stderrBytes: number): Promise<void> => {
    const told = { commandId, code: exit.code, ms: performance.now() - since, exit, stdoutBytes, stderrBytes }
    return Promise.resolve(record.commandFinished(told)).catch(() => undefined)
  }
  let process: SandboxProcess
  try {
    process = await sandbox.spawn(command, options)
  } catch (error) {
    await finished({ reason: options?.signal?.aborted ? 'aborted' : 'lost', code: null }, 0, 0)
    throw error
  }
  const [stdout, stderr] = [counted(process, process.stdout), counted(process, process.stderr)]
  const exit = process.exit.then(async (status) => {
    // The output of a detached process is a file of any size, which nobody has to read to its end.
    if (options?.detached !== true) await Promise.all([stdout.done, stderr.done])
    await finished(status, stdout.bytes(), stderr.bytes())
    return status
  })
  return {
    id: process.id,
    stdout: stdout.stream,
    stderr: stderr.stream,
    stdin: process.stdin,
    exit,
    kill: (signal) => process.kill(signal),
    ...(process.resize && { resize: (size) => process.resize?.(size) ?? Promise.resolve() }),
  }
}

function counted(process: SandboxProcess, stream: ReadableStream<Uint8Array>): Relay & { bytes(): number } {
  let bytes = 0
  const look = (chunk: Uint8Array): Uint8Array => {
    bytes += chunk.length
    return chunk
  }
  return { ...relay(process, [{ stream, look, cancels: true }]), bytes: () => bytes }
}

interface Content {
  readonly bytes: Uint8Array
  readonly sha256: string
}

async function writeRecorded(
  sandbox: Sandbox,
  record: DeskRecorder,
  path: string,
  data: Uint8Array,
  options: WriteOptions | undefined,
): Promise<void> {
  // The caller's own, which may change it when the call has returned.
  const after = { bytes: data.slice(), sha256: sha256Of(data) }
  const before = await write(sandbox, path, after.bytes, options)
  if (before.sha256 === after.sha256) return
  await record.fileWritten({
    path: insidePath(sandbox.workdir, path),
    change: before.existed ? 'modified' : 'created',
    ...(before.sha256 !== undefined && { before: before.sha256 }),
    after: after.sha256,
    ...differenceOf(before.existed ? before.bytes : new Uint8Array(), after.bytes),
    content: after.bytes,
  })
}

/** What was in place of what was written; `bytes` only where it is certain. */
interface Before {
  readonly existed: boolean
  readonly sha256?: string | undefined
  readonly bytes?: Uint8Array | undefined
}

async function write(sandbox: Sandbox, path: string, data: Uint8Array, options: WriteOptions = {}): Promise<Before> {
  const { ifSha256, signal } = options
  for (let attempt = 1; ; attempt++) {
    const found = await read(sandbox, path, signal)
    const expected = ifSha256 !== undefined ? ifSha256 : found === 'huge' ? undefined : (found?.sha256 ?? null)
    try {
      await sandbox.writeFile(path, data, { ...options, ifSha256: expected })
    } catch (error) {
      if (ifSha256 === undefined && attempt < maxWrites && BatonError.isInstance(error, 'FILE_CHANGED')) continue
      throw error
    }
    if (expected === undefined) return { existed: true }
    if (expected === null) return { existed: false }
    const certain = found !== 'huge' && found?.sha256 === expected
    return { existed: true, sha256: expected, bytes: certain ? found.bytes : undefined }
  }
}

async function read(sandbox: Sandbox, path: string, signal: AbortSignal | undefined): Promise<Content | 'huge' | undefined> {
  try {
    const bytes = await sandbox.readFile(path, { maxBytes: maxBeforeBytes, signal })
    return { bytes, sha256: sha256Of(bytes) }
  } catch (error) {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) return undefined
    if (BatonError.isInstance(error, 'FILE_TOO_LARGE')) return 'huge'
    throw error
  }
}

function differenceOf(before: Uint8Array | undefined, after: Uint8Array): Pick<DeskFileWritten, 'diff' | 'addedLines' | 'removedLines'> {
  if (before === undefined || before.length + after.length > maxComparedBytes || isBinary(before) || isBinary(after)) return {}
  const { text, addedLines, removedLines } = diffTexts(textOf(before), textOf(after), maxDiffBytes)
  return { diff: text, addedLines, removedLines }
}

/** The rule git goes by. */
function isBinary(bytes: Uint8Array): boolean {
  return bytes.subarray(0, 8000).includes(0)
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function insidePath(workdir: string, path: string): string {
  return posix.isAbsolute(path) ? posix.relative(workdir, path) : posix.normalize(path)
}

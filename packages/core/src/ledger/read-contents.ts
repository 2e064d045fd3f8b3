import { createHash } from 'node:crypto'
import { BatonError, throwIfAborted } from '../errors.ts'
import { exec } from '../sandbox/exec.ts'
import { pathToBytes } from '../sandbox/path-bytes.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'
import type { TarMember } from '../sandbox/tar-reader.ts'
import { readTar } from '../sandbox/tar-reader.ts'
import { pointerFor } from './lfs-pointer.ts'

/** What a path holds. */
export interface FoundContent {
  readonly link: boolean
  /** Of a link its target; of a file that is too large its pointer. */
  readonly content: Uint8Array
  /** The content is a pointer. */
  readonly hashOnly: boolean
  /** Of what the path holds, lower-case hexadecimal. */
  readonly sha256: string
}

/** What became of a path that was to be read: a content, nothing there any more, or no way to read it. */
export type Outcome = FoundContent | 'gone' | 'unreadable'

/** What {@link readContents} needs besides the paths. */
export interface ReadContentsOptions {
  readonly maxFileBytes: number
  readonly signal: AbortSignal | undefined
  /** Hears each path once. What it throws ends the reading. */
  readonly onRead: (stat: FileStat, outcome: Outcome) => void
}

/** So few are read one by one where reading them together failed. */
const fewPaths = 4

/**
 * Reads files and links of a sandbox, many in one tar stream. What is larger than `maxFileBytes` is hashed where it is, if `sha256sum` is there, and as a
 * stream if not; it is never held in memory. Rejects only where the sandbox itself fails, and when it is aborted.
 */
export async function readContents(sandbox: Sandbox, stats: readonly FileStat[], options: ReadContentsOptions): Promise<void> {
  const large = new Set(stats.filter(({ kind, size }) => kind === 'file' && size > options.maxFileBytes))
  for (const stat of large) {
    const sha256 = await hashInside(sandbox, stat, options.signal)
    if (sha256 !== undefined) options.onRead(stat, pointerTo(sha256, stat.size))
    else await readTogether(sandbox, [stat], options)
  }
  const small = large.size === 0 ? stats : stats.filter((stat) => !large.has(stat))
  if (small.length > 0) await readTogether(sandbox, small, options)
}

async function readTogether(sandbox: Sandbox, stats: readonly FileStat[], options: ReadContentsOptions): Promise<void> {
  const left = new Map(stats.map((stat) => [stat.path, stat]))
  const found = (path: string, outcome: Outcome): void => {
    const stat = left.get(path)
    if (stat === undefined) return
    left.delete(path)
    options.onRead(stat, outcome)
  }
  const whole = await packed(sandbox, [...left.keys()], options, found)
  const rest = [...left.values()]
  // A path that is gone fails the stream, so what it had not given yet is asked for in halves.
  if (!whole && rest.length > fewPaths) {
    const half = rest.length >> 1
    await readTogether(sandbox, rest.slice(0, half), options)
    await readTogether(sandbox, rest.slice(half), options)
  } else for (const stat of rest) options.onRead(stat, await readAlone(sandbox, stat, options))
}

/** Whether the stream came to its end. */
async function packed(
  sandbox: Sandbox,
  paths: readonly string[],
  { maxFileBytes, signal }: ReadContentsOptions,
  found: (path: string, outcome: Outcome) => void,
): Promise<boolean> {
  let isOurs = false
  try {
    await readTar(sandbox.pack({ paths, skip: ['.git'], signal }), sandbox.workdir, { signal }, async (member) => {
      // What a hard link stands for came before, and is no longer there: it is read alone.
      if (member.type === 'hardlink') return
      const outcome = await contentOf(member, maxFileBytes)
      isOurs = true
      found(member.path, outcome)
      isOurs = false
    })
    return true
  } catch (error) {
    if (isOurs) throw error
    throwIfBroken(error, signal)
    return false
  }
}

async function contentOf({ type, target, size, content }: TarMember, maxFileBytes: number): Promise<Outcome> {
  if (type === 'link') return whole(pathToBytes(target), true)
  if (type !== 'file') return 'gone'
  if (size <= maxFileBytes) {
    const chunks: Uint8Array[] = []
    for await (const chunk of content) chunks.push(chunk)
    return whole(chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks), false)
  }
  const hash = createHash('sha256')
  for await (const chunk of content) hash.update(chunk)
  return pointerTo(hash.digest('hex'), size)
}

/** For what a stream did not give. */
async function readAlone(sandbox: Sandbox, stat: FileStat, options: ReadContentsOptions): Promise<Outcome> {
  const { maxFileBytes, signal } = options
  if (stat.kind === 'link') {
    let outcome: Outcome = 'gone'
    return (await packed(sandbox, [stat.path], options, (_, found) => (outcome = found))) ? outcome : 'unreadable'
  }
  try {
    return whole(await sandbox.readFile(stat.path, { maxBytes: maxFileBytes, signal }), false)
  } catch (error) {
    throwIfBroken(error, signal)
    const code = BatonError.isInstance(error) ? error.code : undefined
    // Under a link or a file by now: then it is no longer at this path.
    return code === 'FILE_NOT_FOUND' || code === 'NOT_A_FILE' || code === 'PATH_OUTSIDE_WORKDIR' ? 'gone' : 'unreadable'
  }
}

/** The SHA-256 of a file by the sandbox's own program; undefined where that fails, or its name cannot be given to a command. */
async function hashInside(sandbox: Sandbox, { path }: FileStat, signal: AbortSignal | undefined): Promise<string | undefined> {
  if (!path.isWellFormed()) return undefined
  const { exit, stdout } = await exec(sandbox, ['sha256sum', `./${path}`], { signal, timeoutMs: Number.POSITIVE_INFINITY })
  throwIfAborted(signal, 'looking at the workspace')
  // A backslash stands before the hash where the name that follows has one in it.
  return exit.code === 0 ? /^\\?([0-9a-f]{64}) /.exec(stdout)?.[1] : undefined
}

function whole(content: Uint8Array, link: boolean): FoundContent {
  return { link, content, hashOnly: false, sha256: createHash('sha256').update(content).digest('hex') }
}

function pointerTo(sha256: string, bytes: number): FoundContent {
  return { link: false, content: pointerFor(sha256, bytes), hashOnly: true, sha256 }
}

function throwIfBroken(error: unknown, signal: AbortSignal | undefined): void {
  throwIfAborted(signal, 'looking at the workspace')
  for (const code of ['ABORTED', 'CLOSED', 'SANDBOX_LOST'] as const) if (BatonError.isInstance(error, code)) throw error
}

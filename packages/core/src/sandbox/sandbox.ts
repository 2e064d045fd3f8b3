import { z } from 'zod'
import type { Isolation } from '../events/sandbox-events.ts'
import { ExitReason } from '../events/sandbox-events.ts'
import type { Abortable } from '../options.ts'

/**
 * What a sandbox is asked to be. A backend honours each field that is set, or refuses with `UNSUPPORTED_SPEC`: none is ever ignored.
 */
export const SandboxSpec = z.strictObject({
  /** Absolute path of an existing folder on the host to work in directly. Only a sandbox on the host's own files can. */
  inPlace: z.string().optional(),
  /** Environment of every command. Nothing of the host's environment is inherited but what the backend documents. */
  env: z.record(z.string(), z.string()).optional(),
  /** What commands may reach: nothing, everything, or the named hosts. Default: the backend's own, which its documentation states. */
  network: z.union([z.enum(['none', 'full']), z.object({ allow: z.array(z.string()) })]).optional(),
  /** The least isolation that will do. */
  isolation: z.enum(['none', 'process', 'container', 'vm']).optional(),
  /** Container image, where the backend has images. */
  image: z.string().optional(),
  user: z.string().optional(),
  resources: z
    .strictObject({
      cpus: z.number().positive().optional(),
      memoryBytes: z.int().positive().optional(),
      processes: z.int().positive().optional(),
      diskBytes: z.int().positive().optional(),
    })
    .optional(),
  /** For finding it again; the task's id is put here. */
  labels: z.record(z.string(), z.string()).optional(),
})
export type SandboxSpec = z.infer<typeof SandboxSpec>

/** A sandbox as `list` shows it. */
export interface SandboxInfo {
  readonly id: string
  readonly provider: string
  readonly isolation: Isolation
  readonly labels: Readonly<Record<string, string>>
  /** ISO 8601 in UTC. */
  readonly createdAt: string
}

/** Starts sandboxes of one kind. Implemented once per backend. Conformance: `testSandboxProvider` in `@baton-sdk/core/testing`. */
export interface SandboxProvider {
  /** Stable name, used in events and errors, for example `docker`. */
  readonly name: string
  /** Starts a sandbox. A rejected or aborted call leaves nothing running. A field that this backend cannot honour rejects with `UNSUPPORTED_SPEC`. */
  create(spec: SandboxSpec, options?: Abortable): Promise<Sandbox>
  /** Finds a sandbox again, after the host restarted too. Rejects with `UNKNOWN_SANDBOX`. */
  attach(id: string, options?: Abortable): Promise<Sandbox>
  list(): AsyncIterable<SandboxInfo>
}

/**
 * A place where commands run and files live. Paths are relative to `workdir`, or absolute inside it; a path that leads out, also over a
 * link, rejects with `PATH_OUTSIDE_WORKDIR`. After `close`, every call rejects with `CLOSED`; when the backend is gone, with `SANDBOX_LOST`.
 */
export interface Sandbox {
  readonly id: string
  /** Absolute path, inside the sandbox, of the folder to work in. */
  readonly workdir: string
  readonly isolation: Isolation
  /** Starts a command. A string runs in a shell; an array runs as it is. A command that fails, or is not found (code 127), is data and does not reject. */
  spawn(command: string | readonly string[], options?: SpawnOptions): Promise<SandboxProcess>
  /** Rejects with `FILE_NOT_FOUND`, `NOT_A_FILE`, or `FILE_TOO_LARGE` beyond `maxBytes`. */
  readFile(path: string, options?: ReadOptions): Promise<Uint8Array>
  /** Writes all of it or nothing, and makes missing folders. Rejects with `FILE_CHANGED` when `ifSha256` does not fit. */
  writeFile(path: string, data: Uint8Array, options?: WriteOptions): Promise<void>
  /** Every file, link and folder under the workdir, in no order. Links are not followed. */
  scan(options?: ScanOptions): AsyncIterable<FileStat>
  /** What `scan` gives, many entries at a time, for callers to whom tens of thousands of awaited steps are too many. */
  scanBatches?(options?: ScanOptions): AsyncIterable<readonly FileStat[]>
  /** The workdir, or the named paths of it, as a tar stream. Links stay links, and none is followed. Pipes, sockets and devices are left out. */
  pack(options?: PackOptions): ReadableStream<Uint8Array>
  /**
   * Unpacks a tar stream into the workdir, over what is there. A member that would land outside rejects with `PATH_OUTSIDE_WORKDIR`, a pipe or
   * device with `NOT_A_FILE`, and nothing outside is touched; what was unpacked before it stays. Owners and setuid bits are not taken over.
   */
  unpack(tar: ReadableStream<Uint8Array>, options?: Abortable): Promise<void>
  /** Ends its processes and frees what it holds. Safe to call repeatedly. */
  close(): Promise<void>
  /** A process that was started detached, found again by id, each stream from a byte offset. */
  attachProcess?(id: string, options: { readonly stdoutFrom: number; readonly stderrFrom: number }): Promise<SandboxProcess>
  /** A copy to start others from. */
  snapshot?(options?: Abortable): Promise<SandboxSnapshot>
  /** Makes a port that something in the sandbox listens on reachable from the host. */
  expose?(port: number, options?: Abortable): Promise<URL>
}

/** Names a snapshot of a backend. */
export interface SandboxSnapshot {
  readonly id: string
  readonly provider: string
}

/** How a command is started. */
export interface SpawnOptions extends Abortable {
  /** Relative to the workdir. Default: the workdir. One that is not there is data, as a shell would have it: exit 126 and a message. */
  readonly cwd?: string | undefined
  /** Added to the sandbox's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly user?: string | undefined
  /** Run on a terminal of this size; stdout and stderr are then one stream, stdout. */
  readonly tty?: { readonly columns: number; readonly rows: number } | undefined
  /** Let it live on when this program ends, to be found again with `attachProcess`. */
  readonly detached?: boolean | undefined
  /** The process tree is killed after this time; `exit.reason` is then `timeout`. */
  readonly timeoutMs?: number | undefined
  /** The process tree is killed after this time without output; `exit.reason` is then `silence`. */
  readonly silenceMs?: number | undefined
}

/** How a file is read. */
export interface ReadOptions extends Abortable {
  readonly maxBytes?: number | undefined
}

/** How a file is written. */
export interface WriteOptions extends Abortable {
  /** Permission bits. Default: those of the file that is there, else 0o644. */
  readonly mode?: number | undefined
  /** Write only when the file has this SHA-256 now (lower-case hexadecimal); `null`: only when there is none. Checked inside the sandbox. */
  readonly ifSha256?: string | null | undefined
}

/** What `scan` covers. */
export interface ScanOptions extends Abortable {
  /** Relative folder to start from. Default: the workdir. */
  readonly path?: string | undefined
  /** Names of folders that are left out with all that is in them, at any depth. Default: none. */
  readonly skip?: readonly string[] | undefined
  /** Folders that are left out with all that is in them, each by its exact path relative to the workdir. Default: none. */
  readonly skipPaths?: readonly string[] | undefined
}

/** A file, as far as it is known without reading it. */
export interface FileStat {
  /** Relative to the workdir, with forward slashes. A byte that is no UTF-8 stands as a lone surrogate, U+DC80 to U+DCFF (PEP 383). */
  readonly path: string
  readonly kind: 'file' | 'folder' | 'link' | 'other'
  /** Bytes. */
  readonly size: number
  /** Permission bits. */
  readonly mode: number
  /** Milliseconds since 1970, with fractions where the backend has them. */
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly inode: number
  /** A folder that could not be entered, as for want of permission: what is in it is missing from the scan. */
  readonly unlisted?: true | undefined
}

/** What `pack` covers. */
export interface PackOptions extends Abortable {
  /** Relative paths; a folder brings all that is in it. Default: everything. */
  readonly paths?: readonly string[] | undefined
  readonly skip?: readonly string[] | undefined
}

/** How a process ended. A command that fails is data: this never takes the form of an exception. */
export const ExitStatus = z.object({
  reason: ExitReason,
  /** Null where there was no exit code, as after a signal. */
  code: z.int().nullable(),
  signal: z.string().optional(),
  outOfMemory: z.boolean().optional(),
})
export type ExitStatus = z.infer<typeof ExitStatus>

/** A running command. */
export interface SandboxProcess {
  readonly id: string
  /** Output that nobody reads holds the process back, or is bounded; it never grows memory. */
  readonly stdout: ReadableStream<Uint8Array>
  readonly stderr: ReadableStream<Uint8Array>
  /** Writing to a process that has ended, or does not read, is harmless. */
  readonly stdin: WritableStream<Uint8Array>
  /**
   * Settles when the process itself has ended, and the streams soon after, also when a child that it left in the background holds them. Never
   * rejects.
   */
  readonly exit: Promise<ExitStatus>
  /** Signals the whole process tree, also what has made itself a session of its own. Default `SIGKILL`. Safe on a process that has ended. */
  kill(signal?: string): Promise<void>
  /** Only with `tty`. */
  resize?(size: { readonly columns: number; readonly rows: number }): Promise<void>
}

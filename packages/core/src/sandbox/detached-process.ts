import { spawn } from 'node:child_process'
import { closeSync, existsSync, linkSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Launch, LocalProcess } from './local-process.ts'
import { requireSignal } from './local-process.ts'
import type { ProcessLimits, StopReason } from './process-limits.ts'
import { watchLimits } from './process-limits.ts'
import type { ProcessIdentity, TreeQuery } from './process-tree.ts'
import { identityOf, isRunning, killTree, processMarker } from './process-tree.ts'
import type { SandboxProcess, SpawnOptions } from './sandbox.ts'
import { ExitStatus } from './sandbox.ts'

/**
 * The first process of a detached command: it outlives signals that end the command, says how the command ended, and puts that into place whole.
 * `$1` is the folder, the rest the command.
 */
const runner = `folder=$1; shift; trap : HUP INT QUIT TERM; "$@"; code=$?
printf '{"reason":"exited","code":%d}' "$code" > "$folder/exit.tmp"; mv "$folder/exit.tmp" "$folder/exit"`

const chunkBytes = 65_536
const longestPauseMs = 200

/** Where a detached process is found again: its output, identity and end are files in a folder outside of the workdir. */
export interface DetachedPlace {
  readonly folder: string
  readonly id: string
}

/**
 * Starts a command that lives on when this program ends. It reads nothing on stdin; its output goes to files, which only the disk bounds. Time
 * limits and the signal hold as long as this program lives.
 */
export async function startDetachedProcess(launch: Launch, place: DetachedPlace, options: SpawnOptions): Promise<LocalProcess> {
  mkdirSync(place.folder, { mode: 0o700, recursive: true })
  const stdout = openSync(join(place.folder, 'stdout'), 'wx', 0o600)
  const stderr = openSync(join(place.folder, 'stderr'), 'wx', 0o600)
  try {
    const child = spawn('/bin/sh', ['-c', runner, 'sh', place.folder, ...launch.argv], {
      ...{ cwd: launch.cwd, env: launch.env, detached: true },
      stdio: ['ignore', stdout, stderr],
    })
    if (child.pid === undefined) throw await new Promise((resolve) => child.once('error', resolve))
    writeFileSync(join(place.folder, 'pid'), JSON.stringify(identityOf(child.pid) ?? { pid: child.pid, startedAt: '' }), { mode: 0o600 })
    child.unref()
  } finally {
    closeSync(stdout)
    closeSync(stderr)
  }
  return openDetachedProcess(place, { stdoutFrom: 0, stderrFrom: 0 }, options)
}

/** The handle of a process that was started detached. One of which nothing is known any more is `lost`. */
export function openDetachedProcess(
  place: DetachedPlace,
  from: { readonly stdoutFrom: number; readonly stderrFrom: number },
  options: SpawnOptions = {},
): LocalProcess {
  const leader = readIdentity(place)
  const tree: TreeQuery = { leader, marker: [processMarker, place.id] }
  const ending = createEnding(place, leader)
  const stop = async (status: ExitStatus): Promise<void> => {
    await killTree(tree)
    ending.record(status)
  }
  const watched = options.timeoutMs !== undefined || options.silenceMs !== undefined || options.signal !== undefined
  if (watched) watchDetached(place, ending, options, (reason) => stop({ reason, code: null, signal: 'SIGKILL' }))
  const handle: SandboxProcess = {
    id: place.id,
    stdout: followFile(join(place.folder, 'stdout'), from.stdoutFrom, ending.isOver),
    stderr: followFile(join(place.folder, 'stderr'), from.stderrFrom, ending.isOver),
    stdin: new WritableStream(),
    // Looked for only when someone asks, so that a process that is not waited for does not keep this program running.
    get exit() {
      return ending.wait()
    },
    async kill(signal = 'SIGKILL') {
      const name = requireSignal(signal)
      if (name === 'SIGKILL') await stop({ reason: 'signaled', code: null, signal: name })
      else await killTree(tree, name)
    },
  }
  return { process: handle, tree }
}

interface Ending {
  /** Whether it has ended; looks now. */
  isOver(): boolean
  wait(): Promise<ExitStatus>
  /** Says how it was ended from here, unless it ended by itself before. */
  record(status: ExitStatus): void
}

function createEnding({ folder }: DetachedPlace, leader: ProcessIdentity | undefined): Ending {
  let known: ExitStatus | undefined
  let waiting: Promise<ExitStatus> | undefined
  const look = (): ExitStatus | undefined => {
    known ??= readExit(folder)
    if (known === undefined && (leader === undefined || !isRunning(leader))) {
      // It may have ended between the two looks.
      known = readExit(folder) ?? { reason: 'lost', code: null }
    }
    return known
  }
  return {
    isOver: () => look() !== undefined,
    wait() {
      waiting ??= (async () => {
        for (let pauseMs = 5; ; pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)) {
          const status = look()
          if (status !== undefined) return status
          await setTimeout(pauseMs)
        }
      })()
      return waiting
    },
    record(status) {
      if (known !== undefined || !existsSync(folder)) return
      const aside = join(folder, `exit.${process.pid}.tmp`)
      writeFileSync(aside, JSON.stringify(status), { mode: 0o600 })
      try {
        linkSync(aside, join(folder, 'exit'))
      } catch {
        // It had ended by itself.
      }
      unlinkSync(aside)
    },
  }
}

function watchDetached(place: DetachedPlace, ending: Ending, options: SpawnOptions, stop: (reason: StopReason) => Promise<void>): void {
  let bytes = 0
  const limits: ProcessLimits = watchLimits(
    options,
    () => {
      const now = sizeOf(join(place.folder, 'stdout')) + sizeOf(join(place.folder, 'stderr'))
      const grown = now > bytes
      bytes = now
      return grown
    },
    (reason) => void stop(reason),
  )
  void ending.wait().then(() => limits.stop())
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function readIdentity({ folder }: DetachedPlace): ProcessIdentity | undefined {
  return readJson(join(folder, 'pid')) as ProcessIdentity | undefined
}

function readExit(folder: string): ExitStatus | undefined {
  const parsed = ExitStatus.safeParse(readJson(join(folder, 'exit')))
  return parsed.success ? parsed.data : undefined
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/** A file that grows, from an offset, until what writes it has ended. */
function followFile(path: string, from: number, isOver: () => boolean): ReadableStream<Uint8Array> {
  let offset = from
  let cancelled = false
  return new ReadableStream<Uint8Array>(
    {
      cancel() {
        cancelled = true
      },
      async pull(controller) {
        for (let pauseMs = 5; !cancelled; pauseMs = Math.min(longestPauseMs, pauseMs * 1.5)) {
          const over = isOver()
          const chunk = await readAt(path, offset)
          if (chunk.length > 0) {
            offset += chunk.length
            return controller.enqueue(chunk)
          }
          if (over) return controller.close()
          await setTimeout(pauseMs)
        }
      },
    },
    { highWaterMark: 0 },
  )
}

async function readAt(path: string, offset: number): Promise<Uint8Array> {
  const handle = await open(path, 'r').catch(() => undefined)
  if (handle === undefined) return new Uint8Array()
  try {
    const buffer = Buffer.alloc(chunkBytes)
    const { bytesRead } = await handle.read(buffer, 0, chunkBytes, offset)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

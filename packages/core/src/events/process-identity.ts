import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { z } from 'zod'
import { codeOf } from './store-errors.ts'

/** Tells a process from every other one, also after its process id was given out again. Source: proc_pid_stat(5), pid_namespaces(7). */
export const ProcessIdentity = z.object({
  pid: z.int().positive(),
  /** Clock ticks from boot to the start of the process, where /proc tells. */
  started: z.string().optional(),
  /** Boot id of the kernel, else the host name: where the process id means something. */
  machine: z.string(),
  /** The pid namespace, where /proc tells. */
  pidNamespace: z.string().optional(),
  /** Random, so that one process can be several owners. */
  nonce: z.string().regex(/^[0-9a-f]{16}$/),
})
export type ProcessIdentity = z.infer<typeof ProcessIdentity>

/** This process, with a nonce of its own for each call. */
export function identifyThisProcess(): ProcessIdentity {
  const started = processStat(process.pid)?.started
  const pidNamespace = attempt(() => readlinkSync('/proc/self/ns/pid'))
  return {
    pid: process.pid,
    ...(started !== undefined && { started }),
    machine: attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()) ?? hostname(),
    ...(pidNamespace !== undefined && { pidNamespace }),
    nonce: randomBytes(8).toString('hex'),
  }
}

/** Whether another process lives, as far as `self` can see: `unknown` on another machine, in another pid namespace, or without /proc. */
export function livenessOf(other: ProcessIdentity, self: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  if (other.machine !== self.machine || other.pidNamespace !== self.pidNamespace) return 'unknown'
  try {
    process.kill(other.pid, 0)
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return 'dead'
  }
  const stat = processStat(other.pid)
  if (!stat || other.started === undefined) return 'unknown'
  // A zombie still answers kill(pid, 0).
  return stat.started !== other.started || stat.state === 'Z' || stat.state === 'X' ? 'dead' : 'alive'
}

function processStat(pid: number): { state: string; started: string } | undefined {
  const text = attempt(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // The second field is the program's name in parentheses, which may itself hold any character.
  const [state, ...fields] = text?.slice(text.lastIndexOf(')') + 2).split(' ') ?? []
  const started = fields[18]
  return state !== undefined && started !== undefined ? { state, started } : undefined
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

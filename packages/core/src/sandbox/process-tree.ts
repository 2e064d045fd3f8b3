import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'

/** The variables in the environment of every command, by which what has left its process group is found again. */
export const sandboxMarker = 'BATON_SANDBOX_ID'
export const processMarker = 'BATON_PROCESS_ID'

/** What belongs to a command or a sandbox. */
export interface TreeQuery {
  /** The command's own process, where it leads a session. `startedAt` tells it from a later one of the same number. */
  readonly leader?: ProcessIdentity | undefined
  /** A variable and its value, which the processes have in their environment. */
  readonly marker: readonly [name: string, value: string]
}

/** A process, and not another one that got its number later. */
export interface ProcessIdentity {
  readonly pid: number
  /** Start time as the system counts it: field 22 of `/proc/PID/stat` (proc(5)); empty where it is not known. */
  readonly startedAt: string
}

interface ProcessRow extends ProcessIdentity {
  readonly name: string
  readonly parent: number
  readonly group: number
  readonly session: number
  readonly zombie: boolean
}

/** bubblewrap's own process takes the whole sandbox with it when it ends, so a signal that the command may handle is not for it. */
const wrapper = 'bwrap'

const linux = process.platform === 'linux'

/**
 * Signals all processes of a command or a sandbox: those of its session and group, those marked in their environment, and all descendants of
 * these. For `SIGKILL` they are stopped first, until no new one appears, so that none can start another behind the walk's back.
 *
 * What has cleared its environment, made itself a session and lost its parent before is not found. Elsewhere than on Linux the environment
 * cannot be read, and what has left the session and lost its parent is not found either.
 */
function signalTree(query: TreeQuery, signal: NodeJS.Signals): void {
  if (signal === 'SIGKILL') signalEach(query, 'SIGSTOP')
  signalEach(query, signal, signal === 'SIGKILL')
}

/** Signals what is found, and again what is found then, until nothing new appears. Other signals than stop and kill are sent in one round. */
function signalEach(query: TreeQuery, signal: NodeJS.Signals, again = signal === 'SIGSTOP'): void {
  const reached = new Set<string>()
  for (let round = 0; round < 100; round++) {
    const found = findRows(query).filter((row) => !reached.has(keyOf(row)) && (again || row.name !== wrapper))
    for (const row of found) {
      send(row.pid, signal)
      reached.add(keyOf(row))
    }
    if (found.length === 0 || !again) return
  }
}

/** {@link signalTree}; after `SIGKILL` it waits, for at most two seconds, until the processes are gone. */
export async function killTree(query: TreeQuery, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  signalTree(query, signal)
  if (signal !== 'SIGKILL') return
  for (let waited = 0; waited < 2000 && findTree(query).length > 0; waited += 5) {
    await setTimeout(5)
    signalTree(query, signal)
  }
}

/** The process of this number as it is now; undefined when there is none, or only what waits to be reaped. */
export function identityOf(pid: number): ProcessIdentity | undefined {
  const row = linux ? readRow(pid) : readTable().find((other) => other.pid === pid)
  return row === undefined || row.zombie ? undefined : { pid: row.pid, startedAt: row.startedAt }
}

/** Whether exactly this process is running. A zombie is not. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.startedAt === identity.startedAt
}

/** The processes of a command or a sandbox that are alive, this one never among them. */
export function findTree(query: TreeQuery): readonly ProcessIdentity[] {
  return findRows(query)
}

function findRows(query: TreeQuery): ProcessRow[] {
  const rows = readTable().filter((row) => row.pid !== process.pid)
  const leader = query.leader
  // A number that another process got since names another session.
  const reused = leader !== undefined && rows.some((row) => row.pid === leader.pid && row.startedAt !== leader.startedAt)
  const members = new Set<number>()
  for (const row of rows) {
    const inSession = leader !== undefined && !reused && (row.session === leader.pid || row.group === leader.pid || row.pid === leader.pid)
    if (inSession || (mayDescend(row, leader) && hasMarker(row.pid, query.marker))) members.add(row.pid)
  }
  for (let grown = true; grown; ) {
    grown = false
    for (const row of rows) {
      if (members.has(row.pid) || !members.has(row.parent)) continue
      members.add(row.pid)
      grown = true
    }
  }
  return rows.filter((row) => members.has(row.pid) && !row.zombie)
}

/** What started before the leader did not come from it; this spares reading the environment of nearly every process of the machine. */
function mayDescend(row: ProcessRow, leader: ProcessIdentity | undefined): boolean {
  return !linux || leader === undefined || leader.startedAt === '' || Number(row.startedAt) >= Number(leader.startedAt)
}

function keyOf(identity: ProcessIdentity): string {
  return `${identity.pid} ${identity.startedAt}`
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended, or is not ours to signal.
  }
}

function readTable(): ProcessRow[] {
  if (!linux) return readTableByPs()
  const rows: ProcessRow[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const row = Number.isInteger(pid) ? readRow(pid) : undefined
    if (row !== undefined) rows.push(row)
  }
  return rows
}

/** Source: proc(5), `/proc/PID/stat`. The name in brackets may itself have brackets and blanks. */
function readRow(pid: number): ProcessRow | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state = '', parent, group, session] = fields
    return {
      pid,
      name,
      parent: Number(parent),
      group: Number(group),
      session: Number(session),
      zombie: state === 'Z' || state === 'X',
      startedAt: fields[19] ?? '',
    }
  } catch {
    return undefined
  }
}

function hasMarker(pid: number, [name, value]: TreeQuery['marker']): boolean {
  if (!linux) return false
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
    const entry = `${name}=${value}\0`
    return environment.startsWith(entry) || environment.includes(`\0${entry}`)
  } catch {
    return false
  }
}

function readTableByPs(): ProcessRow[] {
  const table = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,pgid=,sess=,stat=,lstart='], { encoding: 'utf8' })
  return table.split('\n').flatMap((line) => {
    const [pid, parent, group, session, state = '', ...startedAt] = line.trim().split(/\s+/)
    if (!pid) return []
    return [
      {
        pid: Number(pid),
        name: '',
        parent: Number(parent),
        group: Number(group),
        session: Number(session),
        zombie: state.startsWith('Z'),
        startedAt: startedAt.join(' '),
      },
    ]
  })
}

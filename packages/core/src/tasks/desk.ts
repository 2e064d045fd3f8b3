import type { DeskRecorder } from '../desk/recorded-sandbox.ts'
import { recordSandbox } from '../desk/recorded-sandbox.ts'
import type { Terminal, TerminalOptions } from '../desk/terminal.ts'
import { openTerminal } from '../desk/terminal.ts'
import { BatonError } from '../errors.ts'
import type { Actor } from '../events/envelope.ts'
import type { Abortable } from '../options.ts'
import type { Sandbox, WriteOptions } from '../sandbox/sandbox.ts'
import type { HeldLease, TakeControlOptions } from './control.ts'
import { giveBack, takeLease } from './control.ts'
import { labelOf } from './labels.ts'
import type { OpenTask } from './open-task.ts'
import type { ControlState } from './task-state.ts'

/** Where a person works while having control. What is done here is in the log in their name; what they do with other tools is found when they give control back. */
export interface Desk {
  readonly actor: Actor
  readonly leaseId: string
  /** The task's sandbox. Commands and files that are written through it are recorded. */
  readonly sandbox: Sandbox
  /** A shell on a terminal; the commands that are typed are recorded with their exit codes. Rejects with `UNSUPPORTED_SPEC` where the sandbox has none. */
  terminal(options?: Omit<TerminalOptions, 'onCommand'>): Promise<Terminal>
  writeFile(path: string, content: string | Uint8Array, options?: WriteOptions): Promise<void>
  /** Says something to the agent; it reads it when it goes on. */
  say(text: string): Promise<void>
  /**
   * Gives control back: closes the terminals, accounts for every change, and lets the agent go on. The note reaches it. Rejects with `INVALID_STATE` where the
   * lease is not held any more.
   */
  returnControl(options?: { readonly note?: string | undefined } & Abortable): Promise<void>
}

/** Takes control of a task and opens its desk. */
export async function openDesk(
  open: OpenTask,
  actor: Actor,
  options: TakeControlOptions,
  say: (text: string) => Promise<void>,
): Promise<Desk> {
  if (!open.driving) await open.runtime.stream.catchUp()
  const { state } = open.runtime
  if (!open.driving && !state.closed && !state.sandbox && !open.sandbox.started) {
    throw new BatonError(
      'INVALID_STATE',
      `Task ${open.runtime.id} has no sandbox yet, and an observer cannot start one. Open it with { as: 'driver' }, or wait until its agent has.`,
    )
  }
  const held = await takeLease(open, actor, options)
  try {
    return createDesk(open, held, await open.sandbox.get(options.signal ?? new AbortController().signal), say)
  } catch (error) {
    held.release()
    // One that was found again is another desk's, too.
    if (held.isNew) await giveBack(open, held.lease, { keepsOffers: true }).catch(() => {})
    throw error
  }
}

function createDesk(open: OpenTask, { lease, release }: HeldLease, real: Sandbox, say: (text: string) => Promise<void>): Desk {
  const { runtime } = open
  const { state, stream } = runtime
  const { actor } = lease
  const terminals = new Set<Terminal>()
  const recorder = createRecorder(open, lease, real)
  const sandbox = recordSandbox(real, recorder)
  const isHeld = (): boolean => state.control?.leaseId === lease.leaseId

  function assertHeld(): void {
    if (isHeld()) return
    throw new BatonError(
      'INVALID_STATE',
      `Task ${runtime.id}: ${actor.name ?? actor.id} does not have control any more. Take control again.`,
    )
  }

  async function closeTerminals(): Promise<void> {
    await Promise.all([...terminals].map((terminal) => terminal.close()))
    await recorder.settled()
  }

  /** Whoever ended the lease, and wherever: nobody works on at this desk. */
  async function leave(): Promise<void> {
    for (const off of offs) off()
    open.desks.delete(leave)
    release()
    await sandbox.close()
    await closeTerminals()
  }

  function leaveIfOver(): void {
    if (!isHeld()) void leave().catch(() => {})
  }

  const offs = [stream.on('control.returned', leaveIfOver), stream.on('task.closed', leaveIfOver)]
  open.desks.add(leave)
  // It may be over since, as where the first of two desks could not be opened.
  leaveIfOver()

  return {
    actor,
    leaseId: lease.leaseId,
    sandbox,
    async terminal(options = {}) {
      assertHeld()
      const terminal = await openTerminal(real, {
        ...options,
        onCommand: (record) => {
          const done = record.phase === 'started' ? recorder.commandStarted(record) : recorder.commandFinished(record)
          // Nobody waits for it here; that the lease is over, or the log full, shows at the next step of whoever works.
          done.catch(() => {})
        },
      })
      terminals.add(terminal)
      void terminal.exit.then(() => terminals.delete(terminal))
      leaveIfOver()
      return terminal
    },
    async writeFile(path, content, options) {
      assertHeld()
      await sandbox.writeFile(path, typeof content === 'string' ? Buffer.from(content) : content, options)
    },
    async say(text) {
      assertHeld()
      await say(text)
    },
    async returnControl({ note, signal } = {}) {
      assertHeld()
      await closeTerminals()
      await giveBack(open, lease, { note, signal, running: recorder.running })
      await leave()
    },
  }
}

/** Writes what is done at the desk into the log, in order. */
function createRecorder(
  { runtime, snapshots }: OpenTask,
  { actor, leaseId }: ControlState,
  real: Sandbox,
): DeskRecorder & { readonly running: ReadonlySet<string>; settled(): Promise<void> } {
  const running = new Set<string>()
  let last: Promise<unknown> = Promise.resolve()

  function inOrder(work: () => Promise<unknown>): Promise<void> {
    const turn = last.then(work)
    last = turn.catch(() => {})
    return turn.then(() => {})
  }

  function check(): void {
    if (runtime.state.control?.leaseId !== leaseId) {
      throw new BatonError('INVALID_STATE', `Task ${runtime.id}: control was returned or has expired. Take control again.`)
    }
  }

  return {
    running,
    commandStarted: ({ commandId, command, cwd }) =>
      inOrder(async () => {
        running.add(commandId)
        const text = typeof command === 'string' ? command : (command ?? []).join(' ')
        const label = await labelOf(runtime.parts, text, [`${actor.kind}:${actor.id}`])
        const data = { commandId, command: command ?? '', ...(cwd !== undefined && { cwd }), ...label }
        await runtime.stream.append(
          [
            {
              type: 'command.started',
              actor,
              data: { ...data, command: typeof data.command === 'string' ? data.command : [...data.command] },
            },
          ],
          { check },
        )
      }),
    commandFinished: ({ commandId, exit, code, stdoutBytes, stderrBytes, ms }) =>
      inOrder(() => {
        const { reason, signal } = exit ?? { reason: code === null ? ('lost' as const) : ('exited' as const) }
        const data = {
          commandId,
          reason,
          code,
          ...(signal !== undefined && { signal }),
          stdoutBytes: stdoutBytes ?? 0,
          stderrBytes: stderrBytes ?? 0,
          ms,
        }
        running.delete(commandId)
        // A command that outlives the lease ends nevertheless.
        return runtime.stream.append([{ type: 'command.finished', actor, data }])
      }),
    fileWritten: ({ path, change, before, after, diff, addedLines, removedLines }) =>
      inOrder(async () => {
        const label = await labelOf(runtime.parts, diff ?? '', [`file:${path}`])
        const data = {
          ...{ path, change, after, evidence: 'desk' as const },
          ...(before !== undefined && { before }),
          ...(diff !== undefined && { diff, addedLines, removedLines }),
          ...label,
        }
        await runtime.stream.append([{ type: 'file.changed', actor, data }], { check })
        if (runtime.parts.ledger) await snapshots.note(real, path, after)
      }),
    async settled() {
      await last
    },
  }
}

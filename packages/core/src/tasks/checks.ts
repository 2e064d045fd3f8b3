import { v7 as uuidv7 } from 'uuid'
import { BatonError } from '../errors.ts'
import { systemActor } from '../events/envelope.ts'
import type { EventDraft } from '../events/event.ts'
import type { CheckSpec } from '../events/task-events.ts'
import type { CheckFinished } from '../events/workspace-events.ts'
import type { ExecResult } from '../sandbox/exec.ts'
import { exec } from '../sandbox/exec.ts'
import { labelOf } from './labels.ts'
import { lookAround } from './look-around.ts'
import type { ActiveRun } from './run-context.ts'
import { isHeld, ready, throwIfStopped } from './run-context.ts'
import type { TaskRuntime } from './runtime.ts'

const defaultTimeoutMs = 10 * 60_000
const maxOutputBytes = 8 * 1024

/** Runs the task's checks one after the other and writes down how each went. */
export async function runChecks(active: ActiveRun, checks: readonly CheckSpec[], round: number): Promise<readonly CheckFinished[]> {
  const results: CheckFinished[] = []
  for (const check of checks) {
    await ready(active)
    // A command is not undone: another process that has taken the task over is noticed before it.
    await active.runtime.stream.catchUp()
    throwIfStopped(active)
    const result = await runCheck(active, check, round)
    await active.runtime.drive([{ type: 'check.finished', actor: systemActor, data: result }])
    results.push(result)
  }
  return results
}

async function runCheck(active: ActiveRun, check: CheckSpec, round: number): Promise<CheckFinished> {
  const { signal, runId } = active
  const sandbox = await active.sandbox.get(signal)
  const { exit, output, ms } = await recorded(active, check.command, () =>
    exec(sandbox, check.command, { timeoutMs: check.timeoutMs ?? defaultTimeoutMs, maxOutputBytes, signal }),
  )
  throwIfStopped(active)
  const passed = exit.reason === 'exited' && exit.code === 0
  // What a POSIX shell says of a command that is not there, or cannot be run (POSIX.1-2024, 2.8.2).
  const notStarted = exit.code === 127 || exit.code === 126
  const ended = exit.reason === 'exited' ? '' : `\n[the command ended by ${exit.reason}]`
  return {
    ...{ runId, name: check.name, command: check.command, round },
    outcome: passed ? 'passed' : notStarted ? 'error' : 'failed',
    exitCode: exit.code,
    output: output + ended,
    ms: Math.round(ms),
  }
}

/** A check may write files, so whoever takes control waits for its end, wherever they are; and before it starts, it is waited until they have none. */
async function recorded(active: ActiveRun, command: string, run: () => Promise<ExecResult>): Promise<ExecResult> {
  const { runtime } = active
  const commandId = uuidv7()
  const check = (): void => {
    if (isHeld(runtime.state)) throw heldMeanwhile
  }
  for (;;) {
    await ready(active)
    await lookAround(active)
    try {
      await runtime.drive([{ type: 'command.started', actor: systemActor, data: { commandId, command } }], check)
      break
    } catch (error) {
      if (error !== heldMeanwhile) throw error
    }
  }
  let result: ExecResult | undefined
  try {
    result = await run()
    return result
  } finally {
    // Where the log takes no more, the next driver closes it.
    await runtime.drive([endedDraft(commandId, result)]).catch((error: unknown) => {
      if (result) throw error
    })
  }
}

const heldMeanwhile = Symbol('paused, or a person has control')

function endedDraft(commandId: string, result?: ExecResult): EventDraft {
  const { reason, code } = result?.exit ?? { reason: 'lost' as const, code: null }
  const { stdoutBytes = 0, stderrBytes = 0, ms = 0 } = result ?? {}
  const data = { commandId, reason, code, stdoutBytes, stderrBytes, ms }
  return { type: 'command.finished', actor: systemActor, data }
}

/** Checks that ran when their process ended: nobody is there any more to say how they ended. */
export function lostChecks({ writers }: TaskRuntime): readonly EventDraft[] {
  return writers.openCommands(systemActor).map((commandId) => endedDraft(commandId))
}

/** Tells the agent of checks that did not pass. */
export async function sendBack({ runtime, runId }: ActiveRun, results: readonly CheckFinished[], round: number): Promise<void> {
  const text = describeFailures(results)
  const label = await labelOf(
    runtime.parts,
    text,
    results.map(({ name }) => `check:${name}`),
  )
  await runtime.drive([{ type: 'message.sent', actor: systemActor, data: { text, key: `checks-${runId}-${round}`, ...label } }])
}

function describeFailures(results: readonly CheckFinished[]): string {
  const failed = results.filter(({ outcome }) => outcome !== 'passed')
  const texts = failed.map(({ command, exitCode, output }) => `$ ${command}\n(exit code ${exitCode ?? 'none'})\n${output}`)
  return `The task is not done yet: ${failed.length === 1 ? 'a check does' : 'these checks do'} not pass.\n\n${texts.join('\n\n')}`
}

/** The error of a run whose checks could not even be started. */
export function notStartedError(results: readonly CheckFinished[]): BatonError | undefined {
  const check = results.find(({ outcome }) => outcome === 'error')
  if (!check) return undefined
  return new BatonError(
    'CHECK_NOT_STARTED',
    `The check "${check.name}" could not be started (exit code ${check.exitCode}): ${check.output.trim().slice(-300)}. Install in the sandbox what it needs, or correct the command.`,
    { details: { name: check.name, command: check.command } },
  )
}

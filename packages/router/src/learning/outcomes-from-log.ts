import type { Event, LoggedEvent } from '@baton-sdk/core'
import { isKnown } from '@baton-sdk/core'
import type { Outcome } from './outcome-index.ts'

/** What became of a model's work, as a task's log tells it. Can be added to an index and, where it has an answer, to an answer verifier. */
export interface LoggedOutcome extends Outcome {
  /** What the model said last; what the cascade would have had to judge. */
  readonly answer: string
  /** What its calls were for: `code`, … */
  readonly role: string
  /** How it is known: the task's checks, or what people decided on its calls and proposals. */
  readonly evidence: 'checks' | 'people'
  readonly taskId: string
  /** The event that settled it. */
  readonly seq: number
}

/** Options of {@link outcomesFromLog}. */
export interface OutcomesFromLogOptions {
  /** Leaves out what was settled up to this seq. Default: 0. */
  readonly after?: number | undefined
}

/** A stretch of a run between two rounds of checks: what the models did, and what people said of it. */
interface Stretch {
  /** By id of the model. */
  readonly authors: Map<string, { readonly role: string; readonly model: string; readonly answer: string }>
  /** Somebody else had a hand in it. */
  shared: boolean
  approved: number
  rejected: number
  changed: number
}

/**
 * Reads from a task's log what became of the work of its models. The text is the task's goal, whatever was said later.
 *
 * What counts is a stretch of work from one round of checks to the next, or to the end of a run that is done:
 *
 * - The checks decide where they ran: right when all passed, wrong when one failed. A check that could not be started says nothing.
 * - Otherwise people decide, by approvals and by accepting or rejecting proposals: wrong when they rejected something, right when they took
 *   everything as it was. Where they changed something and rejected nothing, it says nothing.
 * - It is counted for a model only where that was alone: no other one answered prompts from the log, no sub-task came back, and no person
 *   took control, changed a file, undid changes or went back to a checkpoint. What a provider's failure, a limit or a cancelled run left unfinished says nothing.
 *
 * What a fork took over from another task is that task's, and does not count again.
 */
export async function outcomesFromLog(
  events: Iterable<LoggedEvent> | AsyncIterable<LoggedEvent>,
  { after = 0 }: OutcomesFromLogOptions = {},
): Promise<LoggedOutcome[]> {
  const reader = createReader()
  for await (const event of events) if (isKnown(event)) reader.read(event)
  return reader.outcomes.filter(({ seq }) => seq > after)
}

function createReader(): { readonly outcomes: readonly LoggedOutcome[]; read(event: Event): void } {
  let outcomes: LoggedOutcome[] = []
  let goal = ''
  let stretch = newStretch()
  let checkNames: readonly string[] = []
  let checks: { readonly round: number; readonly outcomes: Map<string, string> } | undefined
  const callsOfLog = new Set<string>()
  const callsOfModels = new Set<string>()
  const asked = new Set<string>()

  /** A round of checks is over when something else happens. */
  function endRound({ taskId, seq }: { taskId: string; seq: number }): void {
    if (!checks) return
    const { outcomes: results } = checks
    checks = undefined
    const failed = [...results.values()].includes('failed')
    const passed = checkNames.every((name) => results.get(name) === 'passed')
    if (failed || passed) settle({ taskId, seq }, passed, 'checks')
    stretch = newStretch()
  }

  function settle({ taskId, seq }: { taskId: string; seq: number }, success: boolean, evidence: LoggedOutcome['evidence']): void {
    const [author, ...others] = stretch.authors.values()
    if (author && others.length === 0 && !stretch.shared) outcomes.push({ text: goal, ...author, success, evidence, taskId, seq })
  }

  function decideByPeople({ taskId, seq }: Event): void {
    const { approved, rejected, changed } = stretch
    if (rejected > 0) settle({ taskId, seq }, false, 'people')
    else if (approved > 0 && changed === 0) settle({ taskId, seq }, true, 'people')
  }

  function share(): void {
    stretch.shared = true
  }

  const takers: { readonly [T in Event['type']]?: (event: Event<T>) => void } = {
    'task.created': ({ data }) => {
      goal = data.goal
      checkNames = data.checks.map(({ name }) => name)
    },
    'task.forked': () => {
      outcomes = []
      stretch = newStretch()
    },
    'run.started': () => {
      stretch = newStretch()
    },
    'model.called': ({ data }) => {
      if (data.prompt === 'log') callsOfLog.add(data.modelCallId)
    },
    'model.finished': ({ data }) => {
      if (!callsOfLog.delete(data.modelCallId)) return
      for (const { callId } of data.toolCalls) callsOfModels.add(callId)
      stretch.authors.set(data.model, { role: data.role, model: data.model, answer: data.text })
    },
    'approval.requested': ({ data }) => {
      if (callsOfModels.has(data.callId)) asked.add(data.approvalId)
    },
    'approval.decided': ({ actor, data }) => {
      if (!asked.delete(data.approvalId) || actor.kind !== 'human') return
      if (data.decision === 'rejected') stretch.rejected++
      else if (data.input !== undefined) stretch.changed++
      else stretch.approved++
    },
    'proposal.made': ({ data }) => {
      if (callsOfModels.has(data.callId)) asked.add(data.proposalId)
    },
    'proposal.decided': ({ actor, data }) => {
      if (!asked.delete(data.proposalId) || actor.kind !== 'human') return
      for (const { decision } of data.decisions)
        stretch[decision === 'accepted' ? 'approved' : decision === 'edited' ? 'changed' : 'rejected']++
    },
    'control.taken': share,
    'task.settled': share,
    'changes.undone': share,
    'checkpoint.restored': share,
    'file.changed': ({ actor }) => {
      if (actor.kind === 'human') share()
    },
    'run.finished': (event) => {
      if (event.data.outcome === 'done') decideByPeople(event)
      stretch = newStretch()
    },
  }

  return {
    get outcomes() {
      return outcomes
    },
    read(event) {
      // A suggestion to a person, beside the agent's work.
      if (event.actor.kind === 'human' && event.type.startsWith('model.')) return
      if (event.type === 'check.finished') {
        if (checks && checks.round !== event.data.round) endRound(event)
        checks ??= { round: event.data.round, outcomes: new Map() }
        checks.outcomes.set(event.data.name, event.data.outcome)
        return
      }
      const taker = takers[event.type] as ((event: Event) => void) | undefined
      if (!taker) return
      endRound(event)
      taker(event)
    },
  }
}

function newStretch(): Stretch {
  return { authors: new Map(), shared: false, approved: 0, rejected: 0, changed: 0 }
}

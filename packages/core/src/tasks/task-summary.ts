import { answersOffers } from '../events/control-events.ts'
import type { Event, LoggedEvent } from '../events/event.ts'
import { isAside, isKnown } from '../events/event.ts'
import type { TaskSummary, WaitingItem } from '../events/event-store.ts'
import type { Spend } from '../events/task-events.ts'
import { highestSensitivity } from '../models/sensitivity.ts'

/** Nothing spent. */
export const noSpend: Spend = { costUsd: 0, steps: 0, inputTokens: 0, outputTokens: 0 }

/** Two spends together. */
export function addSpend(a: Spend, b: Spend): Spend {
  return {
    costUsd: a.costUsd + b.costUsd,
    steps: a.steps + b.steps,
    inputTokens: a.inputTokens + b.inputTokens,
    outputTokens: a.outputTokens + b.outputTokens,
  }
}

/** The approval that a call waits for. */
export function approvalIdOf(callId: string): string {
  return `a-${callId}`
}

/** The proposal that is made instead of a call. */
export function proposalIdOf(callId: string): string {
  return `p-${callId}`
}

/** The offer of control that is made under a key. */
export function offerIdOf(key: string): string {
  return `c-${key}`
}

/** The question that is asked under a key. */
export function questionIdOf(key: string): string {
  return `q-${key}`
}

/** What one event adds to what the task spent. */
export function spendOf(event: Event): Spend | undefined {
  if (event.type === 'task.settled') return event.data.spent
  if (event.type !== 'model.finished' && event.type !== 'model.failed') return undefined
  const { usage, costUsd, judge } = event.data
  if (event.type === 'model.failed' && !usage && !costUsd && !judge) return undefined
  return {
    costUsd: (costUsd ?? 0) + (judge?.costUsd ?? 0),
    steps: event.type === 'model.finished' && !isAside(event) ? 1 : 0,
    inputTokens: (usage?.inputTokens ?? 0) + (judge?.usage?.inputTokens ?? 0),
    outputTokens: (usage?.outputTokens ?? 0) + (judge?.usage?.outputTokens ?? 0),
  }
}

/** The fold that makes a {@link TaskSummary}: pure, and independent of the task's length. */
export function summarizeTask(summary: TaskSummary | undefined, event: LoggedEvent): TaskSummary {
  const base = { ...(summary ?? empty(event)), seq: event.seq, updatedAt: event.time }
  if (!isKnown(event)) return base
  const change = changes(base, event)
  if (!change) return base
  const next = withStatus({ ...base, ...change })
  if (next.runId === undefined) delete next.runId
  if (next.control === undefined) delete next.control
  return next
}

function empty(event: LoggedEvent): TaskSummary {
  return {
    taskId: event.taskId,
    seq: 0,
    goal: '',
    agent: '',
    status: 'idle',
    autonomy: 'supervised',
    sensitivity: 'internal',
    waiting: [],
    spent: noSpend,
    createdAt: event.time,
    updatedAt: event.time,
  }
}

function changes(summary: TaskSummary, event: Event): Partial<TaskSummary> | undefined {
  switch (event.type) {
    case 'task.created':
      return {
        goal: event.data.goal.slice(0, 500),
        agent: event.data.agent,
        autonomy: event.data.autonomy,
        sensitivity: event.data.sensitivity,
        ...(event.data.metadata && { metadata: event.data.metadata }),
        ...(event.data.tenant !== undefined && { tenant: event.data.tenant }),
        ...(event.data.parent && { parentId: event.data.parent.taskId }),
      }
    case 'task.closed':
      return { status: 'closed', waiting: [], control: undefined }
    case 'task.forked':
      return { status: 'idle', waiting: [], runId: undefined, control: undefined, driver: undefined, spent: noSpend, today: undefined }
    case 'run.started':
      return { runId: event.data.runId, status: 'running' }
    case 'run.paused':
      return event.data.runId !== summary.runId
        ? undefined
        : {
            status: 'paused',
            ...(event.data.reason === 'stuck' && {
              waiting: added(summary, event, 'stuck', event.data.runId, event.data.detail ?? 'The agent is stuck.'),
            }),
          }
    case 'run.resumed':
      return event.data.runId !== summary.runId ? undefined : { status: 'running', waiting: removed(summary, event.data.runId) }
    case 'run.finished':
      return { runId: undefined, status: 'idle', outcome: event.data.outcome, waiting: [] }
    case 'driver.claimed':
      return { driver: { epoch: event.data.epoch, owner: event.data.owner } }
    case 'control.offered':
      return { waiting: added(summary, event, 'control', event.data.offerId, event.data.reason) }
    case 'control.declined':
      return { ...raised(summary, event.data.sensitivity), waiting: removed(summary, event.data.offerId) }
    case 'control.taken':
      return { control: { leaseId: event.data.leaseId, actor: event.actor, since: event.time } }
    case 'control.returned':
      if (event.data.leaseId !== summary.control?.leaseId) return undefined
      return {
        ...raised(summary, event.data.sensitivity),
        control: undefined,
        ...(answersOffers(event.data) && { waiting: summary.waiting.filter(({ kind }) => kind !== 'control') }),
      }
    case 'proposal.made': {
      const paths = event.data.files.map(({ path }) => path).join(', ')
      return { waiting: added(summary, event, 'proposal', event.data.proposalId, `${event.data.tool}: ${paths}`) }
    }
    case 'proposal.decided':
      return { waiting: removed(summary, event.data.proposalId) }
    case 'autonomy.set':
      return { autonomy: event.data.level }
    case 'approval.requested':
      return { waiting: added(summary, event, 'approval', event.data.approvalId, `${event.data.tool}: ${event.data.reason}`) }
    case 'approval.decided':
      return { waiting: removed(summary, event.data.approvalId) }
    case 'question.asked':
      return { waiting: added(summary, event, 'question', event.data.questionId, event.data.text) }
    case 'question.answered':
      return { ...raised(summary, event.data.sensitivity), waiting: removed(summary, event.data.questionId) }
    case 'tool.finished':
      return {
        ...raised(summary, event.data.sensitivity),
        ...(summary.waiting.length > 0 && { waiting: lapsed(summary, event.data.callId) }),
      }
    case 'task.settled':
      return { ...raised(summary, event.data.sensitivity), spent: addSpend(summary.spent, event.data.spent) }
    case 'message.sent':
    case 'file.changed':
    case 'git.changed':
    case 'command.started':
      return raised(summary, event.data.sensitivity)
    default: {
      const spent = spendOf(event)
      return (
        spent && {
          spent: addSpend(summary.spent, spent),
          ...(spent.costUsd > 0 && { today: costToday(summary.today, event.time, spent.costUsd) }),
        }
      )
    }
  }
}

/** A clock that was set back opens no new day. */
function costToday(today: TaskSummary['today'], time: string, costUsd: number): TaskSummary['today'] {
  const day = time.slice(0, 10)
  return today && day <= today.day ? { day: today.day, costUsd: today.costUsd + costUsd } : { day, costUsd }
}

function added(summary: TaskSummary, event: Event, kind: WaitingItem['kind'], id: string, text: string): WaitingItem[] {
  return [...summary.waiting, { kind, id, since: event.time, text: text.slice(0, 500) }]
}

function removed(summary: TaskSummary, id: string): WaitingItem[] {
  return summary.waiting.filter((item) => item.id !== id)
}

/** What a call waited for waits no more once the call is over. */
function lapsed(summary: TaskSummary, callId: string): WaitingItem[] {
  const own = [approvalIdOf(callId), proposalIdOf(callId)]
  return summary.waiting.filter(({ id }) => !own.includes(id) && !id.startsWith(questionIdOf(`${callId}/`)))
}

function raised(summary: TaskSummary, label: TaskSummary['sensitivity'] | undefined): Partial<TaskSummary> | undefined {
  const sensitivity = highestSensitivity(summary.sensitivity, label)
  return sensitivity === summary.sensitivity ? undefined : { sensitivity }
}

/** A running task in which something waits for a person is `waiting`, and the other way round. */
function withStatus(summary: TaskSummary): TaskSummary {
  if (summary.status !== 'running' && summary.status !== 'waiting') return summary
  const status = summary.waiting.length > 0 ? 'waiting' : 'running'
  return status === summary.status ? summary : { ...summary, status }
}

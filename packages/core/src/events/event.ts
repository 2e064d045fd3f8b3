import type * as control from './control-events.ts'
import type * as conversation from './conversation-events.ts'
import type { Actor, Envelope } from './envelope.ts'
import type * as model from './model-events.ts'
import type * as sandbox from './sandbox-events.ts'
import type * as task from './task-events.ts'
import type * as tool from './tool-events.ts'
import type * as workspace from './workspace-events.ts'

/** The event types of Baton itself. */
export interface BuiltInEventTypes {
  'task.created': task.TaskCreated
  'task.forked': task.TaskForked
  'task.delegated': task.TaskDelegated
  'task.settled': task.TaskSettled
  'task.closed': task.TaskClosed
  'run.started': task.RunStarted
  'run.paused': task.RunPaused
  'run.resumed': task.RunResumed
  'run.cancelled': task.RunCancelled
  'run.finished': task.RunFinished
  'warning.raised': task.WarningRaised
  'message.sent': conversation.MessageSent
  'question.asked': conversation.QuestionAsked
  'question.answered': conversation.QuestionAnswered
  'driver.claimed': control.DriverClaimed
  'control.offered': control.ControlOffered
  'control.declined': control.ControlDeclined
  'control.taken': control.ControlTaken
  'control.renewed': control.ControlRenewed
  'control.returned': control.ControlReturned
  'autonomy.set': control.AutonomySet
  'limits.set': control.LimitsSet
  'model.called': model.ModelCalled
  'model.finished': model.ModelFinished
  'model.failed': model.ModelFailed
  'context.compacted': model.ContextCompacted
  'tool.called': tool.ToolCalled
  'approval.requested': tool.ApprovalRequested
  'approval.decided': tool.ApprovalDecided
  'approval.forgotten': tool.ApprovalForgotten
  'tool.started': tool.ToolStarted
  'tool.finished': tool.ToolFinished
  'file.changed': workspace.FileChanged
  'workspace.applied': workspace.WorkspaceApplied
  'workspace.committed': workspace.WorkspaceCommitted
  'checkpoint.created': workspace.CheckpointCreated
  'checkpoint.restored': workspace.CheckpointRestored
  'changes.undone': workspace.ChangesUndone
  'git.changed': workspace.GitChanged
  'proposal.made': workspace.ProposalMade
  'proposal.decided': workspace.ProposalDecided
  'suggestion.made': workspace.SuggestionMade
  'suggestion.decided': workspace.SuggestionDecided
  'sandbox.started': sandbox.SandboxStarted
  'sandbox.moved': sandbox.SandboxMoved
  'sandbox.lost': sandbox.SandboxLost
  'sandbox.closed': sandbox.SandboxClosed
  'command.started': sandbox.CommandStarted
  'command.finished': sandbox.CommandFinished
  'check.finished': workspace.CheckFinished
}

/**
 * Every event type and the shape of its data. A plugin adds its own by declaration merging, and registers the schema with `registerEvent`:
 *
 * ```ts
 * declare module '@baton-sdk/core' {
 *   interface EventTypes { 'deploy.finished': { url: string } }
 * }
 * ```
 */
export interface EventTypes extends BuiltInEventTypes {}

/** Name of an event type. */
export type EventType = keyof EventTypes

/** An event: checking `type` narrows `data`. */
export type Event<T extends EventType = EventType> = { [K in T]: Envelope & { readonly type: K; readonly data: EventTypes[K] } }[T]

/** An event whose type or version this program does not know. It is kept, and written back as it was. */
export interface UnknownEvent extends Envelope {
  /** The type with a question mark before it, so that no check for a known type matches. */
  readonly type: `?${string}`
  /** The whole event as JSON text, byte for byte as it was stored. */
  readonly raw: string
}

/** What a reader of a log gets. */
export type LoggedEvent = Event | UnknownEvent

/** An event before the log gave it an id, a place and a time. */
export type EventDraft<T extends EventType = EventType> = {
  [K in T]: { readonly type: K; readonly data: EventTypes[K]; readonly actor: Actor; readonly cause?: string | undefined }
}[T]

/** On the way only: never stored, without id and seq, and the first thing to be dropped for a slow reader. */
export type LiveEvent = {
  readonly taskId: string
  /** The last seq that was in the log when it was sent. */
  readonly after: number
  /** Id of the durable event it belongs to: `model.called` or `tool.started`. */
  readonly cause: string
} & (
  | { readonly type: 'model.delta'; readonly data: { readonly kind: 'text' | 'reasoning'; readonly text: string } }
  | { readonly type: 'command.output'; readonly data: { readonly stream: 'stdout' | 'stderr'; readonly text: string } }
)

/** Whether an event is of a type (and version) that this program knows. */
export function isKnown(event: LoggedEvent): event is Event {
  return !event.type.startsWith('?')
}

/** Whether a model was called for a person, as for a suggestion: that is beside the agent's conversation and its steps, and is paid by the task. */
export function isAside({ type, actor }: Event): boolean {
  return actor.kind === 'human' && (type === 'model.called' || type === 'model.finished' || type === 'model.failed')
}

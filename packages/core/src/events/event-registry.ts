import { z } from 'zod'
import { BatonError, messageOf } from '../errors.ts'
import { implementing, parseOptions } from '../options.ts'
import * as control from './control-events.ts'
import * as conversation from './conversation-events.ts'
import { Envelope } from './envelope.ts'
import type { BuiltInEventTypes, Event, EventType, LoggedEvent, UnknownEvent } from './event.ts'
import * as model from './model-events.ts'
import * as sandbox from './sandbox-events.ts'
import * as task from './task-events.ts'
import * as tool from './tool-events.ts'
import * as workspace from './workspace-events.ts'

/** How one event type is checked. */
export interface EventDefinition {
  /** Version that is written. A stored event of a higher version reads as unknown. */
  readonly version: number
  readonly schema: z.ZodType
  /** Brings stored data of an older version up to this one. */
  readonly upcast?: (data: unknown, fromVersion: number) => unknown
}

const builtIn: { readonly [K in keyof BuiltInEventTypes]: z.ZodType<BuiltInEventTypes[K]> } = {
  'task.created': task.TaskCreated,
  'task.forked': task.TaskForked,
  'task.delegated': task.TaskDelegated,
  'task.settled': task.TaskSettled,
  'task.closed': task.TaskClosed,
  'run.started': task.RunStarted,
  'run.paused': task.RunPaused,
  'run.resumed': task.RunResumed,
  'run.cancelled': task.RunCancelled,
  'run.finished': task.RunFinished,
  'warning.raised': task.WarningRaised,
  'message.sent': conversation.MessageSent,
  'question.asked': conversation.QuestionAsked,
  'question.answered': conversation.QuestionAnswered,
  'driver.claimed': control.DriverClaimed,
  'control.offered': control.ControlOffered,
  'control.declined': control.ControlDeclined,
  'control.taken': control.ControlTaken,
  'control.renewed': control.ControlRenewed,
  'control.returned': control.ControlReturned,
  'autonomy.set': control.AutonomySet,
  'limits.set': control.LimitsSet,
  'model.called': model.ModelCalled,
  'model.finished': model.ModelFinished,
  'model.failed': model.ModelFailed,
  'context.compacted': model.ContextCompacted,
  'tool.called': tool.ToolCalled,
  'approval.requested': tool.ApprovalRequested,
  'approval.decided': tool.ApprovalDecided,
  'approval.forgotten': tool.ApprovalForgotten,
  'tool.started': tool.ToolStarted,
  'tool.finished': tool.ToolFinished,
  'file.changed': workspace.FileChanged,
  'workspace.applied': workspace.WorkspaceApplied,
  'workspace.committed': workspace.WorkspaceCommitted,
  'checkpoint.created': workspace.CheckpointCreated,
  'checkpoint.restored': workspace.CheckpointRestored,
  'changes.undone': workspace.ChangesUndone,
  'git.changed': workspace.GitChanged,
  'proposal.made': workspace.ProposalMade,
  'proposal.decided': workspace.ProposalDecided,
  'suggestion.made': workspace.SuggestionMade,
  'suggestion.decided': workspace.SuggestionDecided,
  'sandbox.started': sandbox.SandboxStarted,
  'sandbox.moved': sandbox.SandboxMoved,
  'sandbox.lost': sandbox.SandboxLost,
  'sandbox.closed': sandbox.SandboxClosed,
  'command.started': sandbox.CommandStarted,
  'command.finished': sandbox.CommandFinished,
  'check.finished': workspace.CheckFinished,
}

const definitions = new Map<string, EventDefinition>(Object.entries(builtIn).map(([type, schema]) => [type, { version: 1, schema }]))

const Definition = z.object({
  version: z.int().positive(),
  schema: implementing<z.ZodType>('a zod schema', 'safeParse'),
  upcast: z.custom<EventDefinition['upcast']>((value) => typeof value === 'function', 'expected a function').optional(),
})
const EventName = z
  .string()
  .regex(/^[a-z][A-Za-z0-9-]*(\.[a-z][A-Za-z0-9-]*)+$/, 'expected lower-case words joined by a dot, noun first: "deploy.finished"')

/**
 * Makes a plugin's event type known. Registering the same definition again does nothing.
 *
 * @throws BatonError `INVALID_OPTIONS` when the name is not `noun.past`, a field of the definition is wrong, or the type is already registered otherwise.
 */
export function registerEvent(type: EventType, definition: EventDefinition): void {
  parseOptions('registerEvent', z.object({ type: EventName, definition: Definition }), { type, definition })
  const there = definitions.get(type)
  if (there === definition || (there?.schema === definition.schema && there.version === definition.version)) return
  if (there)
    throw new BatonError(
      'INVALID_OPTIONS',
      `registerEvent: type: "${type}" is already registered with another schema. Choose a name with your plugin's noun.`,
    )
  definitions.set(type, definition)
}

/** Whether a type is one of Baton's own, and not a plugin's. */
export function isBuiltIn(type: string): boolean {
  return Object.hasOwn(builtIn, type)
}

/** The version that events of a type are written with. */
export function versionOf(type: EventType): number {
  return definitionOf(type).version
}

/**
 * Checks the data of an event that is about to be appended.
 *
 * @throws BatonError `INVALID_EVENT`, naming the fields.
 */
export function checkEventData(type: EventType, data: unknown): void {
  const parsed = definitionOf(type).schema.safeParse(data)
  if (!parsed.success)
    throw new BatonError('INVALID_EVENT', `The data of a "${type}" event does not fit its schema: ${z.prettifyError(parsed.error)}`, {
      cause: parsed.error,
    })
}

function definitionOf(type: EventType): EventDefinition {
  const definition = definitions.get(type)
  if (!definition)
    throw new BatonError('INVALID_EVENT', `There is no event type "${type}". A plugin makes its own known with registerEvent().`)
  return definition
}

/**
 * Reads an event as it was stored. A type or a version that this program does not know becomes an {@link UnknownEvent}; fields that a
 * known type has too many are kept.
 *
 * @param text - the event's JSON text, kept in `raw` of an unknown one
 * @param value - `text` parsed
 * @throws BatonError `CORRUPT_LOG` when the envelope or the data does not fit.
 */
export function parseEvent(text: string, value: unknown): LoggedEvent {
  const envelope = StoredEvent.safeParse(value)
  if (!envelope.success)
    throw new BatonError('CORRUPT_LOG', `A stored event has no valid envelope: ${z.prettifyError(envelope.error)}`, {
      cause: envelope.error,
    })
  const { type, data, ...rest } = envelope.data
  const definition = definitions.get(type)
  if (!definition || envelope.data.v > definition.version) return { ...rest, type: `?${type}`, raw: text } satisfies UnknownEvent
  const old = envelope.data.v < definition.version
  const current = old && definition.upcast ? upcast(definition.upcast, envelope.data) : data
  const parsed = definition.schema.safeParse(current)
  if (!parsed.success) {
    throw new BatonError(
      'CORRUPT_LOG',
      `The stored "${type}" event ${envelope.data.seq} does not fit its schema: ${z.prettifyError(parsed.error)}`,
      { cause: parsed.error },
    )
  }
  return (old ? { ...(value as object), data: current, v: definition.version } : value) as Event
}

const StoredEvent = Envelope.extend({ type: z.string().min(1), data: z.unknown() })

function upcast(upcaster: NonNullable<EventDefinition['upcast']>, { type, seq, v, data }: z.infer<typeof StoredEvent>): unknown {
  try {
    return upcaster(data, v)
  } catch (cause) {
    throw new BatonError(
      'CORRUPT_LOG',
      `The stored "${type}" event ${seq} could not be brought up from version ${v}: ${messageOf(cause)}`,
      {
        cause,
      },
    )
  }
}

/** The event as JSON text: an unknown one as it was stored. */
export function stringifyEvent(event: LoggedEvent): string {
  return 'raw' in event ? event.raw : JSON.stringify(event)
}

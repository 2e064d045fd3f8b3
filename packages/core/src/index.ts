export { BatonError, type BatonErrorCode } from './errors.ts'
export type { BlobStore } from './events/blob-store.ts'
export type { Actor, Autonomy, BlobRef, Envelope, Sensitivity } from './events/envelope.ts'
export type { Event, EventDraft, EventType, EventTypes, LiveEvent, LoggedEvent, UnknownEvent } from './events/event.ts'
export { isKnown } from './events/event.ts'
export { type EventDefinition, registerEvent } from './events/event-registry.ts'
export type { EventStore, TaskFilter, TaskSummary } from './events/event-store.ts'
export {
  type Model,
  type ModelChunk,
  ModelError,
  type ModelErrorKind,
  type ModelInfo,
  type ModelMessage,
  type ModelReply,
  type ModelRequest,
} from './models/model.ts'
export type { Attempt, CallOutcome, ModelHealth, Route, RouteRequest, Router } from './models/router.ts'
export type { Classifier } from './models/sensitivity.ts'
export type { Abortable } from './options.ts'
export type { Sandbox, SandboxInfo, SandboxProcess, SandboxProvider, SandboxSpec } from './sandbox/sandbox.ts'
export { defineTool, type Policy, type Tool, type ToolCall, type ToolContext, type ToolOutput, type ToolResult } from './tools/tool.ts'

export type { Agent, AgentContext, Compaction, HandOverResult, ModelCall, SubTask, SubTaskResult, ToolCallOptions } from './agents/agent.ts'
export type { HumanAgentOptions } from './agents/human-agent.ts'
export { createHumanAgent } from './agents/human-agent.ts'
export type { ModelAgentOptions } from './agents/model-agent.ts'
export { createModelAgent } from './agents/model-agent.ts'
export type { Terminal, TerminalOptions } from './desk/terminal.ts'
export type { BatonErrorCode } from './errors.ts'
export { abortedError, BatonError, throwIfAborted } from './errors.ts'
export type { BlobStore } from './events/blob-store.ts'
export type { Actor, Autonomy, BlobRef, Envelope, Finding, Sensitivity } from './events/envelope.ts'
export type { Event, EventDraft, EventType, EventTypes, LiveEvent, LoggedEvent, UnknownEvent } from './events/event.ts'
export { isKnown } from './events/event.ts'
export type { EventDefinition } from './events/event-registry.ts'
export { registerEvent } from './events/event-registry.ts'
export type { EventStore, TaskFilter, TaskSummary, WaitingItem } from './events/event-store.ts'
export type { FileBlobStoreOptions } from './events/file-blob-store.ts'
export { createFileBlobStore } from './events/file-blob-store.ts'
export type { FileEventStoreOptions } from './events/file-event-store.ts'
export { createFileEventStore } from './events/file-event-store.ts'
export { createMemoryBlobStore } from './events/memory-blob-store.ts'
export { createMemoryEventStore } from './events/memory-event-store.ts'
export type { Consideration, FinishReason, Usage } from './events/model-events.ts'
export type { CheckSpec, TaskLimits } from './events/task-events.ts'
export type { ToolEffect } from './events/tool-events.ts'
export type { CheckFinished, HunkDecision } from './events/workspace-events.ts'
export { costOf } from './models/cost.ts'
export { checkAvailability, checkEligibility, eligibleModels, noEligibleModel } from './models/eligibility.ts'
export { estimateRequestTokens } from './models/estimate-tokens.ts'
export type {
  CompletionRequest,
  Model,
  ModelChunk,
  ModelErrorKind,
  ModelMessage,
  ModelPrice,
  ModelReply,
  ModelRequest,
} from './models/model.ts'
export { ModelError, ModelInfo } from './models/model.ts'
export type { Attempt, CallOutcome, ModelHealth, Route, RouteRequest, Router, Verdict, VerifyContext } from './models/router.ts'
export type { Classification, Classifier } from './models/sensitivity.ts'
export { clearanceOf } from './models/sensitivity.ts'
export { createSingleModelRouter } from './models/single-model-router.ts'
export type { Abortable } from './options.ts'
export { parseOptions } from './options.ts'
export { boundText, createBoundedOutput } from './sandbox/bounded-output.ts'
export type { ExecOptions, ExecResult } from './sandbox/exec.ts'
export { exec, unattendedEnv } from './sandbox/exec.ts'
export type { LocalSandboxOptions } from './sandbox/local-sandbox.ts'
export { createLocalSandboxProvider } from './sandbox/local-sandbox.ts'
export type {
  ExitStatus,
  FileStat,
  Sandbox,
  SandboxInfo,
  SandboxProcess,
  SandboxProvider,
  SandboxSpec,
  SpawnOptions,
} from './sandbox/sandbox.ts'
export type { Baton, BatonOptions } from './tasks/baton.ts'
export { createBaton } from './tasks/baton.ts'
export type { BestOfOptions, Try } from './tasks/best-of.ts'
export { runBestOf } from './tasks/best-of.ts'
export type { Briefing } from './tasks/briefing.ts'
export type { CommitOptions } from './tasks/commit.ts'
export type { TakeControlOptions } from './tasks/control.ts'
export type { ProposalDecisions, WaitingProposal } from './tasks/decide-proposal.ts'
export type { Desk } from './tasks/desk.ts'
export type { Checkpoint, RevertResult, UndoActor } from './tasks/history.ts'
export type { RunResult } from './tasks/run.ts'
export type { SuggestedEdit, Suggestion, SuggestionDecision } from './tasks/suggestions.ts'
export type { Run, Task } from './tasks/task.ts'
export type { TaskSpec } from './tasks/task-options.ts'
export type { ApprovalMemory, RememberedApproval } from './tools/approval-memory.ts'
export { createMemoryApprovals } from './tools/approval-memory.ts'
export type { FileApprovalsOptions } from './tools/file-approvals.ts'
export { createFileApprovals } from './tools/file-approvals.ts'
export type { PolicyOptions } from './tools/policy.ts'
export { createPolicy } from './tools/policy.ts'
export type { Policy, Tool, ToolCall, ToolContext, ToolOutput, ToolResult } from './tools/tool.ts'
export { defineTool } from './tools/tool.ts'
export type { FileDiff } from './workspace/file-diff.ts'
export { diffTexts } from './workspace/file-diff.ts'

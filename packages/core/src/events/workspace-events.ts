import { z } from 'zod'
import { Actor, BlobRef, Finding, Sensitivity } from './envelope.ts'

/** A file of the sandbox is different from before. */
export const FileChanged = z.object({
  /** Relative to the workdir, with forward slashes. */
  path: z.string(),
  change: z.enum(['created', 'modified', 'deleted']),
  /**
   * How it is known who did it. `tool`, `desk`: the tool, or the desk, wrote it and says so. `lease`: found when a person had control, and nobody else could
   * write. `window`: found between two looks; the actor is who alone could write between them, else `unknown`.
   */
  evidence: z.enum(['tool', 'desk', 'lease', 'window']),
  /** Who it may have been, where that is not known: `agent:NAME`, `human:ID`, `system:ID`, or `outside` for somebody whom Baton does not see. */
  candidates: z.array(z.string()).optional(),
  callId: z.string().optional(),
  /** SHA-256 of the content before and after, lower-case hexadecimal. */
  before: z.string().optional(),
  after: z.string().optional(),
  /** Unified diff, cut at 64 KiB. */
  diff: z.string().optional(),
  addedLines: z.int().nonnegative().optional(),
  removedLines: z.int().nonnegative().optional(),
  /** Of the difference, by its path and content. */
  sensitivity: Sensitivity.optional(),
  /** What the classifier found in the difference: the first hundred. */
  findings: z.array(Finding).optional(),
})
export type FileChanged = z.infer<typeof FileChanged>

/** The work of the sandbox was brought back into the workspace. */
export const WorkspaceApplied = z.object({
  changes: z.array(z.object({ path: z.string(), change: z.enum(['created', 'modified', 'deleted']) })),
  /** The workspace as it is known after that, in place of the one of `sandbox.started`. */
  baseline: BlobRef,
})
export type WorkspaceApplied = z.infer<typeof WorkspaceApplied>

/** The work of the sandbox was committed to the user's repository. */
export const WorkspaceCommitted = z.object({
  branch: z.string(),
  /** Commits of the user's repository, oldest first; none where the branch had all of it already. */
  commits: z.array(z.string()),
  /** The commit of the ledger up to which the branch has the work. */
  upTo: z.string(),
})
export type WorkspaceCommitted = z.infer<typeof WorkspaceCommitted>

/** Why a checkpoint was made. */
export const CheckpointReason = z.enum(['start', 'step', 'takeover', 'hand-back', 'finish', 'undo', 'restore', 'fork', 'asked'])
export type CheckpointReason = z.infer<typeof CheckpointReason>

/** A state of the files to come back to. Its actor is who made it what it is. */
export const CheckpointCreated = z.object({
  checkpointId: z.string(),
  /** The commit of the ledger that holds it. */
  commit: z.string(),
  /** The commit before; absent where the history of the files begins. */
  parent: z.string().optional(),
  reason: CheckpointReason,
  /** The last seq that was in the log when the files were looked at: what is recorded up to there is accounted for. */
  upTo: z.int().nonnegative(),
  label: z.string().optional(),
  /** With the reason `restore`: the earlier commit whose files these are again. What came between no longer counts. */
  restores: z.string().optional(),
  /** The git repository in the sandbox, where there is one with a commit: what is checked out, and how many entries its reflog had. */
  git: z.object({ head: z.string(), entries: z.int().nonnegative() }).optional(),
})
export type CheckpointCreated = z.infer<typeof CheckpointCreated>

/** The conversation goes on as if what came after `toSeq` had not been said. Nothing is deleted, and spend stays spent. */
export const CheckpointRestored = z.object({ toSeq: z.int().nonnegative(), checkpointId: z.string().optional() })
export type CheckpointRestored = z.infer<typeof CheckpointRestored>

/** The changes of one actor were taken back; what it did to the files stands in the `file.changed` events before it. */
export const ChangesUndone = z.object({
  /** Whose. */
  of: Actor,
  /** The commits of the ledger that no longer count. */
  commits: z.array(z.string()),
  paths: z.array(z.string()),
})
export type ChangesUndone = z.infer<typeof ChangesUndone>

/** Something happened to the git repository in the sandbox. As its reflog says, which is not to be trusted further than any file there. */
export const GitChanged = z.object({
  /** The first word of git's own message: `commit`, `checkout`, `reset`, `merge`, `rebase`, `pull` … */
  operation: z.string(),
  message: z.string(),
  /** Commits before and after; all zeros where there was none. */
  from: z.string(),
  to: z.string(),
  /** The branch that is checked out now; absent where none is. */
  branch: z.string().optional(),
  /** Of the message. */
  sensitivity: Sensitivity.optional(),
  findings: z.array(Finding).optional(),
})
export type GitChanged = z.infer<typeof GitChanged>

/** A part of a proposed change of one file. */
export const Hunk = z.object({
  hunkId: z.string(),
  /** As a unified diff, with its header line. */
  diff: z.string(),
})
export type Hunk = z.infer<typeof Hunk>

/** What a proposal does to one file. */
export const ProposedFile = z.object({
  path: z.string(),
  change: z.enum(['created', 'modified']),
  /** SHA-256 of the content that it starts from; absent where there is none. */
  before: z.string().optional(),
  /** The whole new content, and the one that it starts from. */
  proposed: BlobRef,
  base: BlobRef.optional(),
  /** Permission bits that the call asks for; set where any part is accepted. */
  mode: z.int().nonnegative().optional(),
  /** Empty where the content is no text, or too long for that: then it is accepted or rejected as a whole, under the id `PATH`. */
  hunks: z.array(Hunk),
})
export type ProposedFile = z.infer<typeof ProposedFile>

/** Changes that a person is to accept, edit or reject, instead of a call that writes. */
export const ProposalMade = z.object({ proposalId: z.string(), callId: z.string(), tool: z.string(), files: z.array(ProposedFile) })
export type ProposalMade = z.infer<typeof ProposalMade>

/** What becomes of one part of a proposal. */
export const HunkDecision = z.object({
  hunkId: z.string(),
  decision: z.enum(['accepted', 'edited', 'rejected']),
  /** With `edited`: what to have instead of the hunk's new side, which is its lines that begin with a blank or `+`, without that sign. */
  text: z.string().optional(),
})
export type HunkDecision = z.infer<typeof HunkDecision>

/** What became of the parts of a proposal. */
export const ProposalDecided = z.object({
  proposalId: z.string(),
  /** One for each hunk. */
  decisions: z.array(HunkDecision),
  /** Words for the agent. */
  feedback: z.string().optional(),
})
export type ProposalDecided = z.infer<typeof ProposalDecided>

/** A completion or an edit was suggested to a person. */
export const SuggestionMade = z.object({
  /** Of the model call that made it, too: `modelCallId`. */
  suggestionId: z.string(),
  kind: z.enum(['completion', 'edit']),
  path: z.string(),
  /** The text that is suggested. */
  text: z.string(),
  /** Lines that it replaces, from 1, the last one included; absent for an insertion. */
  range: z.object({ start: z.int().positive(), end: z.int().nonnegative() }).optional(),
  instruction: z.string().optional(),
  model: z.string(),
})
export type SuggestionMade = z.infer<typeof SuggestionMade>

/** What a person did with a suggestion. */
export const SuggestionDecided = z.object({
  suggestionId: z.string(),
  decision: z.enum(['accepted', 'edited', 'rejected']),
  /** What was taken, with `edited`. */
  text: z.string().optional(),
})
export type SuggestionDecided = z.infer<typeof SuggestionDecided>

/** A check ran. */
export const CheckFinished = z.object({
  runId: z.string(),
  name: z.string(),
  command: z.string(),
  /** 1 for the first time the checks ran in this run. */
  round: z.int().positive(),
  outcome: z.enum(['passed', 'failed', 'error']),
  exitCode: z.int().nullable(),
  /** Bounded: head and tail. */
  output: z.string(),
  ms: z.number().nonnegative(),
})
export type CheckFinished = z.infer<typeof CheckFinished>

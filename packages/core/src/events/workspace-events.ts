import { z } from 'zod'
import { BlobRef } from './envelope.ts'

/** A file of the sandbox is different from before. */
export const FileChanged = z.object({
  /** Relative to the workdir, with forward slashes. */
  path: z.string(),
  change: z.enum(['created', 'modified', 'deleted']),
  /** How it is known who did it. */
  evidence: z.enum(['tool', 'desk', 'lease', 'window']),
  /** Who it may have been, where that is not known. */
  candidates: z.array(z.string()).optional(),
  callId: z.string().optional(),
  /** SHA-256 of the content before and after, lower-case hexadecimal. */
  before: z.string().optional(),
  after: z.string().optional(),
  /** Unified diff, cut at 64 KiB. */
  diff: z.string().optional(),
  addedLines: z.int().nonnegative().optional(),
  removedLines: z.int().nonnegative().optional(),
})
export type FileChanged = z.infer<typeof FileChanged>

/** The work of the sandbox was brought back into the workspace. */
export const WorkspaceApplied = z.object({
  changes: z.array(z.object({ path: z.string(), change: z.enum(['created', 'modified', 'deleted']) })),
  /** The workspace as it is known after that, in place of the one of `sandbox.started`. */
  baseline: BlobRef,
})
export type WorkspaceApplied = z.infer<typeof WorkspaceApplied>

/** A state of the files to come back to. */
export const CheckpointCreated = z.object({ checkpointId: z.string(), commit: z.string().optional(), label: z.string().optional() })
export type CheckpointCreated = z.infer<typeof CheckpointCreated>

/** The conversation goes on as if what came after `toSeq` had not been said. Nothing is deleted, and spend stays spent. */
export const CheckpointRestored = z.object({ toSeq: z.int().nonnegative(), checkpointId: z.string().optional() })
export type CheckpointRestored = z.infer<typeof CheckpointRestored>

/** A change that a person is to accept, edit or reject. */
export const ProposalMade = z.object({
  proposalId: z.string(),
  callId: z.string().optional(),
  path: z.string(),
  hunks: z.array(z.object({ hunkId: z.string(), diff: z.string() })),
})
export type ProposalMade = z.infer<typeof ProposalMade>

/** What became of the parts of a proposal. */
export const ProposalDecided = z.object({
  proposalId: z.string(),
  decisions: z.array(z.object({ hunkId: z.string(), decision: z.enum(['accepted', 'edited', 'rejected']), text: z.string().optional() })),
})
export type ProposalDecided = z.infer<typeof ProposalDecided>

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

import { z } from 'zod'
import { BlobRef, Finding, Sensitivity } from './envelope.ts'

/** What stands between commands and the host. */
export const Isolation = z.enum(['none', 'process', 'container', 'vm'])
export type Isolation = z.infer<typeof Isolation>

/** The task has a sandbox. */
export const SandboxStarted = z.object({
  sandboxId: z.string(),
  provider: z.string(),
  isolation: Isolation,
  workdir: z.string(),
  /** False where a sandbox that was there before was found again. */
  fresh: z.boolean(),
  ms: z.number().nonnegative(),
  /** The workspace as it was copied in: a JSON list of path, mode and SHA-256. */
  baseline: BlobRef.optional(),
})
export type SandboxStarted = z.infer<typeof SandboxStarted>

/** The task goes on in another sandbox. */
export const SandboxMoved = z.object({
  from: z.object({ sandboxId: z.string(), provider: z.string() }),
  to: z.object({ sandboxId: z.string(), provider: z.string() }),
  /** What was verified to have survived, and what was not. */
  verified: z.array(z.string()),
  lost: z.array(z.string()),
})
export type SandboxMoved = z.infer<typeof SandboxMoved>

/** The sandbox is gone although nobody closed it. */
export const SandboxLost = z.object({ sandboxId: z.string(), reason: z.string() })
export type SandboxLost = z.infer<typeof SandboxLost>

/** The sandbox was closed, and its files are gone. */
export const SandboxClosed = z.object({ sandboxId: z.string() })
export type SandboxClosed = z.infer<typeof SandboxClosed>

/** A command is about to start in the sandbox. */
export const CommandStarted = z.object({
  commandId: z.string(),
  /** A string runs in a shell; an array runs as it is. */
  command: z.union([z.string(), z.array(z.string())]),
  cwd: z.string().optional(),
  callId: z.string().optional(),
  /** Of the command's own text, where a person typed it. */
  sensitivity: Sensitivity.optional(),
  findings: z.array(Finding).optional(),
})
export type CommandStarted = z.infer<typeof CommandStarted>

/** How a process ended. `silence`: nothing was printed for too long; `lost`: nobody can tell any more. */
export const ExitReason = z.enum(['exited', 'signaled', 'timeout', 'silence', 'aborted', 'lost'])
export type ExitReason = z.infer<typeof ExitReason>

/** How a command ended. One that failed is no failure of the tool. */
export const CommandFinished = z.object({
  commandId: z.string(),
  reason: ExitReason,
  code: z.int().nullable(),
  signal: z.string().optional(),
  stdoutBytes: z.int().nonnegative(),
  stderrBytes: z.int().nonnegative(),
  ms: z.number().nonnegative(),
})
export type CommandFinished = z.infer<typeof CommandFinished>

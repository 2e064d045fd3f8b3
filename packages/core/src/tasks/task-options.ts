import { resolve } from 'node:path'
import { z } from 'zod'
import { Autonomy, Sensitivity } from '../events/envelope.ts'
import { CheckSpec, TaskLimits } from '../events/task-events.ts'

const text = z.string().min(1, 'expected some text')

/** What a task is to be. */
export const TaskSpec = z.strictObject({
  /** What is to be done, in words. */
  goal: text,
  /** Name of the agent. Default: the first that the Baton has. */
  agent: z.string().min(1).optional(),
  /** How much it may do unasked. Default `supervised`. */
  autonomy: Autonomy.default('supervised'),
  /** The label its content has from the beginning. Default `internal`. */
  sensitivity: Sensitivity.default('internal'),
  /** Its files. Without one it begins in an empty folder. */
  workspace: z
    .strictObject({
      path: z
        .string()
        .min(1)
        .transform((path) => resolve(path)),
      inPlace: z.boolean().optional(),
    })
    .optional(),
  /** Name of the sandbox provider. Default: the first that the Baton has. */
  sandbox: z.string().min(1).optional(),
  /** Commands that have to succeed before a run counts as done. */
  checks: z
    .array(z.union([text.transform((command) => ({ name: command, command })), CheckSpec]))
    .default([])
    .superRefine((checks, context) => {
      const names = checks.map(({ name }) => name)
      const twice = names.find((name, index) => names.indexOf(name) !== index)
      if (twice !== undefined) context.addIssue({ code: 'custom', message: `two checks are named "${twice}"` })
    }),
  /** How often failing checks go back to the agent. Default 3. */
  checkRounds: z.int().nonnegative().default(3),
  /** What it may use up. Default: no limits. */
  limits: TaskLimits.strict().default({}),
  /** Higher goes first in the queue. Default 0. */
  priority: z.int().default(0),
  /** Words of your own, kept with the task. */
  metadata: z.record(z.string(), z.string()).optional(),
  /** On whose account it is, for `budgets.perTenantPerDayUsd` of the Baton; its sub-tasks are too. */
  tenant: text.optional(),
})
export type TaskSpec = z.input<typeof TaskSpec>

export const MessageOptions = z.strictObject({
  text,
  attachments: z
    .array(
      z.strictObject({
        mediaType: z.string().regex(/^[\w.+-]+\/[\w.+-]+$/, 'expected a media type such as image/png'),
        data: z.instanceof(Uint8Array),
        name: z.string().optional(),
      }),
    )
    .optional(),
})
export const ApproveOptions = z.strictObject({
  input: z.unknown().optional(),
  remember: z.enum(['once', 'task', 'workspace']).default('once'),
  feedback: z.string().optional(),
})
export const Scope = z.strictObject({ scope: z.string() })
export const RejectOptions = z.strictObject({ feedback: z.string().optional() })
export const AnswerOptions = z.strictObject({ text: z.string() })
export const AutonomyLevel = Autonomy
export const Limits = TaskLimits.strict()
export const EventsOptions = z.looseObject({ after: z.int().nonnegative().optional() })
export const Reason = z.strictObject({ reason: z.string().optional() })
export const ForkOptions = z.strictObject({ at: z.int().positive().optional() })

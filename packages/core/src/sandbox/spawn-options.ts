import { z } from 'zod'

const positive = z.number().positive()

/** How a command may be started; what the contract says and a caller without types gets wrong. */
export const SpawnOptionsSchema = z.object({
  cwd: z.string().optional(),
  env: z.record(z.string(), z.string()).optional(),
  user: z.string().optional(),
  tty: z.object({ columns: z.int().positive(), rows: z.int().positive() }).optional(),
  detached: z.boolean().optional(),
  timeoutMs: positive.optional(),
  silenceMs: positive.optional(),
})

/** A command: a line for a shell, or words. */
export const Command = z.union([z.string(), z.array(z.string()).min(1)], 'expected a string, or an array of strings that is not empty')

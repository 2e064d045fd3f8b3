import { z } from 'zod'
import { Autonomy } from './envelope.ts'
import { TaskLimits } from './task-events.ts'

/** A process takes over driving the task. The highest epoch is the driver; what a lower one appends is refused. */
export const DriverClaimed = z.object({
  epoch: z.int().positive(),
  /** Which process: host name, process id and a random part. */
  owner: z.string(),
})
export type DriverClaimed = z.infer<typeof DriverClaimed>

/** A person takes the baton: the agent stops at its next safe point. */
export const ControlTaken = z.object({ leaseId: z.string(), reason: z.string().optional(), key: z.string().optional() })
export type ControlTaken = z.infer<typeof ControlTaken>

/** A person gives the baton back. */
export const ControlReturned = z.object({ leaseId: z.string(), note: z.string().optional() })
export type ControlReturned = z.infer<typeof ControlReturned>

/** Replaces the task's limits; fields left out do not bind any more. */
export const LimitsSet = z.object({ limits: TaskLimits })
export type LimitsSet = z.infer<typeof LimitsSet>

/** How much the agent may do unasked from here on. */
export const AutonomySet = z.object({ level: Autonomy })
export type AutonomySet = z.infer<typeof AutonomySet>

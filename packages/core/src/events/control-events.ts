import { z } from 'zod'
import { Autonomy, Finding, Sensitivity } from './envelope.ts'
import { TaskLimits } from './task-events.ts'

/** A process takes over driving the task. The highest epoch is the driver; what a lower one appends is refused. */
export const DriverClaimed = z.object({
  epoch: z.int().positive(),
  /** Which process: host name, process id and a random part. */
  owner: z.string(),
})
export type DriverClaimed = z.infer<typeof DriverClaimed>

/** The agent offers the baton: it waits until somebody has had control and gives it back, or declines. */
export const ControlOffered = z.object({
  offerId: z.string(),
  /** Makes offering it again a no-op. */
  key: z.string(),
  /** Id of the person who is asked. Absent: anyone. */
  to: z.string().optional(),
  reason: z.string(),
})
export type ControlOffered = z.infer<typeof ControlOffered>

/** Nobody takes what was offered. */
export const ControlDeclined = z.object({
  offerId: z.string(),
  feedback: z.string().optional(),
  sensitivity: Sensitivity.optional(),
  findings: z.array(Finding).optional(),
})
export type ControlDeclined = z.infer<typeof ControlDeclined>

/** What becomes of the agent's running calls when a person takes control: awaited, stopped, or left to go on. */
export const RunningCalls = z.enum(['wait', 'cancel', 'leave'])
export type RunningCalls = z.infer<typeof RunningCalls>

/** A person takes the baton: the agent stops at its next safe point. The lease is the person's until it is returned or expires. */
export const ControlTaken = z.object({
  leaseId: z.string(),
  running: RunningCalls,
  /** The lease expires after this time without an event of the holder's, in milliseconds. */
  idleMs: z.int().positive(),
  reason: z.string().optional(),
})
export type ControlTaken = z.infer<typeof ControlTaken>

/** The holder is still there. */
export const ControlRenewed = z.object({ leaseId: z.string() })
export type ControlRenewed = z.infer<typeof ControlRenewed>

/** The baton goes back to the agent. */
export const ControlReturned = z.object({
  leaseId: z.string(),
  /** Words for the agent. */
  note: z.string().optional(),
  sensitivity: Sensitivity.optional(),
  findings: z.array(Finding).optional(),
  /** The holder did not give it back: the lease ran out. */
  expired: z.boolean().optional(),
  /** Nobody worked at a desk, as when it was held for an undo: offers of control wait on. */
  keepsOffers: z.boolean().optional(),
})
export type ControlReturned = z.infer<typeof ControlReturned>

/** Whether the end of a lease answers the offers of control that wait. One that ran out does not: nobody said that it was done. */
export function answersOffers({ expired, keepsOffers }: ControlReturned): boolean {
  return !expired && !keepsOffers
}

/** Replaces the task's limits; fields left out do not bind any more. */
export const LimitsSet = z.object({ limits: TaskLimits })
export type LimitsSet = z.infer<typeof LimitsSet>

/** How much the agent may do unasked from here on. */
export const AutonomySet = z.object({ level: Autonomy })
export type AutonomySet = z.infer<typeof AutonomySet>

import { z } from 'zod'

/** Who did it. `id` is stable (a user name, an agent's name, `baton` for the SDK itself); `name` is for showing. */
export const Actor = z.object({
  kind: z.enum(['human', 'agent', 'system']),
  id: z.string().min(1),
  name: z.string().optional(),
})
export type Actor = z.infer<typeof Actor>

/** The SDK itself, as the actor of what nobody asked for by hand. */
export const systemActor: Actor = { kind: 'system', id: 'baton' }

/** Whoever it was: what stands in place of the actor where nobody can tell. */
export const unknownActor: Actor = { kind: 'system', id: 'unknown' }

/** `kind:id`, the short form of an actor. */
export function actorKey({ kind, id }: Actor): string {
  return `${kind}:${id}`
}

/** What every event carries, whatever its type. Source: docs/reference/events.md. */
export const Envelope = z.object({
  /** UUIDv7 (RFC 9562, section 5.7). */
  id: z.string().min(1),
  taskId: z.string().min(1),
  /** 1, 2, 3 … per task, without gaps: the cursor for every reader. */
  seq: z.int().positive(),
  /** ISO 8601 in UTC with milliseconds. */
  time: z.iso.datetime({ precision: 3 }),
  actor: Actor,
  /** Epoch of the driver's lease, on what the driver writes. */
  epoch: z.int().positive().optional(),
  /** Id of the event that this one answers. */
  cause: z.string().optional(),
  /** Version of this type's schema. */
  v: z.int().positive(),
})
export type Envelope = z.infer<typeof Envelope>

/** How closely content is held, lowest first. Labels only rise. */
export const Sensitivity = z.enum(['public', 'internal', 'confidential', 'restricted'])
export type Sensitivity = z.infer<typeof Sensitivity>

/** Where in a text something is that should not get about, and of which kind it is. Never the thing itself. */
export const Finding = z.object({
  /** Named by the classifier: `private-key`, `card-number`, … */
  kind: z.string(),
  /** Where it begins, in UTF-16 code units, as JavaScript counts. */
  offset: z.int().nonnegative(),
  length: z.int().positive(),
})
export type Finding = z.infer<typeof Finding>

/** How much an agent may do unasked. */
export const Autonomy = z.enum(['assist', 'supervised', 'autonomous'])
export type Autonomy = z.infer<typeof Autonomy>

/** Names content in a blob store. Equal content has an equal reference. */
export const BlobRef = z.object({
  /** SHA-256 of the content, lower-case hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Length in bytes. */
  bytes: z.int().nonnegative(),
})
export type BlobRef = z.infer<typeof BlobRef>

/** An error as an event keeps it: what a reader can act on, without a stack. */
export const ErrorRecord = z.object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).optional() })
export type ErrorRecord = z.infer<typeof ErrorRecord>

import { z } from 'zod'
import { Actor } from '../events/envelope.ts'

/** An approval that holds for all tasks on a workspace. */
export const RememberedApproval = z.object({
  /** Unique within its memory. */
  id: z.string().min(1),
  /** Absolute path of the workspace's folder, links resolved. */
  workspace: z.string().min(1),
  /** What it covers, as `approval.requested` said it: calls of the same scope are not asked about. */
  scope: z.string(),
  tool: z.string(),
  /** Who gave it. */
  by: Actor,
  /** When, ISO 8601 in UTC. */
  time: z.iso.datetime(),
})
export type RememberedApproval = z.infer<typeof RememberedApproval>

/** Which approvals to list. */
export interface ApprovalFilter {
  /** Only those of this workspace: the absolute path of its folder, links resolved. */
  readonly workspace?: string | undefined
}

/** Keeps the approvals that hold for all tasks on a workspace. Asked before each call that would wait for a person, so that revoking works at once. */
export interface ApprovalMemory {
  /** Oldest first. */
  list(filter?: ApprovalFilter): Promise<readonly RememberedApproval[]>
  /** Keeps one. It is as durable as it will be when this resolves. */
  add(approval: RememberedApproval): Promise<void>
  /** Forgets one; says whether it was there. */
  revoke(id: string): Promise<boolean>
}

/** Keeps them in this process. */
export function createMemoryApprovals(): ApprovalMemory {
  const approvals = new Map<string, RememberedApproval>()
  return {
    list: async ({ workspace } = {}) => [...approvals.values()].filter((one) => workspace === undefined || one.workspace === workspace),
    async add(approval) {
      approvals.set(approval.id, approval)
    },
    revoke: async (id) => approvals.delete(id),
  }
}

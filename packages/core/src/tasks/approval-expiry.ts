import { systemActor } from '../events/envelope.ts'
import { isExpired } from './decide-approval.ts'
import type { TaskRuntime } from './runtime.ts'
import type { ApprovalState } from './task-state.ts'

/** The longest time that a timer can be set for; it would fire at once beyond. */
const maxTimerMs = 2 ** 31 - 1
/** When it is tried again where the log took nothing. */
const retryMs = 5_000
const decidedMeanwhile = Symbol('decided meanwhile')

/** Rejects the requests of an open run that nobody decided in time, also those whose time was over when it was opened again. Returns how to stop. */
export function watchApprovals(runtime: TaskRuntime): () => void {
  const { state, stream } = runtime
  let timer: NodeJS.Timeout | undefined
  let stopped = false

  const waiting = (): ApprovalState[] =>
    [...state.approvals.values()].filter(({ request, decision }) => !decision && request.expiresAt !== undefined)

  function set(atLeastMs = 0): void {
    clearTimeout(timer)
    if (stopped) return
    const next = Math.min(...waiting().map(({ request }) => Date.parse(request.expiresAt ?? '')))
    if (next === Number.POSITIVE_INFINITY) return
    timer = setTimeout(rejectExpired, Math.min(Math.max(atLeastMs, next - Date.now()), maxTimerMs))
  }

  function rejectExpired(): void {
    Promise.all(waiting().filter(isExpired).map(reject)).then(
      () => set(),
      () => set(retryMs),
    )
  }

  async function reject({ request }: ApprovalState): Promise<void> {
    const { approvalId, expiresAt } = request
    const feedback = `Nobody decided until ${expiresAt}, so the call was not made. Do without it, or say in the end what is left to do.`
    const data = { approvalId, decision: 'rejected', remember: 'once', feedback, expired: true } as const
    const check = (): void => {
      const approval = state.approvals.get(approvalId)
      if (!approval || approval.decision) throw decidedMeanwhile
    }
    await runtime.drive([{ type: 'approval.decided', actor: systemActor, data }], check).catch((error: unknown) => {
      if (error !== decidedMeanwhile) throw error
    })
  }

  set()
  const offs = [stream.on('approval.requested', () => set()), stream.on('approval.decided', () => set())]
  return () => {
    stopped = true
    clearTimeout(timer)
    for (const off of offs) off()
  }
}

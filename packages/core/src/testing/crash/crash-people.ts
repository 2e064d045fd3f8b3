import { BatonError } from '../../errors.ts'
import type { LoggedEvent } from '../../events/event.ts'
import { createFileEventStore } from '../../events/file-event-store.ts'
import { createBaton } from '../../tasks/baton.ts'
import type { Task } from '../../tasks/task.ts'
import { approvedInput, placesIn, remark, signature } from './crash-scenario.ts'

/** People who watch the task from another process than its driver's: they approve, answer, and say something once. */
export interface CrashPeople {
  close(): Promise<void>
}

/** Opens the task as an observer and attends to whatever waits. */
export async function openCrashPeople(dir: string, taskId: string): Promise<CrashPeople> {
  const store = createFileEventStore({ dir: placesIn(dir).log, onWarning: () => {} })
  const baton = createBaton({ store })
  const task = await baton.openTask(taskId, { as: 'observer' })
  const attending = attend(task, await hasSpoken(store.read(taskId)))
  return {
    async close() {
      await baton.close()
      await attending
    },
  }
}

async function hasSpoken(events: AsyncIterable<LoggedEvent>): Promise<boolean> {
  for await (const event of events) if (event.type === 'message.sent' && event.actor.kind === 'human') return true
  return false
}

async function attend(task: Task, spokenBefore: boolean): Promise<void> {
  let spoken = spokenBefore
  for await (const event of task.events()) {
    const waits = (id: string): boolean => task.summary.waiting.some((item) => item.id === id)
    if (event.type === 'approval.requested' && waits(event.data.approvalId)) {
      await unlessLate(task.approve(event.data.approvalId, { input: approvedInput }))
    }
    if (event.type === 'question.asked' && waits(event.data.questionId)) {
      const signing = event.data.text === 'Who signs?'
      // Said while the agent waits for an answer: it is heard in the turn after.
      if (signing && !spoken) await unlessLate(task.send(remark))
      spoken ||= signing
      await unlessLate(task.answer(event.data.questionId, signing ? signature : 'blue'))
    }
  }
}

/** An intent that comes too late, since all is closed here or the request is no longer open, is no fault. */
async function unlessLate(intent: Promise<void>): Promise<void> {
  await intent.catch((error: unknown) => {
    if (!BatonError.isInstance(error) || !['CLOSED', 'UNKNOWN_REQUEST'].includes(error.code)) throw error
  })
}

import { existsSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { BatonError } from '../../errors.ts'
import type { LoggedEvent } from '../../events/event.ts'
import { createFileEventStore } from '../../events/file-event-store.ts'
import { createBaton } from '../../tasks/baton.ts'
import type { Task } from '../../tasks/task.ts'
import { linesOf } from './check-crash.ts'
import { approvedInput, lastQuestion, placesIn, remark, signature } from './crash-scenario.ts'

/** People who watch the task from another process than its driver's: they approve, answer, and say something once. */
export interface CrashPeople {
  close(): Promise<void>
}

/** Opens the task as an observer and attends to whatever waits, until another process dies than the number of those that have. */
export async function openCrashPeople(dir: string, taskId: string, deathsBefore: number): Promise<CrashPeople> {
  const store = createFileEventStore({ dir: placesIn(dir).log, onWarning: () => {} })
  const baton = createBaton({ store })
  const task = await baton.openTask(taskId, { as: 'observer' })
  const spoken = await hasSpoken(store.read(taskId))
  const attending = attend(task, spoken, () => hasDied(dir, deathsBefore))
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

/** A process that is about to die gets the time for it, unless what it needs for that is a person. */
async function hasDied(dir: string, deathsBefore: number): Promise<boolean> {
  const { deaths, dying } = placesIn(dir)
  for (let tries = 0; tries < 40 && existsSync(dying); tries++) await wait(25)
  return linesOf(deaths).length > deathsBefore
}

/** What is asked for when the process has just died is left to those who are there when it is back. */
async function attend(task: Task, spokenBefore: boolean, isOver: () => Promise<boolean>): Promise<void> {
  let spoken = spokenBefore
  for await (const event of task.events()) {
    if (await isOver()) return
    const waits = (id: string): boolean => task.summary.waiting.some((item) => item.id === id)
    if (event.type === 'approval.requested' && waits(event.data.approvalId)) {
      await unlessLate(task.approve(event.data.approvalId, { input: approvedInput }))
    }
    if (event.type === 'question.asked' && waits(event.data.questionId)) {
      const { questionId, text } = event.data
      if (text === lastQuestion && !spoken) {
        await unlessLate(task.send(remark))
        spoken = true
      }
      await unlessLate(task.answer(questionId, text === 'Who signs?' ? signature : 'blue'))
    }
  }
}

/** An intent that comes too late, since all is closed here or the request is no longer open, is no fault. */
async function unlessLate(intent: Promise<void>): Promise<void> {
  await intent.catch((error: unknown) => {
    if (!BatonError.isInstance(error) || !['CLOSED', 'UNKNOWN_REQUEST'].includes(error.code)) throw error
  })
}

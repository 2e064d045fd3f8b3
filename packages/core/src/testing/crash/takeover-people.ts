import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { BatonError } from '../../errors.ts'
import type { Event } from '../../events/event.ts'
import type { Desk } from '../../tasks/desk.ts'
import type { Task } from '../../tasks/task.ts'
import { eventsOf, happens } from '../task-fixtures.ts'
import { of } from './check-crash.ts'
import type { CrashPoints } from './crash-points.ts'
import { shared } from './takeover-scenario.ts'

/** The person of the scenario. */
export const alice = { kind: 'human', id: 'alice' } as const
/** What she says when she gives control back, in order. */
export const notes = ['first', 'second', 'third'] as const
export const approvedInput = { step: 'out', text: 'as approved' }
/** The state that she comes back to. */
export const kept = 'kept'
export const lastWords = 'Go on.'

/**
 * Takes control while a command of the agent runs, while a call waits for approval, and when it is offered; undoes, restores, and has the last word.
 * What is done already, as the log tells, is not done again: so who takes the place of a process that died goes on where that was.
 */
export async function attendTakeover(given: Task, points?: CrashPoints): Promise<void> {
  const task = given.as(alice)
  const log = async (): Promise<readonly Event[]> => (await eventsOf(task)) as Event[]

  async function hold(note: string, work: (desk: Desk) => Promise<void>): Promise<void> {
    if (of(await log(), 'control.returned').some(({ data }) => data.note === note)) return
    const desk = await takeAgain(task)
    await work(desk)
    await desk.returnControl({ note })
  }

  await happens(task, 'tool.called', ({ tool }) => tool === 'command')
  await hold(notes[0], (desk) => editEverywhere(desk, points))
  await happens(task, 'approval.requested')
  let decided: Promise<void> | undefined
  await hold(notes[1], async () => {
    if (of(await log(), 'changes.undone').length === 0) await undoAll(task)
    decided = decideAll(task)
  })
  decided ??= decideAll(task)
  await Promise.race([decided, happens(task, 'control.offered')])
  await hold(notes[2], async (desk) => {
    await desk.writeFile('alice/desk.txt', 'by desk again\n')
  })
  await Promise.race([decided, happens(task, 'run.finished')])
  await undoAndRestore(task, log)
  if (!of(await log(), 'message.sent').some(({ data }) => data.text === lastWords)) await task.send(lastWords)
  const runs = of(await log(), 'run.started')
  const first = runs[0]?.data.runId
  await happens(task, 'run.finished', ({ runId }) => runId !== first)
}

/** Her desk. Where she had control when a process died, it is the same lease. */
async function takeAgain(task: Task): Promise<Desk> {
  const held = task.summary.control?.leaseId
  const desk = await task.takeControl()
  if (held !== undefined) assert.equal(desk.leaseId, held, 'the lease is held on')
  return desk
}

/** By the desk, by a command at the desk, and by a program that nobody watches. */
async function editEverywhere(desk: Desk, points: CrashPoints | undefined): Promise<void> {
  const { sandbox } = desk
  const text = Buffer.from(await sandbox.readFile(shared)).toString()
  await desk.writeFile(shared, text.replace('five', 'FIVE'))
  await desk.writeFile('alice/desk.txt', 'by desk\n')
  const { exit } = await sandbox.spawn('mkdir -p alice && echo by command > alice/command.txt')
  await exit
  const path = join(sandbox.workdir, 'alice/editor.txt')
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, 'by editor\n')
  points?.reach('after an edit from outside')
}

async function undoAll(task: Task): Promise<void> {
  const { conflicts } = await task.undo({ actor: 'agent' })
  assert.deepEqual(conflicts, [])
}

/** On a task that is idle: what an undo or a restore began and did not end is under her lease. */
async function undoAndRestore(task: Task, log: () => Promise<readonly Event[]>): Promise<void> {
  const giveBack = async (): Promise<void> => {
    if (task.summary.control) await (await takeAgain(task)).returnControl()
  }
  const checkpoints = await task.checkpoints()
  if (!checkpoints.some(({ label }) => label === kept)) await task.checkpoint({ label: kept })
  if (of(await log(), 'changes.undone').length < 2) await undoAll(task)
  await giveBack()
  if (of(await log(), 'checkpoint.created').every(({ data }) => data.reason !== 'restore')) {
    const { conflicts } = await task.restore({ checkpoint: kept, what: 'files' })
    assert.deepEqual(conflicts, [])
  }
  await giveBack()
}

/** Decides on each call that waits, until the task is closed here. */
async function decideAll(task: Task): Promise<void> {
  for await (const event of task.events()) {
    if (event.type !== 'approval.requested') continue
    const { approvalId } = event.data as Event<'approval.requested'>['data']
    if (!task.summary.waiting.some(({ id }) => id === approvalId)) continue
    await task.approve(approvalId, { input: approvedInput }).catch((error: unknown) => {
      if (!BatonError.isInstance(error, 'UNKNOWN_REQUEST') && !BatonError.isInstance(error, 'CLOSED')) throw error
    })
  }
}

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Event, EventType } from '../../events/event.ts'
import { isKnown } from '../../events/event.ts'
import { createFileEventStore } from '../../events/file-event-store.ts'
import { createLocalSandboxProvider } from '../../sandbox/local-sandbox.ts'
import { collect } from '../conformance.ts'
import type { ToolRun } from './crash-scenario.ts'
import { approvedInput, finalFiles, placesIn, remark, signature } from './crash-scenario.ts'

/** The logs of one run of the scenario, by task. */
export type CrashLogs = ReadonlyMap<string, readonly Event[]>

/** Reads all logs strictly, and checks what has to hold at any moment, also right after a crash. */
export async function checkLogs(dir: string): Promise<CrashLogs> {
  const places = placesIn(dir)
  const store = createFileEventStore({ dir: places.log, onWarning: () => {} })
  // Read first: somebody else may still be at work, so that the log knows more by then.
  const [acknowledged, runs] = [linesOf(places.acknowledged), toolRuns(dir)]
  const logs = new Map<string, readonly Event[]>()
  try {
    for (const { taskId } of await collect(store.tasks())) logs.set(taskId, await checkLog(store.read(taskId)))
  } finally {
    await store.close()
  }
  const stored = new Set([...logs.values()].flat().map(({ id }) => id))
  for (const id of acknowledged) assert.ok(stored.has(id), `the event ${id} was acknowledged and is not in the log`)
  for (const run of runs) {
    const started = of(logs.get(run.taskId) ?? [], 'tool.started').some(({ data }) => data.callId === run.callId)
    assert.ok(started, `${run.tool} ran as ${run.callId}, and its start is not in the log`)
  }
  checkRunsOnce(dir)
  return logs
}

async function checkLog(events: AsyncIterable<unknown>): Promise<readonly Event[]> {
  const log = (await collect(events)) as Event[]
  for (const [index, event] of log.entries()) {
    assert.ok(isKnown(event), 'every event is of a known type')
    assert.equal(event.seq, index + 1, 'the log has no gap')
  }
  assert.equal(new Set(log.map(({ id }) => id)).size, log.length, 'no event is there twice')
  for (const run of of(log, 'run.started'))
    assert.ok(of(log, 'run.finished').filter(({ data }) => data.runId === run.data.runId).length <= 1, 'a run finishes once')
  return log
}

/** A call that can change something runs once at most, whatever happens. */
function checkRunsOnce(dir: string): void {
  const ran = new Set<string>()
  for (const { taskId, callId, tool } of toolRuns(dir)) {
    if (tool === 'look' || tool === 'ask') continue
    assert.ok(!ran.has(`${taskId} ${callId}`), `${tool} ran twice as ${callId}`)
    ran.add(`${taskId} ${callId}`)
  }
}

/** Checks what has to hold once the task has come to its end. Returns how many calls were interrupted. */
export async function checkEnd(dir: string): Promise<number> {
  const logs = await checkLogs(dir)
  let interrupted = 0
  for (const [taskId, log] of logs) {
    assert.equal(of(log, 'run.started').length, 1, 'the run is started once')
    assert.equal(of(log, 'run.finished').length, 1, 'the run is finished once')
    interrupted += checkCalls(log, taskId, dir)
  }
  const [lead, helper, ...others] = [...logs.values()].sort((a, b) => Number(isSubTask(a)) - Number(isSubTask(b)))
  assert.ok(lead && helper && others.length === 0, 'there are two tasks, the lead and its part')
  checkLead(lead)
  assert.equal(of(helper, 'run.finished')[0]?.data.outcome, 'done')
  await checkSandbox(dir, lead)
  return interrupted
}

function isSubTask(log: readonly Event[]): boolean {
  return of(log, 'task.created')[0]?.data.parent !== undefined
}

/** Each call has one outcome; one that was interrupted was told, and another one did its work. Returns how many were interrupted. */
export function checkCalls(log: readonly Event[], taskId: string, dir: string): number {
  const finished = of(log, 'tool.finished')
  for (const { data } of of(log, 'tool.called'))
    assert.equal(finished.filter(({ data: { callId } }) => callId === data.callId).length, 1, `${data.callId} has one outcome`)
  for (const { data } of of(log, 'model.finished'))
    for (const { callId } of data.toolCalls)
      assert.ok(
        finished.some((event) => event.data.callId === callId),
        `${callId}, which the model proposed, has an outcome`,
      )
  const interrupted = finished.filter(({ data }) => data.outcome === 'interrupted')
  for (const { data, seq } of interrupted) {
    assert.ok(!['look', 'ask'].includes(data.tool), 'a call that only reads is made again instead')
    if (data.callId.startsWith('sign-')) continue
    assert.ok(
      of(log, 'model.called').some((event) => event.data.upTo >= seq),
      `the model was told that ${data.callId} was interrupted`,
    )
  }
  checkSteps(
    toolRuns(dir).filter((run) => run.taskId === taskId),
    interrupted,
  )
  return interrupted.length
}

/** A step was done again only by another call, after the one before was interrupted. */
function checkSteps(runs: readonly ToolRun[], interrupted: readonly Event<'tool.finished'>[]): void {
  const bySteps = Map.groupBy(
    runs.filter(({ tool }) => tool !== 'look' && tool !== 'ask'),
    ({ tool, input }) => `${tool} ${input.step}`,
  )
  for (const [step, calls] of bySteps)
    for (const { callId } of calls.slice(0, -1))
      assert.ok(
        interrupted.some(({ data }) => data.callId === callId),
        `"${step}" was done again after ${callId}, which was not interrupted`,
      )
}

function checkLead(log: readonly Event[]): void {
  const [finished] = of(log, 'run.finished')
  assert.equal(finished?.data.outcome, 'done')
  assert.equal(finished.data.text, `All steps are done. Helped. Signed by ${signature}.`)
  const messages = of(log, 'message.sent')
  assert.equal(messages.filter(({ data }) => data.text === 'I begin.').length, 1, 'what has a key is said once')
  const remarks = messages.filter(({ data }) => data.text === remark)
  assert.equal(remarks.length, 1)
  assert.equal(of(log, 'task.delegated').length, 1)
  assert.equal(of(log, 'task.settled').length, 1)
  assert.equal(of(log, 'question.asked').length, 3)
  assert.equal(of(log, 'approval.requested').length - interruptedDeploys(log), 1, 'an approval is asked for once')
  const decided = of(log, 'approval.decided')[0]?.seq ?? Number.POSITIVE_INFINITY
  const deploys = new Set(
    of(log, 'tool.called')
      .filter(({ data }) => data.tool === 'deploy')
      .map(({ data }) => data.callId),
  )
  for (const { seq, data } of of(log, 'tool.started')) {
    if (!deploys.has(data.callId)) continue
    assert.ok(seq > decided, 'what needs approval does not start before it')
    assert.deepEqual(data.input, approvedInput)
  }
}

function interruptedDeploys(log: readonly Event[]): number {
  return of(log, 'tool.finished').filter(({ data }) => data.tool === 'deploy' && data.outcome === 'interrupted').length
}

/** There is one sandbox, the task's, and what was done is in it. */
async function checkSandbox(dir: string, lead: readonly Event[]): Promise<void> {
  const { sandboxes } = placesIn(dir)
  const started = of(lead, 'sandbox.started').at(-1)?.data
  const provider = createLocalSandboxProvider({ root: sandboxes })
  const left = await collect(provider.list())
  assert.deepEqual(
    left.map(({ id }) => id),
    [started?.sandboxId],
    'no other sandbox is left over',
  )
  // The program's folder for temporary files, where copying would leave its own.
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith('baton-sandboxes')),
    [],
    'nothing else is left over',
  )
  assert.equal(of(lead, 'sandbox.lost').length, 0)
  for (const [path, content] of Object.entries(finalFiles))
    assert.equal(await readFile(join(started?.workdir ?? '', path), 'utf8'), content, path)
  assert.equal(await readFile(join(started?.workdir ?? '', 'a.txt'), 'utf8'), 'a', 'the workspace was copied')
}

/** Ids of what waits for a person. */
export function undecided(log: readonly Event[]): string[] {
  const over = [
    ...of(log, 'approval.decided').map(({ data }) => data.approvalId),
    ...of(log, 'question.answered').map(({ data }) => data.questionId),
    ...of(log, 'control.declined').map(({ data }) => data.offerId),
  ]
  const returned = of(log, 'control.returned').at(-1)?.seq ?? 0
  const requested = [
    ...of(log, 'approval.requested').map(({ data }) => data.approvalId),
    ...of(log, 'question.asked').map(({ data }) => data.questionId),
    // All offers are answered by who gives control back.
    ...of(log, 'control.offered').flatMap(({ data, seq }) => (seq > returned ? data.offerId : [])),
  ]
  return requested.filter((id) => !over.includes(id))
}

/** What ran, in order. */
export function toolRuns(dir: string): readonly ToolRun[] {
  return linesOf(placesIn(dir).runs).map((line) => JSON.parse(line) as ToolRun)
}

/** The lines of a file, none where there is no file. */
export function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  } catch {
    return []
  }
}

/** The events of one type. */
export function of<T extends EventType>(log: readonly Event[], type: T): readonly Event<T>[] {
  return log.filter((event) => event.type === type) as unknown as readonly Event<T>[]
}

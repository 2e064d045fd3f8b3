import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Actor } from '../../events/envelope.ts'
import { actorKey } from '../../events/envelope.ts'
import type { Event } from '../../events/event.ts'
import { createLedger } from '../../ledger/git-ledger.ts'
import type { ModelMessage } from '../../models/model.ts'
import { isAsideName } from '../../sandbox/aside-name.ts'
import { expectClean, textsOf } from '../ledger-fixtures.ts'
import { checkCalls, checkLogs, linesOf, of, undecided } from './check-crash.ts'
import type { ToolRun } from './crash-scenario.ts'
import { alice, kept, notes } from './takeover-people.ts'
import { shared, sharedText, takeoverPlaces } from './takeover-scenario.ts'

/** What is open when a process has died: what waits for a person, and who has control by which lease. */
export interface OpenEnds {
  readonly waiting: readonly string[]
  readonly leaseId: string | undefined
}

/** Checks what has to hold at any moment, and tells what is open. */
export async function checkTakeoverLog(dir: string): Promise<OpenEnds> {
  const [log = []] = (await checkLogs(dir)).values()
  const taken = of(log, 'control.taken').at(-1)
  const returned = of(log, 'control.returned').some(({ data }) => data.leaseId === taken?.data.leaseId)
  checkLeases(log)
  return { waiting: undecided(log), leaseId: returned ? undefined : taken?.data.leaseId }
}

/** One lease at a time, each given back once at most; while it is held no call of the agent starts that could write. */
function checkLeases(log: readonly Event[]): void {
  let held: string | undefined
  const harmless = new Set(of(log, 'tool.called').flatMap(({ data }) => (data.effect === 'read' ? data.callId : [])))
  for (const event of log) {
    if (event.type === 'control.taken') {
      assert.equal(held, undefined, 'control is taken when nobody has it')
      held = event.data.leaseId
    } else if (event.type === 'control.returned') {
      assert.equal(event.data.leaseId, held, 'who has control gives it back, once')
      held = undefined
    } else if (event.type === 'tool.started' && !harmless.has(event.data.callId)) {
      assert.equal(held, undefined, `${event.data.callId} does not start while a person has control`)
    }
  }
}

/** How one run of the scenario came out. */
export interface TakeoverOutcome {
  readonly interrupted: number
  /** Changes of which the kill made it impossible to know whose they were. */
  readonly unknown: number
}

/** Checks what has to hold once the scenario has come to its end. */
export async function checkTakeoverEnd(dir: string): Promise<TakeoverOutcome> {
  const [[taskId, log] = ['', []]] = await checkLogs(dir)
  assert.deepEqual(await checkTakeoverLog(dir), { waiting: [], leaseId: undefined })
  assert.deepEqual(
    of(log, 'run.finished').map(({ data }) => data.outcome),
    ['done', 'done'],
  )
  const interrupted = checkCalls(log, taskId, dir)
  for (const note of notes)
    assert.equal(of(log, 'control.returned').filter(({ data }) => data.note === note).length, 1, `"${note}" was said once`)
  const files = filesOf(of(log, 'sandbox.started').at(-1)?.data.workdir ?? '')
  const unknown = checkChanges(log, files)
  await checkLedger(dir, taskId, log, files)
  checkTold(dir, log)
  return { interrupted, unknown }
}

/**
 * Whether a process died between a step of the agent and the look that found its work, so that nobody knows who else was at it. A step that runs while control is
 * taken may also be found by who takes it again.
 */
function isCutOff(log: readonly Event[], step: string, foundAt: number): boolean {
  const calls = of(log, 'tool.called').filter(({ data }) => (data.input as ToolRun['input']).step === step)
  const taken = of(log, 'control.taken')[0]?.seq ?? Number.POSITIVE_INFINITY
  const died = of(log, 'driver.claimed').some(({ seq }) => seq > (calls[0]?.seq ?? 0) && seq < foundAt)
  return died || (step === 'shell' && taken < foundAt)
}

/** Every file of a folder with its content. */
function filesOf(folder: string): Readonly<Record<string, string>> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = entries.flatMap(({ parentPath, name }) => (isAsideName(name) ? [] : join(parentPath, name)))
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, 'utf8')]))
}

/** The changes in the log lead, for each file, from what it was to what it is, and each is its maker's. Returns how many are of unknown origin. */
function checkChanges(log: readonly Event[], files: Readonly<Record<string, string>>): number {
  const changes = Map.groupBy(of(log, 'file.changed'), ({ data }) => data.path)
  let unknown = 0
  for (const path of new Set([...changes.keys(), ...Object.keys(files)])) {
    let hash = path === shared ? sha256(sharedText) : undefined
    const makers = makersOf(path)
    for (const { actor, data, seq } of changes.get(path) ?? []) {
      assert.equal(data.before, hash, `seq ${seq}: the change of ${path} begins with what the one before it left`)
      hash = data.after
      const maker = makers(data)
      if (maker.length === 1 && actorKey(actor) === maker[0]) continue
      unknown++
      const step = path === shared ? 'tool' : path.slice('agent/'.length, -'.txt'.length)
      assert.ok(
        maker[0] === 'agent:coder' && isCutOff(log, step, seq),
        `seq ${seq}: it can be known that ${maker} changed ${path}, which was not ${actorKey(actor)}`,
      )
      assert.equal(
        actorKey(actor),
        'system:unknown',
        `seq ${seq}: ${path} was changed by ${maker.join(' and ')}, not by ${actorKey(actor)}`,
      )
      for (const one of maker) assert.ok(data.candidates?.includes(one), `seq ${seq}: ${one} is among ${data.candidates} for ${path}`)
    }
    const file = files[path]
    assert.equal(hash, file === undefined ? undefined : sha256(file), `the log knows what ${path} holds in the end`)
  }
  return unknown
}

/** Who truly makes the changes of a path, told one after the other. The agent comes first. */
function makersOf(path: string): (change: Event<'file.changed'>['data']) => readonly string[] {
  const [agent, person] = ['agent:coder', actorKey(alice)]
  let first = true
  const once = (): string => {
    const maker = first ? agent : person
    first = false
    return maker
  }
  // What the agent makes once is taken back and brought again by the person.
  if (path.startsWith('agent/')) return () => [once()]
  if (path !== shared) return () => [person]
  return ({ before, after }) => {
    const [old, now] = [before, after].map((hash) => sharedStates.get(hash ?? ''))
    assert.ok(old && now, 'the shared file is never anything else than what the two make of it')
    const makers = [...(old.agent === now.agent ? [] : [once()]), ...(old.person === now.person ? [] : [person])]
    return [...new Set(makers)]
  }
}

const sharedStates = new Map(
  [false, true].flatMap((agent) =>
    [false, true].map((person) => {
      const text = sharedText.replace('one', agent ? 'ONE' : 'one').replace('five', person ? 'FIVE' : 'five')
      return [sha256(text), { agent, person }] as const
    }),
  ),
)

async function checkLedger(dir: string, taskId: string, log: readonly Event[], files: Readonly<Record<string, string>>): Promise<void> {
  const places = takeoverPlaces(dir)
  expectClean(places.ledger)
  const ledger = createLedger({ dir: places.ledger })
  try {
    const last = of(log, 'checkpoint.created').at(-1)?.data.commit ?? ''
    assert.equal(await ledger.head(taskId), last, 'the ref follows the log')
    assert.deepEqual(await textsOf(ledger, last), files, 'the last state is what the sandbox holds')
    await checkReverts(log, (commit) => textsOf(ledger, commit))
  } finally {
    await ledger.close()
  }
  for (const locks of [join(places.log, 'locks'), join(places.ledger, 'baton', 'locks')])
    assert.deepEqual(locksIn(locks), [], 'no lock is left over')
}

/** Beside them there may be the mark of a process that died, which holds nothing. */
function locksIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).filter((name) => !name.startsWith('owner.'))
  } catch {
    return []
  }
}

/** Where the log says that changes were undone the files are so; where it says nothing, it has the changes of who was at it. */
async function checkReverts(log: readonly Event[], read: (commit: string) => Promise<Record<string, string>>): Promise<void> {
  for (const { data, seq } of of(log, 'changes.undone')) {
    const state = log.findLast((event) => event.type === 'checkpoint.created' && event.seq < seq) as Event<'checkpoint.created'>
    assert.equal(state.seq, seq - 1, 'what was undone is in the log together with the state that it left')
    const found = await read(state.data.commit)
    for (const path of data.paths) {
      if (path === shared) assert.ok(found[path]?.startsWith('one\n'), "the agent's line is as it was")
      else assert.equal(found[path], undefined, `${path}, which the agent made, is gone`)
    }
  }
  const restored = of(log, 'checkpoint.created').findLast(({ data }) => data.reason === 'restore')
  const wanted = of(log, 'checkpoint.created').find(({ data }) => data.label === kept)
  assert.ok(restored && wanted && restored.data.restores === wanted.data.commit)
  assert.deepEqual(await read(restored.data.commit), await read(wanted.data.commit), 'the files are as they were then')
}

/** Each request goes on from the one before it, and the last one tells of each change, command and note of others once. */
function checkTold(dir: string, log: readonly Event[]): void {
  const requests = linesOf(takeoverPlaces(dir).requests).map((line) => JSON.parse(line) as ModelMessage[])
  for (const [index, messages] of requests.entries()) {
    const before = requests[index - 1] ?? []
    assert.deepEqual(messages.slice(0, before.length), before, 'a request goes on from the one before it')
  }
  const told = (requests.at(-1) ?? []).flatMap((message) =>
    message.role === 'user' ? message.parts.flatMap((part) => (part.type === 'text' ? part.text.split('\n') : [])) : [],
  )
  const upTo = of(log, 'model.called').at(-1)?.data.upTo ?? 0
  const due = of(log, 'file.changed').filter(({ actor, data, seq }) => seq <= upTo && !isAgent(actor) && data.evidence !== 'tool')
  const lines = told.flatMap((line) => /^- (\S+ \((created|modified|deleted))\b/.exec(line)?.[1] ?? [])
  assert.deepEqual([...lines].sort(), due.map(({ data }) => `${data.path} (${data.change}`).sort(), 'the agent is told of each change once')
  for (const note of notes) assert.equal(told.filter((line) => line === `alice says: ${note}`).length, 1, 'the note is told once')
  const commands = of(log, 'command.started').filter(({ actor }) => actor.kind === 'human')
  assert.equal(told.filter((line) => line.startsWith('- alice: ')).length, commands.length, 'each command is told once')
}

function isAgent({ kind }: Actor): boolean {
  return kind === 'agent'
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

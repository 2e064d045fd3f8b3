import assert from 'node:assert/strict'
import { BatonError } from '../errors.ts'
import type { Event } from '../events/event.ts'
import type { TestAgentOptions, Trial } from './agent-trial.ts'
import { createAgentTrials, eventsOf } from './agent-trial.ts'
import type { TestFunction } from './conformance.ts'

/** A run of the agent on the log that another process left when it died behind one of its events. */
interface Reentry {
  readonly at: string
  readonly prefix: readonly Event[]
  readonly trial: Trial
  /** The call that can change something and was under way at the crash. */
  readonly interrupted: boolean
}

/**
 * Tests each clause of the contract of `Agent`. The agent runs in a real Baton, on a store in memory, with a scripted model and tools that
 * count their runs; then again from each prefix of its log, as after a crash.
 *
 * ```ts
 * describe('createMyAgent', () => testAgent(it, { create: () => createMyAgent() }))
 * ```
 */
export function testAgent(it: TestFunction, options: TestAgentOptions): void {
  const trials = createAgentTrials(options)
  let plain: Promise<Trial> | undefined
  let reentries: Promise<readonly Reentry[]> | undefined
  const reference = (): Promise<Trial> => {
    plain ??= trials.run()
    return plain
  }
  const reenterAll = (): Promise<readonly Reentry[]> => {
    reentries ??= reference().then(({ log }) => reenter(log))
    return reentries
  }

  async function reenter(log: readonly Event[]): Promise<readonly Reentry[]> {
    const all: Reentry[] = []
    const finished = log.findIndex(({ type }) => type === 'run.finished')
    for (let length = 1; length <= finished; length++) {
      const prefix = log.slice(0, length)
      const at = `${prefix.at(-1)?.type} (${length})`
      const trial = await trials.run({ prefix }).catch((error: unknown) => {
        throw new assert.AssertionError({ message: `after a crash behind ${at}: ${String(error)}` })
      })
      all.push({ at, prefix, trial, interrupted: eventsOf(trial.log, 'tool.finished').some(({ data }) => data.outcome === 'interrupted') })
    }
    return all
  }

  it('ends its turn with text, and leaves nothing running', async () => {
    const { result, turns, late } = await reference()
    assert.equal(result.outcome, 'done', `the run ended as ${result.outcome}: ${result.error?.message ?? result.text}`)
    assert.ok(turns.length > 0, 'the agent was run')
    for (const { text, pending } of turns) {
      assert.ok(typeof text === 'string' && text !== '', 'a turn ends with text')
      assert.equal(pending, 0, 'a turn ends when all that it began has ended')
    }
    assert.equal(late, 0, 'nothing is done when no turn is under way')
  })

  it('gives every call that a model proposed an outcome, after a crash too', async () => {
    const { log } = await reference()
    assertOutcomes(log, 'a plain run')
    for (const { at, trial } of await reenterAll()) assertOutcomes(trial.log, `a crash behind ${at}`)
  })

  it('goes on from every prefix of its log to the same end', async () => {
    const { result } = await reference()
    for (const { at, trial, interrupted } of await reenterAll()) {
      if (interrupted) continue
      assert.equal(trial.result.outcome, result.outcome, `the outcome after a crash behind ${at}: ${trial.result.error?.message ?? ''}`)
      assert.equal(trial.result.text, result.text, `the last words after a crash behind ${at}`)
    }
  })

  it('does nothing twice that can change something, wherever it was interrupted', async () => {
    const expected = changesOf(await reference(), [])
    for (const { at, prefix, trial, interrupted } of await reenterAll()) {
      const ids = new Set(eventsOf(prefix, 'tool.started').map(({ data }) => data.callId))
      for (const { callId, effect } of trial.runs)
        assert.ok(effect === 'read' || !ids.has(callId), `${callId} ran again after a crash behind ${at}`)
      // What was interrupted, the agent may do again: it knows, and has looked.
      if (!interrupted) assert.deepEqual(changesOf(trial, prefix), expected, `what was changed, with a crash behind ${at}`)
    }
  })

  it('comes to an end after a call was interrupted', async () => {
    for (const { at, trial, interrupted } of await reenterAll())
      if (interrupted) assert.equal(eventsOf(trial.log, 'run.finished').length, 1, `the run ends after a crash behind ${at}`)
  })

  it('says, asks and delegates each thing once, wherever it was interrupted', async () => {
    const expected = wordsOf((await reference()).log)
    for (const { at, trial, interrupted } of await reenterAll())
      if (!interrupted) assert.deepEqual(wordsOf(trial.log), expected, `with a crash behind ${at}`)
  })

  it('keeps tasks apart that it works on at the same time', async () => {
    const alone = await reference()
    for (const trial of await trials.runTogether(3)) {
      assert.equal(trial.result.outcome, alone.result.outcome)
      assert.equal(trial.result.text, alone.result.text)
      assert.deepEqual(changesOf(trial, []), changesOf(alone, []))
      assert.deepEqual(wordsOf(trial.log), wordsOf(alone.log))
    }
  })

  it('passes on what its context throws', async () => {
    const { actions } = await reference()
    for (let action = 1; action <= actions.length; action++) {
      const error = new BatonError('LIMIT_REACHED', 'There is no more of it.', { details: { limit: 'steps' } })
      const trial = await trials.run({ fail: (nth) => (nth === action ? error : undefined) })
      assert.equal(trial.result.outcome, 'limit', `the run, when its ${ordinal(action)} action (${actions[action - 1]}) reached a limit`)
      assertPassedOn(trial)
    }
  })

  it('stops when its run is cancelled, wherever it is', async () => {
    const moments = new Set((await reference()).log.filter(({ actor }) => actor.kind === 'agent').map(({ type }) => type))
    for (const type of moments) {
      let cancelling: Promise<void> | undefined
      const trial = await trials.run({
        hang: true,
        onEvent(event, task) {
          const first = event.type === type || (event.type === 'tool.started' && type === 'tool.finished')
          if (first || event.type === 'tool.started') cancelling ??= task.cancel('Enough.').catch(() => {})
        },
      })
      await cancelling
      assert.equal(trial.result.outcome, 'cancelled', `the run, when it was cancelled at ${type}`)
      assertPassedOn(trial)
    }
  })

  it('puts what people say while it works before a model, where it asks one about its log', async () => {
    const { log } = await reference()
    if (!eventsOf(log, 'model.called').some(({ data }) => data.prompt === 'log')) return
    const moments = log.filter(({ actor }) => actor.kind === 'agent').map(({ type }) => type)
    for (const [moment, type] of moments.entries()) {
      let said: Promise<void> | undefined
      let passed = 0
      const trial = await trials.run({
        onEvent(event, task) {
          if (event.actor.kind === 'agent' && passed++ === moment) said ??= task.send('One thing more.')
        },
      })
      await said
      const heard = trial.log.find((event) => event.type === 'message.sent' && event.actor.kind === 'human')
      const asked = eventsOf(trial.log, 'model.called').some(({ data }) => heard && data.upTo >= heard.seq)
      assert.ok(asked, `what was said at ${type} is in a prompt`)
      assert.equal(eventsOf(trial.log, 'run.finished').length, 1)
    }
  })
}

function assertOutcomes(log: readonly Event[], when: string): void {
  const finished = new Set(eventsOf(log, 'tool.finished').map(({ data }) => data.callId))
  const prompts = new Set(eventsOf(log, 'model.called').flatMap(({ data }) => (data.prompt === 'log' ? [data.modelCallId] : [])))
  for (const { data } of eventsOf(log, 'model.finished')) {
    if (!prompts.has(data.modelCallId)) continue
    for (const { callId, tool } of data.toolCalls)
      assert.ok(finished.has(callId), `the call ${callId} of ${tool} has an outcome, in ${when}`)
  }
}

/** Once the context threw, a turn ends with what it threw. */
function assertPassedOn({ thrown, turns }: Trial): void {
  if (thrown.length === 0) return
  const error = turns.at(-1)?.error
  assert.ok(
    thrown.includes(error) || (BatonError.isInstance(error) && thrown.some((one) => BatonError.isInstance(one, error.code))),
    `the agent passes on what the context threw (${String(thrown[0])}), and not ${error === undefined ? 'nothing' : String(error)}`,
  )
}

/** What was done that can change something: before a crash by the log, and after it. */
function changesOf({ runs, log }: Trial, prefix: readonly Event[]): readonly string[] {
  const reading = new Set(eventsOf(log, 'tool.called').flatMap(({ data }) => (data.effect === 'read' ? [data.callId] : [])))
  const tools = new Map(eventsOf(log, 'tool.called').map(({ data }) => [data.callId, data.tool]))
  const before = eventsOf(prefix, 'tool.started').filter(({ data }) => !reading.has(data.callId))
  const after = runs.filter(({ effect }) => effect !== 'read')
  return [
    ...before.map(({ data }) => `${tools.get(data.callId)} ${JSON.stringify(data.input)}`),
    ...after.map(({ tool, input }) => `${tool} ${JSON.stringify(input)}`),
  ].sort()
}

/** What the agent said, asked and gave away. */
function wordsOf(log: readonly Event[]): readonly string[] {
  return [
    ...eventsOf(log, 'message.sent').flatMap(({ actor, data }) => (actor.kind === 'agent' ? [`said ${data.text}`] : [])),
    ...eventsOf(log, 'question.asked').map(({ data }) => `asked ${data.text}`),
    ...eventsOf(log, 'task.delegated').map(({ data }) => `delegated ${data.goal}`),
  ].sort()
}

function ordinal(count: number): string {
  return `${count}${count === 1 ? 'st' : count === 2 ? 'nd' : count === 3 ? 'rd' : 'th'}`
}

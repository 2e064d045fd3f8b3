import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Actor } from '../events/envelope.ts'
import { actorKey, unknownActor } from '../events/envelope.ts'
import type { LedgerFile } from '../ledger/ledger.ts'
import type { PathState, PathWindow, RecordedWrite, Verdict } from './attribution.ts'
import { attribute, byActor, judge } from './attribution.ts'

const alice: Actor = { kind: 'human', id: 'alice' }
const bob: Actor = { kind: 'human', id: 'bob' }
const coder: Actor = { kind: 'agent', id: 'coder' }

/** A file whose content is its hash. */
function fileOf(content: string | undefined, mode: LedgerFile['mode'] = '100644'): LedgerFile | undefined {
  return content === undefined ? undefined : { mode, oid: content }
}

function stateOf(content: string | undefined, mode?: LedgerFile['mode']): PathState {
  return { file: fileOf(content, mode), sha256: content }
}

describe('judge', () => {
  const call = { actor: coder, callId: 'c1' }
  const lease = { actor: alice, holds: true }

  it('names somebody only where nobody else could have written', () => {
    expect(judge([lease], false)).toEqual({ actor: alice, evidence: 'lease' })
    expect(judge([lease], true)).toEqual({ actor: alice, evidence: 'lease' })
    expect(judge([call], false)).toEqual({ actor: coder, evidence: 'window', callId: 'c1' })
    expect(judge([{ actor: alice }], false)).toEqual({ actor: alice, evidence: 'window' })
  })

  it('names all who may have been it, and somebody outside but where a person had control', () => {
    const unknown = (...candidates: string[]) => ({ actor: unknownActor, evidence: 'window', candidates })
    expect(judge([], false)).toEqual(unknown('outside'))
    expect(judge([call], true)).toEqual(unknown('agent:coder', 'outside'))
    expect(judge([{ ...call, unsure: true }], false)).toEqual(unknown('agent:coder', 'outside'))
    expect(judge([call, { actor: bob }], false)).toEqual(unknown('agent:coder', 'human:bob', 'outside'))
    expect(judge([call, lease], false)).toEqual(unknown('agent:coder', 'human:alice'))
  })
})

describe('attribute', () => {
  interface Act {
    readonly path: string
    readonly actor: Actor | undefined
    readonly to: string | undefined
    /** What it wrote was caught. */
    readonly caught: boolean
  }

  const verdict: Verdict = { actor: unknownActor, evidence: 'window', candidates: ['outside'] }
  const content = fc.option(fc.constantFrom('x', 'y', 'z', 'w'), { nil: undefined })
  const act: fc.Arbitrary<Act> = fc.record({
    path: fc.constantFrom('p', 'q'),
    actor: fc.constantFrom(alice, coder, undefined),
    to: content,
    caught: fc.boolean(),
  })

  /** What a look knows after these acts; those without an actor are recorded by nobody. */
  function play(start: Readonly<Record<string, string | undefined>>, acts: readonly Act[]): PathWindow[] {
    return ['p', 'q'].map((path) => {
      let state = start[path]
      const recorded: RecordedWrite[] = []
      for (const { actor, to, caught } of acts.filter((one) => one.path === path)) {
        if (actor && to !== state) recorded.push({ actor, before: state, after: to, file: caught ? fileOf(to) : undefined })
        state = to
      }
      return { path, before: stateOf(start[path]), now: stateOf(state), recorded }
    })
  }

  const plays = fc.record({ start: fc.record({ p: content, q: content }), acts: fc.array(act, { maxLength: 8 }) })

  it('leads from what was to what is, and gives nobody a step that they did not record', () => {
    fc.assert(
      fc.property(plays, ({ start, acts }) => {
        const windows = play(start, acts)
        const { steps, found } = attribute(windows, verdict)
        for (const { path, before, now, recorded } of windows) {
          const own = steps.filter((step) => step.path === path)
          expect((own.length > 0 ? own.at(-1) : before)?.file).toEqual(now.file)
          for (const { actor, file } of own) {
            if (actorKey(actor) === actorKey(verdict.actor)) continue
            expect(recorded.some((write) => actorKey(write.actor) === actorKey(actor) && write.after === file?.oid)).toBe(true)
          }
          // What is told and what is recorded make one chain.
          const gaps = found.filter((write) => write.path === path)
          const alone = acts.every((one) => one.path !== path || one.actor !== undefined)
          if (alone) expect(gaps).toEqual([])
          if (recorded.length === 0) expect(gaps.map(({ to }) => to.sha256)).toEqual(before.sha256 === now.sha256 ? [] : [now.sha256])
        }
      }),
      { numRuns: 500 },
    )
  })

  it('puts the steps into commits that end at the same files', () => {
    fc.assert(
      fc.property(plays, ({ start, acts }) => {
        const { steps } = attribute(play(start, acts), verdict)
        const groups = byActor(steps)
        const replay = (list: readonly { readonly path: string; readonly file: LedgerFile | undefined }[]) =>
          new Map(list.map(({ path, file }) => [path, file]))
        expect(replay(groups.flatMap(({ files }) => [...files].map(([path, file]) => ({ path, file }))))).toEqual(replay(steps))
        const stepsOf = (path: string) => steps.filter((step) => step.path === path).map(({ actor }) => actorKey(actor))
        for (const path of ['p', 'q']) {
          const authors = groups.filter(({ files }) => files.has(path)).map(({ actor }) => actorKey(actor))
          expect(authors).toEqual(stepsOf(path).filter((author, index, all) => author !== all[index - 1]))
        }
      }),
      { numRuns: 500 },
    )
  })

  it('passes over a record of what the look before has seen already', () => {
    const write: RecordedWrite = { actor: alice, before: 'x', after: 'y', file: fileOf('y') }
    const window = { path: 'p', before: stateOf('y'), now: stateOf('y'), recorded: [write] }
    expect(attribute([window], verdict)).toEqual({ steps: [], found: [] })
  })

  it('finds a mode that nobody recorded', () => {
    const window = { path: 'p', before: stateOf('x'), now: stateOf('x', '100755'), recorded: [] }
    expect(attribute([window], verdict).steps).toEqual([{ path: 'p', actor: unknownActor, file: fileOf('x', '100755') }])
    const write: RecordedWrite = { actor: alice, before: 'x', after: 'y', file: fileOf('y') }
    const both = { path: 'p', before: stateOf('x'), now: stateOf('y', '100755'), recorded: [write] }
    expect(attribute([both], verdict).steps.map(({ actor }) => actor.id)).toEqual(['alice', 'unknown'])
  })
})

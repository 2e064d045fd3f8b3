import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { pathToBytes } from '../sandbox/path-bytes.ts'
import type { ModelFile } from '../testing/ledger-fixtures.ts'
import { coder, expectClean, git, lacksGit, packsOf, stateOf } from '../testing/ledger-fixtures.ts'
import { createLedger } from './git-ledger.ts'
import type { Ledger, LedgerFile, LedgerStage } from './ledger.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-ledger-property-'))
afterAll(() => rmSync(root, { recursive: true }))

type State = ReadonlyMap<string, ModelFile>

/** Few, so that files and folders of the same name meet; `a.b` and `a0` sort around `a/`. */
const name = fc.constantFrom('a', 'a.b', 'a0', 'b', 'new\nline', ' ', 'é', '\udcff', '\udce9x', '日', '"')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const content = fc.oneof(fc.constantFrom('', 'same', 'x'.repeat(5000)), fc.string({ maxLength: 20 }))
const mode = fc.constantFrom('100644' as const, '100755' as const, '120000' as const)
/** What is done to a path: written, or (null) removed with all below it. */
const edit = fc.record({ path, file: fc.option(fc.record({ mode, content })), namesDeletions: fc.boolean() })
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never

/** One commit by one of three tasks, which may begin as a copy of another one. */
const step = fc.record({
  task: fc.nat(2),
  from: fc.option(fc.nat(2), { freq: 8 }),
  stages: fc.array(fc.array(edit, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: 3 }),
  afterwards: fc.constantFrom('go on', 'go on', 'go on', 'go on', 'reopen', 'prune'),
})

/** Applies edits to a state, and says what is different. A deletion that another change implies need not be named. */
function apply(before: State, edits: readonly Edit[]): { state: State; files: Map<string, ModelFile | undefined> } {
  const state = new Map(before)
  for (const { path, file } of edits) {
    for (const other of [...state.keys()]) if (other === path || areInTheWay(other, path, file !== null)) state.delete(other)
    if (file) state.set(path, file)
  }
  const files = new Map<string, ModelFile | undefined>([...state].filter(([path, file]) => !isSame(before.get(path), file)))
  const written = [...files.keys()]
  for (const path of before.keys()) {
    if (state.has(path)) continue
    const isImplied = written.some((other) => areInTheWay(path, other, true))
    if (!isImplied || edits[0]?.namesDeletions) files.set(path, undefined)
  }
  return { state, files }
}

/** Whether one path cannot be there when something else is done to another one. */
function areInTheWay(other: string, path: string, isWritten: boolean): boolean {
  return other.startsWith(`${path}/`) || (isWritten && path.startsWith(`${other}/`))
}

function inByteOrder(paths: Iterable<string>): string[] {
  return [...paths].sort((a, b) => Buffer.compare(pathToBytes(a), pathToBytes(b)))
}

function isSame(a: ModelFile | undefined, b: ModelFile | undefined): boolean {
  return a?.mode === b?.mode && a?.content === b?.content
}

describe('createLedger', () => {
  it('holds exactly the states that were committed, through merges, forks, prunes and opening again', { timeout: 240_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (steps) => {
        const dir = mkdtempSync(join(root, 'ledger-'))
        let ledger = createLedger({ dir })
        const states = new Map<string, State>()
        const heads: (string | undefined)[] = [undefined, undefined, undefined]
        for (const { task, from, stages, afterwards } of steps) {
          const base = from === null ? heads[task] : heads[from]
          let state = states.get(base ?? '') ?? new Map()
          const made: State[] = []
          const asked: LedgerStage[] = stages.map((edits, index) => {
            const change = apply(state, edits)
            state = change.state
            made.push(state)
            return { author: coder, message: `stage ${states.size} ${index}`, files: putAll(ledger, change.files) }
          })
          const ids = await ledger.commit(base, asked)
          for (const [index, id] of ids.entries()) states.set(id, made[index]!)
          heads[task] = ids.at(-1)
          await ledger.point(`task-${task}`, ids.at(-1)!)
          if (afterwards === 'prune') {
            await ledger.prune([`task-${task}`])
            heads[task] = undefined
            await forgetPruned(ledger, states, heads)
          }
          if (afterwards !== 'go on') {
            await ledger.close()
            ledger = createLedger({ dir })
          }
        }
        for (const [id, state] of states) expect(await stateOf(ledger, id)).toEqual(state)
        await expectCompares(ledger, states)
        for (const [task, head] of heads.entries()) expect(await ledger.head(`task-${task}`)).toBe(head)
        await ledger.close()
        expect(packsOf(dir).length).toBeLessThan(20)
        if (!lacksGit) {
          expectClean(dir)
          for (const head of heads) if (head) expectListed(dir, head, states.get(head)!)
        }
        rmSync(dir, { recursive: true })
      }),
      { numRuns: 25 },
    )
  })
})

function putAll(ledger: Ledger, files: ReadonlyMap<string, ModelFile | undefined>): Map<string, LedgerFile | undefined> {
  return new Map(Array.from(files, ([path, file]) => [path, file && ledger.put(Buffer.from(file.content, 'latin1'), file.mode)]))
}

/** After a prune, a state that is not there is one that no head needs. */
async function forgetPruned(ledger: Ledger, states: Map<string, State>, heads: readonly (string | undefined)[]): Promise<void> {
  for (const id of states.keys()) {
    const isGone = await ledger.files(id).then(
      () => false,
      () => true,
    )
    if (!isGone) continue
    expect(heads).not.toContain(id)
    states.delete(id)
  }
}

async function expectCompares(ledger: Ledger, states: ReadonlyMap<string, State>): Promise<void> {
  const ids = [...states.keys()]
  for (const [index, from] of ids.entries()) {
    const to = ids[(index * 7 + 3) % ids.length]!
    const [before, after] = [states.get(from)!, states.get(to)!]
    const paths = new Set([...before.keys(), ...after.keys()])
    const different = inByteOrder([...paths].filter((path) => !isSame(before.get(path), after.get(path))))
    const changes = await ledger.compare(from, to)
    expect(changes.map(({ path }) => path)).toEqual(different)
    for (const change of changes) {
      expect([change.before?.mode, change.after?.mode]).toEqual([before.get(change.path)?.mode, after.get(change.path)?.mode])
    }
  }
}

function expectListed(dir: string, commit: string, state: State): void {
  const listed = git(dir, 'ls-tree', '-r', '-z', commit).output.toString('latin1').split('\0').slice(0, -1)
  const expected = inByteOrder(state.keys()).map((path) => `${state.get(path)?.mode} ${pathToBytes(path).toString('latin1')}`)
  expect(listed.map((line) => line.replace(/^(\d+) blob [0-9a-f]{40}\t/, '$1 '))).toEqual(expected)
}

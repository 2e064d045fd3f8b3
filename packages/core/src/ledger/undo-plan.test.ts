import { afterAll, describe, expect, it } from 'vitest'
import type { Actor } from '../events/envelope.ts'
import { createTemporaryLedger } from './git-ledger.ts'
import type { LedgerFile } from './ledger.ts'
import { planRestore } from './restore-plan.ts'
import type { UndoCommit } from './undo-plan.ts'
import { planUndo } from './undo-plan.ts'
import type { WritePlan } from './write-plan.ts'

const ledger = createTemporaryLedger({ maxFileBytes: 1_000 })
afterAll(() => ledger.close())

type Tree = Readonly<Record<string, string | undefined>>
type Changes = readonly (readonly [who: string, files: Tree])[]
interface Made extends UndoCommit {
  readonly who: string
}

/** Commits changes one after the other; a state of its own for each. `#!` begins what can be run. */
async function commits(...changes: Changes): Promise<{ all: Made[]; now: string }> {
  const all: Made[] = []
  for (const [who, files] of changes) {
    const parent = all.at(-1)?.commit
    const author: Actor = { kind: 'human', id: who }
    const stage = new Map<string, LedgerFile | undefined>(
      Object.entries(files).map(([path, text]) => [
        path,
        text === undefined ? undefined : ledger.put(Buffer.from(text), text.startsWith('#!') ? '100755' : '100644'),
      ]),
    )
    const [commit = ''] = await ledger.commit(parent, [{ author, message: 'test', files: stage }])
    all.push({ commit, parent, who })
  }
  return { all, now: all.at(-1)?.commit ?? '' }
}

const of = (all: readonly Made[], who: string): Set<string> =>
  new Set(all.filter((commit) => commit.who === who).map(({ commit }) => commit))

async function shown({ writes, conflicts }: WritePlan): Promise<unknown> {
  if (conflicts.length > 0) return conflicts.map(({ path, kind }) => `${path}: ${kind}`)
  return Object.fromEntries(
    await Promise.all(writes.map(async ({ path, to }) => [path, to && Buffer.from(await ledger.read(to)).toString()])),
  )
}

async function undo(who: string, ...changes: Changes): Promise<unknown> {
  const { all, now } = await commits(...changes)
  return shown(await planUndo({ ledger, commits: all, undo: of(all, who), now }))
}

describe('planUndo', () => {
  it('keeps what others changed before, in between and after', async () => {
    const lines = ['1', '2', '3', '4', '5', '6', '7']
    const text = (...changed: string[]): string => lines.map((line) => `${changed.find((other) => other[0] === line) ?? line}\n`).join('')
    expect(
      await undo(
        'agent',
        ['start', { 'a.txt': text(), 'b.txt': 'b\n' }],
        ['human', { 'a.txt': text('1 human') }],
        ['agent', { 'a.txt': text('1 human', '3 agent'), 'b.txt': 'agent\n', 'new.txt': 'agent\n' }],
        ['human', { 'a.txt': text('1 human', '3 agent', '5 human') }],
        ['agent', { 'a.txt': text('1 human', '3 agent again', '5 human', '7 agent') }],
      ),
    ).toEqual({ 'a.txt': text('1 human', '5 human'), 'b.txt': 'b\n', 'new.txt': undefined })
  })

  it('takes nothing else than the commits it is given, from the first on or from later', async () => {
    const { all, now } = await commits(['start', { a: '1\n2\n3\n' }], ['agent', { a: 'x\n2\n3\n' }], ['agent', { a: 'x\n2\ny\n' }])
    expect(await shown(await planUndo({ ledger, commits: all, undo: new Set([all[1]!.commit]), now }))).toEqual({ a: '1\n2\ny\n' })
    expect(await shown(await planUndo({ ledger, commits: all, undo: new Set([all[0]!.commit]), now }))).toEqual(['a: deleted'])
    expect(await planUndo({ ledger, commits: all, undo: new Set(), now })).toEqual({ writes: [], conflicts: [] })
    expect(await planUndo({ ledger, commits: [], undo: new Set(), now })).toEqual({ writes: [], conflicts: [] })
  })

  it('takes a difference between two commits, and after the last, for somebody else’s', async () => {
    const { all } = await commits(
      ['start', { a: '1\n2\n3\n4\n5\n' }],
      ['agent', { a: 'x\n2\n3\n4\n5\n' }],
      ['nobody', { a: 'x\n2\ny\n4\n5\n' }],
      ['agent', { a: 'x\n2\ny\n4\nz\n', b: 'b\n' }],
      ['nobody', { a: 'x\n2\ny\nw\nz\n', c: 'c\n' }],
    )
    const known = all.filter(({ who }) => who !== 'nobody')
    const plan = await planUndo({ ledger, commits: known, undo: of(all, 'agent'), now: all[4]!.commit })
    expect(await shown(plan)).toEqual({ a: '1\n2\ny\nw\n5\n', b: undefined })
  })

  it('says which commit cannot be taken back where, and writes nothing then', async () => {
    const { all, now } = await commits(['start', { a: '1\n', b: '1\n' }], ['agent', { a: '2\n', b: '2\n' }], ['human', { a: '3\n' }])
    expect(await planUndo({ ledger, commits: all, undo: of(all, 'agent'), now })).toEqual({
      writes: [],
      conflicts: [{ path: 'a', kind: 'text', commit: all[1]!.commit, hunks: [{ line: 1, base: '2\n', ours: '3\n', theirs: '1\n' }] }],
    })
  })

  it('finds that somebody took it back by hand already', async () => {
    expect(await undo('agent', ['start', { a: '1\n2\n' }], ['agent', { a: '1\nx\n' }], ['human', { a: '1\n2\n' }])).toEqual({})
    expect(await undo('agent', ['start', {}], ['agent', { a: '1\n' }], ['human', { a: undefined }])).toEqual({})
  })

  it('does not take a line that was set anew, to what it had been, for an untouched one', async () => {
    const changes = [
      ['start', { a: '1\n' }],
      ['agent', { a: '2\n' }],
      ['human', { a: '3\n' }],
      ['human', { a: '2\n' }],
    ] as const
    expect(await undo('agent', ...changes)).toEqual(['a: text'])
    const modes = [
      ['start', { a: 'x' }],
      ['agent', { a: '#!' }],
      ['human', { a: 'y' }],
      ['human', { a: '#!' }],
    ] as const
    expect(await undo('agent', ...modes)).toEqual(['a: mode'])
  })

  it('does not guess on which side of a line that comes back something was put among lines that read the same', async () => {
    const changes = [
      ['start', { a: 'p\nu\n}\n' }],
      ['agent', { a: 'u\n}\n' }],
      ['human', { a: '}\n' }],
      ['human', { a: '}\n}\n' }],
    ] as const
    expect(await undo('agent', ...changes)).toEqual(['a: text'])
  })

  it('gives a conflict where a rename or a removal meets an edit', async () => {
    expect(await undo('agent', ['start', { a: '1\n' }], ['agent', { a: '2\n' }], ['human', { a: undefined, b: '2\n' }])).toEqual([
      'a: deleted',
    ])
    expect(await undo('agent', ['start', { a: '1\n' }], ['agent', { a: undefined, b: '1\n' }], ['human', { b: '2\n' }])).toEqual([
      'b: deleted',
    ])
    expect(await undo('human', ['start', { a: '1\n' }], ['agent', { a: '2\n' }], ['human', { a: undefined, b: '2\n' }])).toEqual({
      a: '2\n',
      b: undefined,
    })
  })

  it('gives a conflict where a file would come back in the place of a folder, or below a file', async () => {
    expect(await undo('agent', ['start', { a: '1\n' }], ['agent', { a: undefined }], ['human', { 'a/b': '1\n' }])).toEqual([
      'a: in-the-way',
    ])
    expect(await undo('agent', ['start', { 'a/b': '1\n' }], ['agent', { 'a/b': undefined }], ['human', { a: '1\n' }])).toEqual([
      'a/b: in-the-way',
    ])
    expect(await undo('agent', ['start', { 'a/b': '1\n' }], ['agent', { 'a/b': undefined, a: '1\n' }])).toEqual({
      a: undefined,
      'a/b': '1\n',
    })
  })

  it('cannot bring back what is not kept, and removes it where it was made', async () => {
    const large = 'x'.repeat(2_000)
    expect(await undo('agent', ['start', { a: large }], ['agent', { a: '1\n' }])).toEqual(['a: not-kept'])
    expect(await undo('agent', ['start', { a: large }], ['agent', { a: `${large}y` }], ['human', { a: `${large}z` }])).toEqual([
      'a: not-kept',
    ])
    expect(await undo('agent', ['start', {}], ['agent', { a: large }])).toEqual({ a: undefined })
    expect(await undo('agent', ['start', { a: '1\n' }], ['agent', { a: large }])).toEqual({ a: '1\n' })
  })
})

describe('planRestore', () => {
  const large = 'x'.repeat(2_000)
  const change = (): ReturnType<typeof commits> =>
    commits(
      ['start', { a: '1\n', 'dir/b': '1\n', 'dir/sub/c': '1\n', d: large, same: large }],
      ['agent', { a: '2\n', 'dir/b': undefined, 'dir/sub/c': '2\n', d: '2\n', dirt: 'x', 'dir/sub/new': '2\n' }],
    )

  it('takes the files, and the folders with all that is in them, that are asked for', async () => {
    const { all, now } = await change()
    const to = all[0]!.commit
    expect(await shown(await planRestore({ ledger, from: now, to, paths: ['a', 'dir'] }))).toEqual({
      a: '1\n',
      'dir/b': '1\n',
      'dir/sub/c': '1\n',
      'dir/sub/new': undefined,
    })
    expect(await planRestore({ ledger, from: now, to, paths: ['nowhere', 'same'] })).toEqual({ writes: [], conflicts: [] })
    expect(await planRestore({ ledger, from: now, to: now })).toEqual({ writes: [], conflicts: [] })
  })

  it('refuses what is different and not kept, and writes nothing then', async () => {
    const { all, now } = await change()
    expect(await planRestore({ ledger, from: now, to: all[0]!.commit })).toEqual({
      writes: [],
      conflicts: [{ path: 'd', kind: 'not-kept' }],
    })
  })

  it('refuses a file in a place that another path, which was not asked for, has by now', async () => {
    const { all, now } = await commits(['start', { a: '1\n' }], ['agent', { a: undefined, 'a/b': '2\n' }])
    const to = all[0]!.commit
    expect(await shown(await planRestore({ ledger, from: now, to }))).toEqual({ a: '1\n', 'a/b': undefined })
    expect(await shown(await planRestore({ ledger, from: to, to: now, paths: ['a/b'] }))).toEqual(['a/b: in-the-way'])
  })
})

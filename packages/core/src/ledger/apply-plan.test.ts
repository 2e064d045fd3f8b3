import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fsPath } from '../sandbox/path-bytes.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import type { WatchFixture } from '../testing/watch-fixtures.ts'
import { filesIn, withWatchOn, write } from '../testing/watch-fixtures.ts'
import { applyPlan } from './apply-plan.ts'
import { createTemporaryLedger } from './git-ledger.ts'
import type { Ledger } from './ledger.ts'
import { planRestore } from './restore-plan.ts'
import type { PlannedWrite } from './write-plan.ts'

type Tree = Readonly<Record<string, string>>

async function withFiles(run: (fixture: WatchFixture<Ledger>) => Promise<void>, options: { maxFileBytes?: number } = {}): Promise<void> {
  const ledger = createTemporaryLedger(options)
  try {
    await withWatchOn(ledger, run, options)
  } finally {
    await ledger.close()
  }
}

/** Empties a folder and makes these files: `->` begins a link, `#!` what can be run. */
function fill(dir: string, tree: Tree): void {
  for (const name of readdirSync(dir, { encoding: 'buffer' })) rmSync(Buffer.concat([Buffer.from(`${dir}/`), name]), { recursive: true })
  for (const [path, content] of Object.entries(tree)) {
    const full = fsPath(`${dir}/${path}`)
    mkdirSync(fsPath(`${dir}/${path}`.slice(0, `${dir}/${path}`.lastIndexOf('/'))), { recursive: true })
    if (content.startsWith('->')) symlinkSync(content.slice(2), full)
    else writeFileSync(full, content, { mode: content.startsWith('#!') ? 0o755 : 0o644 })
  }
}

/** Keeps both trees in the ledger, the sandbox as the second one, and plans the way back. */
async function planBack(fixture: WatchFixture<Ledger>, first: Tree, second: Tree) {
  const { dir, ledger } = fixture
  fill(dir, first)
  await fixture.save()
  const to = fixture.state ?? ''
  fill(dir, second)
  await fixture.save()
  const from = fixture.state ?? ''
  const plan = await planRestore({ ledger, from, to })
  expect(plan.conflicts).toEqual([])
  return { plan, there: await ledger.files(from), wanted: await ledger.files(to) }
}

const before: Tree = {
  'a.txt': 'one\n',
  'run.sh': '#!/bin/sh\n',
  'dir/b.txt': 'b\n',
  'dir/deep/c.txt': 'c\n',
  link: '->a.txt',
  swap: 'a file\n',
}
const after: Tree = {
  'a.txt': 'two\n',
  'run.sh': 'no more\n',
  'new/d.txt': 'd\n',
  'new/e.txt': 'e\n',
  link: 'no link\n',
  'swap/inner.txt': 'x\n',
}

function folders(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
}

function relink(path: string): void {
  rmSync(path)
  symlinkSync('run.sh', path)
}

/** A sandbox that does something before each of its actions that change files, which are counted from 0. */
function watched(sandbox: Sandbox, beforeAction: (nth: number) => void): Sandbox {
  let actions = 0
  return {
    ...sandbox,
    spawn: async (command, options) => {
      beforeAction(actions++)
      return sandbox.spawn(command, options)
    },
    writeFile: async (path, data, options) => {
      beforeAction(actions++)
      return sandbox.writeFile(path, data, options)
    },
    unpack: async (tar, options) => {
      beforeAction(actions++)
      return sandbox.unpack(tar, options)
    },
  }
}

describe('applyPlan', () => {
  it('brings files, links, modes, and files in the place of folders, and leaves no empty folder', () =>
    withFiles(async (fixture) => {
      const { plan, wanted } = await planBack(fixture, before, after)
      expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)).toEqual({ conflicts: [] })
      expect(filesIn(fixture.dir)).toEqual(new Map(wanted))
      expect(folders(fixture.dir).sort()).toEqual(['deep', 'dir'])
      expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes), 'what is done already').toEqual({ conflicts: [] })
    }))

  it('keeps the other permission bits of a file', () =>
    withFiles(async (fixture) => {
      const { plan } = await planBack(fixture, { a: 'one\n', 'run.sh': '#!x\n' }, { a: 'two\n', 'run.sh': 'x\n' })
      for (const name of ['a', 'run.sh']) chmodSync(join(fixture.dir, name), 0o640)
      await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)
      expect(['a', 'run.sh'].map((name) => statSync(join(fixture.dir, name)).mode & 0o777)).toEqual([0o640, 0o750])
    }))

  it('brings any tree to any other, whatever its names', async () => {
    const names = ['a', 'b', '-rf', 'with space', "quo'te", 'new\nline\n', 'Ünï', 'bad\udcff\udc80', '$(x)`*', '%s\\n', 'back\\slash']
    const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    const content = fc.constantFrom('one\n', 'two\n', '', '#!/bin/sh\n', '->a', '->../../..', '->new\nline\n')
    const tree = fc.array(fc.tuple(path, content), { maxLength: 8 }).map((entries) => {
      const files = new Map<string, string>()
      for (const [place, text] of entries) {
        const taken = [...files.keys()].some((other) => other === place || other.startsWith(`${place}/`) || place.startsWith(`${other}/`))
        if (!taken) files.set(place, text)
      }
      return Object.fromEntries(files)
    })
    await fc.assert(
      fc.asyncProperty(tree, tree, (first, second) =>
        withFiles(async (fixture) => {
          const { plan, wanted } = await planBack(fixture, first, second)
          expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)).toEqual({ conflicts: [] })
          expect(filesIn(fixture.dir)).toEqual(new Map(wanted))
        }),
      ),
      { numRuns: 25 },
    )
  }, 60_000)

  it('brings many new files at once', () =>
    withFiles(async (fixture) => {
      const many = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`many/${at}.txt`, `${at}\n`]))
      const { plan, wanted } = await planBack(fixture, { ...many, x: '#!x\n' }, {})
      expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)).toEqual({ conflicts: [] })
      expect(filesIn(fixture.dir)).toEqual(new Map(wanted))
    }))

  it.each([
    ['a file that has other content', 'a.txt', (dir: string) => writeFileSync(join(dir, 'a.txt'), 'mine\n')],
    ['a file that is gone', 'a.txt', (dir: string) => rmSync(join(dir, 'a.txt'))],
    ['a file that can be run now', 'a.txt', (dir: string) => chmodSync(join(dir, 'a.txt'), 0o755)],
    ['a file to remove that has other content', 'new/d.txt', (dir: string) => writeFileSync(join(dir, 'new/d.txt'), 'mine\n')],
    ['a link in the place of a file', 'a.txt', (dir: string) => relink(join(dir, 'a.txt'))],
    ['a file where none was', 'dir/b.txt', (dir: string) => write(dir, { 'dir/b.txt': 'mine\n' })],
  ])('changes nothing where it finds %s', (_, path, change) =>
    withFiles(async (fixture) => {
      const { plan } = await planBack(fixture, before, after)
      change(fixture.dir)
      const found = filesIn(fixture.dir)
      expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)).toEqual({ conflicts: [{ path, kind: 'changed' }] })
      expect(filesIn(fixture.dir)).toEqual(found)
    }),
  )

  it.each([
    ['a file in a folder that makes way for a file', 'swap', (dir: string) => write(dir, { 'swap/mine.log': 'x' })],
    ['a file where a folder has to be', 'dir/b.txt', (dir: string) => write(dir, { dir: 'mine' })],
    ['a link where a folder has to be', 'dir/b.txt', (dir: string) => symlinkSync(tmpdir(), join(dir, 'dir'))],
  ])('changes nothing where %s is in the way', (_, path, change) =>
    withFiles(async (fixture) => {
      const { plan } = await planBack(fixture, before, after)
      change(fixture.dir)
      const found = filesIn(fixture.dir)
      expect((await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)).conflicts).toContainEqual({ path, kind: 'in-the-way' })
      expect(filesIn(fixture.dir)).toEqual(found)
    }),
  )

  it(
    'takes everything back where a file changes while it writes, and keeps that change',
    () =>
      withFiles(async (fixture) => {
        for (let nth = 0; ; nth++) {
          const { plan, there } = await planBack(fixture, before, after)
          let reached = false
          // The plan writes this one after all the removals.
          const sandbox = watched(fixture.sandbox, (at) => {
            if (at !== nth) return
            reached = true
            writeFileSync(join(fixture.dir, 'run.sh'), 'mine\n')
          })
          const { conflicts } = await applyPlan(sandbox, fixture.ledger, plan.writes)
          if (!reached || conflicts.length === 0) {
            expect(nth).toBeGreaterThan(2)
            return
          }
          expect(conflicts).toEqual([{ path: 'run.sh', kind: 'changed' }])
          expect(readFileSync(join(fixture.dir, 'run.sh'), 'utf8')).toBe('mine\n')
          const left = filesIn(fixture.dir)
          left.delete('run.sh')
          expect(left).toEqual(new Map([...there].filter(([path]) => path !== 'run.sh')))
        }
      }),
    60_000,
  )

  it(
    'takes everything back where the sandbox fails or it is aborted in the middle',
    () =>
      withFiles(async (fixture) => {
        for (const how of ['fails', 'aborted'] as const) {
          for (let nth = 0; ; nth++) {
            const { plan, there, wanted } = await planBack(fixture, before, after)
            const aborting = new AbortController()
            const sandbox = watched(fixture.sandbox, (at) => {
              if (at === nth && how === 'aborted') aborting.abort(new Error('enough'))
              else if (at === nth) throw new Error('the disk is full')
            })
            const failed = await applyPlan(sandbox, fixture.ledger, plan.writes, { signal: aborting.signal }).then(
              () => undefined,
              (error: Error) => error.message,
            )
            if (failed === undefined) {
              expect(filesIn(fixture.dir)).toEqual(new Map(wanted))
              expect(nth).toBeGreaterThan(3)
              break
            }
            expect(failed).toMatch(how === 'aborted' ? /enough/ : /disk is full/)
            expect(filesIn(fixture.dir), `${how} at ${nth}`).toEqual(new Map(there))
          }
        }
      }),
    60_000,
  )

  it(
    'comes to its end when it is applied again after a crash in the middle',
    () =>
      withFiles(async (fixture) => {
        for (let nth = 1, crashed = true; crashed; nth++) {
          const { plan, wanted } = await planBack(fixture, before, after)
          crashed = false
          const sandbox = watched(fixture.sandbox, (at) => {
            if (at < nth) return
            crashed = true
            throw new Error('gone')
          })
          await applyPlan(sandbox, fixture.ledger, plan.writes).catch(() => undefined)
          expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes), `after ${nth}`).toEqual({ conflicts: [] })
          expect(filesIn(fixture.dir)).toEqual(new Map(wanted))
        }
      }),
    60_000,
  )

  it('removes a file that is too large to be kept, gives it back where it stops, and cannot bring one back from the ledger', () =>
    withFiles(
      async (fixture) => {
        const large = 'x'.repeat(2_000)
        const { plan } = await planBack(fixture, { swap: 's\n', a: 'one\n' }, { 'swap/large.bin': large, 'big.bin': large, a: 'two\n' })
        const stopping = watched(fixture.sandbox, (at) => at === 3 && writeFileSync(join(fixture.dir, 'a'), 'mine\n'))
        const there = filesIn(fixture.dir)
        there.delete('a')
        expect((await applyPlan(stopping, fixture.ledger, plan.writes)).conflicts).toEqual([{ path: 'a', kind: 'changed' }])
        const left = filesIn(fixture.dir)
        left.delete('a')
        expect(left).toEqual(there)
        writeFileSync(join(fixture.dir, 'a'), 'two\n')
        expect(await applyPlan(fixture.sandbox, fixture.ledger, plan.writes)).toEqual({ conflicts: [] })
        expect(existsSync(join(fixture.dir, 'big.bin'))).toBe(false)
        const back: PlannedWrite[] = plan.writes.map(({ path, expect: was, to }) => ({ path, expect: to, to: was }))
        expect(
          (await applyPlan(fixture.sandbox, fixture.ledger, back)).conflicts.map(({ path, kind }) => `${path} ${kind}`).sort(),
        ).toEqual(['big.bin not-kept', 'swap/large.bin not-kept'])
      },
      { maxFileBytes: 1_000 },
    ))
})

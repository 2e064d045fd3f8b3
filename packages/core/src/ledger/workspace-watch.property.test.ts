import { execFileSync } from 'node:child_process'
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { pathFromBytes } from '../sandbox/path-bytes.ts'
import { filesIn, withWatch } from '../testing/watch-fixtures.ts'
import type { LedgerFile } from './ledger.ts'

const git = ((): boolean => {
  try {
    execFileSync('git', ['--version'])
    return true
  } catch {
    return false
  }
})()
const required = (process.env.BATON_REQUIRE ?? '').split(',').includes('git')

const gitDir = mkdtempSync(join(tmpdir(), 'baton-watch-git-'))
if (git) execFileSync('git', ['init', '--quiet', '--bare', gitDir])
afterAll(() => rmSync(gitDir, { recursive: true, force: true }))

/** What git would add, by git itself. */
function wantedByGit(dir: string): Set<string> {
  const args = ['-c', 'core.excludesFile=/dev/null', '-c', 'core.bare=false', `--git-dir=${gitDir}`, `--work-tree=${dir}`]
  const out = execFileSync('git', [...args, 'ls-files', '-z', '--others', '--exclude-per-directory=.gitignore'], { cwd: dir })
  const paths: string[] = []
  for (let at = 0, end = out.indexOf(0); end >= 0; at = end + 1, end = out.indexOf(0, at)) paths.push(pathFromBytes(out.subarray(at, end)))
  return new Set(paths)
}

const name = fc.constantFrom('a', 'b', 'out', 'x.log', 'ü')
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'))
const content = fc.constantFrom('', 'one', 'two', 'three')
const rule = fc.constantFrom(
  'out',
  'out/',
  '/a',
  '*.log',
  '!x.log',
  'a/*',
  '!a/b',
  'b/**',
  '**/b',
  '*',
  '!*/',
  '!out',
  'a/out',
  '/',
  '# c',
  'ü',
)
const rules = fc.array(rule, { maxLength: 3 }).map((lines) => lines.join('\n'))
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('write' as const), path, content }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('remove' as const), path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('link' as const), path, content }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('chmod' as const), path, mode: fc.constantFrom(0o644, 0o755) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rename' as const), path, to: path }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('touch' as const), path }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('rules' as const), folder: fc.oneof(fc.constant('.'), path), rules }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('look' as const) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('save' as const) }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Does a step, where it can be done; the clock of files is set back, so that mtimes say nothing. */
function change(dir: string, at: Exclude<Step, { kind: 'look' | 'save' }>): void {
  try {
    const full = join(dir, 'path' in at ? at.path : at.folder)
    if (at.kind === 'remove') rmSync(full, { recursive: true, force: true })
    else if (at.kind === 'chmod') chmodSync(full, at.mode)
    else if (at.kind === 'rename') renameSync(full, join(dir, at.to))
    else if (at.kind === 'touch') utimesSync(full, new Date(), new Date())
    else if (at.kind === 'rules') writeFileSync(join(full, '.gitignore'), at.rules)
    else {
      mkdirSync(join(full, '..'), { recursive: true })
      if (at.kind === 'link') symlinkSync(at.content, full)
      else {
        writeFileSync(full, at.content)
        utimesSync(full, 1, 1)
      }
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
  }
}

describe('createWorkspaceWatch, whatever is done', () => {
  it.skipIf(!git && !required)('finds what a comparison of all files finds, with the files that git would take', { timeout: 120_000 }, () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), (steps) =>
        withWatch(async ({ dir, ledger, watch, sandbox }) => {
          let held = new Map<string, LedgerFile>()
          let state: string | undefined
          for (const at of [...steps, { kind: 'save' as const }]) {
            if (at.kind !== 'look' && at.kind !== 'save') {
              change(dir, at)
              continue
            }
            const there = filesIn(dir)
            const wanted = wantedByGit(dir)
            const expected = new Map([...there].filter(([file]) => held.has(file) || wanted.has(file)))
            const { changes, sha256 } = await watch.look(sandbox, state)
            const found = new Map(held)
            for (const { path: changed, before, after } of changes) {
              expect(before).toEqual(held.get(changed))
              expect(sha256.has(changed)).toBe(after !== undefined)
              if (after === undefined) found.delete(changed)
              else found.set(changed, after)
            }
            expect(found).toEqual(expected)
            if (at.kind === 'look') continue
            const files = new Map(changes.map(({ path: changed, after }) => [changed, after]))
            state = (await ledger.commit(state, [{ author: { kind: 'system', id: 'test' }, message: '', files }]))[0]
            held = expected
            watch.settle(state ?? '')
          }
          expect(lstatSync(dir).isDirectory()).toBe(true)
        }),
      ),
      { numRuns: 60 },
    ),
  )
})

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { lookAtGit } from './git-watch.ts'

let sandbox: Sandbox
let dir: string

function git(...args: string[]): string {
  const named = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.org', ...args]
  return execFileSync('git', named, { cwd: dir, encoding: 'utf8', stdio: 'pipe' }).trim()
}

function commit(text: string): string {
  writeFileSync(join(dir, 'a.txt'), text)
  git('add', '.')
  git('commit', '-qm', `to ${text}`)
  return git('rev-parse', 'HEAD')
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'baton-git-watch-'))
  sandbox = await createLocalSandboxProvider({ isolation: 'none' }).create({ inPlace: dir })
  onTestFinished(async () => {
    await sandbox.close()
    rmSync(dir, { recursive: true, force: true })
  })
})

describe('lookAtGit', () => {
  it('knows of no repository, of one without a commit, and of the first commit', async () => {
    expect(await lookAtGit(sandbox, undefined, {})).toEqual({ state: undefined, operations: [] })
    git('init', '-q', '-b', 'main')
    expect(await lookAtGit(sandbox, null, {})).toEqual({ state: undefined, operations: [] })
    const first = commit('one')
    expect(await lookAtGit(sandbox, null, {})).toEqual({
      state: { head: first, entries: 1 },
      operations: [{ operation: 'commit', message: 'commit (initial): to one', from: '0'.repeat(40), to: first, branch: 'main' }],
    })
    expect(await lookAtGit(sandbox, undefined, {})).toEqual({ state: { head: first, entries: 1 }, operations: [] })
  })

  it('tells commits, checkouts and resets since the last look, oldest first', async () => {
    git('init', '-q', '-b', 'main')
    const first = commit('one')
    git('checkout', '-qb', 'other')
    const second = commit('two')
    git('reset', '-q', '--hard', 'HEAD~1')
    const { state, operations } = await lookAtGit(sandbox, { head: first, entries: 1 }, {})
    expect(state).toEqual({ head: first, entries: 4 })
    expect(operations).toMatchObject([
      { operation: 'checkout', message: 'checkout: moving from main to other', from: first, to: first },
      { operation: 'commit', from: first, to: second },
      { operation: 'reset', from: second, to: first, branch: 'other' },
    ])
    expect((await lookAtGit(sandbox, state, {})).operations).toEqual([])
  })

  it('tells where HEAD stands when the log knows the last look no more, and nothing of lines that are no reflog', async () => {
    git('init', '-q', '-b', 'main')
    const first = commit('one')
    writeFileSync(join(dir, '.git/logs/HEAD'), `nonsense\n${'0'.repeat(40)} ${first} Ada <a@b> 0 +0000\tcommit: \u001b[31mred\n`)
    const { operations } = await lookAtGit(sandbox, { head: 'f'.repeat(40), entries: 5 }, {})
    expect(operations).toMatchObject([{ operation: 'commit', to: first }])
    git('checkout', '-q', '--detach')
    expect((await lookAtGit(sandbox, null, {})).operations.at(-1)).not.toHaveProperty('branch')
  })
})

import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commitScenario, commitScenarioWork } from '../testing/crash/commit-program.ts'
import type { GitFixture } from '../testing/git-fixture.ts'
import { atFolder, hasGit, makeRepository } from '../testing/git-fixture.ts'

const program = join(import.meta.dirname, '../testing/crash/commit-program.ts')
const finalTree = ['a.txt', 'kept.txt', 'link', 'new/c.txt', 'new/run.sh']

/** What `git status` may say of a path that is on its way: it is as before, or as the work has it, in the work tree or staged too. */
const onItsWay = /^( M|M ) a\.txt$|^( D|D ) gone\/b\.txt$|^( T|T ) link$|^(\?\?|A ) new\/(c\.txt|run\.sh)$/

describe
  .skipIf(!hasGit && process.env.BATON_REQUIRE?.split(',').includes('git') !== true)
  .each([{ commandLine: true }, { commandLine: false }])('commitWork that is killed, $commandLine', ({ commandLine }) => {
  const start = (root: string, dieAt: number) =>
    spawnSync(process.execPath, ['--conditions=@baton-sdk/source', program, root, String(dieAt), String(commandLine)], { encoding: 'utf8' })

  /** `before`: nothing to be seen; `on the way`: uncommitted changes, each of them work; `after`: committed and clean. */
  function stateOf(repository: GitFixture, old: string): 'before' | 'on the way' | 'after' {
    expect(repository.git('fsck', '--strict', '--no-dangling')).toBe('')
    const status = repository.status()
    if (repository.git('rev-parse', 'HEAD') !== old) {
      expect(status).toEqual([])
      return 'after'
    }
    for (const line of status) expect(line).toMatch(onItsWay)
    return status.length === 0 ? 'before' : 'on the way'
  }

  it('leaves the branch as it was or moved with all in place, and the same call completes it, wherever it dies', async () => {
    const origin = makeRepository(commitScenario.before)
    const old = origin.git('rev-parse', 'HEAD')
    const seen: string[] = []
    // Of the objects at first, which nobody sees, not each.
    for (let dieAt = 2; seen.at(-1) !== 'end'; dieAt += dieAt < 14 ? 4 : 1) {
      const root = join(realpathSync(mkdtempSync(join(tmpdir(), 'baton-crash-'))), 'r')
      cpSync(origin.root, root, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
      const repository = atFolder(root)
      const { signal, stdout, stderr } = start(root, dieAt)
      if (signal !== 'SIGKILL') expect(JSON.parse(stdout), stderr).toMatchObject({ changes: dieAt - 1, conflicts: [] })
      seen.push(signal === 'SIGKILL' ? stateOf(repository, old) : 'end')
      expect(await commitScenarioWork(root, commandLine)).toMatchObject({ conflicts: [] })
      expect(stateOf(repository, old)).toBe('after')
      expect(repository.git('ls-tree', '-r', '--name-only', 'HEAD').split('\n')).toEqual(finalTree)
      expect(repository.git('log', '--format=%an').split('\n')).toEqual(['Agent Smith', 'Ada'])
      rmSync(join(root, '..'), { recursive: true })
    }
    // In this order, and each of them was met.
    expect(seen.filter((state, index) => state !== seen[index - 1])).toEqual(['before', 'on the way', 'after', 'end'])
    origin.remove()
  }, 180_000)
})

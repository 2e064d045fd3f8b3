import type * as fsPromises from 'node:fs/promises'
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { mergeFiles } from '../../ledger/merge-files.ts'
import type { CommitResult } from '../../workspace/commit-work.ts'
import { commitWork } from '../../workspace/commit-work.ts'
import { byAgent, workFiles } from '../git-fixture.ts'

/** The work that is committed: a change, a removal, new files, a link. */
export const commitScenario = {
  before: { 'a.txt': 'old\n', 'gone/b.txt': 'b\n', link: 'file\n', 'kept.txt': 'k\n' },
  after: { 'a.txt': 'new\n', 'gone/b.txt': null, link: '->a.txt', 'new/c.txt': 'c\n', 'new/run.sh': '!echo\n' },
}

/** Commits it. */
export function commitScenarioWork(path: string, commandLine: boolean): Promise<CommitResult> {
  const base = new Map([...workFiles(commitScenario.before)].flatMap(([name, file]) => (file ? [[name, file]] : [])))
  return commitWork({ path, base, stages: [byAgent(commitScenario.after)], merge: mergeFiles, commandLine })
}

/** Dies at the given change of the file system, counted from 1, and prints how many there were if it comes to the end. */
async function run(path: string, dieAt: number, commandLine: boolean): Promise<void> {
  const fs = createRequire(import.meta.url)('node:fs/promises') as typeof fsPromises
  let changes = 0
  // What opens or fills a file is followed by one of these before anyone can see it.
  const names = ['rename', 'rm', 'mkdir', 'symlink', 'appendFile', 'rmdir', 'copyFile'] as const
  for (const name of names) {
    const original = fs[name] as (...args: unknown[]) => unknown
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        if (++changes === dieAt) process.kill(process.pid, 'SIGKILL')
        return original(...args)
      },
    })
  }
  syncBuiltinESMExports()
  const { conflicts } = await commitScenarioWork(path, commandLine)
  console.log(JSON.stringify({ changes, conflicts }))
}

if (process.argv[1] === import.meta.filename) await run(process.argv[2] ?? '', Number(process.argv[3]), process.argv[4] === 'true')

import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Actor } from '../events/envelope.ts'
import { isKnown } from '../events/event.ts'
import { isPointer } from '../ledger/lfs-pointer.ts'
import type { Task } from '../tasks/task.ts'

/** What {@link findHistoryProblems} looks at. */
export interface HistoryUnderTest {
  readonly task: Task
  /** The folder of the ledger, as `createBaton({ ledger: { dir } })` has it. */
  readonly ledgerDir: string
  /** The workdir of the task's sandbox, as a folder of this machine. */
  readonly workdir: string
}

/** What `git fsck` says of names that a workspace itself may hold; they are kept as they are. */
const workspaceNames = /\b(hasDot|hasDotdot|hasDotgit|gitmodules\w+|gitattributes\w+|symlinkTargetLength|largePathname)\b/

/**
 * Looks at the history of a task's files as plain git sees it: that `git fsck --strict` finds nothing, that each commit has the author and the trailers that the
 * log says, and that the last one holds the files of the sandbox, without what git ignores. First keeps the present state, so that nothing is still to be found.
 *
 * @returns what is wrong, in words; nothing where all is well
 */
export async function findHistoryProblems({ task, ledgerDir, workdir }: HistoryUnderTest): Promise<string[]> {
  const { commit } = await task.checkpoint()
  const git = (...args: string[]): string => runGit(ledgerDir, args).toString()
  const head = git('rev-parse', `refs/baton/${task.id}`).trim()
  return [
    ...fsckProblems(ledgerDir),
    ...(head === commit ? [] : [`the ref of the task is at ${head}, and the log at ${commit}`]),
    ...(await commitProblems(task, git)),
    ...differences(filesOfCommit(ledgerDir, commit), filesOfFolder(workdir), { ledgerDir, workdir }),
  ]
}

const plainEnv = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', HOME: '/nonexistent' }

function runGit(dir: string, args: readonly string[], env: Record<string, string> = {}): Buffer {
  return execFileSync('git', args, { env: { ...plainEnv, GIT_DIR: dir, ...env }, maxBuffer: 2 ** 28, stdio: ['ignore', 'pipe', 'pipe'] })
}

function fsckProblems(dir: string): string[] {
  const args = ['fsck', '--strict', '--full', '--no-progress', '--no-dangling']
  const { stdout, stderr } = spawnSync('git', args, { env: { ...plainEnv, GIT_DIR: dir }, encoding: 'utf8' })
  const lines = `${stdout}${stderr}`.split('\n').filter((line) => line !== '' && !line.startsWith('notice:'))
  return lines.filter((line) => !workspaceNames.test(line)).map((line) => `git fsck: ${line}`)
}

/** Each commit that the log tells of, and no other, by the actor that it names. */
async function commitProblems(task: Task, git: (...args: string[]) => string): Promise<string[]> {
  const authors = new Map<string, string>()
  for await (const event of task.events()) {
    if (isKnown(event) && event.type === 'checkpoint.created' && !authors.has(event.data.commit)) {
      authors.set(event.data.commit, addressOf(event.actor))
    }
    if (event.seq >= task.summary.seq) break
  }
  const format = ['%H', '%ae', '%(trailers:key=Baton-Task,valueonly,separator=)', '%(trailers:key=Baton-Events,valueonly,separator=)', '%s']
  const log = git('log', '--reverse', `--format=${format.join('%x00')}`, `refs/baton/${task.id}`)
  return log
    .trimEnd()
    .split('\n')
    .flatMap((line, index) => {
      const [commit = '', email, taskId, events = '', subject = ''] = line.split('\0')
      const author = authors.get(commit)
      return [
        ...(author === undefined ? [`the log does not tell of ${commit} (${subject})`] : []),
        ...(author !== undefined && author !== email ? [`${commit} (${subject}) is by ${email}, in the log by ${author}`] : []),
        ...(taskId === task.id ? [] : [`${commit} (${subject}) is of the task "${taskId}"`]),
        ...(index === 0 || isRange(events) ? [] : [`${commit} (${subject}) names the events "${events}"`]),
        ...(subject.trim() === '' ? [`${commit} has no subject`] : []),
      ]
    })
}

function isRange(text: string): boolean {
  const [, from, to] = /^(\d+)\.\.(\d+)$/.exec(text) ?? []
  return from !== undefined && Number(from) <= Number(to)
}

function addressOf({ kind, id }: Actor): string {
  return `${id}@${kind}.baton`
}

/** Mode and object id by path, whose bytes stand as Latin-1. */
type Listing = ReadonlyMap<string, string>

function filesOfCommit(dir: string, commit: string): Listing {
  const lines = runGit(dir, ['ls-tree', '-r', '-z', commit]).toString('latin1').split('\0').filter(Boolean)
  return new Map(lines.map((line) => [line.slice(line.indexOf('\t') + 1), `${line.slice(0, 6)} ${line.split(/[ \t]/)[2]}`]))
}

/** As git itself would add them to a new repository. */
function filesOfFolder(workdir: string): Listing {
  const dir = mkdtempSync(join(tmpdir(), 'baton-listing-'))
  try {
    // Protection is for those who check a repository out.
    const env = { GIT_WORK_TREE: workdir, GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: 'core.protectNTFS', GIT_CONFIG_VALUE_0: 'false' }
    runGit(dir, ['init', '-q', '--bare'])
    runGit(dir, ['-c', 'core.bare=false', '-c', 'advice.addEmbeddedRepo=false', 'add', '-A', workdir], env)
    const lines = runGit(dir, ['-c', 'core.bare=false', 'ls-files', '-s', '-z'], env).toString('latin1').split('\0').filter(Boolean)
    return new Map(lines.map((line) => [line.slice(line.indexOf('\t') + 1), line.slice(0, 47)]))
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function differences(kept: Listing, there: Listing, { ledgerDir, workdir }: { ledgerDir: string; workdir: string }): string[] {
  const paths = [...new Set([...kept.keys(), ...there.keys()])].sort()
  return paths.flatMap((path) => {
    const [was, is] = [kept.get(path), there.get(path)]
    if (was === is || (was !== undefined && standsFor(runGit(ledgerDir, ['cat-file', 'blob', was.slice(7)]), workdir, path))) return []
    return [`${JSON.stringify(path)} is ${was ?? 'absent'} in the ledger, and ${is ?? 'absent'} in the sandbox`]
  })
}

/** Of a large file the ledger keeps a Git LFS pointer. */
function standsFor(blob: Buffer, workdir: string, path: string): boolean {
  const sha256 = isPointer(blob) ? /^oid sha256:([0-9a-f]{64})$/m.exec(blob.toString('latin1'))?.[1] : undefined
  const file = Buffer.concat([Buffer.from(`${workdir}/`), Buffer.from(path, 'latin1')])
  return sha256 !== undefined && existsSync(file) && createHash('sha256').update(readFileSync(file)).digest('hex') === sha256
}

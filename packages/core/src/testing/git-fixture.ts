import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import type { WorkFile, WorkStage } from '../workspace/commit-work.ts'

/** Content of files by path; `null` takes one away, `->` makes a link, `!` before the content lets it be run. */
export type Files = Readonly<Record<string, string | Uint8Array | null>>

/** A real repository in a temporary folder, for tests. */
export interface GitFixture {
  readonly root: string
  /** Runs git there, with an identity and without a person's own settings. Returns what it prints, trimmed at the end. */
  git(...args: string[]): string
  write(files: Files): void
  read(path: string): string
  /** What `git status` says, a line each. */
  status(): string[]
  remove(): void
}

const person = {
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.org',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.org',
}

/** Whether real git is installed. */
export const hasGit = ((): boolean => {
  try {
    execFileSync('git', ['--version'])
    return true
  } catch {
    return false
  }
})()

/** Makes a repository with one commit of these files; without files, one without any commit. */
export function makeRepository(files?: Files, init: readonly string[] = []): GitFixture {
  const fixture = atFolder(realpathSync(mkdtempSync(join(tmpdir(), 'baton-repository-'))))
  fixture.git('init', '-q', '-b', 'main', ...init)
  fixture.git('config', 'user.name', 'Ada')
  fixture.git('config', 'user.email', 'ada@example.org')
  if (files) {
    fixture.write(files)
    fixture.git('add', '-A', '-f')
    fixture.git('commit', '-q', '--allow-empty', '-m', 'first')
  }
  return fixture
}

/** The same for a folder that is a work tree already. */
export function atFolder(root: string): GitFixture {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 2 ** 28,
      env: { ...process.env, ...person, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' },
    }).trimEnd()
  return {
    root,
    git,
    write: (files) => writeFiles(root, files),
    read: (path) => readFileSync(join(root, path), 'utf8'),
    status: () => git('status', '--porcelain', '-uall').split('\n').filter(Boolean),
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}

function writeFiles(root: string, files: Files): void {
  for (const [path, content] of Object.entries(files)) {
    const full = join(root, path)
    rmSync(full, { force: true })
    if (content === null) continue
    mkdirSync(dirname(full), { recursive: true })
    const { mode, bytes } = parts(content)
    if (mode === '120000') symlinkSync(bytes.toString(), full)
    else writeFileSync(full, bytes)
    if (mode === '100755') chmodSync(full, 0o755)
  }
}

function parts(content: string | Uint8Array): { mode: WorkFile['mode']; bytes: Buffer } {
  if (typeof content !== 'string') return { mode: '100644', bytes: Buffer.from(content) }
  if (content.startsWith('->')) return { mode: '120000', bytes: Buffer.from(content.slice(2)) }
  if (content.startsWith('!')) return { mode: '100755', bytes: Buffer.from(content.slice(1)) }
  return { mode: '100644', bytes: Buffer.from(content) }
}

/** Files as `commitWork` takes them. */
export function workFiles(files: Files): Map<string, WorkFile | undefined> {
  return new Map(
    Object.entries(files).map(([path, content]) => {
      if (content === null) return [path, undefined]
      const { mode, bytes } = parts(content)
      return [path, { mode, content: async () => bytes }]
    }),
  )
}

/** The base for `commitWork`: what stands in a folder now. */
export function copyOf(root: string): Map<string, WorkFile> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory())
  const paths = entries.map((entry) => relative(root, join(entry.parentPath, entry.name))).filter((path) => !/(^|\/)\.git(\/|$)/.test(path))
  return new Map(paths.map((path) => [path, copiedFile(join(root, path))]))
}

function copiedFile(path: string): WorkFile {
  const stats = lstatSync(path)
  const bytes = stats.isSymbolicLink() ? readlinkSync(path, 'buffer') : readFileSync(path)
  const mode = stats.isSymbolicLink() ? '120000' : (stats.mode & 0o100) !== 0 ? '100755' : '100644'
  return { mode, content: async () => bytes }
}

/** A stage of work by an agent. */
export function byAgent(files: Files, message = 'Work of the agent'): WorkStage {
  const author = { name: 'Agent Smith', email: 'agent@example.org' }
  return { actor: { kind: 'agent', id: 'smith' }, author, message, files: workFiles(files) }
}

/** A stage of work by a person. */
export function byHuman(files: Files, message = 'Work of a person'): WorkStage {
  const author = { name: 'Bob', email: 'bob@example.org' }
  return { actor: { kind: 'human', id: 'bob' }, author, message, files: workFiles(files) }
}

import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkWorkspace, ignoredBy, listWorkspaceFiles, readInstructions } from './workspace-files.ts'

let root: string
const path = process.env.PATH

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'baton-files-'))
})
afterEach(() => {
  process.env.PATH = path
  rmSync(root, { recursive: true, force: true })
})

function write(files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), content)
  }
}

const hasGit = ((): boolean => {
  try {
    execFileSync('git', ['--version'])
    return true
  } catch {
    return false
  }
})()
const required = (process.env.BATON_REQUIRE ?? '').split(',').includes('git')
const git = (...args: string[]): void => {
  const identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-c', 'init.defaultBranch=main']
  execFileSync('git', [...identity, ...args], { cwd: root, stdio: 'pipe' })
}

/** A repository with tracked, untracked, ignored and tracked-though-ignored files. */
function makeRepository(): void {
  write({
    '.gitignore': 'dist/\n*.log\n!keep.log\n/only-here\n',
    'src/a.ts': 'a',
    'src/.gitignore': 'generated/\n!important.log\n',
    'forced.log': 'tracked though ignored',
  })
  git('init', '-q')
  git('add', '-f', '.')
  git('commit', '-qm', 'all')
  write({
    'untracked.txt': 'u',
    'with space/ünïcödé.txt': 'n',
    'noise.log': 'ignored',
    'keep.log': 'not ignored',
    'src/important.log': 'not ignored',
    'src/generated/x.ts': 'ignored',
    'dist/out.js': 'ignored',
    'deep/dist/out.js': 'ignored',
    'only-here': 'ignored',
    'deep/only-here': 'not ignored',
  })
  symlinkSync('src/a.ts', join(root, 'link'))
  rmSync(join(root, 'src/a.ts'))
  write({ 'src/b.ts': 'b' })
}
const expected = [
  ...['.gitignore', 'deep/only-here', 'forced.log', 'keep.log', 'link', 'src/.gitignore', 'src/b.ts', 'src/important.log'],
  ...['untracked.txt', 'with space/ünïcödé.txt'],
]

describe.skipIf(!hasGit && !required)('listWorkspaceFiles in a git repository', () => {
  it('lists tracked and untracked files, without what git ignores and without .git', async () => {
    makeRepository()
    expect([...(await listWorkspaceFiles(root))].sort()).toEqual(expected)
  })

  it('lists the same without the git command line', async () => {
    makeRepository()
    process.env.PATH = join(root, 'no-such-folder')
    expect([...(await listWorkspaceFiles(root))].sort()).toEqual(expected)
  })

  it('lists what is below a folder of a repository, by its names there', async () => {
    makeRepository()
    expect([...(await listWorkspaceFiles(join(root, 'src')))].sort()).toEqual(['.gitignore', 'b.ts', 'important.log'])
  })

  it('lists the files of a folder that the repository around it ignores', async () => {
    makeRepository()
    expect(await listWorkspaceFiles(join(root, 'dist'))).toEqual(['out.js'])
  })

  it('runs nothing that the repository’s own configuration asks for', async () => {
    makeRepository()
    const trace = join(root, 'it-ran')
    writeFileSync(join(root, '.git/trap'), `#!/bin/sh\ntouch '${trace}'\n`)
    chmodSync(join(root, '.git/trap'), 0o755)
    const trap = join(root, '.git/trap')
    git('config', 'core.fsmonitor', trap)
    git('config', 'core.hooksPath', join(root, '.git/traps'))
    git('config', 'filter.trap.clean', trap)
    git('config', 'core.pager', trap)
    mkdirSync(join(root, '.git/traps'))
    for (const hook of ['post-index-change', 'fsmonitor-watchman', 'post-checkout']) symlinkSync(trap, join(root, '.git/traps', hook))
    write({ '.gitattributes': '* filter=trap\n' })
    // The trap works: git does run it where nobody keeps it from that.
    execFileSync('git', ['status'], { cwd: root, stdio: 'pipe' })
    expect(existsSync(trace)).toBe(true)
    rmSync(trace)
    expect(await listWorkspaceFiles(root)).toContain('forced.log')
    expect(existsSync(trace)).toBe(false)
  })
})

describe('listWorkspaceFiles without a repository', () => {
  it('lists all files and links, and heeds .gitignore', async () => {
    write({ 'a.txt': 'a', 'b/c.txt': 'c', '.gitignore': 'secret\n', secret: 's', 'b/.git/config': 'not ours' })
    mkdirSync(join(root, 'empty'))
    symlinkSync('/nowhere', join(root, 'dangling'))
    expect([...(await listWorkspaceFiles(root))].sort()).toEqual(['.gitignore', 'a.txt', 'b/c.txt', 'dangling'])
  })

  it('lists nothing in an empty folder', async () => {
    expect(await listWorkspaceFiles(root)).toEqual([])
  })
})

describe('ignoredBy', () => {
  it('goes by the innermost .gitignore that says anything', () => {
    const ignored = ignoredBy([
      { path: '.gitignore', text: '*.log\nbuild/\n' },
      { path: 'src/.gitignore', text: '!kept.log\ntmp\n' },
    ])
    const paths = ['a.log', 'src/a.log', 'src/kept.log', 'build/x', 'src/build/kept.log', 'src/tmp/x', 'tmp/x', 'src/a.ts']
    expect(paths.filter(ignored)).toEqual(['a.log', 'src/a.log', 'build/x', 'src/build/kept.log', 'src/tmp/x'])
  })
})

describe('checkWorkspace', () => {
  it('takes a folder, and rejects anything else with INVALID_WORKSPACE', async () => {
    write({ file: '' })
    await checkWorkspace(root)
    for (const wrong of ['file', 'missing'])
      await expect(checkWorkspace(join(root, wrong))).rejects.toThrow(expect.objectContaining({ code: 'INVALID_WORKSPACE' }))
  })
})

describe('readInstructions', () => {
  it('reads AGENTS.md, cut where it is long and never within a character', async () => {
    expect(await readInstructions(root)).toEqual([])
    write({ 'AGENTS.md': 'Use tabs.' })
    expect(await readInstructions(root)).toEqual([{ source: 'AGENTS.md', text: 'Use tabs.' }])
    write({ 'AGENTS.md': `x${'é'.repeat(20_000)}` })
    const [cut] = await readInstructions(root)
    expect(cut).toMatchObject({ truncated: true })
    expect(cut?.text).toMatch(/^xé+$/)
    expect(Buffer.byteLength(cut?.text ?? '')).toBeLessThanOrEqual(32 * 1024)
  })

  it('follows a link inside the workspace, and none that leads out of it', async () => {
    write({ 'docs/agents.md': 'Inside.' })
    symlinkSync('docs/agents.md', join(root, 'AGENTS.md'))
    expect(await readInstructions(root)).toMatchObject([{ text: 'Inside.' }])
    rmSync(join(root, 'AGENTS.md'))
    symlinkSync('/etc/passwd', join(root, 'AGENTS.md'))
    expect(await readInstructions(root)).toEqual([])
  })
})

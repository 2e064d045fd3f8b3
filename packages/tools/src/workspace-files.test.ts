import { execFileSync } from 'node:child_process'
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'
import { workspaceFiles } from './workspace-files.ts'

const signal = new AbortController().signal
let task: TestingContext
beforeEach(async () => {
  task = await createTestingContext()
})
afterEach(() => task.close())

const filesOf = async (path = '.') => {
  const { entries } = await workspaceFiles(task.sandbox, path, signal)
  return entries.filter((entry) => entry.kind !== 'folder').map((entry) => entry.path)
}

/** What git itself takes for part of the work tree. */
function gitFiles(dir: string): string[] {
  const env = { PATH: process.env.PATH, HOME: dir, GIT_CONFIG_NOSYSTEM: '1' }
  const output = execFileSync('git', ['ls-files', '-z', '--others', '--cached', '--exclude-standard'], { cwd: dir, env })
  return output.toString().split('\0').filter(Boolean)
}

describe('workspaceFiles', () => {
  it('sees what git sees, for any nesting of ignore files', async () => {
    const name = fc.constantFrom('a', 'b', 'build', 'x.log', 'y.ts', '.env')
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'))
    const pattern = fc
      .tuple(
        fc.constantFrom('', '', '!', '/'),
        fc.constantFrom('a', 'b', 'build', '*.log', 'x.*', '**/b', 'a/b', 'a/**', 'a/*', 'build/*', '[xy].ts', '*'),
        fc.constantFrom('', '/'),
      )
      .map((parts) => parts.join(''))
    const rules = fc.record({ folder: fc.oneof(fc.constant(''), path), lines: fc.array(pattern, { minLength: 1, maxLength: 3 }) })
    execFileSync('git', ['init', '-q'], { cwd: task.dir })
    let compared = 0
    await fc.assert(
      fc.asyncProperty(fc.array(path, { minLength: 1, maxLength: 12 }), fc.array(rules, { maxLength: 3 }), async (paths, ignores) => {
        for (const entry of ['a', 'b', 'build', 'x.log', 'y.ts', '.env', '.gitignore'])
          await rm(join(task.dir, entry), { recursive: true, force: true })
        for (const entry of paths) await place(join(task.dir, entry), '')
        for (const { folder, lines } of ignores) await place(join(task.dir, folder, '.gitignore'), `${lines.join('\n')}\n`)
        expect((await filesOf()).sort()).toEqual(gitFiles(task.dir).sort())
        compared++
      }),
      { numRuns: 150 },
    )
    expect(compared).toBe(150)
  })

  it('goes by .git/info/exclude, and by ignore files where there is no repository', async () => {
    await task.put('.gitignore', 'dist/\n')
    await task.put('dist/out.js', '')
    await task.put('src/a.ts', '')
    await task.put('notes.txt', '')
    await task.put('.git/info/exclude', 'notes.txt\n')
    expect(await filesOf()).toEqual(['.gitignore', 'src/a.ts'])
  })

  it('enters an ignored folder that a deeper file takes back', async () => {
    await task.put('.gitignore', 'build/\n')
    await task.put('build/out.js', '')
    await task.put('pkg/.gitignore', '!build/\n')
    await task.put('pkg/build/kept.js', '')
    expect(await filesOf()).toEqual(['.gitignore', 'pkg/.gitignore', 'pkg/build/kept.js'])
  })

  it('shows all of an ignored folder that is asked for by name', async () => {
    await task.put('.gitignore', 'node_modules\n')
    await task.put('node_modules/x/.gitignore', '*\n')
    await task.put('node_modules/x/index.js', '')
    const found = await workspaceFiles(task.sandbox, 'node_modules/x', signal)
    expect(found.filtered).toBe(false)
    expect(found.entries.map(({ path }) => path)).toEqual(['node_modules/x/.gitignore', 'node_modules/x/index.js'])
  })

  it('lists links without following them', async () => {
    await task.put('real/file', '')
    await symlink('real', join(task.dir, 'link'))
    await symlink('/etc', join(task.dir, 'outside'))
    const { entries } = await workspaceFiles(task.sandbox, '.', signal)
    expect(entries.map(({ path, kind }) => `${path} ${kind}`)).toEqual(['link link', 'outside link', 'real folder', 'real/file file'])
  })
})

async function place(path: string, content: string): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, content)
  } catch {
    // A file where another path needs a folder, or the other way round: then that one is not part of the case.
  }
}

import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createListTool } from './list-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'

const list = createListTool()
let task: TestingContext
beforeEach(async () => {
  task = await createTestingContext()
})
afterEach(() => task.close())

describe('list', () => {
  it('shows a tree to a depth, and counts what is below', async () => {
    for (const path of ['README.md', 'src/index.ts', 'src/deep/a.ts', 'src/deep/er/b.ts', '.github/ci.yml']) await task.put(path, '')
    await mkdir(join(task.dir, 'empty'))
    const text = async (input: object) => (await task.call(list, input)).text
    expect(await text({})).toBe(
      `. (5 files)
  .github/
    ci.yml
  README.md
  empty/ (0 files)
  src/
    deep/ (2 files)
    index.ts`,
    )
    expect(await text({ path: 'src', depth: 1 })).toBe('src/ (3 files)\n  deep/ (2 files)\n  index.ts')
    expect(await text({ path: `${task.dir}/src/deep`, depth: 9 })).toBe('src/deep/ (2 files)\n  a.ts\n  er/\n    b.ts')
  })

  it('leaves out what git ignores, unless it is asked for', async () => {
    await task.put('.gitignore', 'out\n')
    await task.put('out/x.js', '')
    await task.put('a.ts', '')
    expect((await task.call(list, {})).text).toBe('. (2 files)\n  .gitignore\n  a.ts')
    expect((await task.call(list, { path: 'out' })).text).toBe(
      'out/ (1 file)\n  x.js\n[git ignores this folder; everything in it is counted]',
    )
  })

  it('stays bounded, without a large folder hiding its neighbours', async () => {
    for (let at = 0; at < 300; at++) await task.put(`aaa/file-${at}`, '')
    for (let at = 0; at < 30; at++) await task.put(`b${at}/${'deep/'.repeat(3)}file`, '')
    const { text } = await task.call(list, { depth: 3 })
    expect(text).toContain('    … 200 more')
    for (let at = 0; at < 30; at++) expect(text).toContain(`b${at}/`)
    const many = async () => {
      for (let folder = 0; folder < 20; folder++) for (let at = 0; at < 50; at++) await task.put(`many/${folder}/${at}`, '')
      return (await task.call(list, { path: 'many' })).text.split('\n')
    }
    const lines = await many()
    expect(lines[0]).toBe('many/ (1,000 files)')
    expect(lines.length).toBeLessThan(450)
    // Nothing is left out unsaid: what is shown and what is counted as left out is all there is.
    const shown = lines.filter((line) => /^ {4}\d+$/.test(line)).length
    const left = lines
      .slice(1)
      .reduce((sum, line) => sum + Number(/… (\d+) more/.exec(line)?.[1] ?? /\((\d+) files\)/.exec(line)?.[1] ?? 0), 0)
    expect(shown + left).toBe(1000)
  })

  it('shows names with odd characters so that they can be given back, and links as links', async () => {
    await task.put('new\nline', '')
    await task.put(' space ', '')
    await symlink('/etc', join(task.dir, 'link'))
    expect((await task.call(list, {})).text).toBe('. (3 files)\n  " space "\n  link (symbolic link)\n  "new\\nline"')
  })

  it('fails for files, links, what is not there and paths that lead out', async () => {
    await task.put('a.txt', '')
    await symlink('/etc', join(task.dir, 'link'))
    const text = async (path: string) => {
      const result = await task.call(list, { path })
      expect(result.failed).toBe(true)
      return result.text
    }
    expect(await text('a.txt')).toBe('a.txt is a file, not a folder.')
    expect(await text('link')).toBe('link is a symbolic link, not a folder.')
    expect(await text('nothing')).toBe('There is no nothing.')
    for (const path of ['..', '/etc', 'link/x']) expect(await text(path)).toContain('PATH_OUTSIDE_WORKDIR')
  })
})

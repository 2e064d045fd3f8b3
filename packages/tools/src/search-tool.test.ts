import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createSearchTool } from './search-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext, lacks } from './testing-context.ts'

const search = createSearchTool()

function programs(...names: string[]): string[] {
  return names.map((name) => {
    try {
      return execFileSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).trim()
    } catch {
      return ''
    }
  })
}

const [rg = '', grep = '', busybox = '', xargs = '', sh = ''] = programs('rg', 'grep', 'busybox', 'xargs', 'sh')

/** Each engine is met in a sandbox whose PATH holds nothing else. */
const engines = [
  { name: 'ripgrep', there: rg !== '', links: { rg, xargs, sh } },
  { name: 'grep', there: grep !== '', links: { grep, xargs, sh } },
  { name: 'busybox', there: busybox !== '', links: { grep: busybox, xargs: busybox, sh: busybox } },
]

describe.each(engines)('search with $name', ({ name, there, links }) => {
  const test = it.skipIf(lacks(name, there))
  let bin: string
  let task: TestingContext
  beforeAll(async () => {
    bin = await mkdtemp(join(tmpdir(), 'baton-bin-'))
    for (const [link, target] of Object.entries(links)) await symlink(target || '/nonexistent', join(bin, link))
  })
  afterAll(() => rm(bin, { recursive: true, force: true }))
  beforeEach(async () => {
    task = await createTestingContext({ env: { PATH: bin } })
  })
  afterEach(() => task.close())
  const text = async (input: object) => (await task.call(search, input)).text

  test('runs the engine that is meant', async () => {
    await task.put('a', 'x')
    await task.call(search, { pattern: 'x' })
    const engine = task.memory.get('@baton-sdk/tools/search-engine') as { engine: { name: string; separates: boolean } }
    expect(engine.engine).toMatchObject(name === 'ripgrep' ? { name: 'ripgrep' } : { name: 'grep', separates: name === 'grep' })
  })

  test('shows path, line and text, in order, without what git ignores', async () => {
    await task.put('.gitignore', 'dist/\n')
    await task.put('dist/x.ts', 'needle\n')
    await task.put('src/b.ts', 'one\n  const needle = 1\nneedle again\n')
    await task.put('src/a.ts', 'a needle\r\n')
    await task.put('.env.example', 'needle=1\n')
    await task.put('none.ts', 'nothing\n')
    expect(await text({ pattern: 'needle' })).toBe(
      '.env.example:1: needle=1\nsrc/a.ts:1: a needle\nsrc/b.ts:2:   const needle = 1\nsrc/b.ts:3: needle again',
    )
    expect(await text({ pattern: 'needle', path: 'dist' })).toBe('dist/x.ts:1: needle')
    expect(await text({ pattern: 'needle', path: 'src/a.ts' })).toBe('src/a.ts:1: a needle')
    expect(await text({ pattern: 'needle', path: `${task.dir}/src`, glob: 'a.*' })).toBe('src/a.ts:1: a needle')
    expect(await text({ pattern: 'NEEDLE', path: 'src/a.ts' })).toBe('No match in 1 file.')
    expect(await text({ pattern: 'NEEDLE', path: 'src/a.ts', ignoreCase: true })).toBe('src/a.ts:1: a needle')
  })

  test('goes by globs as in .gitignore, with braces', async () => {
    for (const path of ['a.ts', 'b.tsx', 'c.js', 'x/d.ts', 'x/d.test.ts', 'x/y/e.ts']) await task.put(path, 'hit\n')
    const files = async (glob: string) => (await text({ pattern: 'hit', glob })).split('\n').map((line) => line.split(':')[0])
    expect(await files('*.ts')).toEqual(['a.ts', 'x/d.test.ts', 'x/d.ts', 'x/y/e.ts'])
    expect(await files('*.{ts,tsx}')).toEqual(['a.ts', 'b.tsx', 'x/d.test.ts', 'x/d.ts', 'x/y/e.ts'])
    expect(await files('x/**/*.ts')).toEqual(['x/d.test.ts', 'x/d.ts', 'x/y/e.ts'])
    expect(await files('!*.ts')).toEqual(['b.tsx', 'c.js'])
    expect(await text({ pattern: 'hit', glob: '*.py' })).toBe('There is no file to search that fits *.py in ..')
  })

  test('takes a plain pattern as plain text, whatever is in it', async () => {
    const odd = ['a.*b(c', '-e', '--files', '-', '$(touch pwned)', "'; touch pwned; '", '\\d', 'ünï', '"', '[', '{{x}}', '#!']
    for (const [at, pattern] of odd.entries()) await task.put(`f${at}`, `before ${pattern} after\nno match here: aXXbc\n`)
    for (const [at, pattern] of odd.entries()) expect((await text({ pattern })).split('\n')).toContain(`f${at}:1: before ${pattern} after`)
    expect(await text({ pattern: 'a.*b(c' })).toBe('f0:1: before a.*b(c after')
    await expect(task.get('pwned')).rejects.toThrow('ENOENT')
  })

  test('takes a regular expression in the dialect that models write', async () => {
    await task.put('a.ts', 'export function foo1() {}\nconst bar = [1, 2]\nimport x from "y"\n\tindented\nfoo-bar^]\n')
    const lines = async (pattern: string) => (await text({ pattern, regex: true })).split('\n').map((line) => line.split(':')[1])
    expect(await lines('function\\s+\\w+\\d\\(')).toEqual(['1'])
    expect(await lines('^(?:const|import) ')).toEqual(['2', '3'])
    expect(await lines('\\[\\d, \\d\\]')).toEqual(['2'])
    expect(await lines('f.*?o')).toEqual(['1', '3', '5'])
    expect(await lines('^\\t')).toEqual(['4'])
    expect(await lines('[\\w\\-]+[\\^\\]]+$')).toEqual(['2', '5'])
    expect(await lines('-bar')).toEqual(['5'])
    expect(await lines('o{2}')).toEqual(['1', '5'])
  })

  test('says what is wrong with a regular expression', async () => {
    await task.put('a', 'x')
    const result = await task.call(search, { pattern: '(unclosed', regex: true })
    expect(result.failed).toBe(true)
    expect(result.text).toMatch(/^The pattern is no valid regular expression for (ripgrep|grep): \S/)
    expect(await task.call(search, { pattern: 'a\nb' })).toMatchObject({ failed: true, text: expect.stringContaining('line break') })
  })

  test('copes with names of any kind', async () => {
    const names = ['with space', "quo'te", 'dou"ble', '-dash', 'a:1:b', 'ünï😀', '$(x)', 'back\\slash', '*', '~', 'a b/-c d']
    for (const path of names) await task.put(path, 'hit\n')
    await task.put('new\nline', 'hit\n')
    const found = (await text({ pattern: 'hit' })).split('\n')
    expect(found.slice(0, -1).sort()).toEqual(names.map((path) => `${path}:1: hit`).sort())
    expect(found.at(-1)).toBe('[1 file not searched, because of the characters in the name]')
  })

  test('stops when there is enough, and says so', async () => {
    for (let at = 0; at < 20; at++) await task.put(`f${String(at).padStart(2, '0')}`, 'hit\n'.repeat(1000))
    const lines = (await text({ pattern: 'hit', maxResults: 5 })).split('\n')
    expect(lines).toEqual(
      [1, 2, 3, 4, 5]
        .map((line) => `f00:${line}: hit`)
        .concat('[Stopped after 5 matches; there are more. Narrow it by path, glob or pattern]'),
    )
    await task.put('exact', 'unique\n'.repeat(5))
    expect((await text({ pattern: 'unique', maxResults: 5 })).split('\n')).toHaveLength(5)
  })

  test('stays bounded with lines and outputs of any length', async () => {
    await task.put('min.js', `${'hit '.repeat(500_000)}\n`)
    expect(await text({ pattern: 'hit' })).toMatch(/^min\.js:1: (hit ){100}… \[\d+ more characters\]$/)
    for (let at = 0; at < 200; at++) await task.put(`wide/${at}`, `${'hit '.repeat(90)}\n`)
    const long = await text({ pattern: 'hit', path: 'wide', maxResults: 1000 })
    expect(Buffer.byteLength(long)).toBeLessThan(16 * 1024)
    expect(long).toMatch(/\[\d+ further matches left out/)
  })

  test('leaves out binary files, and finds text that is no UTF-8', async () => {
    await task.put('bin', Buffer.concat([Buffer.from('hit\0hit\n'), Buffer.alloc(100)]))
    await task.put('latin1', Buffer.from('gr\xfcn hit\n', 'latin1'))
    expect(await text({ pattern: 'hit' })).toBe('latin1:1: gr\ufffdn hit')
  })

  test('searches many files without a limit on the command line', async () => {
    const { writeFile } = await import('node:fs/promises')
    const folder = 'a-folder-with-a-rather-long-name-so-that-the-list-of-files-grows'
    await mkdir(join(task.dir, folder))
    await Promise.all(
      Array.from({ length: 4000 }, (_, at) => writeFile(join(task.dir, folder, `file-number-${at}`), at === 3999 ? 'needle\n' : 'hay\n')),
    )
    expect(await text({ pattern: 'needle' })).toBe(`${folder}/file-number-3999:1: needle`)
    expect(await text({ pattern: 'nothing' })).toBe('No match in 4,000 files.')
  })

  test('never reads outside, over a link or by path', async () => {
    await task.put('../secret/file', 'needle\n')
    await symlink('../secret', join(task.dir, 'out'))
    await symlink('../secret/file', join(task.dir, 'out-file'))
    await task.put('a', 'x')
    expect(await text({ pattern: 'needle' })).toBe('No match in 1 file.')
    for (const path of ['..', '../secret', '/etc', 'out/file']) {
      expect(await task.call(search, { pattern: 'needle', path })).toMatchObject({
        failed: true,
        text: expect.stringContaining('PATH_OUTSIDE_WORKDIR'),
      })
    }
    expect(await task.call(search, { pattern: 'needle', path: 'out' })).toMatchObject({
      failed: true,
      text: expect.stringContaining('symbolic link'),
    })
    expect(await task.call(search, { pattern: 'needle', path: 'none' })).toMatchObject({ failed: true, text: 'There is no none.' })
  })

  test('ends when it is aborted', async () => {
    await task.put('a', 'hit\n')
    await expect(task.call(search, { pattern: 'hit' }, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  })
})

describe('search', () => {
  it('names the files that it found as sources, and the folder where it cannot', async () => {
    const input = { pattern: 'x', regex: false, ignoreCase: false, maxResults: 1 }
    expect(search.sources?.(input, { text: '', data: { files: ['secrets/key.pem'] } })).toEqual(['file:secrets/key.pem'])
    expect(search.sources?.({ ...input, path: './src/' }, { text: '', failed: true })).toEqual(['file:src'])
  })

  it('says so where the sandbox has nothing to search with', async () => {
    const bin = await mkdtemp(join(tmpdir(), 'baton-bin-'))
    await symlink(sh, join(bin, 'sh'))
    const task = await createTestingContext({ env: { PATH: bin } })
    await task.put('a', 'x')
    expect(await task.call(search, { pattern: 'x' })).toMatchObject({
      failed: true,
      text: expect.stringContaining('neither ripgrep nor grep'),
    })
    await task.close()
    await rm(bin, { recursive: true })
  })
})

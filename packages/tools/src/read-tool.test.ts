import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { ToolOutput } from '@baton-sdk/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createReadTool } from './read-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'

const read = createReadTool()
let task: TestingContext
beforeEach(async () => {
  task = await createTestingContext()
})
afterEach(() => task.close())

describe('read', () => {
  it('shows numbered lines, all or a range of them', async () => {
    await task.put('a.txt', 'one\ntwo\nthree\n')
    expect((await task.call(read, { path: 'a.txt' })).text).toBe('1\tone\n2\ttwo\n3\tthree')
    expect((await task.call(read, { path: 'a.txt', startLine: 2, endLine: 2 })).text).toBe(
      '2\ttwo\n[Lines 2 to 2 of 3; go on with startLine 3]',
    )
    expect((await task.call(read, { path: 'a.txt', startLine: 3 })).text).toBe('3\tthree\n[Lines 3 to 3 of 3]')
    expect(await task.call(read, { path: 'a.txt', startLine: 4 })).toMatchObject({ failed: true, text: 'a.txt has only 3 lines.' })
    expect(await task.call(read, { path: 'a.txt', startLine: 3, endLine: 2 })).toMatchObject({ failed: true })
  })

  it('shows as much as fits, and says where to go on, until all was seen', async () => {
    const lines = Array.from({ length: 5000 }, (_, at) => `line ${at + 1} ${'x'.repeat(at % 50)}`)
    await task.put('long.txt', lines.join('\n'))
    const seen: string[] = []
    for (let startLine: number | undefined = 1; startLine !== undefined; ) {
      const result: ToolOutput = await task.call(read, { path: 'long.txt', startLine })
      const text: string = result.text
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(16 * 1024)
      seen.push(
        ...text
          .split('\n')
          .filter((line) => !line.startsWith('['))
          .map((line) => line.slice(line.indexOf('\t') + 1)),
      )
      const next = /go on with startLine (\d+)\]/.exec(text)?.[1]
      startLine = next === undefined ? undefined : Number(next)
    }
    expect(seen).toEqual(lines)
  })

  it('cuts long lines, and says by how much', async () => {
    await task.put('min.js', `${'x'.repeat(10_000)}\nshort\n`)
    expect((await task.call(read, { path: 'min.js' })).text).toBe(`1\t${'x'.repeat(2000)}… [8000 more characters]\n2\tshort`)
  })

  it('reads a part of a file that is too large to hold', async () => {
    await task.put('huge.log', 'a line of text that goes on for a while\n'.repeat(300_000))
    const { text } = await task.call(read, { path: 'huge.log', startLine: 250_000, endLine: 250_001 })
    expect(text).toBe(
      '250000\ta line of text that goes on for a while\n250001\ta line of text that goes on for a while\n' +
        '[Lines 250000 to 250001 of a file larger than 8 MiB; go on with startLine 250002, or use search]',
    )
    expect(await task.call(read, { path: 'huge.log', startLine: 300_001 })).toMatchObject({
      failed: true,
      text: 'huge.log has no line 300001.',
    })
  })

  it('says what is special about a file', async () => {
    await task.put('empty', '')
    await task.put('bin', new Uint8Array([0x89, 0x50, 0, 1]))
    await task.put('latin1', Buffer.from('gr\xfcn\n', 'latin1'))
    await task.put('dos', 'a\r\nb\r\n')
    await task.put('bom', '\ufefftext\n')
    const text = async (path: string) => (await task.call(read, { path })).text
    expect(await text('empty')).toBe('(empty file)')
    expect(await text('bin')).toBe('bin is binary (4 bytes); it is not shown.')
    expect(await text('latin1')).toBe('1\tgr\ufffdn\n[Not valid UTF-8: other bytes show as \ufffd]')
    expect(await text('dos')).toBe('1\ta\n2\tb\n[Line endings: CRLF; edit keeps them]')
    expect(await text('bom')).toBe('1\ttext')
  })

  it('names similar files when there is none', async () => {
    await task.put('src/settings.ts', '')
    await task.put('src/index.ts', '')
    await task.put('lib/helper.ts', '')
    const text = async (path: string) => (await task.call(read, { path })).text
    expect(await text('src/setings.ts')).toBe('There is no src/setings.ts. Did you mean src/settings.ts?')
    expect(await text('src/helper.ts')).toBe('There is no src/helper.ts. Did you mean lib/helper.ts?')
    expect(await text('src/Index.ts')).toBe('There is no src/Index.ts. Did you mean src/index.ts?')
    expect(await text('nothing/like/this')).toBe('There is no nothing/like/this. Use list or search to find it.')
  })

  it('fails for folders and for paths that lead out', async () => {
    await mkdir(join(task.dir, 'folder'))
    await symlink('/etc/hostname', join(task.dir, 'out'))
    expect(await task.call(read, { path: 'folder' })).toMatchObject({ failed: true, text: expect.stringContaining('Use list') })
    for (const path of ['out', '../x', '/etc/passwd']) {
      expect(await task.call(read, { path })).toMatchObject({ failed: true, text: expect.stringContaining('PATH_OUTSIDE_WORKDIR') })
    }
  })

  it('refuses input that is none, naming the field', () => {
    expect(read.input.safeParse({ path: '' }).success).toBe(false)
    expect(read.input.safeParse({ path: 'a\0b' }).error?.issues[0]?.path).toEqual(['path'])
    expect(read.input.safeParse({ path: 'a', startLine: 0 }).error?.issues[0]?.path).toEqual(['startLine'])
    expect(read.input.safeParse({ path: 'a', line: 1 }).success).toBe(false)
  })
})

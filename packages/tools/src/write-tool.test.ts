import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sandbox } from '@baton-sdk/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createReadTool } from './read-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'
import { createWriteTool } from './write-tool.ts'

const [write, read] = [createWriteTool(), createReadTool()]
let task: TestingContext
let meanwhile: (() => Promise<void>) | undefined
const interrupting = (sandbox: Sandbox): Sandbox => ({
  ...sandbox,
  async writeFile(path, data, options) {
    const act = meanwhile
    meanwhile = undefined
    await act?.()
    return sandbox.writeFile(path, data, options)
  },
})
beforeEach(async () => {
  meanwhile = undefined
  task = await createTestingContext({ wrap: interrupting })
})
afterEach(() => task.close())

describe('write', () => {
  it('creates a file, folders included, and records it', async () => {
    const result = await task.call(write, { path: 'a/b/c.txt', content: 'one\ntwo\n' })
    expect(result.text).toBe('Created a/b/c.txt: 2 lines (+2 −0).')
    expect(await task.get('a/b/c.txt')).toBe('one\ntwo\n')
    expect(task.records).toMatchObject([
      { type: 'file.changed', data: { path: 'a/b/c.txt', change: 'created', evidence: 'tool', addedLines: 2 } },
    ])
    expect(task.records[0]?.data).not.toHaveProperty('before')
  })

  it('refuses to replace a file unread, shows the difference, and then does', async () => {
    await task.put('a.txt', 'precious\nshared\n')
    const refused = await task.call(write, { path: 'a.txt', content: 'shared\nmine\n' })
    expect(refused).toMatchObject({ failed: true, text: expect.stringContaining('-precious\n shared\n+mine\n') })
    expect(await task.get('a.txt')).toBe('precious\nshared\n')
    expect((await task.call(write, { path: 'a.txt', content: 'shared\nmine\n' })).text).toBe('Replaced a.txt: 2 lines (+1 −1).')
  })

  it('refuses again when the difference was too long to show, until the file is read', async () => {
    await task.put('a.txt', 'old line\n'.repeat(5000))
    for (let round = 0; round < 2; round++) {
      const refused = await task.call(write, { path: 'a.txt', content: 'new\n' })
      expect(refused).toMatchObject({ failed: true, text: expect.stringMatching(/more lines of difference\]\nRead it, then decide\.$/) })
      expect(Buffer.byteLength(refused.text)).toBeLessThan(16 * 1024)
    }
    await task.call(read, { path: 'a.txt' })
    expect(await task.call(write, { path: 'a.txt', content: 'new\n' })).not.toHaveProperty('failed')
  })

  it('refuses a file that changed since it was read, with the difference', async () => {
    await task.put('a.txt', 'one\n')
    await task.call(read, { path: 'a.txt' })
    await task.put('a.txt', 'one\nby hand\n')
    const refused = await task.call(write, { path: 'a.txt', content: 'two\n' })
    expect(refused).toMatchObject({ failed: true, text: expect.stringContaining('+by hand\n') })
    expect(await task.get('a.txt')).toBe('one\nby hand\n')
  })

  it('refuses when the file changes, or appears, between its look and its write', async () => {
    meanwhile = () => task.put('new.txt', 'by hand\n')
    expect(await task.call(write, { path: 'new.txt', content: 'mine\n' })).toMatchObject({
      failed: true,
      text: expect.stringContaining('There is a new.txt by now'),
    })
    await task.call(read, { path: 'new.txt' })
    meanwhile = () => task.put('new.txt', 'by hand again\n')
    expect(await task.call(write, { path: 'new.txt', content: 'mine\n' })).toMatchObject({
      failed: true,
      text: expect.stringContaining('+by hand again\n'),
    })
    expect(await task.get('new.txt')).toBe('by hand again\n')
    expect(task.records).toEqual([])
  })

  it('tells that a file it knew was deleted, once', async () => {
    const { rm } = await import('node:fs/promises')
    await task.call(write, { path: 'a.txt', content: 'one\n' })
    await rm(join(task.dir, 'a.txt'))
    expect(await task.call(write, { path: 'a.txt', content: 'two\n' })).toMatchObject({
      failed: true,
      text: expect.stringContaining('has been deleted'),
    })
    expect(await task.call(write, { path: 'a.txt', content: 'two\n' })).not.toHaveProperty('failed')
  })

  it('writes nothing when the content is there already', async () => {
    await task.put('a.txt', 'same\n')
    expect(await task.call(write, { path: 'a.txt', content: 'same\n' })).toEqual({
      text: 'a.txt holds exactly this already; nothing was written.',
    })
    expect(task.records).toEqual([])
  })

  it('says when it changed the line endings', async () => {
    await task.put('a.txt', 'one\r\ntwo\r\n')
    await task.call(read, { path: 'a.txt' })
    expect((await task.call(write, { path: 'a.txt', content: 'one\nthree\n' })).text).toContain(
      'Its line endings were CRLF and are LF now.',
    )
  })

  it('replaces a binary only when it was looked at, without a difference in the record', async () => {
    await task.put('bin', new Uint8Array([0, 1, 2]))
    expect(await task.call(write, { path: 'bin', content: 'text\n' })).toMatchObject({
      failed: true,
      text: expect.stringContaining('is binary'),
    })
    await task.call(read, { path: 'bin' })
    expect(await task.call(write, { path: 'bin', content: 'text\n' })).not.toHaveProperty('failed')
    expect(task.records[0]?.data).not.toHaveProperty('diff')
  })

  it('keeps the difference in the record bounded', async () => {
    await task.call(write, { path: 'big.txt', content: 'a line of some length\n'.repeat(20_000) })
    const [record] = task.records
    expect(record?.type === 'file.changed' && record.data.addedLines).toBe(20_000)
    expect(record?.type === 'file.changed' && Buffer.byteLength(record.data.diff ?? '')).toBeLessThanOrEqual(64 * 1024)
  })

  it('fails for paths that lead out and for folders, and leaves what is outside alone', async () => {
    const outside = join(task.dir, '..', 'secret')
    await writeFile(outside, 'secret')
    await symlink('../secret', join(task.dir, 'out'))
    await symlink('..', join(task.dir, 'up'))
    for (const path of ['out', '../secret', outside, 'up/secret', 'up/new']) {
      expect(await task.call(write, { path, content: 'x' })).toMatchObject({
        failed: true,
        text: expect.stringContaining('PATH_OUTSIDE_WORKDIR'),
      })
    }
    expect(await task.call(write, { path: '.', content: 'x' })).toMatchObject({ failed: true, text: expect.stringContaining('is no file') })
    const { readFile } = await import('node:fs/promises')
    expect(await readFile(outside, 'utf8')).toBe('secret')
  })

  it('throws, and does not blame the model, when the sandbox is gone', async () => {
    await task.sandbox.close()
    await expect(task.call(write, { path: 'a.txt', content: 'x' })).rejects.toMatchObject({ code: 'CLOSED' })
  })
})

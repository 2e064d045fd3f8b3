import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Sandbox } from '@baton-sdk/core'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { applyEdits } from './apply-edits.ts'
import { createEditTool } from './edit-tool.ts'
import { createReadTool } from './read-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'

const [edit, read] = [createEditTool(), createReadTool()]
let task: TestingContext
/** Done once, between the tool's look at the file and its write. */
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

describe('edit', () => {
  it('replaces exactly and records the change', async () => {
    await task.put('src/a.ts', 'one\ntwo\nthree\n')
    const result = await task.call(edit, { path: './src/a.ts', edits: [{ oldText: 'two', newText: '2\n2b' }] })
    expect(result).toMatchObject({ text: 'Edited src/a.ts: 1 replacement, at line 2 (+2 −1).' })
    expect(await task.get('src/a.ts')).toBe('one\n2\n2b\nthree\n')
    expect(task.records).toEqual([
      {
        type: 'file.changed',
        data: expect.objectContaining({
          path: 'src/a.ts',
          change: 'modified',
          evidence: 'tool',
          callId: 'call-1',
          addedLines: 2,
          removedLines: 1,
        }),
      },
    ])
    expect(task.records[0]?.data).toMatchObject({
      diff: '@@ -1,3 +1,4 @@\n one\n-two\n+2\n+2b\n three\n',
      before: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
  })

  it('refuses a file that changed since it was read, shows the difference, and then goes on', async () => {
    await task.put('a.txt', 'one\ntwo\nthree\n')
    await task.call(read, { path: 'a.txt' })
    await task.put('a.txt', 'one\ntwo\nTHREE by hand\n')
    const refused = await task.call(edit, { path: `${task.dir}/a.txt`, edits: [{ oldText: 'two', newText: '2' }] })
    expect(refused.failed).toBe(true)
    expect(refused.text).toContain('changed since you read it; nothing was written')
    expect(refused.text).toContain('-three\n+THREE by hand\n')
    expect(await task.get('a.txt')).toBe('one\ntwo\nTHREE by hand\n')
    expect(task.records).toEqual([])
    const again = await task.call(edit, { path: 'a.txt', edits: [{ oldText: 'two', newText: '2' }] })
    expect(again.failed).toBeUndefined()
    expect(await task.get('a.txt')).toBe('one\n2\nTHREE by hand\n')
  })

  it('knows what it wrote itself, so that the next edit is not stale', async () => {
    await task.put('a.txt', 'one\ntwo\n')
    await task.call(read, { path: 'a.txt' })
    for (const [oldText, newText] of [
      ['one', '1'],
      ['two', '2'],
    ])
      await task.call(edit, { path: 'a.txt', edits: [{ oldText, newText }] })
    expect(await task.get('a.txt')).toBe('1\n2\n')
  })

  it('refuses when the file changes between its look and its write, read before or not', async () => {
    for (const readBefore of [true, false]) {
      const path = `race-${readBefore}.txt`
      await task.put(path, 'one\ntwo\n')
      if (readBefore) await task.call(read, { path })
      meanwhile = () => task.put(path, 'one\ntwo\nthree by hand\n')
      const refused = await task.call(edit, { path, edits: [{ oldText: 'one', newText: '1' }] })
      expect(refused).toMatchObject({ failed: true, text: expect.stringContaining('+three by hand') })
      expect(await task.get(path)).toBe('one\ntwo\nthree by hand\n')
    }
    expect(task.records).toEqual([])
  })

  it('says that a file was deleted since it was read, also while it writes', async () => {
    const { rm } = await import('node:fs/promises')
    await task.put('a.txt', 'one\n')
    await task.call(read, { path: 'a.txt' })
    meanwhile = () => rm(join(task.dir, 'a.txt'))
    for (let round = 0; round < 2; round++) {
      const refused = await task.call(edit, { path: 'a.txt', edits: [{ oldText: 'one', newText: '1' }] })
      expect(refused.failed).toBe(true)
      expect(refused.text).toMatch(/has been deleted since you read it|There is no a.txt/)
    }
  })

  it('applies to a file that was not read, without counting as having read it', async () => {
    await task.put('a.txt', 'one\ntwo\n')
    await task.call(edit, { path: 'a.txt', edits: [{ oldText: 'one', newText: '1' }] })
    await task.put('a.txt', '1\ntwo\nthree by hand\n')
    expect(await task.call(edit, { path: 'a.txt', edits: [{ oldText: 'two', newText: '2' }] })).not.toHaveProperty('failed')
    expect(await task.get('a.txt')).toBe('1\n2\nthree by hand\n')
  })

  it('keeps CRLF, a byte order mark and a missing newline at the end', async () => {
    await task.put('a.txt', '\ufeffone\r\ntwo\r\nthree')
    const result = await task.call(edit, { path: 'a.txt', edits: [{ oldText: 'one\ntwo', newText: '1\n1b\n2' }] })
    expect(result.failed).toBeUndefined()
    expect(await task.get('a.txt')).toBe('\ufeff1\r\n1b\r\n2\r\nthree')
  })

  it('keeps bytes that are no UTF-8', async () => {
    await task.put('latin.txt', Buffer.from('gr\xfc\xdfe\nname = old\n', 'latin1'))
    const result = await task.call(edit, { path: 'latin.txt', edits: [{ oldText: 'name = old', newText: 'name = new é' }] })
    expect(result.failed).toBeUndefined()
    const { readFile } = await import('node:fs/promises')
    expect(await readFile(join(task.dir, 'latin.txt'))).toEqual(
      Buffer.concat([Buffer.from('gr\xfc\xdfe\n', 'latin1'), Buffer.from('name = new é\n')]),
    )
    const across = await task.call(edit, { path: 'latin.txt', edits: [{ oldText: 'gr\ufffd\ufffde', newText: 'x' }] })
    expect(across).toMatchObject({ failed: true, text: expect.stringContaining('bytes that are no UTF-8') })
  })

  it('changes nothing when one of several edits does not fit', async () => {
    await task.put('a.txt', 'one\ntwo\n')
    const result = await task.call(edit, {
      path: 'a.txt',
      edits: [
        { oldText: 'one', newText: '1' },
        { oldText: 'nine', newText: '9' },
      ],
    })
    expect(result).toMatchObject({ failed: true, text: expect.stringContaining('edit 2 of 2: oldText was not found') })
    expect(await task.get('a.txt')).toBe('one\ntwo\n')
  })

  it('leaves the file as a plain reference says, or as it was', async () => {
    const unit = fc.constantFrom('a', 'b', '\n', 'é')
    const edits = fc.array(
      fc.record({
        oldText: fc.string({ unit, minLength: 1, maxLength: 3 }),
        newText: fc.string({ unit, maxLength: 3 }),
        all: fc.boolean(),
      }),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, maxLength: 30 }), edits, async (content, given) => {
        await task.put('p.txt', content)
        const result = await task.call(edit, { path: 'p.txt', edits: given })
        const expected = applyEdits(content, given)
        expect(result.failed === true).toBe(!expected.applied)
        expect(await task.get('p.txt')).toBe(expected.applied ? expected.text : content)
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    'with space.txt',
    'it\'s "quoted".txt',
    'new\nline.txt',
    '-dash.txt',
    'ünïcödé-😀.txt',
    '$(touch pwned).txt',
    'a:1:b.txt',
    '*.txt',
    'back\\slash',
  ])('takes the name %j as it is', async (name) => {
    await task.put(name, 'one\n')
    await task.call(read, { path: name })
    const result = await task.call(edit, { path: name, edits: [{ oldText: 'one', newText: '1' }] })
    expect(result.failed).toBeUndefined()
    expect(await task.get(name)).toBe('1\n')
    expect(task.records[0]?.data).toMatchObject({ path: name })
  })

  it('fails for paths that lead out, folders, binaries and files that are not there', async () => {
    await mkdir(join(task.dir, 'folder'))
    await writeFile(join(task.dir, '..', 'secret'), 'one')
    await symlink('../secret', join(task.dir, 'out'))
    await task.put('bin', new Uint8Array([1, 0, 2]))
    await task.put('config.json', '{}')
    const text = async (path: string) => {
      const result = await task.call(edit, { path, edits: [{ oldText: 'one', newText: '1' }] })
      expect(result.failed).toBe(true)
      return result.text
    }
    for (const path of ['out', '../secret', '/etc/passwd']) expect(await text(path)).toContain('PATH_OUTSIDE_WORKDIR')
    expect(await text('folder')).toContain('is no file')
    expect(await text('bin')).toContain('is binary')
    expect(await text('confg.json')).toBe('There is no confg.json; use write to create a file. Did you mean config.json?')
  })

  it('refuses half of a surrogate pair', async () => {
    await task.put('a.txt', '😀')
    expect(await task.call(edit, { path: 'a.txt', edits: [{ oldText: '\ud83d', newText: 'x' }] })).toMatchObject({ failed: true })
    expect(await task.get('a.txt')).toBe('😀')
  })

  it('edits a large file, and refuses one that is too large', async () => {
    const lines = Array.from({ length: 150_000 }, (_, at) => `line ${at}`)
    await task.put('large.txt', lines.join('\n'))
    expect(await task.call(edit, { path: 'large.txt', edits: [{ oldText: 'line 77777\n', newText: 'changed\n' }] })).not.toHaveProperty(
      'failed',
    )
    lines[77_777] = 'changed'
    expect(await task.get('large.txt')).toBe(lines.join('\n'))
    await task.put('huge.txt', Buffer.alloc(9 * 1024 * 1024, 'x'))
    expect(await task.call(edit, { path: 'huge.txt', edits: [{ oldText: 'y', newText: 'z' }] })).toMatchObject({
      failed: true,
      text: expect.stringContaining('too large'),
    })
  })

  it('names its path for labels and for approvals, spelled one way', () => {
    const input = { path: './src//a.ts', edits: [] }
    expect(edit.sources?.(input, { text: '' })).toEqual(['file:src/a.ts'])
    expect(edit.scope?.(input)).toBe('changes to src/a.ts')
  })
})

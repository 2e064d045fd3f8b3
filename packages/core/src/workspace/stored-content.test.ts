import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mergeFiles } from '../ledger/merge-files.ts'
import type { Files, GitFixture } from '../testing/git-fixture.ts'
import { byAgent, copyOf, hasGit, makeRepository } from '../testing/git-fixture.ts'
import type { CommitWorkOptions } from './commit-work.ts'
import { commitWork } from './commit-work.ts'
import { openRepository } from './open-repository.ts'
import { textConversion, toWorkTree } from './text-conversion.ts'

const required = process.env.BATON_REQUIRE?.split(',') ?? []
const lfsProgram = 'git-lfs'
const lacksLfs = ((): boolean => {
  try {
    execFileSync(lfsProgram, ['version'], { stdio: 'pipe' })
    return false
  } catch {
    return true
  }
})()

describe.skipIf(!hasGit && !required.includes('git'))('commitWork stores what git would', () => {
  let repository: GitFixture
  afterEach(() => repository.remove())
  const commit = (files: Files, options: Partial<CommitWorkOptions> = {}) =>
    commitWork({ path: repository.root, base: copyOf(repository.root), stages: [byAgent(files)], merge: mergeFiles, ...options })

  it('of line endings, under every attribute and setting', async () => {
    const attributes = fc.constantFrom(
      '',
      'text',
      '-text',
      'text=auto',
      'eol=crlf',
      'eol=lf',
      'text=auto eol=crlf',
      'text eol=lf',
      '-text eol=crlf',
      'crlf',
      '-crlf',
      'crlf=input',
      'binary',
      'text=auto eol=lf',
    )
    const piece = fc.constantFrom('a', 'word ', '\n', '\r\n', '\r\n', '\r', '\0', '\x01', '\x1a', '\x7f', 'long '.repeat(40))
    const content = fc.array(piece, { maxLength: 12 }).map((pieces) => `x${pieces.join('')}`)
    const one = fc.record({ attributes, before: fc.option(content), after: content })
    const settings = fc.record({ autocrlf: fc.constantFrom('true', 'input', 'false'), eol: fc.constantFrom('crlf', 'lf', 'native') })
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 40, maxLength: 60 }), settings, async (files, { autocrlf, eol }) => {
        const rules = files.map((file, index) => (file.attributes === '' ? '' : `f${index} ${file.attributes}\n`)).join('')
        const side = (pick: 'before' | 'after') =>
          Object.fromEntries(files.flatMap((file, index) => (file[pick] === null ? [] : [[`f${index}`, file[pick] as string]])))
        repository = makeRepository({ 'always.txt': '', ...side('before') })
        repository.git('config', 'core.autocrlf', autocrlf)
        if (autocrlf !== 'input') repository.git('config', 'core.eol', eol)
        // What git would make of it, from the same beginnings.
        repository.git('branch', 'start')
        repository.write({ '.gitattributes': rules, ...side('after') })
        repository.git('-c', 'core.safecrlf=false', 'add', '-A')
        const tree = repository.git('write-tree')
        repository.git('read-tree', 'start')
        for (const path of ['.gitattributes', ...Object.keys(side('after'))]) rmSync(join(repository.root, path))
        repository.write(side('before'))

        const result = await commit({ '.gitattributes': rules, ...side('after') })
        expect(result.conflicts).toEqual([])
        expect(repository.git('rev-parse', 'HEAD^{tree}')).toBe(tree)

        // And back into the work tree.
        repository.git('checkout-index', '-f', '-a')
        const opened = await openRepository(repository.root)
        const paths = Object.keys(side('after'))
        const found = await opened.attributes(paths, new Map([['.gitattributes', Buffer.from(rules)]]))
        const configured = { autocrlf: await opened.config('core.autocrlf'), eol: await opened.config('core.eol') }
        await opened.close()
        for (const path of paths) {
          const stored = execFileSync('git', ['cat-file', 'blob', `HEAD:${path}`], { cwd: repository.root })
          const expected = readFileSync(join(repository.root, path), 'latin1')
          expect(Buffer.from(toWorkTree(stored, textConversion(found.get(path)!, configured))).toString('latin1')).toBe(expected)
        }
        repository.remove()
      }),
      { numRuns: 5, endOnFailure: true },
    )
    repository = makeRepository()
  })

  it('of a file with CRLF in the work tree, merged with the branch', async () => {
    repository = makeRepository({ '.gitattributes': '*.txt text eol=crlf\n' })
    repository.write({ 'a.txt': '1\r\n2\r\n3\r\n' })
    repository.git('add', '-A')
    repository.git('commit', '-qm', 'crlf')
    const base = copyOf(repository.root)
    repository.write({ 'a.txt': 'one\r\n2\r\n3\r\n' })
    repository.git('commit', '-qam', 'since')
    await commit({ 'a.txt': '1\r\n2\r\nthree\r\n' }, { base })
    expect(repository.git('cat-file', 'blob', 'HEAD:a.txt')).toBe('one\n2\nthree')
    expect(repository.read('a.txt')).toBe('one\r\n2\r\nthree\r\n')
    expect(repository.status()).toEqual([])
  })

  it.each([
    { what: 'a configured filter', rule: 'filter=evil', reason: 'filter' },
    { what: 'an expanded $Id$', rule: 'ident', reason: 'filter' },
    { what: 'another encoding', rule: 'working-tree-encoding=UTF-16', reason: 'filter' },
  ])('refuses $what, and runs nothing', async ({ rule, reason }) => {
    repository = makeRepository({ 'a.txt': 'a\n' })
    for (const name of ['clean', 'smudge', 'process']) repository.git('config', `filter.evil.${name}`, `touch ${repository.root}/ran`)
    const result = await commit({ '.gitattributes': `*.txt ${rule}\n`, 'a.txt': 'b\n', 'new.txt': 'n\n' })
    expect(result.commits).toEqual([])
    expect(result.conflicts).toEqual([
      { path: 'a.txt', reason },
      { path: 'new.txt', reason },
    ])
    expect(() => repository.read('ran')).toThrow()
    // A filter that nobody configured changes nothing.
    for (const name of ['clean', 'smudge', 'process']) repository.git('config', '--unset', `filter.evil.${name}`)
    if (rule.startsWith('filter')) expect((await commit({ '.gitattributes': `*.txt ${rule}\n`, 'a.txt': 'b\n' })).conflicts).toEqual([])
  })

  describe('of Git LFS', () => {
    const sha256 = 'eea5b71f79f77f21d3e8e3a5c2b1a76b3a0c33b3d5b2d5b8c9e0c1b7f2f1b5a0'
    const pointer = (id: string, size: number): string => `version https://git-lfs.github.com/spec/v1\noid sha256:${id}\nsize ${size}\n`
    let bin: string
    const path = process.env.PATH
    beforeEach(() => {
      repository = makeRepository({ '.gitattributes': '*.bin filter=lfs diff=lfs merge=lfs -text\n', 'old.bin': pointer(sha256, 5) })
      bin = mkdtempSync(join(tmpdir(), 'baton-bin-'))
    })
    afterEach(() => {
      process.env.PATH = path
      rmSync(bin, { recursive: true, force: true })
    })

    it.skipIf(!lacksLfs)('refuses content where it is not installed, also where the work itself says what LFS keeps', async () => {
      expect((await commit({ 'old.bin': 'new content' })).conflicts).toEqual([{ path: 'old.bin', reason: 'lfs' }])
      const rules = `${repository.read('.gitattributes')}*.raw filter=lfs -text\n`
      expect((await commit({ '.gitattributes': rules, 'new.raw': 'raw' })).conflicts).toEqual([{ path: 'new.raw', reason: 'lfs' }])
      expect((await commit({ 'old.bin': null })).commits).toHaveLength(1)
    })

    it('stores the pointer, and the content in the store of LFS, where it is installed', async () => {
      // What the program does is not called for; that it is there is enough.
      writeFileSync(join(bin, 'git-lfs'), '#!/bin/sh\n[ "$1" = version ]\n')
      chmodSync(join(bin, 'git-lfs'), 0o755)
      process.env.PATH = `${bin}:${path}`
      const id = createHash('sha256').update('content').digest('hex')
      await commit({ 'new.bin': 'content' })
      expect(repository.git('cat-file', 'blob', 'HEAD:new.bin')).toBe(pointer(id, 7).trimEnd())
      expect(repository.read(`.git/lfs/objects/${id.slice(0, 2)}/${id.slice(2, 4)}/${id}`)).toBe('content')
      expect(repository.read('new.bin')).toBe('content')
    })

    it.skipIf(lacksLfs && !required.includes('git-lfs'))('stores the pointer that git-lfs itself makes', async () => {
      await commit({ 'new.bin': 'content' })
      const made = execFileSync(lfsProgram, ['clean'], { input: 'content', cwd: repository.root }).toString()
      expect(`${repository.git('cat-file', 'blob', 'HEAD:new.bin')}\n`).toBe(made)
    })

    it('takes a pointer as it is, which is what the work tree has without LFS', async () => {
      writeFileSync(join(bin, 'git-lfs'), '#!/bin/sh\n')
      chmodSync(join(bin, 'git-lfs'), 0o755)
      process.env.PATH = `${bin}:${path}`
      await commit({ 'old.bin': pointer(sha256.replace('e', 'f'), 6) })
      expect(repository.git('cat-file', 'blob', 'HEAD:old.bin')).toBe(pointer(sha256.replace('e', 'f'), 6).trimEnd())
      expect(repository.status()).toEqual([])
    })

    it('never merges pointers', async () => {
      writeFileSync(join(bin, 'git-lfs'), '#!/bin/sh\n')
      chmodSync(join(bin, 'git-lfs'), 0o755)
      process.env.PATH = `${bin}:${path}`
      const base = copyOf(repository.root)
      repository.write({ 'old.bin': pointer(sha256, 7) })
      repository.git('commit', '-qam', 'since')
      expect((await commit({ 'old.bin': pointer(sha256.replace('e', 'f'), 5) }, { base })).conflicts).toEqual([
        { path: 'old.bin', reason: 'branch' },
      ])
    })
  })
})

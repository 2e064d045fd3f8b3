import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mergeFiles } from '../ledger/merge-files.ts'
import { fingerprintRepository } from '../testing/fingerprint-repository.ts'
import type { GitFixture } from '../testing/git-fixture.ts'
import { atFolder, byAgent, copyOf, hasGit, makeRepository } from '../testing/git-fixture.ts'
import { commitWork } from './commit-work.ts'
import { openRepository } from './open-repository.ts'

const files = { 'a.txt': 'a\n', 'src/b.txt': 'b\n' }

describe.skipIf(!hasGit && process.env.BATON_REQUIRE?.split(',').includes('git') !== true)('openRepository', () => {
  let main: GitFixture
  let aside: string
  beforeEach(() => {
    main = makeRepository(files)
    aside = realpathSync(mkdtempSync(join(tmpdir(), 'baton-aside-')))
  })
  afterEach(() => {
    main.remove()
    rmSync(aside, { recursive: true, force: true })
  })

  /** The work arrives as one clean commit, which git itself finds whole. */
  async function expectWorks(at: GitFixture, commandLine?: boolean): Promise<void> {
    const parent = at.git('rev-parse', 'HEAD')
    const stages = [byAgent({ 'a.txt': 'work\n', 'src/new.txt': 'n\n' })]
    const before = await fingerprintRepository(at.root)
    const repository = await openRepository(at.root, { commandLine })
    await repository.head()
    await repository.index()
    await repository.close()
    expect(await fingerprintRepository(at.root)).toEqual(before)
    await commitWork({
      path: at.root,
      base: copyOf(at.root),
      stages,
      merge: mergeFiles,
      commandLine,
      committer: { name: 'C', email: 'c@example.org' },
    })
    expect(at.git('rev-parse', 'HEAD~1')).toBe(parent)
    expect(at.git('diff', '--name-status', 'HEAD~1').split('\n')).toEqual(['M\ta.txt', 'A\tsrc/new.txt'])
    expect(at.status()).toEqual([])
    expect(at.git('fsck', '--strict', '--no-dangling')).toBe('')
  }

  /** isomorphic-git alone says what it cannot do and what to do about it, and the command line does it. */
  async function expectNeedsGit(at: GitFixture, reason: RegExp): Promise<void> {
    const opened = openRepository(at.root, { commandLine: false })
    await expect(opened).rejects.toMatchObject({ code: 'UNSUPPORTED_REPOSITORY', message: expect.stringMatching(/Install git/) })
    await expect(opened).rejects.toThrow(reason)
    await expectWorks(at)
  }

  it('works on a plain repository with and without the command line', async () => {
    await expectWorks(main, false)
    main.git('reset', '-q', '--hard', 'HEAD~1')
    await expectWorks(main, true)
  })

  it('works on packed refs and objects without the command line', async () => {
    main.git('gc', '-q')
    main.git('pack-refs', '--all')
    await expectWorks(main, false)
  })

  it('finds the repository around a folder, and the folder in it', async () => {
    const repository = await openRepository(`${main.root}/src`)
    expect(repository).toMatchObject({ root: main.root, prefix: 'src/', kind: 'git', objectFormat: 'sha1' })
    await repository.close()
  })

  it('says where there is none', async () => {
    for (const path of [aside, join(aside, 'missing'), join(main.root, '.git'), join(main.root, '.git/refs')])
      await expect(openRepository(path)).rejects.toMatchObject({ code: 'INVALID_WORKSPACE' })
    execFileSync('git', ['init', '-q', '--bare', aside])
    await expect(openRepository(aside)).rejects.toMatchObject({ code: 'INVALID_WORKSPACE' })
  })

  it('works on a linked work tree, by the command line', async () => {
    main.git('worktree', 'add', '-q', '-b', 'linked', join(aside, 'linked'))
    await expectNeedsGit(atFolder(join(aside, 'linked')), /linked work tree/)
    expect(main.git('log', '--format=%an', 'linked').split('\n')[0]).toBe('Agent Smith')
    expect(main.status()).toEqual([])
  })

  it('works on SHA-256 objects, by the command line', async () => {
    const other = makeRepository(files, ['--object-format=sha256'])
    await expectNeedsGit(other, /SHA-256/)
    expect(other.git('rev-parse', 'HEAD')).toHaveLength(64)
    other.remove()
  })

  it('works on borrowed objects (alternates), by the command line', async () => {
    main.git('clone', '-q', '--shared', main.root, join(aside, 'clone'))
    await expectNeedsGit(atFolder(join(aside, 'clone')), /alternates/)
  })

  it('works on a shallow clone, by the command line', async () => {
    main.write({ 'a.txt': 'second\n' })
    main.git('commit', '-qam', 'second')
    main.git('clone', '-q', '--depth=1', `file://${main.root}`, join(aside, 'clone'))
    await expectNeedsGit(atFolder(join(aside, 'clone')), /shallow/)
  })

  it('works on a partial clone, by the command line, fetching nothing', async () => {
    main.git('config', 'uploadpack.allowFilter', 'true')
    main.write({ 'big.txt': 'not here\n'.repeat(3) })
    main.git('add', '.')
    main.git('commit', '-qm', 'big')
    main.git('clone', '-q', '--filter=blob:none', '--no-checkout', `file://${main.root}`, join(aside, 'clone'))
    const clone = atFolder(join(aside, 'clone'))
    clone.git('checkout', '-q', 'main')
    clone.git('branch', 'old', 'main~1')
    main.write({ 'a.txt': 'on the server\n' })
    main.git('commit', '-qam', 'server')
    clone.git('fetch', '-q')
    await expectNeedsGit(clone, /partial clone/)
    clone.git('branch', 'behind', 'origin/main')
    const merging = {
      path: clone.root,
      base: copyOf(clone.root),
      stages: [byAgent({ 'a.txt': 'mine\n' })],
      merge: mergeFiles,
      branch: 'behind',
    }
    await expect(commitWork(merging)).rejects.toMatchObject({
      code: 'UNSUPPORTED_REPOSITORY',
      message: expect.stringMatching(/lacks the object/),
    })
  })

  it('works beside a pack of 2 GiB, by the command line', async () => {
    const pack = join(main.root, '.git/objects/pack/pack-0000000000000000000000000000000000000000.pack')
    mkdirSync(join(main.root, '.git/objects/pack'), { recursive: true })
    writeFileSync(pack, '')
    truncateSync(pack, 2 ** 31)
    await expect(openRepository(main.root, { commandLine: false })).rejects.toThrow(/pack of 2 GiB/)
    const repository = await openRepository(main.root)
    expect((await repository.head()).ref).toBe('refs/heads/main')
    await repository.close()
  })

  it.each([
    { what: 'an index of version 4', make: (at: GitFixture) => at.git('update-index', '--index-version', '4') },
    { what: 'a split index', make: (at: GitFixture) => at.git('update-index', '--split-index') },
    { what: 'a sparse index', make: (at: GitFixture) => at.git('sparse-checkout', 'set', '--cone', '--sparse-index', 'src') },
    { what: 'attributes', make: (at: GitFixture) => at.write({ '.gitattributes': '*.txt text\n' }) },
  ])('works with $what, by the command line', async ({ make }) => {
    make(main)
    main.git('add', '-A')
    main.git('commit', '-q', '--allow-empty', '-m', 'made')
    const work = { path: main.root, base: copyOf(main.root), stages: [byAgent({ 'a.txt': 'work\n' })], merge: mergeFiles }
    await expect(commitWork({ ...work, commandLine: false })).rejects.toMatchObject({ code: 'UNSUPPORTED_REPOSITORY' })
    await expectWorks(main)
  })

  it('says so where git does not know what the repository is made of', async () => {
    main.git('config', 'core.repositoryFormatVersion', '1')
    main.git('config', 'extensions.refStorage', 'something-new')
    await expect(openRepository(main.root)).rejects.toMatchObject({ code: 'UNSUPPORTED_REPOSITORY' })
    await expect(openRepository(main.root, { commandLine: false })).rejects.toThrow(/reftables/)
  })

  it('goes on without the command line where it is not installed', async () => {
    const path = process.env.PATH
    process.env.PATH = aside
    try {
      const repository = await openRepository(main.root)
      expect(repository.kind).toBe('isomorphic-git')
    } finally {
      process.env.PATH = path
    }
  })
})

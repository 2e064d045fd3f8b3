import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mergeFiles } from '../ledger/merge-files.ts'
import { fingerprintRepository } from '../testing/fingerprint-repository.ts'
import type { Files, GitFixture } from '../testing/git-fixture.ts'
import { atFolder, byAgent, byHuman, copyOf, hasGit, makeRepository } from '../testing/git-fixture.ts'
import type { CommitWorkOptions, WorkFile } from './commit-work.ts'
import { commitWork } from './commit-work.ts'

const required = process.env.BATON_REQUIRE?.split(',').includes('git') === true

describe.skipIf(!hasGit && !required).each([{ commandLine: true }, { commandLine: false }])(
  'commitWork, $commandLine',
  ({ commandLine }) => {
    let repository: GitFixture
    let base: Map<string, WorkFile>
    const start = (files?: Files): void => {
      repository = makeRepository(files)
      base = copyOf(repository.root)
    }
    const commit = (options: Partial<CommitWorkOptions>) =>
      commitWork({ path: repository.root, base, stages: [], merge: mergeFiles, commandLine, ...options })
    const messages = (ref = 'HEAD'): string[] => repository.git('log', '--format=%an|%ae|%s', ref).split('\n')

    beforeEach(() => start({ 'a.txt': '1\n2\n3\n4\n5\n', 'src/b.txt': 'b\n', 'src/run.sh': '!echo\n', link: '->a.txt' }))
    afterEach(() => {
      expect(repository.git('fsck', '--strict', '--no-dangling')).toBe('')
      repository.remove()
    })

    it('commits changed, new, removed, executable and linked files onto the branch that is checked out', async () => {
      const stages = [
        byAgent({
          'a.txt': '1\n2\n3\n4\nfive\n',
          'src/b.txt': null,
          'src/run.sh': 'echo\n',
          link: '->src',
          'deep/er/new.sh': '!new\n',
          'ünï cödé': 'x',
        }),
      ]
      const result = await commit({ stages, message: 'All of it' })
      expect(result).toMatchObject({
        branch: 'main',
        commits: [{ oid: repository.git('rev-parse', 'HEAD'), author: { id: 'smith' } }],
        conflicts: [],
      })
      expect(repository.status()).toEqual([])
      expect(messages()).toEqual(['Agent Smith|agent@example.org|All of it', 'Ada|ada@example.org|first'])
      expect(
        repository
          .git('ls-tree', '-r', '-z', 'HEAD')
          .split('\0')
          .filter(Boolean)
          .map((row) => row.replace(/ blob \w+\t/, ' ')),
      ).toEqual(['100644 a.txt', '100755 deep/er/new.sh', '120000 link', '100644 src/run.sh', '100644 ünï cödé'])
      expect(repository.read('a.txt')).toContain('five')
      expect(repository.git('log', '-g', '--format=%gs|%gn', 'HEAD').split('\n')[0]).toBe('commit: All of it|Ada')
      expect(repository.git('log', '-g', '--format=%gs', 'main').split('\n')).toHaveLength(2)
    })

    it('writes nothing at all until it is called, nor where there is a conflict', async () => {
      repository.write({ 'a.txt': '1\nmine\n3\n4\n5\n' })
      const before = await fingerprintRepository(repository.root)
      const result = await commit({ stages: [byAgent({ 'a.txt': '1\ntheirs\n3\n4\n5\n', 'new.txt': 'n' })] })
      expect(result).toEqual({ branch: 'main', commits: [], conflicts: [{ path: 'a.txt', reason: 'work-tree' }] })
      expect(await fingerprintRepository(repository.root)).toEqual(before)
    })

    it('makes one commit of all, by the one who changed most, with the others as co-authors and trailers', async () => {
      const stages = [byHuman({ 'src/b.txt': 'person\n' }), byAgent({ 'a.txt': 'a\nb\nc\n' })]
      await commit({ stages, trailer: (actor) => (actor.kind === 'agent' ? `Assisted-by: ${actor.id}` : undefined) })
      expect(messages()[0]).toBe('Agent Smith|agent@example.org|Work of a person')
      expect(repository.git('log', '-1', '--format=%(trailers)')).toBe('Co-authored-by: Bob <bob@example.org>\nAssisted-by: smith')
      expect(repository.git('log', '-1', '--format=%B')).toContain('Work of the agent')
    })

    it('never names as co-author who is unknown', async () => {
      const unknown = { ...byHuman({ 'a.txt': 'all\nnew\n' }), actor: { kind: 'system', id: 'unknown' } as const }
      await commit({ stages: [unknown, byAgent({ 'src/b.txt': 'c\n' })] })
      expect(messages()[0]).toContain('Agent Smith')
      expect(repository.git('log', '-1', '--format=%B')).not.toContain('Bob')
    })

    it('makes a commit of each run of an actor', async () => {
      const stages = [
        byAgent({ 'a.txt': '1\n' }, 'one'),
        byAgent({ 'src/b.txt': '2\n' }, 'two'),
        byHuman({ 'a.txt': '3\n' }, 'three'),
        byAgent({ 'a.txt': '3\n' }, 'nothing'),
      ]
      const { commits } = await commit({ stages, perActor: true })
      expect(commits.map(({ author }) => author.id)).toEqual(['smith', 'bob'])
      expect(messages()).toEqual(['Bob|bob@example.org|three', 'Agent Smith|agent@example.org|one', 'Ada|ada@example.org|first'])
      expect(repository.git('show', 'HEAD~1:a.txt')).toBe('1')
      expect(repository.git('show', 'HEAD:a.txt')).toBe('3')
      expect(repository.status()).toEqual([])
    })

    it('merges by lines with what the branch has got since, and leaves alone what it has already', async () => {
      repository.write({ 'a.txt': 'one\n2\n3\n4\n5\n', 'src/b.txt': 'same\n', 'other.txt': 'other\n' })
      repository.git('add', '-A')
      repository.git('commit', '-qm', 'since')
      const result = await commit({ stages: [byAgent({ 'a.txt': '1\n2\n3\n4\nfive\n', 'src/b.txt': 'same\n' })] })
      expect(result.conflicts).toEqual([])
      expect(repository.read('a.txt')).toBe('one\n2\n3\n4\nfive\n')
      expect(repository.git('show', '--stat', '--format=', 'HEAD')).not.toContain('b.txt')
      expect(repository.read('other.txt')).toBe('other\n')
      expect(repository.status()).toEqual([])
    })

    it('returns as conflicts what the branch has changed in the same lines, and files that it removed', async () => {
      repository.write({ 'a.txt': '1\n2\n3\n4\nV\n', 'src/b.txt': null })
      repository.git('commit', '-qam', 'since')
      const before = await fingerprintRepository(repository.root)
      const result = await commit({ stages: [byAgent({ 'a.txt': '1\n2\n3\n4\nfive\n', 'src/b.txt': 'c\n', 'fine.txt': 'f' })] })
      expect(result.conflicts).toEqual([
        { path: 'a.txt', reason: 'branch' },
        { path: 'src/b.txt', reason: 'branch' },
      ])
      expect(await fingerprintRepository(repository.root)).toEqual(before)
    })

    it('commits only the work where a person had uncommitted changes when it was copied, and keeps theirs', async () => {
      repository.write({ 'a.txt': 'mine\n2\n3\n4\n5\n', 'staged.txt': 's\n' })
      repository.git('add', 'staged.txt')
      base = copyOf(repository.root)
      await commit({ stages: [byAgent({ 'a.txt': 'mine\n2\n3\n4\nfive\n' })] })
      expect(repository.git('show', 'HEAD:a.txt')).toBe('1\n2\n3\n4\nfive')
      expect(repository.read('a.txt')).toBe('mine\n2\n3\n4\nfive\n')
      expect(repository.status()).toEqual([' M a.txt', 'A  staged.txt'])
      expect(repository.git('diff', 'a.txt')).toContain('+mine')
    })

    it('keeps what a person had staged in the same file staged', async () => {
      repository.write({ 'a.txt': 'mine\n2\n3\n4\n5\n' })
      repository.git('add', 'a.txt')
      base = copyOf(repository.root)
      await commit({ stages: [byAgent({ 'a.txt': 'mine\n2\n3\n4\nfive\n' })] })
      expect(repository.git('show', 'HEAD:a.txt')).toBe('1\n2\n3\n4\nfive')
      expect(repository.status()).toEqual(['M  a.txt'])
    })

    it('refuses a path that was staged otherwise since', async () => {
      repository.write({ 'a.txt': 'x\n' })
      repository.git('add', 'a.txt')
      repository.write({ 'a.txt': '1\n2\n3\n4\n5\n' })
      const result = await commit({ stages: [byAgent({ 'a.txt': '1\n' })] })
      expect(result.conflicts).toEqual([{ path: 'a.txt', reason: 'index' }])
    })

    it('commits an untracked file that the work changed, and leaves other untracked files out', async () => {
      repository.write({ 'mine.txt': 'm\n', 'other.txt': 'o\n' })
      base = copyOf(repository.root)
      await commit({ stages: [byAgent({ 'mine.txt': 'm\nmore\n' })] })
      expect(repository.status()).toEqual(['?? other.txt'])
      expect(repository.git('show', 'HEAD:mine.txt')).toBe('m\nmore')
    })

    it('puts files where folders were, and folders where files were', async () => {
      await commit({ stages: [byAgent({ 'src/b.txt': null, 'src/run.sh': null, src: 'file\n', 'a.txt': null, 'a.txt/x': 'x\n' })] })
      expect(repository.status()).toEqual([])
      expect(repository.git('ls-tree', '-r', '--name-only', 'HEAD').split('\n')).toEqual(['a.txt/x', 'link', 'src'])
    })

    it.each([
      { what: 'a folder with other files', files: { 'new/other.txt': 'o' }, path: 'new' },
      { what: 'a link on the way', files: { new: '->/tmp' }, path: 'new/file.txt' },
    ])('refuses where $what is in the way', async ({ files, path }) => {
      repository.write(files)
      const result = await commit({ stages: [byAgent({ [path]: 'mine' })] })
      expect(result.conflicts).toEqual([{ path, reason: 'obstructed' }])
    })

    it.each(['.git/hooks/post-commit', 'a/.GIT/config', '../x', 'git~1/config', '.g\u200cit/config'])(
      'refuses the name %s',
      async (path) => {
        const result = await commit({ stages: [byAgent({ [path]: '!echo' })] })
        expect(result.conflicts).toEqual([{ path, reason: 'name' }])
      },
    )

    it('makes or extends another branch without touching index or work tree', async () => {
      repository.write({ 'a.txt': 'dirty\n' })
      const watch = async () => {
        const all = Object.entries(await fingerprintRepository(repository.root))
        return all.filter(([path]) => !path.startsWith('git ') || ['git HEAD', 'git index', 'git refs/heads/main'].includes(path))
      }
      const before = await watch()
      const first = await commit({ stages: [byAgent({ 'src/b.txt': 'x\n' })], branch: 'baton/work' })
      expect(first.branch).toBe('baton/work')
      await commit({ stages: [byAgent({ 'src/b.txt': 'x\n', 'src/c.txt': 'y\n' }, 'more')], branch: 'baton/work' })
      expect(messages('baton/work').map((line) => line.split('|')[2])).toEqual(['more', 'Work of the agent', 'first'])
      expect(await watch()).toEqual(before)
      await expect(commit({ stages: [byAgent({ 'src/b.txt': 'x\n' })], branch: 'baton' })).rejects.toMatchObject({ code: 'INVALID_STATE' })
      await expect(commit({ branch: 'no..name' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it('makes the first commit of a branch', async () => {
      repository.remove()
      start()
      const { commits } = await commit({ stages: [byAgent({ 'a/new.txt': 'n\n' })] })
      expect(repository.git('rev-list', '--count', 'HEAD')).toBe('1')
      expect(repository.git('rev-parse', 'HEAD')).toBe(commits[0]?.oid)
      expect(repository.status()).toEqual([])
      expect(repository.git('reflog')).toContain('commit (initial)')
    })

    it('makes no commit where the branch has all of it already', async () => {
      const before = await fingerprintRepository(repository.root)
      expect(await commit({ stages: [byAgent({ 'a.txt': '1\n2\n3\n4\n5\n' })] })).toEqual({ branch: 'main', commits: [], conflicts: [] })
      expect(await fingerprintRepository(repository.root)).toEqual(before)
    })

    it('leaves alone what a person made since of a file that the branch has from the work already', async () => {
      const stages = [byAgent({ 'a.txt': 'work\n' })]
      await commit({ stages })
      repository.write({ 'a.txt': 'further\n' })
      expect(await commit({ stages: [...stages, byAgent({ 'src/b.txt': 'more\n' })] })).toMatchObject({ commits: [{}], conflicts: [] })
      expect(repository.status()).toEqual([' M a.txt'])
    })

    it('works from a folder inside the work tree', async () => {
      base = copyOf(`${repository.root}/src`)
      await commit({ path: `${repository.root}/src`, stages: [byAgent({ 'b.txt': 'c\n', 'new.txt': 'n\n' })] })
      expect(repository.git('ls-tree', '-r', '--name-only', 'HEAD').split('\n')).toEqual([
        'a.txt',
        'link',
        'src/b.txt',
        'src/new.txt',
        'src/run.sh',
      ])
      expect(repository.status()).toEqual([])
    })

    it('works inside a submodule, on its own branch', async () => {
      const inner = makeRepository({ 'in.txt': 'i\n' })
      repository.git('-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', inner.root, 'sub')
      repository.git('commit', '-qm', 'with a submodule')
      const sub = atFolder(`${repository.root}/sub`)
      sub.git('config', 'user.name', 'Ada')
      sub.git('config', 'user.email', 'ada@example.org')
      await commitWork({ path: sub.root, base: copyOf(sub.root), stages: [byAgent({ 'in.txt': 'j\n' })], merge: mergeFiles, commandLine })
      expect(sub.git('log', '--format=%an').split('\n')).toEqual(['Agent Smith', 'Ada'])
      expect(sub.status()).toEqual([])
      const result = await commit({ stages: [byAgent({ 'sub/new.txt': 'n\n' })] })
      expect(result.conflicts).toEqual([{ path: 'sub/new.txt', reason: 'obstructed' }])
      inner.remove()
    })

    it('refuses a detached HEAD, unless a branch is named', async () => {
      repository.git('checkout', '-q', '--detach')
      const stages = [byAgent({ 'a.txt': '1\n' })]
      await expect(commit({ stages })).rejects.toMatchObject({ code: 'INVALID_STATE', details: { state: 'detached' } })
      expect((await commit({ stages, branch: 'work' })).commits).toHaveLength(1)
      await expect(commit({ stages, branch: 'HEAD' })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it.each(['merge', 'rebase', 'cherry-pick', 'revert'] as const)('refuses in the middle of a %s', async (operation) => {
      repository.git('checkout', '-q', '-b', 'other')
      repository.write({ 'a.txt': 'other\n' })
      repository.git('commit', '-qam', 'other')
      repository.write({ 'a.txt': 'later\n' })
      repository.git('commit', '-qam', 'later')
      repository.git('checkout', '-q', 'main')
      repository.write({ 'a.txt': 'main\n' })
      repository.git('commit', '-qam', 'main')
      const target = operation === 'revert' ? 'other~1' : 'other'
      expect(() => repository.git(operation, ...(operation === 'rebase' ? ['-q'] : operation === 'merge' ? ['-q'] : []), target)).toThrow()
      const stages = [byAgent({ 'src/b.txt': '1\n' })]
      const branch = operation === 'rebase' ? { branch: 'main' } : {}
      await expect(commit({ stages, ...branch })).rejects.toMatchObject({ code: 'INVALID_STATE', details: { state: operation } })
    })

    it('refuses a branch that is checked out in another work tree', async () => {
      repository.git('worktree', 'add', '-q', '-b', 'theirs', `${repository.root}/../${repository.root.split('/').at(-1)}-linked`)
      const stages = [byAgent({ 'a.txt': '1\n' })]
      await expect(commit({ stages, branch: 'theirs' })).rejects.toMatchObject({
        code: 'INVALID_STATE',
        details: { elsewhere: [`${repository.root}-linked`] },
      })
      repository.git('worktree', 'remove', `${repository.root}-linked`)
    })

    it('refuses while another git command holds the index, and leaves its lock', async () => {
      repository.write({ '.git/index.lock': '' })
      const before = await fingerprintRepository(repository.root)
      await expect(commit({ stages: [byAgent({ 'a.txt': '1\n' })] })).rejects.toMatchObject({ code: 'INVALID_STATE' })
      const now = await fingerprintRepository(repository.root)
      // Objects that nothing names are all that it has left.
      expect(Object.entries(now).filter(([path, state]) => before[path] !== state && !path.startsWith('git objects/'))).toEqual([])
      repository.write({ '.git/index.lock': null })
    })

    it('plans again when the branch moves or a file changes on the way', async () => {
      let count = 0
      const changing: WorkFile = {
        mode: '100644',
        content: async () => {
          if (++count === 2) {
            repository.write({ 'other.txt': 'o\n' })
            repository.git('add', 'other.txt')
            repository.git('commit', '-qm', 'meanwhile')
          }
          return Buffer.from('work\n')
        },
      }
      const stage = { ...byAgent({}), files: new Map([['src/b.txt', changing]]) }
      await commit({ stages: [stage] })
      expect(messages().map((line) => line.split('|')[2])).toEqual(['Work of the agent', 'meanwhile', 'first'])
      expect(repository.status()).toEqual([])
    })

    it('runs no hook and no program of the repository', async () => {
      const hook = `!#!/bin/sh\ntouch ${repository.root}/ran\n`
      for (const name of ['pre-commit', 'commit-msg', 'post-commit', 'reference-transaction', 'post-index-change', 'prepare-commit-msg'])
        repository.write({ [`.git/hooks/${name}`]: hook })
      repository.git('config', 'core.fsmonitor', `${repository.root}/.git/hooks/pre-commit`)
      repository.git('config', 'gpg.program', `${repository.root}/.git/hooks/pre-commit`)
      repository.git('config', 'commit.gpgSign', 'true')
      repository.git('config', 'alias.lfs', `!touch ${repository.root}/ran`)
      await commit({ stages: [byAgent({ 'a.txt': '1\n' })], note: async () => '---\n{}' })
      expect(() => repository.read('ran')).toThrow()
      for (const name of ['core.fsmonitor', 'gpg.program', 'commit.gpgSign']) repository.git('config', '--unset', name)
      expect(repository.git('-c', 'core.hooksPath=/dev/null', 'status', '--porcelain')).toBe('')
    })

    if (commandLine) {
      it('runs the hooks of a commit where the host asks for it, which may change files and message', async () => {
        repository.write({
          '.git/hooks/pre-commit': '!#!/bin/sh\ngit diff --cached --name-only > .git/seen; echo formatted > src/b.txt; git add src/b.txt\n',
          '.git/hooks/commit-msg': '!#!/bin/sh\nprintf "\\nChecked: yes\\n" >> "$1"\n',
          '.git/hooks/post-commit': '!#!/bin/sh\ngit rev-parse HEAD > .git/after\n',
          'staged.txt': 's',
        })
        repository.git('add', 'staged.txt')
        const { commits } = await commit({ stages: [byAgent({ 'src/b.txt': 'x\n', 'a.txt': 'y\n' }, 'Subject\n\nBody')], hooks: true })
        expect(repository.git('log', '-1', '--format=%H %an %(trailers:key=Checked)').trim()).toBe(
          `${commits[0]?.oid} Agent Smith Checked: yes`,
        )
        // As with git commit --only: what else is staged is neither seen nor committed.
        expect(repository.read('.git/seen')).toBe('a.txt\nsrc/b.txt\n')
        expect(repository.git('show', 'HEAD:src/b.txt')).toBe('formatted')
        expect(repository.read('.git/after').trim()).toBe(commits[0]?.oid)
        expect(repository.status()).toEqual(['A  staged.txt'])
      })

      it.each(['pre-commit', 'commit-msg'])('leaves the work staged where the hook %s refuses', async (name) => {
        repository.write({ [`.git/hooks/${name}`]: '!#!/bin/sh\necho too bad\nexit 3\n' })
        const refused = commit({ stages: [byAgent({ 'a.txt': 'y\n' })], hooks: true })
        await expect(refused).rejects.toMatchObject({
          code: 'HOOK_REFUSED',
          message: expect.stringContaining('too bad'),
          details: { hook: name, exitCode: 3 },
        })
        expect(messages()).toHaveLength(1)
        expect(repository.status()).toEqual(['M  a.txt'])
        repository.write({ [`.git/hooks/${name}`]: null })
        expect((await commit({ stages: [byAgent({ 'a.txt': 'y\n' })], hooks: true })).commits).toHaveLength(1)
      })
    }

    it('says which hooks it cannot run', async () => {
      const stages = [byAgent({ 'a.txt': 'y\n' })]
      const asked = [{ perActor: true }, { branch: 'other' }, { commandLine: false }]
      for (const also of asked) await expect(commit({ stages, hooks: true, ...also })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
    })

    it('follows no setting that names another work tree', async () => {
      const outside = makeRepository({ 'a.txt': 'outside\n' })
      repository.git('config', 'core.worktree', outside.root)
      await commit({ stages: [byAgent({ 'a.txt': '1\n' })] })
      expect(outside.read('a.txt')).toBe('outside\n')
      repository.git('config', '--unset', 'core.worktree')
      expect(repository.status()).toEqual([])
      outside.remove()
    })

    it('writes notes for git-ai only where it is asked to, also between others', async () => {
      for (let count = 0; count < 300; count++)
        repository.git('notes', '--ref=ai', 'add', '-f', '-m', `note ${count}`, repository.git('hash-object', '-w', '--stdin'))
      const note = async ({ read, parent }: { read(path: string): Promise<Uint8Array | undefined>; parent: string | undefined }) =>
        `${Buffer.from((await read('a.txt')) ?? '')}${parent}`
      const parent = repository.git('rev-parse', 'HEAD')
      await commit({ stages: [byAgent({ 'a.txt': 'noted\n' })], note })
      expect(repository.git('notes', '--ref=ai', 'show', 'HEAD')).toBe(`noted\n${parent}`)
    })

    it('takes names that are no UTF-8', async () => {
      await commit({ stages: [byAgent({ 'bad\udcff.txt': 'x\n' })] })
      expect(repository.git('ls-tree', '--name-only', 'HEAD')).toContain('"bad\\377.txt"')
      expect(repository.status()).toEqual([])
    })

    it('asks for a committer where the repository names none', async () => {
      repository.git('config', '--unset', 'user.email')
      process.env.GIT_CONFIG_GLOBAL = '/dev/null'
      process.env.GIT_CONFIG_SYSTEM = '/dev/null'
      const stages = [byAgent({ 'a.txt': '1\n' })]
      await expect(commit({ stages })).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
      await commit({ stages, committer: { name: 'Com <mitter>\n', email: 'c@example.org' } })
      expect(repository.git('log', '-1', '--format=%cn|%ce')).toBe('Com mitter|c@example.org')
      delete process.env.GIT_CONFIG_GLOBAL
      delete process.env.GIT_CONFIG_SYSTEM
    })

    it('stops at its signal', async () => {
      const before = await fingerprintRepository(repository.root)
      await expect(commit({ stages: [byAgent({ 'a.txt': '1\n' })], signal: AbortSignal.abort() })).rejects.toMatchObject({
        code: 'ABORTED',
      })
      expect(await fingerprintRepository(repository.root)).toEqual(before)
    })
  },
)

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import { findHistoryProblems } from '../testing/find-history-problems.ts'
import { fingerprintRepository } from '../testing/fingerprint-repository.ts'
import { calling, eventsOfType, happens, scriptedBaton } from '../testing/task-fixtures.ts'

const alice = { kind: 'human', id: 'alice', name: 'Alice' } as const

/** A repository with one commit, and a task on it. */
async function repositoryTask() {
  const path = mkdtempSync(join(tmpdir(), 'baton-commit-'))
  const git = (...args: string[]): string => execFileSync('git', args, { cwd: path, encoding: 'utf8' })
  git('init', '-q', '-b', 'main')
  git('config', 'user.name', 'Olga Owner')
  git('config', 'user.email', 'olga@example.org')
  writeFileSync(join(path, 'a.txt'), 'one\ntwo\nthree\nfour\nfive\n')
  git('add', '.')
  git('commit', '-qm', 'first')
  const { baton } = scriptedBaton(
    [
      calling(['write', { path: 'a.txt', text: 'ONE\ntwo\nthree\nfour\nfive\n' }], ['write', { path: 'b.txt', text: 'b\nb\nb\n' }]),
      { text: 'done' },
      calling(['write', { path: 'c.txt', text: 'c\n' }]),
      { text: 'more' },
    ],
    { tools: [writeTool], sandboxes: [createLocalSandboxProvider({ isolation: 'none' })], ledger: { dir: `${path}-ledger` } },
  )
  onTestFinished(async () => {
    const { workdir } = (await happens(task, 'sandbox.started')).data
    const problems = await findHistoryProblems({ task, ledgerDir: `${path}-ledger`, workdir })
    await baton.close()
    for (const dir of [path, `${path}-ledger`]) rmSync(dir, { recursive: true, force: true })
    expect(problems).toEqual([])
  })
  const untouched = await fingerprintRepository(path)
  const task = await baton.createTask({ goal: 'Shout', workspace: { path } })
  return { task, path, git, untouched }
}

describe('Task.commit', () => {
  it('puts the work onto the branch with the right authors, and later only what is new', async () => {
    const { task, path, git, untouched } = await repositoryTask()
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('a.txt', 'ONE\ntwo\nthree\nfour\nFIVE\n')
    await desk.returnControl()
    await task.trace()
    expect(await fingerprintRepository(path)).toEqual(untouched)
    expect(git('status', '--porcelain')).toBe('')

    const { branch, commits, conflicts } = await task.commit({
      message: 'Louder',
      trailer: ({ kind }) => (kind === 'agent' ? 'Assisted-by: baton' : undefined),
    })
    expect({ branch, conflicts }).toEqual({ branch: 'main', conflicts: [] })
    expect(commits).toHaveLength(1)
    expect(git('log', '-1', '--format=%an <%ae>|%cn|%B')).toBe(
      'coder <coder@agent.baton>|Olga Owner|Louder\n\nCo-authored-by: Alice <alice@human.baton>\nAssisted-by: baton\n\n',
    )
    expect(git('status', '--porcelain')).toBe('')
    expect(readFileSync(join(path, 'a.txt'), 'utf8')).toBe('ONE\ntwo\nthree\nfour\nFIVE\n')

    await task.send('More')
    await happens(task, 'run.finished', ({ text }) => text === 'more')
    expect(await task.commit({ perActor: true })).toMatchObject({ commits: [{ author: { id: 'coder' } }], conflicts: [] })
    expect(git('show', '--stat', '--format=%s', 'HEAD')).toMatch(/^Shout\n\n c\.txt \| 1 \+/)
    expect(await task.commit()).toMatchObject({ commits: [], conflicts: [] })
    expect((await eventsOfType(task, 'workspace.committed')).map(({ data }) => data.commits.length)).toEqual([1, 1, 0])
  })

  it('writes one commit for each run of an actor, and a note of who wrote which lines, where that is asked for', async () => {
    const { task, git } = await repositoryTask()
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('a.txt', 'ONE\ntwo\nthree\nfour\nFIVE\n')
    await desk.returnControl()
    const { commits } = await task.commit({ perActor: true, gitAiNote: true, branch: 'work' })
    expect(commits.map(({ author }) => author.id)).toEqual(['coder', 'alice'])
    expect(git('log', 'work', '--format=%an', '-2').trim().split('\n')).toEqual(['Alice', 'coder'])
    expect(git('log', 'main', '--format=%s').trim()).toBe('first')
    expect(git('notes', '--ref=ai', 'show', commits[0]?.oid ?? '')).toMatch(/a\.txt\n {2}\S+ 1\n/)
  })

  it('writes nothing where the branch has other changes of the same lines', async () => {
    const { task, path, git } = await repositoryTask()
    await task.start().result
    writeFileSync(join(path, 'a.txt'), 'Uno\ntwo\nthree\nfour\nfive\n')
    git('commit', '-qam', 'by hand')
    const before = await fingerprintRepository(path)
    expect(await task.commit()).toMatchObject({ commits: [], conflicts: [{ path: 'a.txt', reason: 'branch' }] })
    expect(await fingerprintRepository(path)).toEqual(before)
    expect(git('status', '--porcelain')).toBe('')
  })
})

describe('Task.trace', () => {
  it('says which lines are whose', async () => {
    const { task } = await repositoryTask()
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('a.txt', 'ONE\ntwo\nthree\nfour\nFIVE\n')
    await desk.returnControl()
    const { files } = await task.trace()
    expect(files.map(({ path }) => path).sort()).toEqual(['a.txt', 'b.txt'])
    const conversations = files.find(({ path }) => path === 'a.txt')?.conversations
    expect(conversations?.map(({ contributor, ranges }) => [contributor.type, ranges])).toEqual([
      ['ai', [{ start_line: 1, end_line: 1 }]],
      ['human', [{ start_line: 5, end_line: 5 }]],
    ])
  })
})

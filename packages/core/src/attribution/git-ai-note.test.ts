import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { mergeFiles } from '../ledger/merge-files.ts'
import type { GitFixture } from '../testing/git-fixture.ts'
import { byAgent, copyOf, hasGit, makeRepository } from '../testing/git-fixture.ts'
import { commitWork } from '../workspace/commit-work.ts'
import type { Contributor } from './attribute-lines.ts'
import { attributeLines } from './attribute-lines.ts'
import { toGitAiNote } from './git-ai-note.ts'

const agent: Contributor = { actor: { kind: 'agent', id: 'smith' }, model: 'acme/m1' }
const human: Contributor = { actor: { kind: 'human', id: 'bob' } }
const unknown: Contributor = { actor: undefined }

const hashOf = (id: string): string => createHash('sha256').update(`baton:${id}`).digest('hex').slice(0, 16)

/** Reads a note as sections 1.2.2 to 1.2.4 of the standard say, strictly. */
function parseNote(note: string): { lines: Map<string, Map<string, number[]>>; metadata: Record<string, unknown> } {
  const [head = '', ...rest] = note.split('\n---\n')
  expect(rest).toHaveLength(1)
  const lines = new Map<string, Map<string, number[]>>()
  let file: Map<string, number[]> | undefined
  for (const row of head.split('\n')) {
    const entry = /^ {2}([0-9a-f]{16}) (\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)$/.exec(row)
    if (entry) {
      const numbers = (entry[2] ?? '').split(',').flatMap((part) => {
        const [from = 0, to = from] = part.split('-').map(Number)
        return Array.from({ length: to - from + 1 }, (_, index) => from + index)
      })
      expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
      file?.set(entry[1] ?? '', numbers)
    } else {
      const path = /^"[^"]+"$|^[^\s"]+$/.exec(row)?.[0].replaceAll('"', '')
      expect(path, row).toBeDefined()
      file = new Map()
      lines.set(path ?? '', file)
    }
  }
  return { lines, metadata: JSON.parse(rest[0] ?? '') }
}

describe('toGitAiNote', () => {
  it('tells which lines agents wrote, and nobody else', () => {
    const other: Contributor = { actor: { kind: 'agent', id: 'jones' } }
    const versions = [
      { text: 'old\n' },
      { by: agent, text: '1\n2\nold\n4\n5\n' },
      { by: human, text: '1\nby hand\nold\n4\n5\n6\n' },
      { by: unknown, text: '1\nby hand\nold\n4\n5\n6\n7\n' },
      { by: other, text: '1\nby hand\nold\n4\n5\n6\n7\n8\n' },
    ]
    const files = [
      { path: 'src/my file.ts', ...attributeLines(versions) },
      {
        path: 'human.ts',
        ...attributeLines([
          { by: human, text: 'h\n' },
          { by: unknown, text: 'h\n?\n' },
        ]),
      },
      { path: 'with "quotes".ts', ...attributeLines(versions) },
    ]
    const note = toGitAiNote({ files, taskId: 'task-1', baseCommit: 'b'.repeat(40), humanAuthor: 'Bob <bob@example.org>' })
    const { lines, metadata } = parseNote(note ?? '')
    const [smith, jones] = [hashOf('task-1/smith/acme/m1'), hashOf('task-1/jones')]
    expect([...lines].map(([path, rows]) => [path, Object.fromEntries(rows)])).toEqual([
      ['src/my file.ts', { [smith]: [1, 4, 5], [jones]: [8] }],
    ])
    expect(metadata).toEqual({
      schema_version: 'authorship/3.0.0',
      base_commit_sha: 'b'.repeat(40),
      prompts: {
        [smith]: {
          agent_id: { tool: 'baton', id: 'task-1/smith/acme/m1', model: 'acme/m1' },
          human_author: 'Bob <bob@example.org>',
          messages: [],
          total_additions: 4,
          total_deletions: 0,
          accepted_lines: 3,
          overriden_lines: 1,
        },
        [jones]: {
          agent_id: { tool: 'baton', id: 'task-1/jones', model: 'unknown' },
          human_author: 'Bob <bob@example.org>',
          messages: [],
          total_additions: 1,
          total_deletions: 0,
          accepted_lines: 1,
          overriden_lines: 0,
        },
      },
    })
  })

  it('makes no note where no agent has a line', () => {
    const files = [
      {
        path: 'a',
        ...attributeLines([
          { by: human, text: 'h\n' },
          { by: unknown, text: 'h\n?\n' },
        ]),
      },
    ]
    expect(toGitAiNote({ files, taskId: 't', baseCommit: undefined })).toBeUndefined()
  })
})

describe.skipIf(!hasGit && process.env.BATON_REQUIRE?.split(',').includes('git') !== true)('toGitAiNote in commitWork', () => {
  let repository: GitFixture
  beforeEach(() => {
    repository = makeRepository({ 'a.txt': 'a\nb\nc\nd\n' })
  })
  afterEach(() => repository.remove())

  it('counts lines in the commit, also where the branch has lines that the work did not know', async () => {
    const base = copyOf(repository.root)
    repository.write({ 'a.txt': 'new\na\nb\nc\nd\n' })
    repository.git('commit', '-qam', 'since')
    await commitWork({
      path: repository.root,
      base,
      stages: [byAgent({ 'a.txt': 'a\nb\nc\nd\nagent\n' })],
      merge: mergeFiles,
      async note({ parent, paths, read }) {
        const committed = Buffer.from((await read('a.txt')) ?? '').toString()
        const history = [{ text: 'a\nb\nc\nd\n' }, { by: agent, text: 'a\nb\nc\nd\nagent\n' }, { text: committed }]
        return toGitAiNote({ files: paths.map((path) => ({ path, ...attributeLines(history) })), taskId: 't', baseCommit: parent })
      },
    })
    const { lines, metadata } = parseNote(repository.git('notes', '--ref=ai', 'show', 'HEAD'))
    expect(lines.get('a.txt')?.get(hashOf('t/smith/acme/m1'))).toEqual([6])
    expect(metadata.base_commit_sha).toBe(repository.git('rev-parse', 'HEAD~1'))
  })
})

import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import { calling, eventsOfType, happens, scriptedBaton } from '../testing/task-fixtures.ts'

const alice = { kind: 'human', id: 'alice' } as const

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'baton-hard-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function repository(): string {
  const path = folder()
  const git = (...args: string[]): void =>
    void execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@b', ...args], { cwd: path, stdio: 'pipe' })
  git('init', '-q', '-b', 'main')
  writeFileSync(join(path, 'a.txt'), 'one\n')
  git('add', '.')
  git('commit', '-qm', 'first')
  return path
}

const parts = { tools: [writeTool], sandboxes: [createLocalSandboxProvider({ isolation: 'none' })] }
const script = [calling(['write', { path: 'a.txt', text: 'two\n' }]), { text: 'done' }, { text: 'more' }]

describe('a workspace whose git directory is corrupt', () => {
  const damages: readonly (readonly [string, (path: string) => void])[] = [
    ['HEAD is nonsense', (path) => writeFileSync(join(path, '.git/HEAD'), '\0nonsense')],
    ['the index is cut off', (path) => writeFileSync(join(path, '.git/index'), readFileSync(join(path, '.git/index')).subarray(0, 40))],
    ['the objects are gone', (path) => rmSync(join(path, '.git/objects'), { recursive: true })],
    [
      'the reflog is a folder',
      (path) => {
        rmSync(join(path, '.git/logs/HEAD'))
        mkdirSync(join(path, '.git/logs/HEAD'))
      },
    ],
  ]

  it.each(damages)(
    'is worked on all the same, in a copy and in place, when %s; a commit says what is wrong or works',
    async (_, damage) => {
      for (const inPlace of [false, true]) {
        const path = repository()
        damage(path)
        const { baton } = scriptedBaton(script, parts)
        const task = await baton.createTask({ goal: 'Go', workspace: { path, inPlace } })
        expect(await task.start().result).toMatchObject({ outcome: 'done' })
        const [change] = await eventsOfType(task, 'file.changed')
        expect(change).toMatchObject({ actor: { id: 'coder' }, data: { path: 'a.txt', evidence: 'tool' } })
        expect(await task.as(alice).undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
        const committed = await task.commit().catch((error: unknown) => error)
        if (committed instanceof Error)
          expect(['UNSUPPORTED_REPOSITORY', 'INVALID_STATE', 'INVALID_WORKSPACE']).toContain((committed as { code?: string }).code)
        await baton.close()
      }
    },
  )
})

describe('an undo after the sandbox was lost', () => {
  it('takes back what the agent wrote in the sandbox before', async () => {
    const path = folder()
    writeFileSync(join(path, 'a.txt'), 'one\n')
    const kept = { store: createMemoryEventStore(), blobs: createMemoryBlobStore(), ledger: { dir: folder() } }
    const sandboxes = [createLocalSandboxProvider({ isolation: 'none', root: folder() })]
    const first = scriptedBaton(script, { ...parts, ...kept, sandboxes })
    const task = await first.baton.createTask({ goal: 'Go', workspace: { path } })
    await task.start().result
    const { workdir } = (await happens(task, 'sandbox.started')).data
    const desk = await task.as(alice).takeControl()
    await writeFile(join(workdir, 'b.txt'), 'by hand\n')
    await desk.returnControl()
    await task.close()
    for await (const { id } of sandboxes[0]!.list()) await (await sandboxes[0]!.attach(id)).close()

    const second = scriptedBaton([{ text: 'more' }], { ...parts, ...kept, sandboxes })
    const again = await second.baton.openTask(task.id)
    expect(await again.as(alice).undo({ actor: 'agent' })).toEqual({ paths: ['a.txt'], conflicts: [] })
    const now = (await eventsOfType(again, 'sandbox.started')).at(-1)?.data.workdir ?? ''
    expect(readFileSync(join(now, 'a.txt'), 'utf8')).toBe('one\n')
    expect(readFileSync(join(now, 'b.txt'), 'utf8')).toBe('by hand\n')
    await again.end()
    await second.baton.close()
  })
})

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from './collaboration-fixtures.ts'
import { findHistoryProblems } from './find-history-problems.ts'
import { calling, happens, scriptedBaton } from './task-fixtures.ts'

async function taskWithHistory() {
  const root = mkdtempSync(join(tmpdir(), 'baton-history-'))
  const ledgerDir = join(root, 'ledger')
  const { baton } = scriptedBaton([calling(['write', { path: 'a.txt', text: 'a\n' }]), { text: 'done' }], {
    tools: [writeTool],
    sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    ledger: { dir: ledgerDir },
  })
  onTestFinished(async () => {
    await baton.close()
    rmSync(root, { recursive: true, force: true })
  })
  const task = await baton.createTask({ goal: 'Go' })
  await task.start().result
  const { workdir } = (await happens(task, 'sandbox.started')).data
  return { task, ledgerDir, workdir, root }
}

describe('findHistoryProblems', () => {
  it('finds nothing where all is well', async () => {
    expect(await findHistoryProblems(await taskWithHistory())).toEqual([])
  })

  it('finds files that are others than those of the sandbox', async () => {
    const { task, ledgerDir, root } = await taskWithHistory()
    const workdir = mkdtempSync(join(root, 'other-'))
    writeFileSync(join(workdir, 'b.txt'), 'b\n')
    expect(await findHistoryProblems({ task, ledgerDir, workdir })).toEqual([
      expect.stringMatching(/^"a\.txt" is 100644 [0-9a-f]{40} in the ledger, and absent in the sandbox$/),
      expect.stringMatching(/^"b\.txt" is absent in the ledger, and 100644 [0-9a-f]{40} in the sandbox$/),
    ])
  })

  it('finds what git finds', async () => {
    const under = await taskWithHistory()
    const tree = Buffer.concat([Buffer.from('100644 same\0'), Buffer.alloc(20, 1), Buffer.from('100644 same\0'), Buffer.alloc(20, 1)])
    execFileSync('git', ['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], {
      input: tree,
      env: { ...process.env, GIT_DIR: under.ledgerDir },
    })
    expect((await findHistoryProblems(under)).join('\n')).toMatch(/git fsck: error in tree .*duplicateEntries/)
  })
})

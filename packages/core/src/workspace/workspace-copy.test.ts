import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { applyChanges, copyIn, findChanges } from './workspace-copy.ts'

let host: string
let sandbox: Sandbox

beforeEach(async () => {
  host = mkdtempSync(join(tmpdir(), 'baton-workspace-'))
  sandbox = await createLocalSandboxProvider({ isolation: 'none' }).create({})
})
afterEach(async () => {
  await sandbox.close()
  rmSync(host, { recursive: true, force: true })
})

const inSandbox = (path: string): string => join(sandbox.workdir, path)

describe('applyChanges', () => {
  it('brings back content, modes, links and deletions, and what git ignores stays', async () => {
    writeFileSync(join(host, '.gitignore'), 'dist/\n*.log\n')
    writeFileSync(join(host, 'a.txt'), 'a')
    writeFileSync(join(host, 'run.sh'), '#!/bin/sh\n')
    writeFileSync(join(host, 'old.txt'), 'old')
    symlinkSync('a.txt', join(host, 'link'))
    const baseline = await copyIn(host, sandbox, {})
    expect(baseline.map(({ path }) => path).sort()).toEqual(['.gitignore', 'a.txt', 'link', 'old.txt', 'run.sh'])
    expect(await findChanges(sandbox, baseline, {})).toEqual([])

    await sandbox.writeFile('a.txt', Buffer.from('b'))
    await sandbox.writeFile('new/deep.txt', Buffer.from('new'))
    await sandbox.writeFile('dist/out.js', Buffer.from('built'))
    await sandbox.writeFile('noise.log', Buffer.from('noise'))
    chmodSync(inSandbox('run.sh'), 0o755)
    unlinkSync(inSandbox('old.txt'))
    unlinkSync(inSandbox('link'))
    symlinkSync('run.sh', inSandbox('link'))
    const changes = await findChanges(sandbox, baseline, {})
    expect(changes.map(({ path, change }) => `${change} ${path}`)).toEqual([
      'modified a.txt',
      'modified link',
      'created new/deep.txt',
      'deleted old.txt',
      'modified run.sh',
    ])

    expect((await applyChanges(host, sandbox, baseline, changes, {})).conflicts).toEqual([])
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('b')
    expect(readFileSync(join(host, 'new/deep.txt'), 'utf8')).toBe('new')
    expect(statSync(join(host, 'run.sh')).mode & 0o111).toBe(0o111)
    expect(readlinkSync(join(host, 'link'))).toBe('run.sh')
    expect(existsSync(join(host, 'old.txt'))).toBe(false)
    expect(existsSync(join(host, 'dist'))).toBe(false)
  })

  it('writes nothing where one file was changed in the workspace meanwhile', async () => {
    writeFileSync(join(host, 'a.txt'), 'a')
    writeFileSync(join(host, 'b.txt'), 'b')
    const baseline = await copyIn(host, sandbox, {})
    await sandbox.writeFile('a.txt', Buffer.from('by the agent'))
    await sandbox.writeFile('b.txt', Buffer.from('by the agent'))
    writeFileSync(join(host, 'b.txt'), 'by a person')
    const result = await applyChanges(host, sandbox, baseline, await findChanges(sandbox, baseline, {}), {})
    expect(result).toMatchObject({ applied: [], conflicts: ['b.txt'] })
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('a')
    expect(readFileSync(join(host, 'b.txt'), 'utf8')).toBe('by a person')
  })

  it('goes on from what was applied before', async () => {
    writeFileSync(join(host, 'a.txt'), '0')
    let baseline = await copyIn(host, sandbox, {})
    for (const content of ['1', '2', '3']) {
      await sandbox.writeFile('a.txt', Buffer.from(content))
      const result = await applyChanges(host, sandbox, baseline, await findChanges(sandbox, baseline, {}), {})
      expect(result.conflicts).toEqual([])
      expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe(content)
      baseline = result.baseline
    }
  })

  it('takes a file that is already as it should be, as after a crash in the middle', async () => {
    writeFileSync(join(host, 'a.txt'), '0')
    const baseline = await copyIn(host, sandbox, {})
    await sandbox.writeFile('a.txt', Buffer.from('1'))
    writeFileSync(join(host, 'a.txt'), '1')
    const result = await applyChanges(host, sandbox, baseline, await findChanges(sandbox, baseline, {}), {})
    expect(result).toMatchObject({ conflicts: [], applied: [{ path: 'a.txt', change: 'modified' }] })
  })
})

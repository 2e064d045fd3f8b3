import { mkdir, mkdtemp, readdir, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { newLocalId } from './local-record.ts'
import { createLocalSandboxProvider } from './local-sandbox.ts'

describe('createLocalSandboxProvider', () => {
  it('removes what a process left that died while it made a sandbox, but not what may still be under way', async () => {
    const root = await mkdtemp(join(tmpdir(), 'baton-leftovers-'))
    onTestFinished(() => rm(root, { recursive: true }))
    const provider = createLocalSandboxProvider({ root, isolation: 'none' })
    const [dead, underWay] = [newLocalId(), newLocalId()]
    for (const id of [dead, underWay]) await mkdir(join(root, id, 'work'), { recursive: true })
    const twoHoursAgo = Date.now() / 1000 - 7200
    await utimes(join(root, dead), twoHoursAgo, twoHoursAgo)

    const kept = await createLocalSandboxProvider({ root, isolation: 'none' }).create({})
    await utimes(join(root, kept.id), twoHoursAgo, twoHoursAgo)
    const sandbox = await provider.create({})

    expect((await readdir(root)).sort()).toEqual([underWay, kept.id, sandbox.id].sort())
  })
})

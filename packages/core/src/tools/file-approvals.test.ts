import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { BatonError } from '../errors.ts'
import type { ApprovalMemory, RememberedApproval } from './approval-memory.ts'
import { createMemoryApprovals } from './approval-memory.ts'
import { createFileApprovals } from './file-approvals.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-approvals-'))
afterAll(() => rmSync(root, { recursive: true }))
let files = 0
const newPath = (): string => join(root, `${++files}`, 'deep', 'approvals.json')

const alice = { kind: 'human', id: 'alice', name: 'Alice' } as const
function sample(id: string, more: Partial<RememberedApproval> = {}): RememberedApproval {
  return {
    id,
    workspace: '/work/a',
    scope: `shell: exactly ${id} "\u2028é🌬"`,
    tool: 'shell',
    by: alice,
    time: '2026-01-02T03:04:05.678Z',
    ...more,
  }
}

describe.each<[string, () => ApprovalMemory]>([
  ['createMemoryApprovals', createMemoryApprovals],
  ['createFileApprovals', () => createFileApprovals({ path: newPath() })],
])('%s', (_name, create) => {
  it('lists what was added, oldest first, of all workspaces or one', async () => {
    const memory = create()
    expect(await memory.list()).toEqual([])
    const all = [sample('1'), sample('2', { workspace: '/work/b' }), sample('3')]
    for (const one of all) await memory.add(one)
    expect(await memory.list()).toEqual(all)
    expect(await memory.list({ workspace: '/work/a' })).toEqual([all[0], all[2]])
    expect(await memory.list({ workspace: '/work' })).toEqual([])
  })

  it('forgets what is revoked, and says whether it was there', async () => {
    const memory = create()
    await memory.add(sample('1'))
    await memory.add(sample('2'))
    expect(await memory.revoke('1')).toBe(true)
    expect(await memory.revoke('1')).toBe(false)
    expect(await memory.list()).toEqual([sample('2')])
  })

  it('loses nothing of what is added at the same time', async () => {
    const memory = create()
    const ids = Array.from({ length: 20 }, (_, index) => `n${index}`)
    await Promise.all(ids.map((id) => memory.add(sample(id))))
    expect((await memory.list()).map(({ id }) => id).sort()).toEqual([...ids].sort())
  })
})

describe('createFileApprovals', () => {
  it('finds again what another one kept, for its owner’s eyes only, and leaves nothing else behind', async () => {
    const path = newPath()
    await createFileApprovals({ path }).add(sample('1'))
    expect(await createFileApprovals({ path }).list()).toEqual([sample('1')])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readdirSync(join(path, '..')).sort()).toEqual(['approvals.json', 'approvals.json.locks'])
    expect(readdirSync(`${path}.locks`)).toEqual([])
  })

  it('loses nothing of what several processes change at once, one of which is killed', async () => {
    const path = newPath()
    const url = JSON.stringify(new URL('file-approvals.ts', import.meta.url).href)
    const program = (name: string, count: number): string => `
      import { writeSync } from 'node:fs'
      import { createFileApprovals } from ${url}
      const memory = createFileApprovals({ path: ${JSON.stringify(path)} })
      for (let number = 0; number < ${count}; number++) {
        const id = '${name}-' + number
        await memory.add({ ...${JSON.stringify(sample(''))}, id })
        writeSync(1, id + '\\n')
        if (number % 3 === 0) await memory.revoke(id)
      }`
    const start = (name: string, count: number) => {
      const child = spawn(process.execPath, ['--input-type=module', '--eval', program(name, count)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let said = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        said += text
      })
      return { child, said: () => said.split('\n').slice(0, -1), ended: once(child, 'close') }
    }
    const killed = start('k', 1_000_000)
    const others = ['a', 'b'].map((name) => start(name, 20))
    while (killed.said().length < 5) await once(killed.child.stdout, 'data')
    killed.child.kill('SIGKILL')
    await killed.ended
    await Promise.all(others.map(({ ended }) => ended))
    const ids = new Set((await createFileApprovals({ path }).list()).map(({ id }) => id))
    const kept = (id: string): boolean => Number(id.slice(2)) % 3 !== 0
    for (const { said } of others) expect(said().filter((id) => ids.has(id))).toEqual(said().filter(kept))
    expect(others.map(({ said }) => said().length)).toEqual([20, 20])
    // The last one may have been about to be revoked.
    const sure = killed.said().slice(0, -1)
    expect(sure.filter((id) => ids.has(id))).toEqual(sure.filter(kept))
  })

  it.each<[string, string | Uint8Array, RegExp]>([
    ['cut off', '{"version":1,"approvals":[', /JSON/],
    ['empty', '', /JSON/],
    ['no JSON', 'hello', /JSON/],
    ['no text', new Uint8Array([0xff, 0xfe]), /no text/],
    ['something else', '[]', /expected object/],
    ['null', 'null', /expected object/],
    ['without approvals', '{"version":1}', /approvals/],
    ['of a wrong kind', '{"version":1,"approvals":[{"id":7}]}', /approvals\.0\.id/],
    ['of a later version', '{"version":2,"grants":[]}', /later version/],
  ])('leaves a file that is %s as it is, and names it', async (_what, content, why) => {
    const path = newPath()
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, content)
    const memory = createFileApprovals({ path })
    for (const attempt of [() => memory.list(), () => memory.add(sample('1')), () => memory.revoke('1')]) {
      const error: unknown = await attempt().catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: 'CORRUPT_FILE', details: { path }, message: expect.stringMatching(why) })
      expect((error as BatonError).message).toContain(path)
    }
    expect(readFileSync(path)).toEqual(Buffer.from(content as string))
    expect(readdirSync(join(path, '..')).sort()).toEqual(['approvals.json', 'approvals.json.locks'])
  })

  it('keeps what a later program has added to an approval', async () => {
    const path = newPath()
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, JSON.stringify({ version: 1, approvals: [{ ...sample('1'), expiresAt: 'never' }] }))
    await createFileApprovals({ path }).add(sample('2'))
    expect(JSON.parse(readFileSync(path, 'utf8')).approvals).toEqual([{ ...sample('1'), expiresAt: 'never' }, sample('2')])
  })

  it('says what the disk says', async () => {
    const path = newPath()
    mkdirSync(path, { recursive: true })
    await expect(createFileApprovals({ path }).list()).rejects.toMatchObject({ code: 'STORE_FAILED' })
    await expect(createFileApprovals({ path: join('/dev/null', 'x', 'y') }).add(sample('1'))).rejects.toMatchObject({
      code: 'STORE_FAILED',
    })
  })

  it('refuses options and approvals that are none', async () => {
    expect(() => createFileApprovals({ path: '' })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }))
    await expect(createFileApprovals({ path: newPath() }).add({} as never)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' })
  })
})

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { coder, expectClean, lacksGit, stageOf, textsOf } from '../testing/ledger-fixtures.ts'
import { mountSmallDisk } from '../testing/small-disk.ts'
import { createLedger } from './git-ledger.ts'

const { dir: disk, isLacking: lacksDisk, resize, remove } = mountSmallDisk('2m')

afterAll(remove)

/** Bytes that cannot be deflated. */
function noise(bytes: number, seed: number): Buffer {
  return createHash('shake256', { outputLength: bytes }).update(`${seed}`).digest()
}

describe('createLedger on a full disk', () => {
  it.skipIf(lacksDisk)('rejects the commit with STORE_FULL, stays whole, and goes on when there is room', async () => {
    const dir = join(disk, 'first')
    const ledger = createLedger({ dir })
    const [base] = await ledger.commit(undefined, [stageOf(ledger, { a: 'a' })])
    await ledger.point('task', base!)
    const stage = { author: coder, message: 'large', files: new Map([['large', ledger.put(noise(3_000_000, 1))]]) }
    for (let round = 0; round < 3; round++) {
      await expect(ledger.commit(base, [stage])).rejects.toMatchObject({ code: 'STORE_FULL', cause: { code: 'ENOSPC' } })
      expect(readdirSync(join(dir, 'objects/pack'))).toHaveLength(2)
    }
    expect(await textsOf(ledger, base!)).toEqual({ a: 'a' })
    resize('8m')
    const [head] = await ledger.commit(base, [stage])
    await ledger.point('task', head!)
    await ledger.close()
    const again = createLedger({ dir })
    expect(noise(3_000_000, 1).equals(await again.read((await again.files(head!)).get('large')!))).toBe(true)
    await again.close()
    if (!lacksGit) expectClean(dir)
    rmSync(dir, { recursive: true })
  })

  it.skipIf(lacksDisk)('loses nothing when there is no room to merge, to point or to prune', async () => {
    resize('1m')
    const dir = join(disk, 'second')
    const ledger = createLedger({ dir })
    const heads: string[] = []
    const codes = new Set<string>()
    for (let number = 0; number < 40; number++) {
      try {
        const files = new Map([[`f${number}`, ledger.put(noise(40_000, number))]])
        const [head] = await ledger.commit(heads.at(-1), [{ author: coder, message: `${number}`, files }])
        await ledger.point('task', head!)
        heads.push(head!)
      } catch (error) {
        codes.add((error as { code: string }).code)
      }
    }
    expect([...codes]).toEqual(['STORE_FULL'])
    expect(heads.length).toBeGreaterThan(10)
    await ledger.prune(['nothing']).catch((error: unknown) => expect(error).toMatchObject({ code: 'STORE_FULL' }))
    await ledger.close()
    const again = createLedger({ dir })
    for (const [index, head] of heads.entries()) expect((await again.files(head)).size).toBeGreaterThan(index)
    expect(heads).toContain(await again.head('task'))
    await again.close()
    if (!lacksGit) expectClean(dir)
  })

  it('rejects with STORE_FULL when a file may not grow, also where put has to write', () => {
    const dir = mkdtempSync(join(tmpdir(), 'baton-small-file-'))
    const program = `
      import { randomBytes } from 'node:crypto'
      import { createLedger } from ${JSON.stringify(new URL('git-ledger.ts', import.meta.url).href)}
      const ledger = createLedger({ dir: ${JSON.stringify(join(dir, 'ledger'))} })
      const author = { kind: 'agent', id: 'coder' }
      const put = (bytes) => ledger.put(randomBytes(bytes))
      const commit = (base, path, file) => ledger.commit(base, [{ author, message: path, files: new Map([[path, file]]) }])
      const [one] = await commit(undefined, 'one', put(1000))
      const large = put(5_000_000)
      const codes = [await commit(one, 'large', large).catch((error) => error.code + ' ' + error.cause.code)]
      try {
        for (let number = 0; number < 8; number++) put(5_000_000)
      } catch (error) {
        codes.push(error.code)
      }
      await ledger.close()
      const again = createLedger({ dir: ledger.dir })
      const [two] = await again.commit(one, [{ author, message: 'two', files: new Map([['two', again.put(randomBytes(1000))]]) }])
      console.log(JSON.stringify({ codes, paths: [...(await again.files(two)).keys()] }))`
    const args = [process.execPath, '--input-type=module', '--eval', program]
    const result = spawnSync('sh', ['-c', 'ulimit -f 2000 && exec "$@"', 'sh', ...args], { encoding: 'utf8' })
    expect(result.stderr).toBe('')
    expect(JSON.parse(result.stdout)).toEqual({ codes: ['STORE_FULL EFBIG', 'STORE_FULL'], paths: ['one', 'two'] })
    rmSync(dir, { recursive: true })
  })
})

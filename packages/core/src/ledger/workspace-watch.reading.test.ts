import { createHash } from 'node:crypto'
import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { BatonError } from '../errors.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { expectRejection } from '../testing/conformance.ts'
import type { TestLedger, WatchFixture } from '../testing/watch-fixtures.ts'
import { countingSandbox, createTestLedger, linesOf, withWatch, withWatchOn, write } from '../testing/watch-fixtures.ts'

const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')

describe('createWorkspaceWatch and large files', () => {
  const large = (fill: number): Buffer => Buffer.alloc(5_000, fill)
  const expectPointers = async ({ dir, save, look, ledger, sandbox }: WatchFixture, other: Sandbox = sandbox): Promise<void> => {
    write(dir, { 'a/large': large(1), small: Buffer.alloc(1_000), '-': large(2), 'new\nline': large(3), 'x\udcff': large(4) })
    const found = await look(other)
    const [entry] = found.changes.filter(({ path }) => path === 'a/large')
    expect(entry?.after).toMatchObject({ mode: '100644', hashOnly: true })
    const pointer = Buffer.from(ledger.contents.get(entry?.after?.oid ?? '') ?? []).toString()
    expect(pointer).toMatch(/^version https:\/\/git-lfs\.github\.com\/spec\/v1\n/)
    expect(pointer).toContain(`\noid sha256:${sha256(large(1))}\nsize 5000\n`)
    expect([...found.sha256].filter(([path]) => path !== 'small').sort()).toEqual(
      [
        ['-', sha256(large(2))],
        ['a/large', sha256(large(1))],
        ['new\nline', sha256(large(3))],
        ['x\udcff', sha256(large(4))],
      ].sort(),
    )
    expect(Math.max(...[...ledger.contents.values()].map(({ length }) => length))).toBe(1_000)
    await save(other)
    expect(await save(other)).toEqual([])
    writeFileSync(join(dir, 'a/large'), large(9))
    truncateSync(join(dir, '-'), 10)
    write(dir, { small: large(0) })
    const changed = await look(other)
    expect(changed.changes.map(({ path, after }) => [path, after?.hashOnly ?? false])).toEqual([
      ['-', false],
      ['a/large', true],
      ['small', true],
    ])
  }

  it('hashes them in the sandbox, and keeps a pointer', () =>
    withWatch(
      async (fixture) => {
        const counted = countingSandbox(fixture.sandbox)
        await expectPointers(fixture, counted.sandbox)
        expect(new Set(counted.read.filter((path) => path !== 'small'))).toEqual(new Set(['x\udcff', '-']))
      },
      { maxFileBytes: 1_000 },
    ))

  it('hashes them as a stream where the sandbox has no sha256sum', () =>
    withWatch(
      (fixture) =>
        expectPointers(fixture, { ...fixture.sandbox, spawn: (_, options) => fixture.sandbox.spawn(['no-such-program'], options) }),
      { maxFileBytes: 1_000 },
    ))

  it('by default, from 10 MiB on', () =>
    withWatch(async ({ dir, look }) => {
      write(dir, { at: Buffer.alloc(10 * 1024 * 1024), above: Buffer.alloc(10 * 1024 * 1024 + 1) })
      expect((await look()).changes.map(({ path, after }) => [path, after?.hashOnly ?? false])).toEqual([
        ['above', true],
        ['at', false],
      ])
    }))
})

/** What a file without read permission is to this process; root reads everything, so it becomes somebody else for a while. */
async function asNobody<T>(run: () => Promise<T>): Promise<T> {
  const root = process.geteuid?.() === 0
  if (root) process.seteuid?.(65_534)
  try {
    return await run()
  } finally {
    if (root) process.seteuid?.(0)
  }
}

const lacksUsers = process.platform === 'win32' || process.seteuid === undefined

describe('createWorkspaceWatch and what cannot be read', () => {
  afterEach(() => void (process.getuid?.() === 0 && process.seteuid?.(0)))

  /** Lets another user work in the sandbox, with everything above it. */
  const open = (dir: string): void => {
    for (let folder = dir; folder.includes('baton-watch-'); folder = join(folder, '..')) chmodSync(folder, 0o777)
  }

  it.skipIf(lacksUsers)('lets a file stand as it was, says so, and reads it when it can', () =>
    withWatch(async ({ dir, save, look }) => {
      open(dir)
      for (let n = 0; n < 20; n++) write(dir, { [`file-${n}`]: `content ${n}` })
      await save()
      write(dir, { 'file-3': 'changed', 'file-5': 'changed', hidden: 'x' })
      for (const path of ['file-3', 'hidden']) chmodSync(join(dir, path), 0)
      for (let round = 0; round < 2; round++) {
        const found = await asNobody(() => look())
        expect(linesOf(found)).toEqual(['M file-5'])
        expect([...found.unreadable].sort()).toEqual(['file-3', 'hidden'])
      }
      expect(await asNobody(() => save())).toEqual(['M file-5'])
      for (const path of ['file-3', 'hidden']) chmodSync(join(dir, path), 0o644)
      expect(await asNobody(() => save())).toEqual(['M file-3', 'A hidden'])
      expect(await asNobody(() => save())).toEqual([])
    }),
  )

  it.skipIf(lacksUsers)('lets what is in a folder stand as it was, says so, and reads it when it can', () =>
    withWatch(async ({ dir, save, look, watch }) => {
      open(dir)
      write(dir, { 'data/a': 'one', 'data/deep/b': 'two', c: 'three', '.gitignore': 'other\n' })
      await save()
      mkdirSync(join(dir, 'other'), { mode: 0 })
      write(dir, { 'data/a': 'changed', 'data/new': 'x', c: 'changed' })
      rmSync(join(dir, 'data/deep'), { recursive: true })
      for (const mode of [0, 0o744]) {
        chmodSync(join(dir, 'data'), mode)
        if (process.getuid?.() === 0) chownSync(join(dir, 'data'), 0, 0)
        for (const forget of [false, true]) {
          if (forget) watch.reset()
          const found = await asNobody(() => look())
          expect(linesOf(found)).toEqual(['M c'])
          expect(found.unreadable).toEqual(['data'])
        }
      }
      expect(await asNobody(() => save())).toEqual(['M c'])
      chmodSync(join(dir, 'data'), 0o755)
      expect(await asNobody(() => save())).toEqual(['M data/a', 'D data/deep/b', 'A data/new'])
      expect(await asNobody(() => save())).toEqual([])
    }),
  )

  it('reads what it can where a stream leaves paths out, or fails', () =>
    withWatch(async ({ dir, save, sandbox }) => {
      for (let n = 0; n < 30; n++) write(dir, { [`file-${n}`]: `content ${n}` })
      symlinkSync('x', join(dir, 'link'))
      const failing: Sandbox = {
        ...sandbox,
        pack(options) {
          if (options?.paths?.includes('file-7')) throw new BatonError('SANDBOX_FAILED', 'tar: file-7: input/output error')
          return sandbox.pack({ ...options, paths: options?.paths?.filter((path) => path !== 'file-9') })
        },
        async readFile(path, options) {
          if (path === 'file-7') throw new BatonError('SANDBOX_FAILED', 'file-7: input/output error')
          return sandbox.readFile(path, options)
        },
      }
      expect(await save(failing)).toHaveLength(30)
      expect(await save()).toEqual(['A file-7'])
    }))

  it('rejects where the ledger cannot take a content, and finds the change the next time', () => {
    let full = false
    const ledger = createTestLedger()
    const limited: TestLedger = {
      ...ledger,
      put(content, mode) {
        if (full) throw new BatonError('STORE_FULL', 'the disk is full')
        return ledger.put(content, mode)
      },
    }
    return withWatchOn(limited, async ({ dir, save, look }) => {
      write(dir, { a: 'one', b: 'two', c: 'three' })
      await save()
      full = true
      write(dir, { a: 'four', d: 'five' })
      for (let round = 0; round < 3; round++) await expectRejection(look(), 'STORE_FULL')
      full = false
      expect(await save()).toEqual(['M a', 'A d'])
    })
  })

  it('rejects, and takes nothing for gone, where the sandbox is lost', () =>
    withWatch(async ({ dir, save, look, sandbox }) => {
      write(dir, { a: 'x', b: 'x' })
      await save()
      for (const code of ['SANDBOX_LOST', 'CLOSED'] as const) {
        const lost: Sandbox = {
          ...sandbox,
          pack() {
            throw new BatonError(code, 'gone')
          },
        }
        write(dir, { a: code })
        await expectRejection(look(lost), code)
        expect(linesOf(await look())).toEqual(['M a'])
      }
      await expectRejection(
        look({
          ...sandbox,
          scanBatches: () => {
            throw new BatonError('SANDBOX_LOST', 'gone')
          },
        }),
        'SANDBOX_LOST',
      )
    }))
})

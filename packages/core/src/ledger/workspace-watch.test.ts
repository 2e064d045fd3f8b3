import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  cpSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fsPath, pathToBytes } from '../sandbox/path-bytes.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'
import { expectRejection } from '../testing/conformance.ts'
import { createMemorySandboxProvider } from '../testing/memory-sandbox.ts'
import { blobId, countingSandbox, createTestLedger, filesIn, linesOf, withWatch, withWatchOn, write } from '../testing/watch-fixtures.ts'
import { createLedger } from './git-ledger.ts'
import { createWorkspaceWatch } from './workspace-watch.ts'

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex')

describe('createWorkspaceWatch', () => {
  it('refuses wrong options, naming the field', () => {
    expect(() => createWorkspaceWatch({ ledger: createTestLedger(), maxFileBytes: 0 })).toThrow(/maxFileBytes/)
    expect(() => createWorkspaceWatch({ ledger: {} as never })).toThrow(/ledger/)
  })

  it('finds what was created, modified and deleted, with the content in the ledger and its SHA-256', () =>
    withWatch(async ({ dir, save, look, ledger }) => {
      write(dir, { 'a.txt': 'one', 'src/b.txt': 'two', 'src/c.txt': '' })
      expect(await save()).toEqual(['A a.txt', 'A src/b.txt', 'A src/c.txt'])
      expect(await save()).toEqual([])
      write(dir, { 'a.txt': 'three', 'new/d': 'four' })
      rmSync(join(dir, 'src/b.txt'))
      const found = await look()
      expect(linesOf(found)).toEqual(['M a.txt', 'A new/d', 'D src/b.txt'])
      expect(Object.fromEntries(found.sha256)).toEqual({ 'a.txt': sha256('three'), 'new/d': sha256('four') })
      expect(found.changes[0]).toEqual({
        path: 'a.txt',
        before: { mode: '100644', oid: blobId(Buffer.from('one')) },
        after: { mode: '100644', oid: blobId(Buffer.from('three')) },
      })
      expect(Buffer.from(ledger.contents.get(blobId(Buffer.from('four'))) ?? []).toString()).toBe('four')
      expect(found.unreadable).toEqual([])
      // Not settled: it is found again, whole.
      expect(await look()).toEqual(found)
      expect(await save()).toEqual(linesOf(found))
      expect(await save()).toEqual([])
    }))

  it('names changes in byte order', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { '\uff5e': '', '𝄞': '', 'a-': '', 'a0/b': '', 'a/b': '' })
      expect(await save()).toEqual(['A a-', 'A a/b', 'A a0/b', 'A \uff5e', 'A 𝄞'])
    }))

  it('finds an edit of the same size with the same mtime', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { file: 'one' })
      const { atime, mtime } = lstatSync(join(dir, 'file'))
      utimesSync(join(dir, 'file'), atime, mtime)
      await save()
      for (let round = 0; round < 200; round++) {
        write(dir, { file: String(round).padStart(3) })
        utimesSync(join(dir, 'file'), atime, mtime)
        expect(await save(), `round ${round}`).toEqual(['M file'])
      }
    }))

  it('finds edits in the same instant as the one before, where nothing tells them apart', async () => {
    // Every stat of this sandbox is cut to whole seconds and one inode, as some backends have it.
    await withWatch(async ({ dir, save, sandbox }) => {
      const cut = (stat: FileStat): FileStat => ({ ...stat, inode: 1, ctimeMs: Math.floor(stat.ctimeMs / 1000) * 1000, mtimeMs: 0 })
      const { scanBatches: _, ...rest } = sandbox
      const coarse: Sandbox = {
        ...rest,
        async *scan(options) {
          for await (const stat of sandbox.scan(options)) yield cut(stat)
        },
      }
      write(dir, { file: '000', other: 'x' })
      await save(coarse)
      for (let round = 1; round < 50; round++) {
        write(dir, { file: String(round).padStart(3, '0') })
        expect(await save(coarse), `round ${round}`).toEqual(['M file'])
      }
    })
  })

  it('reports nothing for a file that was only touched, and does not read it for ever', () =>
    withWatch(async ({ dir, save, sandbox, ledger }) => {
      write(dir, { a: 'one', b: 'two', 'c/d': 'three' })
      await save()
      const puts = ledger.calls.put
      utimesSync(join(dir, 'a'), new Date(), new Date())
      const touched = countingSandbox(sandbox)
      expect(await save(touched.sandbox)).toEqual([])
      expect(touched.read).toContain('a')
      await pause(50)
      await save()
      const quiet = countingSandbox(sandbox)
      expect(await save(quiet.sandbox)).toEqual([])
      expect(quiet.read).toEqual([])
      expect(ledger.calls.put).toBe(puts)
    }))

  it('reads a state once, and only what changed', () =>
    withWatch(async ({ dir, save, sandbox, ledger }) => {
      for (let n = 0; n < 100; n++) write(dir, { [`folder-${n % 7}/file-${n}`]: `content ${n}` })
      await save()
      await pause(50)
      await save()
      write(dir, { 'folder-1/file-1': 'changed' })
      const counted = countingSandbox(sandbox)
      expect(await save(counted.sandbox)).toEqual(['M folder-1/file-1'])
      expect(counted.read).toEqual(['folder-1/file-1'])
      expect(ledger.calls.files).toBe(0)
    }))

  it('finds a change of mode alone, and only the owner may make a file one that runs', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { file: 'x' })
      await save()
      chmodSync(join(dir, 'file'), 0o755)
      expect(await save()).toEqual(['M100755 file'])
      chmodSync(join(dir, 'file'), 0o700)
      expect(await save()).toEqual([])
      chmodSync(join(dir, 'file'), 0o655)
      expect(await save()).toEqual(['M100644 file'])
    }))

  it('finds files, folders and links that take each other’s place', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { thing: 'target' })
      await save()
      rmSync(join(dir, 'thing'))
      write(dir, { 'thing/inside': 'x' })
      expect(await save()).toEqual(['D thing', 'A thing/inside'])
      rmSync(join(dir, 'thing'), { recursive: true })
      symlinkSync('target', join(dir, 'thing'))
      expect(await save()).toEqual(['A120000 thing', 'D thing/inside'])
      rmSync(join(dir, 'thing'))
      symlinkSync('tarGet', join(dir, 'thing'))
      expect(await save()).toEqual(['M thing'])
      rmSync(join(dir, 'thing'))
      write(dir, { thing: 'tarGet' })
      expect(await save()).toEqual(['M100644 thing'])
      rmSync(join(dir, 'thing'))
      expect(await save()).toEqual(['D thing'])
    }))

  it('takes a rename for a deletion and a creation of the same content', () =>
    withWatch(async ({ dir, save, look }) => {
      write(dir, { 'a/old': 'content' })
      await save()
      renameSync(join(dir, 'a'), join(dir, 'b'))
      const { changes } = await look()
      expect(changes.map(({ path, before, after }) => [path, before?.oid, after?.oid])).toEqual([
        ['a/old', blobId(Buffer.from('content')), undefined],
        ['b/old', undefined, blobId(Buffer.from('content'))],
      ])
    }))

  it('keeps links as links, wherever they lead, and leaves out folders, pipes and sockets', () =>
    withWatch(async ({ dir, save, sandbox, ledger }) => {
      mkdirSync(join(dir, 'empty'))
      symlinkSync('/etc/passwd', join(dir, 'out'))
      symlinkSync(pathToBytes('to\udcff'), join(dir, 'bytes'))
      symlinkSync('x'.repeat(300), join(dir, 'long'))
      const made = await sandbox.spawn(['mkfifo', 'pipe'])
      await made.exit
      expect(await save()).toEqual(['A120000 bytes', 'A120000 long', 'A120000 out'])
      const contents = [...ledger.contents.values()].map((content) => Buffer.from(content).toString('latin1')).sort()
      expect(contents).toEqual(['/etc/passwd', 'to\u00ff', 'x'.repeat(300)])
    }))

  it('reads hard links, each as a file of its own', () =>
    withWatch(async ({ dir, save }) => {
      write(dir, { 'a/one': 'same' })
      linkSync(join(dir, 'a/one'), join(dir, 'two'))
      linkSync(join(dir, 'a/one'), join(dir, 'a/three'))
      expect(await save()).toEqual(['A a/one', 'A a/three', 'A two'])
      appendFileSync(join(dir, 'two'), '!')
      expect(await save()).toEqual(['M a/one', 'M a/three', 'M two'])
    }))

  it('takes any name there is', () =>
    withWatch(async ({ dir, save }) => {
      const names = [
        'new\nline',
        'f\udcff\udcc3(',
        'd\udc80/x',
        '-',
        '--help',
        ' ',
        'ü',
        '\\',
        '*[a]?',
        '.gitignored',
        'x.git',
        `${'long'.repeat(60)}/y`,
      ]
      write(dir, Object.fromEntries(names.map((name) => [name, name.slice(0, 5)])))
      expect(new Set(await save())).toEqual(new Set(names.map((name) => `A ${name}`)))
      write(dir, Object.fromEntries(names.map((name) => [name, 'changed'])))
      expect(new Set(await save())).toEqual(new Set(names.map((name) => `M ${name}`)))
      for (const name of names) rmSync(fsPath(`${dir}/${name}`))
      expect(new Set(await save())).toEqual(new Set(names.map((name) => `D ${name}`)))
    }))

  it('never looks into .git, at any depth, be it a folder or a file', () =>
    withWatch(async ({ dir, save, sandbox }) => {
      write(dir, {
        '.git/HEAD': 'x',
        'sub/.git/config': 'x',
        'sub/file': 'mine',
        'worktree/.git': 'gitdir: elsewhere',
        'worktree/file': 'x',
      })
      const counted = countingSandbox(sandbox)
      expect(await save(counted.sandbox)).toEqual(['A sub/file', 'A worktree/file'])
      expect(counted.scanned.filter((path) => path.includes('.git/'))).toEqual([])
    }))

  it('compares with any state, and reads only what is different from that', () =>
    withWatch(async ({ dir, save, sandbox, ledger, watch }) => {
      write(dir, { a: 'one', b: 'one', gone: 'x' })
      await save()
      const files = new Map([['b', { mode: '100644' as const, oid: blobId(Buffer.from('two')) }]])
      ledger.put(Buffer.from('two'))
      const [other] = await ledger.commit(undefined, [{ author: { kind: 'system', id: 'x' }, message: '', files }])
      await pause(50)
      await save()
      const counted = countingSandbox(sandbox)
      const found = await watch.look(counted.sandbox, other)
      expect(linesOf(found)).toEqual(['A a', 'M b', 'A gone'])
      expect([...found.sha256.keys()].sort()).toEqual(['a', 'b', 'gone'])
      const back = await watch.look(sandbox, undefined)
      expect(linesOf(back)).toEqual(['A a', 'A b', 'A gone'])
      await expectRejection(watch.look(sandbox, 'f'.repeat(40)), 'LEDGER_DAMAGED')
      expect(linesOf(await watch.look(sandbox, other))).toEqual(['A a', 'M b', 'A gone'])
    }))

  it('after reset, and in another sandbox, reads everything again', () =>
    withWatch(async ({ dir, save, look, watch, sandbox }) => {
      write(dir, { a: 'one', b: 'two' })
      await save()
      await pause(50)
      await save()
      watch.reset()
      const counted = countingSandbox(sandbox)
      expect(linesOf(await look(counted.sandbox))).toEqual([])
      expect(counted.read.sort()).toEqual(['a', 'b'])
      const memory = await createMemorySandboxProvider({ files: { a: 'one', c: 'three' } }).create({})
      expect(linesOf(await look(memory))).toEqual(['D b', 'A c'])
      await memory.close()
      expect(linesOf(await look())).toEqual([])
    }))

  it('works where a sandbox gives single entries and has no commands', async () => {
    const sandbox = await createMemorySandboxProvider({ files: { a: 'one', 'b/c': 'two', '.gitignore': 'out\n', 'out/x': 'x' } }).create({})
    const ledger = createTestLedger()
    const watch = createWorkspaceWatch({ ledger, maxFileBytes: 5 })
    expect(linesOf(await watch.look(sandbox, undefined))).toEqual(['A .gitignore', 'A a', 'A b/c'])
    await sandbox.writeFile('a', Buffer.from('larger than that'))
    const { changes } = await watch.look(sandbox, undefined)
    expect(changes.find(({ path }) => path === 'a')?.after?.hashOnly).toBe(true)
    await sandbox.close()
  })

  it('gives up when it is aborted, and finds everything the next time', () =>
    withWatch(async ({ dir, save, watch, sandbox }) => {
      for (let n = 0; n < 300; n++) write(dir, { [`f${n % 10}/${n}`]: `content ${n}` })
      await expectRejection(watch.look(sandbox, undefined, { signal: AbortSignal.abort() }), 'ABORTED')
      for (const at of ['scan', 'pack'] as const) {
        const stop = new AbortController()
        const aborting: Sandbox = {
          ...sandbox,
          async *scanBatches(options) {
            for await (const batch of sandbox.scanBatches?.(options) ?? []) {
              if (at === 'scan') stop.abort()
              yield batch
            }
          },
          pack(options) {
            const through = new TransformStream<Uint8Array, Uint8Array>({
              transform(chunk, controller) {
                controller.enqueue(chunk.subarray(0, 40_000))
                stop.abort()
              },
            })
            return sandbox.pack(options).pipeThrough(through)
          },
        }
        await expectRejection(watch.look(aborting, undefined, { signal: stop.signal }), 'ABORTED')
      }
      expect(await save()).toHaveLength(300)
      expect(await save()).toEqual([])
    }))

  it('lets looks that are asked for at the same time take turns', () =>
    withWatch(async ({ dir, look, sandbox, watch }) => {
      write(dir, { a: 'one', b: 'two' })
      const aborted = watch.look(sandbox, undefined, { signal: AbortSignal.abort() })
      const looks = await Promise.all([look(), look(), look()])
      await expectRejection(aborted, 'ABORTED')
      for (const found of looks) expect(linesOf(found)).toEqual(['A a', 'A b'])
    }))

  it('takes what vanishes while it is read for gone, and reads the rest', () =>
    withWatch(async ({ dir, save, sandbox }) => {
      for (let n = 0; n < 40; n++) write(dir, { [`file-${n}`]: `content ${n}`, [`folder/${n}`]: 'x' })
      const vanishing: Sandbox = {
        ...sandbox,
        pack(options) {
          for (const n of [0, 7, 8, 39]) rmSync(join(dir, `file-${n}`), { force: true })
          rmSync(join(dir, 'folder'), { recursive: true, force: true })
          write(dir, { folder: 'a file now' })
          return sandbox.pack(options)
        },
      }
      expect((await save(vanishing)).length).toBe(36)
      expect(await save()).toEqual(['A folder'])
    }))

  it('reads a file again that was written to while it was scanned or read', () =>
    withWatch(async (fixture) => {
      const { dir, save, ledger } = fixture
      mkdirSync(join(dir, 'b'))
      const loop = `
        const fs = require('node:fs')
        for (let n = 100_000; ; n++) {
          for (const path of ['a', 'b/c', 'b/e']) fs.writeFileSync(path, String(n))
          fs.renameSync('b/c', 'b/d')
          if (n % 7 === 0) fs.rmSync('b/e')
          if (n === 100_000) console.log('writing')
        }`
      const writer = spawn(process.execPath, ['-e', loop], { cwd: dir, stdio: ['ignore', 'pipe', 'inherit'] })
      try {
        await once(writer.stdout, 'data')
        for (let round = 0; round < 100; round++) await save()
      } finally {
        writer.kill('SIGKILL')
        await once(writer, 'exit')
      }
      await save()
      expect(await ledger.files(fixture.state ?? '')).toEqual(filesIn(dir))
      expect(await save()).toEqual([])
    }))

  it('keeps a workspace in a ledger of git, and knows it again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'baton-watch-ledger-'))
    const ledger = createLedger({ dir: folder, maxFileBytes: 1_000 })
    try {
      await withWatchOn(
        ledger,
        async (fixture) => {
          const { dir, save, sandbox } = fixture
          write(dir, { 'src/a.ts': 'one', 'src/run.sh': '#!/bin/sh', 'f\udcff': 'bytes', large: Buffer.alloc(2_000) })
          chmodSync(join(dir, 'src/run.sh'), 0o755)
          symlinkSync('src/a.ts', join(dir, 'link'))
          expect(await save()).toEqual(['A f\udcff', 'A large', 'A120000 link', 'A src/a.ts', 'A100755 src/run.sh'])
          write(dir, { 'src/a.ts': 'two' })
          expect(await save()).toEqual(['M src/a.ts'])
          const files = await ledger.files(fixture.state ?? '')
          const { large, ...others } = Object.fromEntries(files)
          expect(large?.hashOnly).toBe(true)
          const { large: _, ...there } = Object.fromEntries(filesIn(dir))
          expect(others).toEqual(there)
          expect(Buffer.from(await ledger.read(files.get('src/a.ts') ?? expect.fail())).toString()).toBe('two')
          const again = createWorkspaceWatch({ ledger, maxFileBytes: 1_000 })
          expect(linesOf(await again.look(sandbox, fixture.state))).toEqual([])
          write(dir, { large: Buffer.alloc(2_000, 1) })
          expect(linesOf(await again.look(sandbox, fixture.state))).toEqual(['M large'])
        },
        { maxFileBytes: 1_000 },
      )
    } finally {
      await ledger.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('finds every change among 50,000 files', { timeout: 240_000 }, () =>
    withWatch(async ({ dir, save }) => {
      for (let folder = 0; folder < 500; folder++) {
        mkdirSync(join(dir, `f${folder}`))
        for (let n = 0; n < 100; n++) writeFileSync(join(dir, `f${folder}/${n}`), `${folder} ${n}`)
      }
      expect(await save()).toHaveLength(50_000)
      write(dir, { 'f7/7': '8 8', 'f499/new': 'x' })
      rmSync(join(dir, 'f250'), { recursive: true })
      expect((await save()).filter((line) => !line.startsWith('D f250/'))).toEqual(['A f499/new', 'M f7/7'])
      cpSync(join(dir, 'f0'), join(dir, 'f250'), { recursive: true })
      expect(await save()).toHaveLength(100)
      expect(await save()).toEqual([])
    }),
  )
})

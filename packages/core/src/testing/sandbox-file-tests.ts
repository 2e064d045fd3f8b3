import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { FileStat, Sandbox, ScanOptions } from '../sandbox/sandbox.ts'
import { collect, expectRejection } from './conformance.ts'
import type { SandboxSuite } from './sandbox-suite.ts'
import { bytes, runToEnd } from './sandbox-suite.ts'

const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')

/** What every backend owes of files. */
export function testFiles(suite: SandboxSuite): void {
  testReading(suite)
  testWriting(suite)
  testConfinement(suite)
  testScan(suite)
}

function testReading({ test, can }: SandboxSuite): void {
  test('readFile gives back exactly what was written, by relative and by absolute path', async (sandbox) => {
    for (const [path, data] of [
      ['binary', randomBytes(300_000)],
      ['deep/er/ü 𝄞\nnew', bytes('text')],
      ['empty', new Uint8Array()],
    ] as const) {
      await sandbox.writeFile(path, data)
      assert.ok(Buffer.from(data).equals(await sandbox.readFile(path)), path)
      assert.ok(Buffer.from(data).equals(await sandbox.readFile(`${sandbox.workdir}/./${path}`)), path)
    }
  })

  test('readFile rejects with FILE_NOT_FOUND, NOT_A_FILE and FILE_TOO_LARGE', async (sandbox) => {
    await sandbox.writeFile('folder/file', bytes('12345'))
    await expectRejection(sandbox.readFile('nothing'), 'FILE_NOT_FOUND')
    await expectRejection(sandbox.readFile('folder/nothing/deep'), 'FILE_NOT_FOUND')
    await expectRejection(sandbox.readFile('folder/file/deep'), 'FILE_NOT_FOUND')
    await expectRejection(sandbox.readFile('folder'), 'NOT_A_FILE')
    await expectRejection(sandbox.readFile('.'), 'NOT_A_FILE')
    await expectRejection(sandbox.readFile('folder/file', { maxBytes: 4 }), 'FILE_TOO_LARGE')
    assert.equal((await sandbox.readFile('folder/file', { maxBytes: 5 })).length, 5)
  })

  if (can.shell)
    test('readFile does not hang on a pipe', async (sandbox) => {
      await runToEnd(sandbox, 'mkfifo pipe')
      await expectRejection(sandbox.readFile('pipe'), 'NOT_A_FILE')
      await expectRejection(sandbox.writeFile('pipe', bytes('x')), 'NOT_A_FILE')
    })

  if (can.shell)
    test('readFile and commands see the same files', async (sandbox) => {
      await sandbox.writeFile('from-host', bytes('host\n'))
      assert.equal((await runToEnd(sandbox, 'cat from-host; printf inside > from-inside')).stdout.toString(), 'host\n')
      assert.equal(Buffer.from(await sandbox.readFile('from-inside')).toString(), 'inside')
    })
}

function testWriting({ test, can }: SandboxSuite): void {
  test('writeFile writes all or nothing', async (sandbox) => {
    const contents = [Buffer.alloc(400_000, 'a'), Buffer.alloc(300_000, 'b')]
    await sandbox.writeFile('file', contents[0] ?? assert.fail())
    let writing = true
    const writes = (async () => {
      for (let round = 0; round < 20; round++) await sandbox.writeFile('file', contents[round % 2] ?? assert.fail())
      writing = false
    })()
    const torn: number[] = []
    while (writing) {
      const found = Buffer.from(await sandbox.readFile('file'))
      if (!contents.some((content) => content.equals(found))) torn.push(found.length)
    }
    await writes
    assert.deepEqual(torn, [], 'a reader saw a part of a file that was being written')
  })

  test('writeFile leaves nothing else behind, also when it is refused', async (sandbox) => {
    await sandbox.writeFile('folder/file', bytes('x'))
    await expectRejection(sandbox.writeFile('folder', bytes('x')), 'NOT_A_FILE')
    await expectRejection(sandbox.writeFile('.', bytes('x')), 'NOT_A_FILE')
    await expectRejection(sandbox.writeFile('folder/file/below', bytes('x')), 'NOT_A_FILE')
    await expectRejection(sandbox.writeFile('folder/file', bytes('y'), { ifSha256: null }), 'FILE_CHANGED')
    await expectRejection(sandbox.writeFile('other', bytes('y'), { signal: AbortSignal.abort() }), 'ABORTED')
    assert.deepEqual((await collect(sandbox.scan())).map(({ path }) => path).sort(), ['folder', 'folder/file'])
    assert.equal(Buffer.from(await sandbox.readFile('folder/file')).toString(), 'x')
  })

  test('writeFile with ifSha256 writes only over what was expected', async (sandbox) => {
    const [one, two] = [bytes('one'), bytes('two')]
    await expectRejection(sandbox.writeFile('file', two, { ifSha256: sha256(one) }), 'FILE_CHANGED')
    await sandbox.writeFile('file', one, { ifSha256: null })
    await expectRejection(sandbox.writeFile('file', two, { ifSha256: null }), 'FILE_CHANGED')
    await expectRejection(sandbox.writeFile('file', two, { ifSha256: sha256(two) }), 'FILE_CHANGED')
    assert.equal(Buffer.from(await sandbox.readFile('file')).toString(), 'one')
    await sandbox.writeFile('file', two, { ifSha256: sha256(one) })
    assert.equal(Buffer.from(await sandbox.readFile('file')).toString(), 'two')
  })

  test('writeFile with ifSha256 lets one of several win', async (sandbox) => {
    await sandbox.writeFile('file', bytes('start'))
    for (const ifSha256 of [sha256(bytes('start')), null]) {
      const path = ifSha256 === null ? 'new' : 'file'
      const results = await Promise.allSettled([0, 1, 2, 3].map((n) => sandbox.writeFile(path, bytes(`writer ${n}`), { ifSha256 })))
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1, `of several conditional writes of ${path} not one won`)
    }
  })

  test('writeFile gives the mode, keeps the one that is there, and makes 0644 else', async (sandbox) => {
    const modes = async (): Promise<Record<string, number>> =>
      Object.fromEntries((await collect(sandbox.scan())).map(({ path, mode }) => [path, mode]))
    await sandbox.writeFile('plain', bytes('x'))
    await sandbox.writeFile('script', bytes('#!/bin/sh\necho ran'), { mode: 0o755 })
    assert.deepEqual(await modes(), { plain: 0o644, script: 0o755 })
    await sandbox.writeFile('script', bytes('#!/bin/sh\necho again'))
    assert.deepEqual(await modes(), { plain: 0o644, script: 0o755 })
    await sandbox.writeFile('script', bytes('x'), { mode: 0o600 })
    assert.deepEqual(await modes(), { plain: 0o644, script: 0o600 })
    await sandbox.writeFile('script', bytes('#!/bin/sh\necho ran'), { mode: 0o755 })
    if (can.shell) assert.equal((await runToEnd(sandbox, ['./script'])).stdout.toString(), 'ran\n')
  })
}

function testConfinement({ test, can }: SandboxSuite): void {
  const expectOutside = async (sandbox: Sandbox, path: string): Promise<void> => {
    await expectRejection(sandbox.readFile(path), 'PATH_OUTSIDE_WORKDIR')
    await expectRejection(sandbox.writeFile(path, bytes('x')), 'PATH_OUTSIDE_WORKDIR')
  }

  test('a path that leads out rejects with PATH_OUTSIDE_WORKDIR', async (sandbox) => {
    await sandbox.writeFile('a/file', bytes('x'))
    for (const path of ['../x', 'a/../../x', '/etc/passwd', '/', '..', `${sandbox.workdir}-other/x`, `${sandbox.workdir}/../x`])
      await expectOutside(sandbox, path)
    await expectRejection(collect(sandbox.scan({ path: '..' })), 'PATH_OUTSIDE_WORKDIR')
    await expectRejection(collect(sandbox.pack({ paths: ['a', '../x'] })), 'PATH_OUTSIDE_WORKDIR')
    assert.equal((await sandbox.readFile('a/../a/./file')).length, 1)
  })

  if (!can.shell) return

  test('a link that leads out rejects with PATH_OUTSIDE_WORKDIR, wherever in the path it is', async (sandbox) => {
    const links =
      'ln -s /etc/passwd file; ln -s / root; ln -s .. up; mkdir a; ln -s ../../x a/rel; ln -s root/etc second; ln -s /nowhere/x dangling'
    await runToEnd(sandbox, links)
    for (const path of ['file', 'root/etc/passwd', 'up/x', 'a/rel', 'a/../root/etc/passwd', 'second/passwd', 'dangling', 'root/nowhere/x'])
      await expectOutside(sandbox, path)
    await expectRejection(sandbox.spawn('pwd', { cwd: 'root' }), 'PATH_OUTSIDE_WORKDIR')
    await expectRejection(collect(sandbox.scan({ path: 'root/etc' })), 'PATH_OUTSIDE_WORKDIR')
  })

  test('a link that stays inside is followed, and stays a link when it is written through', async (sandbox) => {
    await sandbox.writeFile('real/file', bytes('before'))
    await runToEnd(sandbox, 'ln -s real/file link; ln -s real folder; ln -s "$PWD/real" absolute; ln -s fresh new; ln -s loop loop')
    for (const path of ['link', 'folder/file', 'absolute/file', 'folder/../link'])
      assert.equal(Buffer.from(await sandbox.readFile(path)).toString(), 'before', path)
    await sandbox.writeFile('link', bytes('after'))
    await sandbox.writeFile('new', bytes('made'))
    assert.equal(
      (await runToEnd(sandbox, 'cat real/file; readlink link; cat fresh; readlink new')).stdout.toString(),
      'afterreal/file\nmadefresh\n',
    )
    await expectRejection(sandbox.readFile('loop'), 'NOT_A_FILE')
  })
}

async function scanByPath(sandbox: Sandbox, options?: ScanOptions): Promise<Map<string, FileStat>> {
  return new Map((await collect(sandbox.scan(options))).map((stat) => [stat.path, stat]))
}

function testScan({ test, can }: SandboxSuite): void {
  test('scan lists every file and folder once, with size, mode and times', async (sandbox) => {
    assert.deepEqual(await collect(sandbox.scan()), [])
    await sandbox.writeFile('a/b/deep', bytes('12345'))
    await sandbox.writeFile('a/new\nline ü', bytes(''))
    await sandbox.writeFile('top', bytes('1'), { mode: 0o700 })
    const found = await scanByPath(sandbox)
    assert.deepEqual([...found.keys()].sort(), ['a', 'a/b', 'a/b/deep', 'a/new\nline ü', 'top'])
    assert.deepEqual([...found.values()].map(({ kind }) => kind).sort(), ['file', 'file', 'file', 'folder', 'folder'])
    assert.deepEqual([found.get('a/b/deep')?.size, found.get('top')?.mode], [5, 0o700])
    assert.ok(Math.abs((found.get('top')?.mtimeMs ?? 0) - Date.now()) < 3_600_000, 'mtimeMs is not the time in milliseconds')
    assert.equal(new Set([...found.values()].map(({ inode }) => inode)).size, 5)
  })

  test('scan shows a change of content of the same size', async (sandbox) => {
    await sandbox.writeFile('file', bytes('one'))
    const before = (await scanByPath(sandbox)).get('file')
    await new Promise((resolve) => setTimeout(resolve, 10))
    await sandbox.writeFile('file', bytes('two'))
    const after = (await scanByPath(sandbox)).get('file')
    assert.notDeepEqual([after?.ctimeMs, after?.inode], [before?.ctimeMs, before?.inode])
  })

  test('scan starts where it is told, leaves out what is skipped, and rejects with FILE_NOT_FOUND', async (sandbox) => {
    for (const path of ['a/node_modules/x', 'a/b/node_modules/y', 'a/b/c', 'd']) await sandbox.writeFile(path, bytes('x'))
    assert.deepEqual([...(await scanByPath(sandbox, { skip: ['node_modules'] })).keys()].sort(), ['a', 'a/b', 'a/b/c', 'd'])
    assert.deepEqual([...(await scanByPath(sandbox, { path: 'a/b' })).keys()].sort(), [
      'a/b',
      'a/b/c',
      'a/b/node_modules',
      'a/b/node_modules/y',
    ])
    assert.deepEqual([...(await scanByPath(sandbox, { path: 'd' })).keys()], ['d'])
    await expectRejection(collect(sandbox.scan({ path: 'nothing' })), 'FILE_NOT_FOUND')
    await expectRejection(collect(sandbox.scan({ signal: AbortSignal.abort() })), 'ABORTED')
  })

  test('scan leaves out the folders of skipPaths, by their exact paths, and no file of such a path', async (sandbox) => {
    for (const path of ['a/out/x', 'b/a/out/x', 'a/outer/x', 'a/b/c/x', 'file', 'ü [x]*/y']) await sandbox.writeFile(path, bytes('x'))
    const skipPaths = ['a/out', 'a/b/c', 'out', 'file', 'nothing', 'ü [x]*']
    assert.deepEqual([...(await scanByPath(sandbox, { skipPaths })).keys()].sort(), [
      'a',
      'a/b',
      'a/outer',
      'a/outer/x',
      'b',
      'b/a',
      'b/a/out',
      'b/a/out/x',
      'file',
    ])
    const inside = await scanByPath(sandbox, { path: 'a', skip: ['outer'], skipPaths })
    assert.deepEqual([...inside.keys()].sort(), ['a', 'a/b'])
  })

  test('scanBatches, where it is there, gives what scan gives', async (sandbox) => {
    if (sandbox.scanBatches === undefined) return
    for (const path of ['a/b/c', 'a/node_modules/x', 'a/out/x', 'd']) await sandbox.writeFile(path, bytes('x'))
    for (const options of [{}, { path: 'a' }, { path: 'd' }, { skip: ['node_modules'], skipPaths: ['a/out'] }]) {
      const batches: (readonly FileStat[])[] = await collect(sandbox.scanBatches(options))
      const found = batches.flat().map((stat: FileStat) => [stat.path, stat] as const)
      assert.deepEqual(new Map(found), await scanByPath(sandbox, options))
      assert.equal(new Map(found).size, found.length, 'an entry came twice')
    }
    await expectRejection(collect(sandbox.scanBatches({ path: 'nothing' })), 'FILE_NOT_FOUND')
    await expectRejection(collect(sandbox.scanBatches({ signal: AbortSignal.abort() })), 'ABORTED')
    await sandbox.close()
    await expectRejection(collect(sandbox.scanBatches()), 'CLOSED')
  })

  test('scan finds again and again what came, went and was swapped meanwhile', async (sandbox) => {
    await sandbox.writeFile('a/b/one', bytes('x'))
    const paths = async (): Promise<string[]> => [...(await scanByPath(sandbox)).keys()].sort()
    assert.deepEqual(await paths(), ['a', 'a/b', 'a/b/one'])
    for (let round = 0; round < 30; round++) {
      await sandbox.writeFile(`a/b/new-${round % 10}`, bytes(String(round)))
      const found = await scanByPath(sandbox)
      assert.ok(found.has(`a/b/new-${round % 10}`), `what was written right before scan ${round} is missing`)
      assert.equal(found.size, Math.min(round + 1, 10) + 3)
    }
    if (!can.shell) return
    await runToEnd(sandbox, 'mv a/b a/c; mkdir a/b; echo x > a/b/two')
    assert.deepEqual(
      (await paths()).filter((path) => path.startsWith('a/b')),
      ['a/b', 'a/b/two'],
    )
    for (let round = 0; round < 10; round++) {
      await runToEnd(sandbox, `rm -r a/b; mkdir a/b; echo x > a/b/again-${round}`)
      assert.deepEqual(
        (await paths()).filter((path) => path.startsWith('a/b')),
        ['a/b', `a/b/again-${round}`],
      )
    }
  })

  if (!can.shell) return

  test('scan tells links and other things apart, and follows no link', async (sandbox) => {
    await runToEnd(
      sandbox,
      'mkdir folder empty; echo x > folder/file; ln -s folder link; ln -s / root; ln -s nowhere dangling; mkfifo pipe',
    )
    const kinds = Object.fromEntries((await collect(sandbox.scan())).map(({ path, kind }) => [path, kind]))
    assert.deepEqual(kinds, {
      ...{ folder: 'folder', empty: 'folder', 'folder/file': 'file' },
      ...{ link: 'link', root: 'link', dangling: 'link', pipe: 'other' },
    })
  })

  test('scan names a file whose name is no UTF-8 so that it can be read', async (sandbox) => {
    const made = await runToEnd(
      sandbox,
      `d=$(printf 'd\\377'); f=$(printf 'f\\303\\050\\357\\277\\275'); mkdir "$d" && printf content > "$d/$f"`,
    )
    if (made.exit.code !== 0) return
    const file = (await collect(sandbox.scan())).find(({ kind }) => kind === 'file')
    assert.equal(file?.path, 'd\udcff/f\udcc3(\ufffd')
    assert.equal(Buffer.from(await sandbox.readFile(file?.path ?? '')).toString(), 'content')
    await sandbox.writeFile(file?.path ?? '', bytes('changed'))
    assert.equal((await runToEnd(sandbox, 'cat */*')).stdout.toString(), 'changed')
  })
}

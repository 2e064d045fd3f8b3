import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Sandbox } from '../sandbox/sandbox.ts'
import type { TarHeader } from '../sandbox/tar-header.ts'
import { encodeTarHeader, tarEnd, tarPadding } from '../sandbox/tar-header.ts'
import { collect, expectRejection } from './conformance.ts'
import type { SandboxSuite } from './sandbox-suite.ts'
import { bytes, readAll, runToEnd, within } from './sandbox-suite.ts'

type Member = Partial<Omit<TarHeader, 'name' | 'target'>> & { name: string; target?: string; content?: string }

/** A tar of these members, of any names. */
function tarOf(...members: Member[]): Buffer {
  const blocks = members.flatMap(({ name, target, content = '', ...rest }) => {
    const data = Buffer.from(content)
    const header = { type: 'file', size: data.length, mode: 0o644, mtimeMs: 1e12, ...rest } as const
    return [
      encodeTarHeader({ ...header, name: Buffer.from(name), target: target === undefined ? undefined : Buffer.from(target) }),
      data,
      tarPadding(data.length),
    ]
  })
  return Buffer.concat([...blocks, tarEnd()])
}

/** A stream of bytes in small pieces, so that members are cut anywhere. */
function streamOf(data: Uint8Array, failure?: Error): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      const piece = data.subarray(at, at + 700)
      at += piece.length
      if (piece.length > 0) controller.enqueue(piece)
      else if (failure !== undefined) controller.error(failure)
      else controller.close()
    },
  })
}

/** What every backend owes of trees in and out. */
export function testTars(suite: SandboxSuite): void {
  testRoundTrip(suite)
  testHostileTars(suite)
  testBrokenTars(suite)
}

async function treeOf(sandbox: Sandbox): Promise<unknown[]> {
  const stats = await collect(sandbox.scan())
  const files = stats.map(async ({ path, kind, mode, size }) => ({
    ...{ path, kind, mode },
    content: kind === 'file' ? Buffer.from(await sandbox.readFile(path)).toString('latin1') : kind === 'link' ? size : '',
  }))
  return (await Promise.all(files)).sort((a, b) => (a.path < b.path ? -1 : 1))
}

function testRoundTrip({ test, options, can }: SandboxSuite): void {
  test('pack and unpack carry a tree over whole', async (sandbox, provider) => {
    const long = `${'long name '.repeat(15)}/${'deep/'.repeat(40)}file`
    await sandbox.writeFile('binary', randomBytes(700_001))
    await sandbox.writeFile('empty', new Uint8Array())
    await sandbox.writeFile('bin/script', bytes('#!/bin/sh'), { mode: 0o755 })
    await sandbox.writeFile('ü 𝄞\nnew', bytes('odd'))
    await sandbox.writeFile(long, bytes('long'))
    if (can.shell) {
      const links =
        'mkdir -p hollow/sub; ln -s bin/script link; ln -s /etc/passwd out; ln -s nowhere dangling; ln binary hard; chmod 700 hollow; mkfifo pipe'
      await runToEnd(sandbox, links)
    }
    const other = await provider.create(options.spec ?? {})
    try {
      await other.unpack(sandbox.pack())
      const expected = (await treeOf(sandbox)).filter((entry) => (entry as { kind: string }).kind !== 'other')
      assert.deepEqual(await treeOf(other), expected)
      if (can.shell)
        assert.equal(
          (await runToEnd(other, 'readlink link out dangling; test binary -ef hard && echo same')).stdout.toString(),
          'bin/script\n/etc/passwd\nnowhere\nsame\n',
        )
    } finally {
      await other.close()
    }
  })

  test('pack takes the named paths and leaves out what is skipped', async (sandbox, provider) => {
    for (const path of ['a/one', 'a/skipped/two', 'b/three', 'four']) await sandbox.writeFile(path, bytes(path))
    const other = await provider.create(options.spec ?? {})
    try {
      await other.unpack(sandbox.pack({ paths: ['a', 'four', 'a/one'], skip: ['skipped'] }))
      assert.deepEqual((await collect(other.scan())).map(({ path }) => path).sort(), ['a', 'a/one', 'four'])
      await expectRejection(readAll(sandbox.pack({ paths: ['nothing'] })), 'FILE_NOT_FOUND')
    } finally {
      await other.close()
    }
  })

  test('pack can be given up on', async (sandbox) => {
    await sandbox.writeFile('large', Buffer.alloc(3_000_000))
    const reader = sandbox.pack().getReader()
    await reader.read()
    await within(reader.cancel(), 'cancel did not settle')
    await expectRejection(readAll(sandbox.pack({ signal: AbortSignal.abort() })), 'ABORTED')
  })

  test('unpack replaces files, joins folders and drops setuid', async (sandbox) => {
    await sandbox.writeFile('folder/kept', bytes('kept'))
    await sandbox.writeFile('folder/replaced', bytes('before, and longer'))
    await sandbox.unpack(
      streamOf(tarOf({ name: './folder', type: 'folder', mode: 0o750 }, { name: './folder/replaced', content: 'after', mode: 0o4755 })),
    )
    const found = Object.fromEntries((await collect(sandbox.scan())).map(({ path, mode }) => [path, mode]))
    assert.deepEqual(found, { folder: 0o750, 'folder/kept': 0o644, 'folder/replaced': 0o755 })
    assert.equal(Buffer.from(await sandbox.readFile('folder/replaced')).toString(), 'after')
  })
}

function testHostileTars({ test, can }: SandboxSuite): void {
  const evil = `baton-evil-${process.pid}`
  const hostile: Record<string, Member[]> = {
    'a name with ..': [{ name: `../${evil}`, content: 'x' }],
    'a name with .. in the middle': [{ name: `a/../../${evil}`, content: 'x' }],
    'an absolute name': [{ name: `/tmp/${evil}`, content: 'x' }],
    'a folder outside': [{ name: `../${evil}`, type: 'folder' }],
    'a file through a link to above': [
      { name: 'link', type: 'link', target: '..' },
      { name: `link/${evil}`, content: 'x' },
    ],
    'a file through an absolute link': [
      { name: 'link', type: 'link', target: '/tmp' },
      { name: `link/${evil}`, content: 'x' },
    ],
    'a file through two links': [
      { name: 'a', type: 'folder' },
      { name: 'a/up', type: 'link', target: '../..' },
      { name: 'link', type: 'link', target: 'a/up' },
      { name: `link/${evil}`, content: 'x' },
    ],
    'a folder through a link': [
      { name: 'link', type: 'link', target: '/tmp' },
      { name: `link/${evil}/deep`, type: 'folder' },
    ],
    'a hard link to outside': [{ name: 'stolen', type: 'hardlink', target: '/etc/passwd' }],
    'a hard link with ..': [{ name: 'stolen', type: 'hardlink', target: '../../../../../../etc/passwd' }],
    'a hard link through a link': [
      { name: 'etc', type: 'link', target: '/etc' },
      { name: 'stolen', type: 'hardlink', target: 'etc/passwd' },
    ],
  }
  for (const [what, members] of Object.entries(hostile))
    test(`unpack refuses ${what}, and nothing outside is touched`, async (sandbox) => {
      await expectRejection(sandbox.unpack(streamOf(tarOf(...members, { name: 'later', content: 'x' }))), 'PATH_OUTSIDE_WORKDIR')
      assert.ok(!(await collect(sandbox.scan())).some(({ path, kind }) => path === 'stolen' || (path === 'later' && kind === 'file')))
      if (can.shell) assert.equal((await runToEnd(sandbox, `ls -d ../${evil} /tmp/${evil} 2>/dev/null`)).stdout.toString(), '')
    })

  test('unpack puts a file in the place of a link, not where the link leads', async (sandbox) => {
    await sandbox.unpack(
      streamOf(
        tarOf({ name: 'target', content: 'safe' }, { name: 'link', type: 'link', target: 'target' }, { name: 'link', content: 'new' }),
      ),
    )
    assert.equal(Buffer.from(await sandbox.readFile('target')).toString(), 'safe')
    assert.equal(Buffer.from(await sandbox.readFile('link')).toString(), 'new')
  })

  test('unpack refuses pipes and devices', async (sandbox) => {
    for (const flag of ['3', '4', '6']) {
      const tar = tarOf({ name: 'special' })
      tar.write(flag, 156)
      tar.fill(0x20, 148, 156)
      let sum = 0
      for (const byte of tar.subarray(0, 512)) sum += byte
      tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
      await expectRejection(sandbox.unpack(streamOf(tar)), 'NOT_A_FILE')
    }
    assert.deepEqual(await collect(sandbox.scan()), [])
  })
}

function testBrokenTars({ test }: SandboxSuite): void {
  test('unpack rejects what is no tar, a tar that is cut off, and a stream that fails', async (sandbox) => {
    const whole = tarOf({ name: 'large', content: 'x'.repeat(100_000) })
    await expectRejection(within(sandbox.unpack(streamOf(randomBytes(4096))), 'unpack hung'), 'SANDBOX_FAILED')
    await expectRejection(within(sandbox.unpack(streamOf(whole.subarray(0, 50_000))), 'unpack hung'), 'SANDBOX_FAILED')
    await expectRejection(
      within(sandbox.unpack(streamOf(whole.subarray(0, 50_000), new Error('line cut'))), 'unpack hung'),
      'SANDBOX_FAILED',
    )
    await sandbox.unpack(streamOf(whole))
    assert.equal((await sandbox.readFile('large')).length, 100_000)
  })

  test('unpack can be given up on', async (sandbox) => {
    const stop = new AbortController()
    const endless = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(tarOf({ name: 'file', content: 'x'.repeat(5000) }).subarray(0, 2000)),
    })
    const unpacking = sandbox.unpack(endless, { signal: stop.signal })
    stop.abort()
    await expectRejection(within(unpacking, 'unpack hung'), 'ABORTED')
  })
}

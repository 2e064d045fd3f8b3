import assert from 'node:assert/strict'
import { Isolation } from '../events/sandbox-events.ts'
import type { Sandbox, SandboxProvider } from '../sandbox/sandbox.ts'
import type { TestFunction } from './conformance.ts'
import { collect, expectRejection } from './conformance.ts'
import { testCommands } from './sandbox-command-tests.ts'
import { testFiles } from './sandbox-file-tests.ts'
import type { SandboxSuite, SandboxSuiteOptions } from './sandbox-suite.ts'
import { bytes, createSandboxSuite, finish, readAll, within } from './sandbox-suite.ts'
import { testTars } from './sandbox-tar-tests.ts'

/**
 * Registers the conformance tests of a `SandboxProvider`: each clause of the contract, on sandboxes that are started for each test. Where
 * `can.shell` is set, the sandbox needs `sh`, `setsid`, `mkfifo` and the usual small programs; busybox has them.
 */
export function testSandboxProvider(it: TestFunction, options: SandboxSuiteOptions): void {
  const suite = createSandboxSuite(it, options)
  testLifecycle(suite)
  testFinding(suite)
  testCommands(suite)
  testFiles(suite)
  testTars(suite)
}

const idsOf = async (provider: SandboxProvider): Promise<string[]> => (await collect(provider.list())).map(({ id }) => id).sort()

function testLifecycle({ test, it, options }: SandboxSuite): void {
  test('create starts sandboxes that are empty and apart', async (sandbox, provider) => {
    const other = await provider.create(options.spec ?? {})
    try {
      assert.notEqual(sandbox.id, other.id)
      assert.ok(sandbox.workdir.startsWith('/'), `the workdir ${sandbox.workdir} is not absolute`)
      assert.ok(Isolation.options.includes(sandbox.isolation))
      assert.ok(/^[\w-]+$/.test(provider.name), `the name ${JSON.stringify(provider.name)} is no plain word`)
      await sandbox.writeFile('mine', bytes('x'))
      assert.deepEqual(await collect(other.scan()), [])
    } finally {
      await other.close()
    }
  })

  it('create refuses what it cannot honour with UNSUPPORTED_SPEC and leaves nothing', async () => {
    const provider = await options.provider()
    const before = await idsOf(provider)
    for (const spec of options.unsupported ?? []) await expectRejection(provider.create({ ...options.spec, ...spec }), 'UNSUPPORTED_SPEC')
    await expectRejection(provider.create({ colour: 'blue' } as object), 'INVALID_OPTIONS')
    assert.deepEqual(await idsOf(provider), before)
  })

  it('create rejects with ABORTED and leaves nothing when it is aborted, before or meanwhile', async () => {
    const provider = await options.provider()
    const before = await idsOf(provider)
    await expectRejection(provider.create(options.spec ?? {}, { signal: AbortSignal.abort() }), 'ABORTED')
    const stop = new AbortController()
    const creating = provider.create(options.spec ?? {}, { signal: stop.signal })
    stop.abort()
    await expectRejection(creating, 'ABORTED')
    const gone = async (): Promise<void> => {
      while ((await idsOf(provider)).length > before.length) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    await within(gone(), 'what an aborted create had started was not removed')
  })

  test('close ends what runs, can be called again and at the same time, and is final', async (sandbox, provider) => {
    const process = await sandbox.spawn(['sleep', '300'])
    await Promise.all([sandbox.close(), sandbox.close()])
    await sandbox.close()
    assert.notEqual((await finish(process)).exit.reason, 'exited')
    assert.ok(!(await idsOf(provider)).includes(sandbox.id), 'a closed sandbox is listed')
  })

  test('every call after close rejects with CLOSED', async (sandbox) => {
    await sandbox.writeFile('file', bytes('x'))
    await sandbox.close()
    await expectRejection(sandbox.spawn(['true']), 'CLOSED')
    await expectRejection(sandbox.readFile('file'), 'CLOSED')
    await expectRejection(sandbox.writeFile('file', bytes('y')), 'CLOSED')
    await expectRejection(collect(sandbox.scan()), 'CLOSED')
    await expectRejection(readAll(sandbox.pack()), 'CLOSED')
    await expectRejection(sandbox.unpack(new ReadableStream({ start: (controller) => controller.close() })), 'CLOSED')
  })
}

function testFinding({ test, it, options }: SandboxSuite): void {
  test('list shows a sandbox with its labels, and attach finds it', async (sandbox, provider) => {
    const labelled = await provider.create({ ...options.spec, labels: { task: 'ü "1"' } })
    try {
      await labelled.writeFile('file', bytes('content'))
      const infos = await collect(provider.list())
      const info = infos.find(({ id }) => id === labelled.id)
      assert.deepEqual([info?.provider, info?.isolation, info?.labels], [provider.name, labelled.isolation, { task: 'ü "1"' }])
      assert.equal(new Date(info?.createdAt ?? '').toISOString(), info?.createdAt)
      assert.ok(infos.some(({ id }) => id === sandbox.id))
      const again: Sandbox = await provider.attach(labelled.id)
      assert.deepEqual([again.id, again.workdir, again.isolation], [labelled.id, labelled.workdir, labelled.isolation])
      assert.equal(Buffer.from(await again.readFile('file')).toString(), 'content')
    } finally {
      await labelled.close()
    }
    await expectRejection(provider.attach(labelled.id), 'UNKNOWN_SANDBOX')
  })

  it('attach rejects with UNKNOWN_SANDBOX what is not there', async () => {
    const provider = await options.provider()
    for (const id of ['no-such-sandbox', '../x', '']) await expectRejection(provider.attach(id), 'UNKNOWN_SANDBOX')
  })
}

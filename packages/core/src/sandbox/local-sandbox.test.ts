import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { collect, expectRejection } from '../testing/conformance.ts'
import { heartbeat, readAll, waitForFile } from '../testing/sandbox-suite.ts'
import { testSandboxProvider } from '../testing/test-sandbox-provider.ts'
import { exec } from './exec.ts'
import { createLocalSandboxProvider } from './local-sandbox.ts'
import { findTree, sandboxMarker } from './process-tree.ts'
import type { Sandbox, SandboxSpec } from './sandbox.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-local-'))
const outside = mkdtempSync(join(tmpdir(), 'baton-outside-'))
const provider = createLocalSandboxProvider({ isolation: 'none', root })

afterAll(() => {
  const left = readdirSync(root)
  for (const folder of [root, outside]) rmSync(folder, { recursive: true, force: true })
  expect(left, 'sandboxes were left behind').toEqual([])
})

async function withSandbox(spec: SandboxSpec, run: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await provider.create(spec)
  try {
    await run(sandbox)
  } finally {
    await sandbox.close()
  }
}

describe('createLocalSandboxProvider with isolation none', () => {
  testSandboxProvider(it, {
    provider: () => provider,
    can: { tty: true, detached: true },
    unsupported: [
      ...[
        { image: 'x' },
        { user: 'root' },
        { resources: { memoryBytes: 1 } },
        { network: { allow: ['example.org'] } },
        { network: 'none' as const },
      ],
      ...(['process', 'container', 'vm'] as const).map((isolation) => ({ isolation })),
    ],
  })

  it('refuses wrong options, naming the field', async () => {
    expect(() => createLocalSandboxProvider({ root: 'relative' })).toThrow(/root: expected an absolute path/)
    expect(() => createLocalSandboxProvider({ isolation: 'docker' as 'none' })).toThrow(/isolation/)
  })

  it('gives commands a home and a temporary folder of their own, and what else is named', async () => {
    process.env.BATON_TEST_TOKEN = 'secret'
    try {
      await withSandbox({}, async (sandbox) => {
        const { stdout } = await exec(sandbox, 'echo "$HOME|$TMPDIR|$BATON_TEST_TOKEN"; touch "$HOME/x" "$TMPDIR/y"')
        const [home, tmp, token] = stdout.trim().split('|')
        expect([home, tmp]).toEqual([join(root, sandbox.id, 'home'), join(root, sandbox.id, 'tmp')])
        expect(token).toBe('')
      })
      const open = createLocalSandboxProvider({ isolation: 'none', root, inheritEnv: ['BATON_TEST_*'] })
      const sandbox = await open.create({})
      expect((await exec(sandbox, 'echo $BATON_TEST_TOKEN')).stdout).toBe('secret\n')
      await sandbox.close()
    } finally {
      delete process.env.BATON_TEST_TOKEN
    }
  })

  it('works in place in a folder that is there, and leaves it', async () => {
    const folder = join(outside, 'in place')
    mkdirSync(folder)
    writeFileSync(join(folder, 'file'), 'mine')
    await withSandbox({ inPlace: folder }, async (sandbox) => {
      expect(sandbox.workdir).toBe(folder)
      expect((await exec(sandbox, 'cat file; echo made > new')).stdout).toBe('mine')
    })
    expect(readdirSync(folder).sort()).toEqual(['file', 'new'])
  })

  it('passes over a file that a write under way, or one whose process died, has put aside', () =>
    withSandbox({}, async (sandbox) => {
      const names = ['.baton-0123456789abcdef.tmp', 'folder/.baton-0123456789abcdef.tmp', 'folder/.baton-mine.tmp']
      await sandbox.writeFile('folder/file', Buffer.from(''))
      for (const name of names) writeFileSync(join(sandbox.workdir, name), 'torn')
      const paths = (await collect(sandbox.scan())).map(({ path }) => path)
      expect(paths.sort()).toEqual(['folder', 'folder/.baton-mine.tmp', 'folder/file'])
    }))

  it('refuses to work in place where there is no folder', async () => {
    writeFileSync(join(outside, 'no-folder'), '')
    for (const inPlace of ['relative', join(outside, 'missing'), join(outside, 'no-folder')])
      await expectRejection(provider.create({ inPlace }), 'INVALID_WORKSPACE')
  })

  it('refuses a root that others could put things into', async () => {
    const shared = join(outside, 'shared')
    mkdirSync(shared)
    chmodSync(shared, 0o777)
    await expectRejection(createLocalSandboxProvider({ root: shared }).create({}), 'SANDBOX_FAILED')
  })

  it('says SANDBOX_LOST when its folder is gone', () =>
    withSandbox({}, async (sandbox) => {
      rmSync(sandbox.workdir, { recursive: true })
      await expectRejection(sandbox.readFile('x'), 'SANDBOX_LOST')
      await expectRejection(collect(sandbox.scan()), 'SANDBOX_LOST')
      await expectRejection(sandbox.spawn(['true']), 'SANDBOX_LOST')
    }))

  it('removes what a command has made unreadable', () =>
    withSandbox({}, async (sandbox) => {
      await exec(sandbox, 'mkdir -p a/b && touch a/b/c && chmod 000 a/b && chmod 500 a')
    }))

  it('ends on close what cleared its environment, what became a session, and what was left in the background', async () => {
    const sandbox = await provider.create({})
    const process = await sandbox.spawn(`env -i setsid sh -c '${heartbeat('one')}' & setsid sh -c '${heartbeat('two')}' & sleep 300`)
    for (const file of ['one', 'two']) await waitForFile(sandbox, file)
    await exec(sandbox, 'setsid sleep 300 & sleep 300 & true')
    const marker = [sandboxMarker, sandbox.id] as const
    expect(findTree({ marker }).length).toBeGreaterThanOrEqual(5)
    await sandbox.close()
    expect((await process.exit).reason).toBe('signaled')
    expect(findTree({ marker })).toEqual([])
  })

  it('never reads or writes outside while a command swaps a folder for a link', () =>
    withSandbox({}, async (sandbox) => {
      const secret = join(outside, 'secret')
      mkdirSync(secret)
      writeFileSync(join(secret, 'file'), 'secret')
      symlinkSync(secret, join(sandbox.workdir, 'link'))
      await sandbox.writeFile('folder/file', Buffer.from('inside'))
      const swap = 'while :; do mv -T folder kept; mv -T link folder; mv -T folder link; mv -T kept folder; done'
      const swapping = await sandbox.spawn(swap)
      const seen = new Set<string>()
      for (let round = 0; round < 3000; round++) {
        const content = await sandbox.readFile('folder/file').then(
          (data) => Buffer.from(data).toString(),
          (error: { code: string }) => error.code,
        )
        seen.add(content)
        await sandbox.writeFile('folder/file', Buffer.from('inside')).catch(() => undefined)
        await sandbox.writeFile(`folder/new${round % 7}/file`, Buffer.from('inside')).catch(() => undefined)
      }
      await swapping.kill()
      expect(seen).toContain('inside')
      expect(seen).not.toContain('secret')
      expect(seen).not.toContain('SANDBOX_FAILED')
      expect(readdirSync(secret)).toEqual(['file'])
      expect(readFileSync(join(secret, 'file'), 'utf8')).toBe('secret')
    }))

  it('finds a sandbox and its detached process again after the program was killed', async () => {
    const program = `
      const { createLocalSandboxProvider } = await import(${JSON.stringify(fileURLToPath(new URL('./local-sandbox.ts', import.meta.url)))})
      const sandbox = await createLocalSandboxProvider({ isolation: 'none', root: ${JSON.stringify(root)} }).create({ env: { MINE: 'kept' } })
      await sandbox.writeFile('file', Buffer.from('content'))
      const process_ = await sandbox.spawn('echo first; until test -e go; do sleep 0.02; done; echo last; exit 5', { detached: true })
      console.log(JSON.stringify([sandbox.id, process_.id]))
      setInterval(() => undefined, 1000)`
    const host = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [sandboxId, processId] = await new Promise<[string, string]>((resolve, reject) => {
      host.stdout.once('data', (line: Buffer) => resolve(JSON.parse(line.toString())))
      host.once('exit', () => reject(new Error('the program ended before it said anything')))
    })
    const ended = new Promise((resolve) => host.once('exit', resolve))
    host.kill('SIGKILL')
    await ended
    const sandbox = await provider.attach(sandboxId)
    expect(Buffer.from(await sandbox.readFile('file')).toString()).toBe('content')
    expect((await exec(sandbox, 'echo $MINE')).stdout).toBe('kept\n')
    const found = await sandbox.attachProcess?.(processId, { stdoutFrom: 6, stderrFrom: 0 })
    await sandbox.writeFile('go', new Uint8Array())
    expect((await readAll(found?.stdout ?? expect.fail())).toString()).toBe('last\n')
    expect(await found?.exit).toEqual({ reason: 'exited', code: 5 })
    await sandbox.close()
  })
})

describe('createLocalSandboxProvider', () => {
  it('makes sandboxes in a folder of this user unless told otherwise', async () => {
    const sandbox = await createLocalSandboxProvider().create({})
    expect(sandbox.workdir).toContain('baton-sandboxes-')
    expect(['none', 'process']).toContain(sandbox.isolation)
    await sandbox.close()
  })
})

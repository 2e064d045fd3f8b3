import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { heartbeat, waitForFile } from '../testing/sandbox-suite.ts'
import { testSandboxProvider } from '../testing/test-sandbox-provider.ts'
import { probeBubblewrap } from './bubblewrap.ts'
import { exec } from './exec.ts'
import { createLocalSandboxProvider } from './local-sandbox.ts'
import { findTree, processMarker } from './process-tree.ts'
import type { Sandbox, SandboxSpec } from './sandbox.ts'

const required = process.env.BATON_REQUIRE?.split(',').includes('bubblewrap') === true
const works = (await probeBubblewrap()).works
const root = mkdtempSync(join(tmpdir(), 'baton-bubblewrap-'))
const provider = createLocalSandboxProvider({ isolation: 'process', root })

afterAll(() => {
  const left = readdirSync(root)
  rmSync(root, { recursive: true, force: true })
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

const outputOf = async (sandbox: Sandbox, command: string): Promise<string> => (await exec(sandbox, command)).output.trim()

describe.skipIf(!works && !required)('createLocalSandboxProvider with isolation process', () => {
  testSandboxProvider(it, {
    provider: () => provider,
    can: { tty: true, detached: true, signals: false },
    unsupported: [
      { image: 'x' },
      { resources: { processes: 9 } },
      { network: { allow: ['example.org'] } },
      { isolation: 'container' },
      { isolation: 'vm' },
    ],
  })

  it('is what auto chooses, and says so', async () => {
    const sandbox = await createLocalSandboxProvider({ root }).create({})
    expect(sandbox.isolation).toBe('process')
    await sandbox.close()
  })

  it('shows the rest of the file system read-only, and no secrets, home folders or sockets', () =>
    withSandbox({}, async (sandbox) => {
      expect(await outputOf(sandbox, 'touch /etc/baton-x || touch /usr/baton-x || echo refused')).toContain('refused')
      const files = readdirSync(homedir(), { withFileTypes: true }).filter((entry) => entry.isFile())
      for (const { name } of files) expect(await outputOf(sandbox, `test -e '${join(homedir(), name)}' || echo hidden`)).toBe('hidden')
      expect(await outputOf(sandbox, 'cat /etc/shadow 2>/dev/null; ls /run/docker.sock /var/run/docker.sock 2>/dev/null')).toBe('')
      writeFileSync(join(root, 'record'), 'secret')
      expect(await outputOf(sandbox, `cat ${root}/record 2>&1 || ls ${root}/*/sandbox.json`)).not.toContain('secret')
      expect(await outputOf(sandbox, `cat ${root}/*/sandbox.json 2>/dev/null || echo hidden`)).toBe('hidden')
      rmSync(join(root, 'record'))
    }))

  it('shows no process of the host, and gives no capability', () =>
    withSandbox({}, async (sandbox) => {
      expect(await outputOf(sandbox, `kill -0 ${process.pid} 2>/dev/null && readlink /proc/${process.pid}/exe || echo unseen`)).toBe(
        'unseen',
      )
      expect(await outputOf(sandbox, 'grep CapEff /proc/self/status')).toMatch(/^CapEff:\s+0+$/)
      expect(await outputOf(sandbox, 'unshare -U true 2>/dev/null && echo allowed || echo refused')).toBe('refused')
    }))

  it('keeps /tmp for all commands of a sandbox, and apart from the host and other sandboxes', () =>
    withSandbox({}, async (sandbox) => {
      writeFileSync(join(root, 'on-host'), '')
      await exec(sandbox, 'echo kept > /tmp/file')
      expect(await outputOf(sandbox, 'cat /tmp/file "$TMPDIR/file"')).toBe('kept\nkept')
      await withSandbox({}, async (other) => expect(await outputOf(other, `ls /tmp/file ${root}/on-host 2>/dev/null`)).toBe(''))
      rmSync(join(root, 'on-host'))
    }))

  it('has no network when told so, and the network of the host else', async () => {
    const server = createServer((socket) => socket.end('reached\n')).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const port = typeof address === 'object' ? address?.port : undefined
    const connect = `node -e 'require("net").connect(${port}, "127.0.0.1").on("data", (d) => process.stdout.write(d)).on("error", (e) => console.log(e.code))'`
    try {
      await withSandbox({ network: 'full' }, async (sandbox) => expect(await outputOf(sandbox, connect)).toBe('reached'))
      await withSandbox({ network: 'none' }, async (sandbox) =>
        expect(await outputOf(sandbox, connect)).toMatch(/ECONNREFUSED|ENETUNREACH/),
      )
    } finally {
      server.close()
    }
  })

  it('keeps .git/hooks and .git/config of the workdir as they are', () =>
    withSandbox({}, async (sandbox) => {
      mkdirSync(join(sandbox.workdir, '.git/hooks'), { recursive: true })
      writeFileSync(join(sandbox.workdir, '.git/config'), '[core]\n')
      const attempts = [
        'echo x > .git/hooks/pre-commit',
        'echo x >> .git/config',
        'rm -f .git/config',
        'mv .git/hooks .git/other',
        'mv .git other',
      ]
      for (const attempt of attempts) expect((await exec(sandbox, attempt)).exit.code, attempt).not.toBe(0)
      expect((await exec(sandbox, 'echo x > .git/HEAD && echo x > file')).exit.code).toBe(0)
      expect(readdirSync(join(sandbox.workdir, '.git')).sort()).toEqual(['HEAD', 'config', 'hooks'])
      expect(readFileSync(join(sandbox.workdir, '.git/config'), 'utf8')).toBe('[core]\n')
    }))

  it('ends children in the background with their command', () =>
    withSandbox({}, async (sandbox) => {
      const process = await sandbox.spawn(`setsid sh -c '${heartbeat('beat')}' & until test -s beat; do sleep 0.02; done`)
      await waitForFile(sandbox, 'beat')
      await process.exit
      // It is the end of their process namespace, a moment after the command's own.
      await vi.waitUntil(() => findTree({ marker: [processMarker, process.id] }).length === 0, { timeout: 10_000 })
    }))
})

import { describe, expect, it } from 'vitest'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { expectRejection } from '../testing/conformance.ts'
import { exec, unattendedEnv } from './exec.ts'
import { createLocalSandboxProvider } from './local-sandbox.ts'
import type { Sandbox } from './sandbox.ts'

async function withSandbox(run: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = await createLocalSandboxProvider({ isolation: 'none' }).create({})
  try {
    await run(sandbox)
  } finally {
    await sandbox.close()
  }
}

describe('exec', () => {
  it('returns what a command says and how it ended, also when it fails', () =>
    withSandbox(async (sandbox) => {
      const result = await exec(sandbox, 'printf out; printf ü-err >&2; exit 3')
      expect(result).toMatchObject({
        exit: { reason: 'exited', code: 3 },
        stdout: 'out',
        stderr: 'ü-err',
        droppedBytes: 0,
        stdoutBytes: 3,
        stderrBytes: 6,
      })
      expect(result.output).toHaveLength(8)
      expect(result.ms).toBeGreaterThan(0)
    }))

  it('keeps output in the order in which it came', () =>
    withSandbox(async (sandbox) => {
      const { output } = await exec(sandbox, 'for i in 1 2 3; do echo out $i; sleep 0.05; echo err $i >&2; sleep 0.05; done')
      expect(output).toBe('out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n')
    }))

  it('gives input and closes it', () =>
    withSandbox(async (sandbox) => {
      expect((await exec(sandbox, ['cat'], { input: 'ü\n' })).stdout).toBe('ü\n')
      expect((await exec(sandbox, ['cat'], { input: new Uint8Array([104, 105]) })).stdout).toBe('hi')
      expect((await exec(sandbox, 'cat; read x || echo closed')).stdout).toBe('closed\n')
    }))

  it('runs with an environment in which nothing waits, which can be overridden', () =>
    withSandbox(async (sandbox) => {
      const { stdout } = await exec(sandbox, ['env'], { env: { PAGER: 'less', MINE: '1' } })
      const env = Object.fromEntries(stdout.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)))
      expect(env).toMatchObject({ ...unattendedEnv, PAGER: 'less', MINE: '1' })
      const git = await exec(sandbox, 'git init -q && git -c user.name=a -c user.email=a@b commit --allow-empty && git log', {
        timeoutMs: 10_000,
      })
      expect(git.exit).toMatchObject({ reason: 'exited' })
    }))

  it('keeps head and tail of a flood, and the whole in the blob store', () =>
    withSandbox(async (sandbox) => {
      const blobs = createMemoryBlobStore()
      const result = await exec(sandbox, 'seq 1 20000; seq 1 10 >&2', { maxOutputBytes: 1000, blobs })
      expect(result.stdout).toMatch(/^1\n2\n3\n[\s\S]*\n\[… [\d,]+ bytes left out …\]\n[\s\S]*\n19999\n20000\n$/)
      expect(Buffer.byteLength(result.output)).toBeLessThan(1100)
      expect(result.stdoutBytes).toBe(108_894)
      expect(result.droppedBytes).toBe(108_894 + 21 - 1000)
      expect(result.whole?.bytes).toBe(108_894 + 21)
      const whole = Buffer.from(await blobs.get(result.whole ?? expect.fail())).toString()
      expect(whole.split('\n')).toHaveLength(20_011)
    }))

  it('bounds the whole, too', () =>
    withSandbox(async (sandbox) => {
      const blobs = createMemoryBlobStore()
      const { whole } = await exec(sandbox, 'seq 1 20000', { maxOutputBytes: 100, blobs, maxWholeBytes: 5000 })
      expect(whole?.bytes).toBeLessThan(5100)
      expect(Buffer.from(await blobs.get(whole ?? expect.fail())).toString()).toContain('bytes left out')
      expect((await exec(sandbox, 'echo short', { blobs })).whole).toBeUndefined()
    }))

  it('lets output be heard as it comes, characters whole', () =>
    withSandbox(async (sandbox) => {
      const heard: [string, string][] = []
      const onOutput = (stream: 'stdout' | 'stderr', text: string): void => {
        heard.push([stream, text])
        throw new Error('a listener that fails')
      }
      const { stdout } = await exec(sandbox, `printf '\\303'; sleep 0.1; printf '\\274'; echo e >&2`, { onOutput })
      expect(stdout).toBe('ü')
      expect(heard.toSorted()).toEqual([
        ['stderr', 'e\n'],
        ['stdout', 'ü'],
      ])
    }))

  it('reports limits and aborts as results', () =>
    withSandbox(async (sandbox) => {
      expect((await exec(sandbox, 'echo before; sleep 300', { timeoutMs: 300 })).exit.reason).toBe('timeout')
      expect((await exec(sandbox, 'echo before; sleep 300', { silenceMs: 300 })).exit.reason).toBe('silence')
      const stop = new AbortController()
      const aborted = await exec(sandbox, 'echo before; sleep 300', {
        signal: stop.signal,
        onOutput: () => stop.abort(),
        timeoutMs: Number.POSITIVE_INFINITY,
      })
      expect(aborted).toMatchObject({ exit: { reason: 'aborted' }, stdout: 'before\n' })
      await expectRejection(exec(sandbox, 'true', { signal: AbortSignal.abort() }), 'ABORTED')
    }))

  it('names the option that is wrong', () =>
    withSandbox(async (sandbox) => {
      const error = await expectRejection(exec(sandbox, 'true', { timeoutMs: 0 }), 'INVALID_OPTIONS')
      expect(error.message).toContain('timeoutMs')
      await expectRejection(exec(sandbox, [], {}), 'INVALID_OPTIONS')
    }))
})

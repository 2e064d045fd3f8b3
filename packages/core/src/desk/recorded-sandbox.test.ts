import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { exec } from '../sandbox/exec.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { collect, expectRejection } from '../testing/conformance.ts'
import { readAll, readUntil, within } from '../testing/sandbox-suite.ts'
import type { DeskFileWritten, DeskRecorder } from './recorded-sandbox.ts'
import { recordSandbox } from './recorded-sandbox.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-recorded-'))
const provider = createLocalSandboxProvider({ isolation: 'none', root })
afterAll(() => rmSync(root, { recursive: true, force: true }))

let log: [string, Record<string, unknown>][] = []
beforeEach(() => {
  log = []
})

/** Notes what it hears, after a turn of the event loop. */
function recorder(): DeskRecorder {
  const note = (kind: string) => async (data: object) => {
    await new Promise((resolve) => setImmediate(resolve))
    log.push([kind, { ...data }])
  }
  return { commandStarted: note('started'), commandFinished: note('finished'), fileWritten: note('written') }
}

async function withDesk(work: (desk: Sandbox, real: Sandbox) => Promise<void>, record: DeskRecorder = recorder()): Promise<void> {
  const real = await provider.create({})
  try {
    await work(recordSandbox(real, record), real)
  } finally {
    await real.close()
  }
}

const sha = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex')
const written = (): DeskFileWritten[] => log.flatMap(([kind, data]) => (kind === 'written' ? [data as unknown as DeskFileWritten] : []))

describe('recordSandbox: spawn', () => {
  it('records a command before it starts and when it has ended, with what it wrote', () =>
    withDesk(async (desk) => {
      await desk.writeFile('folder/x', Buffer.from(''))
      log = []
      const result = await exec(desk, 'echo out; echo error >&2; pwd; exit 3', { cwd: 'folder' })
      expect(result).toMatchObject({ exit: { code: 3 }, stderr: 'error\n', stdout: `out\n${desk.workdir}/folder\n` })
      const [started, finished] = log
      expect(started).toMatchObject(['started', { command: 'echo out; echo error >&2; pwd; exit 3', cwd: 'folder' }])
      expect(finished).toMatchObject([
        'finished',
        {
          commandId: started?.[1].commandId,
          code: 3,
          exit: { reason: 'exited', code: 3 },
          stdoutBytes: result.stdoutBytes,
          stderrBytes: 6,
        },
      ])
      expect(log.length).toBe(2)
    }))

  it('starts nothing that could not be recorded', () =>
    withDesk(
      async (desk, real) => {
        await assert.rejects(desk.spawn('touch ran'), /the log is full/)
        await expectRejection(real.readFile('ran'), 'FILE_NOT_FOUND')
      },
      { ...recorder(), commandStarted: () => Promise.reject(new Error('the log is full')) },
    ))

  it('ends in the record what could not be started, and passes the error on', () =>
    withDesk(async (desk) => {
      await expectRejection(desk.spawn('true', { cwd: '/' }), 'PATH_OUTSIDE_WORKDIR')
      expect(log).toMatchObject([
        ['started', {}],
        ['finished', { code: null, exit: { reason: 'lost', code: null } }],
      ])
    }))

  it('lets exit settle although its end could not be recorded, and although nobody reads', () =>
    withDesk(
      async (desk) => {
        const process = await desk.spawn('head -c 60000 /dev/zero; exit 4')
        expect(await within(process.exit, 'exit did not settle')).toEqual({ reason: 'exited', code: 4 })
        expect((await readAll(process.stdout)).length).toBe(60_000)
      },
      { ...recorder(), commandFinished: () => Promise.reject(new Error('the log is full')) },
    ))

  it('passes input, output, kill and size through, and holds back what is not read', () =>
    withDesk(async (desk) => {
      const process = await desk.spawn('while read -r line; do echo "heard $line"; done; yes')
      const reader = process.stdout.getReader()
      const writer = process.stdin.getWriter()
      await writer.write(Buffer.from('word\n'))
      await readUntil(reader, 'heard word\n')
      await writer.close()
      await readUntil(reader, 'y\n')
      await process.kill()
      expect((await within(process.exit, 'exit did not settle')).reason).toBe('signaled')
      expect(log.at(-1)).toMatchObject(['finished', { code: null, exit: { reason: 'signaled' } }])
      expect(Number(log.at(-1)?.[1].stdoutBytes)).toBeLessThan(8 << 20)
      const cancelled = await desk.spawn('yes')
      await cancelled.stdout.cancel()
      await within(cancelled.exit, 'exit did not settle')
      const terminal = await desk.spawn('sleep 300', { tty: { columns: 80, rows: 24 } })
      await terminal.resize?.({ columns: 100, rows: 30 })
      await terminal.kill()
    }))
})

describe('recordSandbox: writeFile', () => {
  it('records what was there, what is there now, and the difference', () =>
    withDesk(async (desk, real) => {
      await desk.writeFile('a/new.txt', Buffer.from('one\ntwo\n'))
      await desk.writeFile(`${desk.workdir}/a/./new.txt`, Buffer.from('one\n2\nthree\n'))
      expect(written()).toMatchObject([
        {
          path: 'a/new.txt',
          change: 'created',
          after: sha('one\ntwo\n'),
          addedLines: 2,
          removedLines: 0,
          content: Buffer.from('one\ntwo\n'),
        },
        {
          ...{ path: 'a/new.txt', change: 'modified', before: sha('one\ntwo\n'), after: sha('one\n2\nthree\n') },
          ...{ diff: '@@ -1,2 +1,3 @@\n one\n-two\n+2\n+three\n', addedLines: 2, removedLines: 1 },
        },
      ])
      expect(written()[0]).not.toHaveProperty('before')
      expect(Buffer.from(await real.readFile('a/new.txt')).toString()).toBe('one\n2\nthree\n')
    }))

  it('records nothing where nothing changed, and no difference of what is binary', () =>
    withDesk(async (desk) => {
      await desk.writeFile('x', Buffer.from('same'))
      await desk.writeFile('x', Buffer.from('same'), { mode: 0o755 })
      await desk.writeFile('x', Buffer.from('\0binary'))
      expect(written().map(({ change, diff }) => [change, diff !== undefined])).toEqual([
        ['created', true],
        ['modified', false],
      ])
    }))

  it('bounds the difference', () =>
    withDesk(async (desk) => {
      await desk.writeFile('x', Buffer.from('line\n'.repeat(50_000)))
      const [file] = written()
      expect(Buffer.byteLength(file?.diff ?? '')).toBeLessThanOrEqual(64 * 1024)
      expect(file?.addedLines).toBe(50_000)
    }))

  it('is made over an edit that came in between, so that the record is true, and gives up after three', () =>
    withDesk(async (desk, real) => {
      let edits = 0
      let until = 2
      // What somebody else writes between the look and the write.
      const meddled: Sandbox = {
        ...real,
        async readFile(path, options) {
          const data = await real.readFile(path, options)
          if (edits < until) writeFileSync(join(real.workdir, path), `edit ${++edits}\n`)
          return data
        },
      }
      await real.writeFile('x', Buffer.from('before\n'))
      await recordSandbox(meddled, recorder()).writeFile('x', Buffer.from('mine\n'))
      expect(written()).toMatchObject([{ before: sha('edit 2\n'), diff: expect.stringContaining('\n-edit 2\n+mine\n') }])
      until = 100
      await expectRejection(recordSandbox(meddled, recorder()).writeFile('x', Buffer.from('mine again\n')), 'FILE_CHANGED')
      expect(edits).toBe(5)
      expect(written().length).toBe(1)
      void desk
    }))

  it("keeps to the caller's own ifSha256, and tries once", () =>
    withDesk(async (desk, real) => {
      await real.writeFile('x', Buffer.from('there'))
      await expectRejection(desk.writeFile('x', Buffer.from('mine'), { ifSha256: sha('else') }), 'FILE_CHANGED')
      await expectRejection(desk.writeFile('x', Buffer.from('mine'), { ifSha256: null }), 'FILE_CHANGED')
      expect(written()).toEqual([])
      await desk.writeFile('x', Buffer.from('mine'), { ifSha256: sha('there') })
      expect(written()).toMatchObject([{ before: sha('there'), after: sha('mine') }])
      await expectRejection(desk.writeFile('../x', Buffer.from('')), 'PATH_OUTSIDE_WORKDIR')
    }))
})

describe('recordSandbox: close', () => {
  it('ends the view and not the sandbox; what runs goes on and is recorded', () =>
    withDesk(async (desk, real) => {
      const running = await desk.spawn('read -r line; echo "$line"')
      await desk.close()
      await desk.close()
      const calls = [
        desk.spawn('true'),
        desk.readFile('x'),
        desk.writeFile('x', Buffer.from('')),
        desk.unpack(real.pack()),
        collect(desk.scan()),
        readAll(desk.pack()),
        desk.attachProcess?.('0123456789abcdef', { stdoutFrom: 0, stderrFrom: 0 }),
      ]
      for (const call of calls) await expectRejection(call ?? expect.fail(), 'CLOSED')
      const writer = running.stdin.getWriter()
      await writer.write(Buffer.from('still here\n'))
      expect((await readAll(running.stdout)).toString()).toBe('still here\n')
      await running.exit
      expect(log.map(([kind]) => kind)).toEqual(['started', 'finished'])
      expect((await exec(real, 'echo open')).stdout).toBe('open\n')
    }))

  it('passes everything else through', () =>
    withDesk(async (desk, real) => {
      await real.writeFile('a', Buffer.from('content'))
      expect((await collect(desk.scan())).map(({ path }) => path)).toEqual(['a'])
      expect(Buffer.from(await desk.readFile('a')).toString()).toBe('content')
      const other = await provider.create({})
      await recordSandbox(other, recorder()).unpack(desk.pack())
      expect(Buffer.from(await other.readFile('a')).toString()).toBe('content')
      await other.close()
      expect([desk.id, desk.workdir, desk.isolation]).toEqual([real.id, real.workdir, 'none'])
      expect(log).toEqual([])
    }))
})

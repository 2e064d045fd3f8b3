import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Sandbox, SandboxProcess } from '../sandbox/sandbox.ts'
import { expectRejection } from './conformance.ts'
import type { SandboxSuite } from './sandbox-suite.ts'
import { bytes, expectNoHeartbeat, finish, heartbeat, readAll, readUntil, runToEnd, waitForFile, within } from './sandbox-suite.ts'

/** What every backend owes of running commands. */
export function testCommands(suite: SandboxSuite): void {
  testPlainCommands(suite)
  if (!suite.can.shell) return
  testShellCommands(suite)
  testStreams(suite)
  testEnding(suite)
  if (suite.can.tty) testTerminal(suite)
  if (suite.can.detached) testDetached(suite)
}

function testPlainCommands({ test }: SandboxSuite): void {
  test('spawn returns the output and a zero exit of a command', async (sandbox) => {
    const { exit, stdout, stderr } = await runToEnd(sandbox, ['echo', 'a', 'b c'])
    assert.deepEqual(
      { exit, stdout: stdout.toString(), stderr: stderr.toString() },
      { exit: { reason: 'exited', code: 0 }, stdout: 'a b c\n', stderr: '' },
    )
  })

  test('spawn returns a non-zero exit instead of rejecting', async (sandbox) => {
    assert.deepEqual((await runToEnd(sandbox, ['false'])).exit, { reason: 'exited', code: 1 })
  })

  test('spawn reports a command that is not there as exit 127 with a message', async (sandbox) => {
    const { exit, stderr } = await runToEnd(sandbox, ['baton-no-such-command', 'x'])
    assert.deepEqual(exit, { reason: 'exited', code: 127 })
    assert.match(stderr.toString(), /baton-no-such-command/)
  })

  test('spawn gives a command its input exactly and closes it', async (sandbox) => {
    const input = randomBytes(1 << 20)
    const { stdout } = await runToEnd(sandbox, ['cat'], { input })
    assert.ok(stdout.equals(input), `${stdout.length} bytes came back of ${input.length}, or other ones`)
    assert.equal((await runToEnd(sandbox, ['cat'])).stdout.length, 0)
  })

  test('spawn ends what runs longer than timeoutMs, as timeout', async (sandbox) => {
    assert.equal((await runToEnd(sandbox, ['sleep', '300'], { timeoutMs: 50 })).exit.reason, 'timeout')
  })

  test('spawn ends what says nothing for silenceMs, as silence', async (sandbox) => {
    assert.equal((await runToEnd(sandbox, ['sleep', '300'], { silenceMs: 50 })).exit.reason, 'silence')
  })

  test('spawn ends a command whose signal aborts, as aborted', async (sandbox) => {
    const stop = new AbortController()
    const process = await sandbox.spawn(['sleep', '300'], { signal: stop.signal })
    stop.abort()
    assert.equal((await finish(process)).exit.reason, 'aborted')
  })

  test('spawn rejects with ABORTED and starts nothing when the signal is aborted before', async (sandbox) => {
    await expectRejection(sandbox.spawn(['sleep', '300'], { signal: AbortSignal.abort() }), 'ABORTED')
  })

  test('kill ends a command, is harmless when it has ended, and exit never rejects', async (sandbox) => {
    const process = await sandbox.spawn(['sleep', '300'])
    await process.kill()
    const { exit } = await finish(process)
    assert.equal(exit.reason, 'signaled')
    await process.kill()
    await process.kill('SIGTERM')
  })

  test('spawn refuses wrong options with INVALID_OPTIONS', async (sandbox) => {
    await expectRejection(sandbox.spawn([]), 'INVALID_OPTIONS')
    await expectRejection(sandbox.spawn(['true'], { timeoutMs: -1 }), 'INVALID_OPTIONS')
    const process = await sandbox.spawn(['true'])
    await expectRejection(process.kill('SIGNOTHING'), 'INVALID_OPTIONS')
    await finish(process)
  })

  test('spawn runs many commands at once without mixing them up', async (sandbox) => {
    const names = Array.from({ length: 20 }, (_, index) => `command ${index}`)
    const processes = await Promise.all(names.map((name) => sandbox.spawn(['echo', name])))
    assert.equal(new Set(processes.map(({ id }) => id)).size, names.length, 'process ids are not unique')
    const outcomes = await Promise.all(processes.map((process) => finish(process)))
    assert.deepEqual(
      outcomes.map(({ stdout }) => stdout.toString()),
      names.map((name) => `${name}\n`),
    )
  })
}

function testShellCommands({ test }: SandboxSuite): void {
  test('spawn runs a string in a shell, and says 127 for what it does not find', async (sandbox) => {
    const { exit, stdout, stderr } = await runToEnd(sandbox, 'echo out; echo err >&2; (exit 3) || echo "no: $?"; exit 7')
    assert.deepEqual(
      { exit, out: stdout.toString(), err: stderr.toString() },
      { exit: { reason: 'exited', code: 7 }, out: 'out\nno: 3\n', err: 'err\n' },
    )
    assert.deepEqual((await runToEnd(sandbox, 'baton-no-such-command')).exit, { reason: 'exited', code: 127 })
  })

  test('spawn runs an array as it is', async (sandbox) => {
    const words = ['a b', '$HOME', "it's", '"', '\\', 'two\nlines', '', '*', 'ü€𝄞', '-n', '`id`', ';']
    const { stdout } = await runToEnd(sandbox, ['printf', '<%s>', ...words])
    assert.equal(stdout.toString(), words.map((word) => `<${word}>`).join(''))
  })

  test('spawn keeps quotes, newlines and every character of a command', async (sandbox) => {
    const command = `cat <<'END'\n$HOME \`id\` "it's" \\ ü€𝄞 \t\x01 %s\nEND\nprintf '%s' "second\nline"`
    assert.equal((await runToEnd(sandbox, command)).stdout.toString(), `$HOME \`id\` "it's" \\ ü€𝄞 \t\x01 %s\nsecond\nline`)
  })

  test('spawn takes a command of 1 MiB, which leaves nothing behind', async (sandbox) => {
    const word = 'x'.repeat(1 << 20)
    const { stdout, exit } = await runToEnd(sandbox, `w=${word}; printf %s "$w"; exit 5`)
    assert.equal(exit.code, 5)
    assert.equal(stdout.length, 1 << 20)
  })

  test('spawn gives the environment of the spec and of the call, and none of the host', async (sandbox, provider) => {
    process.env.BATON_SUITE_SECRET = 'key-of-the-host'
    try {
      const other = await provider.create({ env: { FROM_SPEC: 'a b"\n$c', BOTH: 'spec' } })
      try {
        const { stdout } = await runToEnd(other, `printf '%s|%s|%s|' "$FROM_SPEC" "$BOTH" "$FROM_CALL"; env`, {
          env: { BOTH: 'call', FROM_CALL: "it's" },
        })
        assert.ok(stdout.toString().startsWith(`a b"\n$c|call|it's|`), stdout.toString())
        assert.ok(!stdout.includes('key-of-the-host'), 'a variable of the host is visible')
      } finally {
        await other.close()
      }
      const { stdout } = await runToEnd(sandbox, 'cat /proc/self/environ /proc/$$/environ 2>/dev/null; env')
      assert.ok(!stdout.includes('key-of-the-host'), 'a variable of the host is visible')
    } finally {
      delete process.env.BATON_SUITE_SECRET
    }
  })

  test('spawn starts in the workdir, or in a folder of it', async (sandbox) => {
    await sandbox.writeFile('a b/c/file', bytes('x'))
    assert.equal((await runToEnd(sandbox, 'pwd -P')).stdout.toString(), `${sandbox.workdir}\n`)
    assert.equal((await runToEnd(sandbox, 'pwd -P', { cwd: 'a b/c' })).stdout.toString(), `${sandbox.workdir}/a b/c\n`)
    assert.equal((await runToEnd(sandbox, 'pwd -P', { cwd: `${sandbox.workdir}/a b` })).stdout.toString(), `${sandbox.workdir}/a b\n`)
  })

  test('spawn in a folder that is not there is exit 126 with a message, outside it rejects', async (sandbox) => {
    const { exit, stderr } = await runToEnd(sandbox, 'echo ran', { cwd: 'not/there' })
    assert.deepEqual(exit, { reason: 'exited', code: 126 })
    assert.match(stderr.toString(), /not\/there/)
    await expectRejection(sandbox.spawn('pwd', { cwd: '..' }), 'PATH_OUTSIDE_WORKDIR')
    await expectRejection(sandbox.spawn('pwd', { cwd: '/' }), 'PATH_OUTSIDE_WORKDIR')
  })
}

function testStreams({ test }: SandboxSuite): void {
  test('stdout and stderr are whole and exact, also when the command has ended long before they are read', async (sandbox) => {
    const process = await sandbox.spawn('head -c 60000 /dev/zero; head -c 5000 /dev/zero >&2; printf end')
    assert.deepEqual(await within(process.exit, 'exit did not settle'), { reason: 'exited', code: 0 })
    const stdout = await readAll(process.stdout)
    assert.equal(stdout.length, 60_003)
    assert.equal(stdout.subarray(-3).toString(), 'end')
    assert.equal((await readAll(process.stderr)).length, 5000)
  })

  test('stdout passes 8 MiB of any bytes', async (sandbox) => {
    const content = randomBytes(1 << 20)
    await sandbox.writeFile('random', content)
    const { stdout } = await runToEnd(sandbox, 'for i in 1 2 3 4 5 6 7 8; do cat random; done')
    assert.ok(stdout.equals(Buffer.concat(Array.from({ length: 8 }, () => content))))
  })

  test('input that nobody reads is harmless', async (sandbox) => {
    const input = randomBytes(4 << 20)
    assert.equal((await runToEnd(sandbox, 'exit 0', { input })).exit.code, 0)
    assert.equal((await runToEnd(sandbox, 'head -c 1 > /dev/null', { input })).exit.code, 0)
  })

  test('a command can be talked to while it runs', async (sandbox) => {
    const process = await sandbox.spawn('while read -r line; do echo "heard $line"; done; echo over')
    const reader = process.stdout.getReader()
    const writer = process.stdin.getWriter()
    for (const word of ['one', 'two']) {
      await writer.write(bytes(`${word}\n`))
      await readUntil(reader, `heard ${word}\n`)
    }
    await writer.close()
    await readUntil(reader, 'over\n')
    assert.equal((await within(process.exit, 'exit did not settle')).code, 0)
  })

  test('a flood that nobody reads does not grow memory', async (sandbox) => {
    const limit = 16 << 20
    const flood = await sandbox.spawn('yes; echo unreachable')
    const reader = flood.stdout.getReader()
    for (let read = 0; read < 4 << 20; ) read += (await reader.read()).value?.length ?? assert.fail('the flood ended')
    const before = memoryInUse()
    let grown = 0
    for (let waited = 0; waited < 1000 && grown < limit; waited += 20) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      grown = memoryInUse() - before
    }
    await flood.kill()
    await within(flood.exit, 'exit did not settle')
    assert.ok(grown < limit, `${grown} bytes of output were held for a reader that does not read`)
  })

  test('output read slowly is no silence', async (sandbox) => {
    const process = await sandbox.spawn('head -c 3000000 /dev/zero', { silenceMs: 500 })
    await new Promise((resolve) => setTimeout(resolve, 1200))
    const [exit, stdout] = await Promise.all([within(process.exit, 'exit did not settle'), readAll(process.stdout)])
    assert.deepEqual({ exit, bytes: stdout.length }, { exit: { reason: 'exited', code: 0 }, bytes: 3_000_000 })
  })

  test('cancelling stdout ends a command that writes to it', async (sandbox) => {
    const process = await sandbox.spawn('yes')
    await process.stdout.cancel()
    await within(process.exit, 'exit did not settle')
  })
}

function memoryInUse(): number {
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return arrayBuffers + heapUsed
}

function testEnding({ test, can }: SandboxSuite): void {
  if (can.signals)
    test('exit says which signal ended a command', async (sandbox) => {
      assert.deepEqual((await runToEnd(sandbox, 'kill -TERM $$')).exit, { reason: 'signaled', code: null, signal: 'SIGTERM' })
    })

  test('exit settles when the command ends, and the streams end, although a child in the background holds them', async (sandbox) => {
    const { exit, stdout } = await runToEnd(sandbox, 'sleep 300 & echo done')
    assert.deepEqual({ exit, stdout: stdout.toString() }, { exit: { reason: 'exited', code: 0 }, stdout: 'done\n' })
  })

  test('kill ends the whole tree, also children in the background and those in a session of their own', async (sandbox) => {
    const process = await sandbox.spawn(
      `(${heartbeat('child')}) & setsid sh -c '${heartbeat('session')}' & setsid sh -c 'setsid sh -c "${heartbeat('deep')}" & exit' & wait; sleep 300`,
    )
    for (const file of ['child', 'session', 'deep']) await waitForFile(sandbox, file)
    await process.kill()
    await within(process.exit, 'exit did not settle')
    for (const file of ['child', 'session', 'deep']) await expectNoHeartbeat(sandbox, file)
  })

  test('kill passes on the signal it is given', async (sandbox) => {
    const process = await sandbox.spawn(`trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.02; done`)
    const reader = process.stdout.getReader()
    await readUntil(reader, 'ready\n')
    await process.kill('SIGTERM')
    await readUntil(reader, 'caught\n')
    assert.deepEqual(await within(process.exit, 'exit did not settle'), { reason: 'exited', code: 9 })
  })

  for (const [reason, options] of [
    ['timeout', { timeoutMs: 1000 }],
    ['silence', { silenceMs: 1000 }],
  ] as const)
    test(`${reason} ends the whole tree, also a child in a session of its own`, async (sandbox) => {
      const { exit } = await runToEnd(sandbox, `setsid sh -c '${heartbeat('session')}' & sleep 300`, options)
      assert.equal(exit.reason, reason)
      await expectNoHeartbeat(sandbox, 'session')
    })

  test('a command that keeps saying something is not ended for silence', async (sandbox) => {
    const command = 'for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.2; echo $i >&2; done'
    const { exit } = await runToEnd(sandbox, command, { silenceMs: 1400, timeoutMs: 60_000 })
    assert.deepEqual(exit, { reason: 'exited', code: 0 })
  })
}

function testTerminal({ test }: SandboxSuite): void {
  test('tty gives a terminal of the size that was asked for, on which stdout and stderr are one', async (sandbox) => {
    const { stdout, exit } = await runToEnd(sandbox, `test -t 0 && test -t 1 && test -t 2 && stty size; echo "it's err" >&2; exit 6`, {
      tty: { columns: 91, rows: 33 },
    })
    assert.equal(stdout.toString().replaceAll('\r', ''), "33 91\nit's err\n")
    assert.deepEqual(exit, { reason: 'exited', code: 6 })
  })

  test('tty takes what is typed, and resize changes its size', async (sandbox) => {
    const process = await sandbox.spawn('echo ready; while read -r line; do echo "heard <$line>"; stty size; done', {
      tty: { columns: 80, rows: 24 },
    })
    const reader = process.stdout.getReader()
    const writer = process.stdin.getWriter()
    await readUntil(reader, 'ready')
    await writer.write(bytes('word\n'))
    await readUntil(reader, '24 80')
    await process.resize?.({ columns: 50, rows: 20 })
    await writer.write(bytes('again\n'))
    assert.match(await readUntil(reader, '20 50'), /heard <again>/)
    await process.kill()
    await within(process.exit, 'exit did not settle')
  })
}

function testDetached({ test }: SandboxSuite): void {
  test('a detached process is found again by its id, each stream from its offset', async (sandbox) => {
    const started = await sandbox.spawn('echo one; echo two; echo err >&2; sleep 0.1; echo three; exit 4', { detached: true })
    const again = await attachProcess(sandbox, started.id, { stdoutFrom: 4, stderrFrom: 2 })
    const [stdout, stderr] = await within(Promise.all([readAll(again.stdout), readAll(again.stderr)]), 'the streams did not end')
    assert.deepEqual([stdout.toString(), stderr.toString()], ['two\nthree\n', 'r\n'])
    assert.deepEqual(await within(again.exit, 'exit did not settle'), { reason: 'exited', code: 4 })
    assert.deepEqual(await within(started.exit, 'exit did not settle'), { reason: 'exited', code: 4 })
  })

  test('a detached process is killed with its tree through the handle that found it', async (sandbox) => {
    const { id } = await sandbox.spawn(`setsid sh -c '${heartbeat('session')}' & ${heartbeat('main')}`, { detached: true })
    for (const file of ['session', 'main']) await waitForFile(sandbox, file)
    const again = await attachProcess(sandbox, id, { stdoutFrom: 0, stderrFrom: 0 })
    await again.kill()
    assert.equal((await within(again.exit, 'exit did not settle')).reason, 'signaled')
    for (const file of ['session', 'main']) await expectNoHeartbeat(sandbox, file)
  })

  test('a process that is not known is lost', async (sandbox) => {
    const process = await attachProcess(sandbox, '0123456789abcdef', { stdoutFrom: 0, stderrFrom: 0 })
    assert.equal((await within(process.exit, 'exit did not settle')).reason, 'lost')
    assert.equal((await readAll(process.stdout)).length, 0)
  })
}

function attachProcess(sandbox: Sandbox, id: string, from: { stdoutFrom: number; stderrFrom: number }): Promise<SandboxProcess> {
  return sandbox.attachProcess?.(id, from) ?? assert.fail('the sandbox has no attachProcess')
}

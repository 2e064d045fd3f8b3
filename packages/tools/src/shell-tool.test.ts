import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Sandbox, ToolContext, ToolOutput } from '@baton-sdk/core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createShellOutputTool } from './shell-output-tool.ts'
import { createShellStopTool } from './shell-stop-tool.ts'
import { createShellTool } from './shell-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'

const [shell, output, stop] = [createShellTool(), createShellOutputTool(), createShellStopTool()]
let task: TestingContext
beforeEach(async () => {
  task = await createTestingContext()
})
afterEach(() => task.close())

const idOf = (result: ToolOutput) => (result.data as { id: string }).id
const start = async (command: string) => idOf(await task.call(shell, { command, background: true }))
const read = (id: string, wait: object = {}) => task.call(output, { id, ...wait })
/** Ends when the process that wrote its id there has. */
async function gone(pidFile: string): Promise<void> {
  const pid = Number(await readFile(join(task.dir, pidFile), 'utf8'))
  await expect.poll(() => alive(pid), { timeout: 10_000 }).toBe(false)
}
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // One that has ended and is waited for by nobody still takes signals.
    return process.platform !== 'linux' || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

describe('shell', () => {
  it('shows both streams, live and as a result, and records start and end', async () => {
    const result = await task.call(shell, { command: 'echo out; echo err >&2; echo end' })
    expect(result.failed).toBeUndefined()
    expect(result.text.endsWith('\n[exit code 0]')).toBe(true)
    expect(result.text.split(/\n/).sort()).toEqual(['[exit code 0]', 'end', 'err', 'out'])
    expect(task.live.filter(({ stream }) => stream === 'stderr')).toEqual([{ stream: 'stderr', text: 'err\n' }])
    expect(task.records).toEqual([
      { type: 'command.started', data: { commandId: 'call-1', command: 'echo out; echo err >&2; echo end', callId: 'call-1' } },
      {
        type: 'command.finished',
        data: { commandId: 'call-1', reason: 'exited', code: 0, stdoutBytes: 8, stderrBytes: 4, ms: expect.any(Number) },
      },
    ])
  })

  it('tells a failing command as an ordinary result', async () => {
    const result = await task.call(shell, { command: 'echo no; exit 3' })
    expect(result).toEqual({ text: 'no\n[exit code 3]', data: { reason: 'exited', code: 3, ms: expect.any(Number) } })
    expect((await task.call(shell, { command: 'no-such-command-here' })).text).toMatch(/not found[\s\S]*\[exit code 127\]$/)
    expect((await task.call(shell, { command: 'kill -SEGV $$' })).text).toMatch(/SIGSEGV|exit code 139/)
  })

  it('runs in the folder it is told, and fails for one that is outside or not there', async () => {
    await task.put('sub dir/file', '')
    expect((await task.call(shell, { command: 'ls', cwd: 'sub dir' })).text).toBe('file\n[exit code 0]')
    expect((await task.call(shell, { command: 'ls', cwd: `${task.dir}/sub dir` })).text).toBe('file\n[exit code 0]')
    await symlink('/etc', join(task.dir, 'etc'))
    for (const cwd of ['..', '/etc', 'etc', 'nowhere']) {
      const result = await task.call(shell, { command: 'pwd', cwd })
      expect(result.failed === true || /exit code 126/.test(result.text)).toBe(true)
      expect(result.text).not.toMatch(/^\/etc\n/)
    }
    const kinds = task.records.map(({ type }) => type)
    expect(kinds.filter((type) => type === 'command.started')).toHaveLength(6)
    expect(kinds.filter((type) => type === 'command.finished')).toHaveLength(6)
  })

  it('kills the whole tree at the time limit, keeps the output, and says what to do', async () => {
    const result = await task.call(shell, { command: 'sleep 100 & echo $! > child; echo before; wait', timeoutMs: 1500 })
    expect(result.text).toBe('before\n[killed: still running after 1.5 s; for longer, set timeoutMs or use background]')
    await gone('child')
    expect(task.records.at(-1)).toMatchObject({ type: 'command.finished', data: { reason: 'timeout', code: null } })
  })

  it('ends the command when the call is aborted, records the end, and throws the reason', async () => {
    const controller = new AbortController()
    const running = task.call(
      shell,
      { command: 'echo $$ > pid; echo ready; sleep 100' },
      {
        signal: controller.signal,
        output: (_, text) => text.includes('ready') && controller.abort(new Error('cancelled by a person')),
      },
    )
    await expect(running).rejects.toThrow('cancelled by a person')
    await gone('pid')
    expect(task.records.at(-1)).toMatchObject({ type: 'command.finished', data: { reason: 'aborted' } })
  })

  it('cannot be asked for input, nor open an editor or pager', async () => {
    const result = await task.call(shell, { command: 'cat; read x; echo "[$CI $PAGER $GIT_TERMINAL_PROMPT]"' })
    expect(result.text).toBe('[1 cat 0]\n[exit code 0]')
  })

  it('keeps a flood bounded', async () => {
    const { text } = await task.call(shell, { command: 'head -c 20000000 /dev/zero | tr "\\0" x; echo; echo last' })
    expect(text.length).toBeLessThan(1.1 * 1024 * 1024)
    expect(text).toMatch(/^x[\s\S]*bytes left out[\s\S]*x\nlast\n\[exit code 0\]$/)
  })

  it('says what an approval covers: this command, here', () => {
    const scope = (input: object) => shell.scope?.(shell.input.parse(input))
    expect(scope({ command: 'npm test' })).toBe('exactly "npm test"')
    expect(scope({ command: 'npm test', cwd: './a/' })).toBe('exactly "npm test" in "a"')
    const scopes = [
      { command: 'a' },
      { command: 'a', cwd: 'b' },
      { command: 'a" in "b' },
      { command: 'a', background: true },
      { command: 'a, in the background' },
    ].map(scope)
    expect(new Set(scopes).size).toBe(scopes.length)
  })

  it('refuses options that are none', () => {
    expect(() => createShellTool({ commandTimeoutMs: -1 })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('commandTimeoutMs') }),
    )
  })

  it('takes its time limit from its options', async () => {
    const hasty = createShellTool({ commandTimeoutMs: 200 })
    expect((await task.call(hasty, { command: 'sleep 100' })).text).toContain('still running after 0.2 s')
  })
})

describe('shell in the background', () => {
  it('returns at once; output is read as it comes, each piece once', async () => {
    const id = await start('mkfifo go; echo one; read x < go; echo two; sleep 100')
    expect(await read(id, { waitMs: 20_000, waitFor: 'one' })).toMatchObject({ text: 'one\n[still running]', data: { running: true } })
    expect((await read(id)).text).toBe('[no new output; still running]')
    await task.call(stop, { id })
  })

  it('waits for a text that comes in pieces, or for the end', async () => {
    // A pipe for each step: one that is opened again may still be held by who wrote before.
    await task.call(shell, { command: 'mkfifo first second' })
    const id = await start('printf "liste"; read x < first; printf "ning\\n"; read x < second; echo bye; exit 4')
    const waiting = read(id, { waitMs: 20_000, waitFor: 'listening' })
    await task.call(shell, { command: 'echo > first' })
    expect((await waiting).text).toBe('listening\n[still running]')
    const ending = read(id, { waitMs: 20_000 })
    await task.call(shell, { command: 'echo > second' })
    expect(await ending).toMatchObject({ text: 'bye\n[exit code 4]', data: { running: false, exit: { code: 4 } } })
    expect((await read(id)).text).toBe('[no new output; exit code 4]')
  })

  it('stops a command with all that it started, also what ignores being asked, and shows its last words', async () => {
    const id = await start('(trap "" TERM; echo up; while :; do sleep 1; done) & echo $! > child; trap "echo bye; exit 0" TERM; wait; wait')
    await read(id, { waitMs: 20_000, waitFor: 'up' })
    const result = await task.call(stop, { id })
    expect(result.text).toMatch(/^(bye\n)?\[(no new output; )?(exit code|ended by)/)
    await gone('child')
    expect((await task.call(stop, { id })).text).toContain('[no new output; ')
  })

  it('records the end when it comes', async () => {
    const id = await start('echo hello; exit 7')
    await read(id, { waitMs: 20_000 })
    await expect.poll(() => task.records.map(({ type }) => type), { timeout: 10_000 }).toEqual(['command.started', 'command.finished'])
    expect(task.records[1]?.data).toMatchObject({ commandId: 'call-1', code: 7, stdoutBytes: 6 })
  })

  it('does not mind a log that is closed by then', async () => {
    const records: string[] = []
    const record: ToolContext['record'] = async ({ type }) => {
      records.push(type)
      if (type === 'command.finished') throw new Error('closed')
    }
    const id = idOf(await task.call(shell, { command: 'true', background: true }, { record }))
    await read(id, { waitMs: 20_000 })
    await expect.poll(() => records, { timeout: 10_000 }).toEqual(['command.started', 'command.finished'])
  })

  it('keeps a flood bounded, head and tail, and is never held back by it', async () => {
    const id = await start('head -c 30000000 /dev/zero | tr "\\0" x; echo; echo last')
    const { text } = await read(id, { waitMs: 20_000 })
    expect(text.length).toBeLessThan(70 * 1024)
    expect(text).toMatch(/^x[\s\S]*bytes left out[\s\S]*x\nlast\n\[exit code 0\]$/)
  })

  it('gives up waiting when the call is aborted, and the command lives on', async () => {
    const id = await start('sleep 100')
    const controller = new AbortController()
    const waiting = task.call(output, { id, waitMs: 60_000 }, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(waiting).rejects.toThrow('enough')
    expect((await read(id)).text).toBe('[no new output; still running]')
  })

  it('ends with the sandbox', async () => {
    const id = await start('echo $$ > pid; echo up; sleep 100')
    await read(id, { waitMs: 20_000, waitFor: 'up' })
    const pid = Number(await task.get('pid'))
    await task.sandbox.close()
    await expect.poll(() => alive(pid), { timeout: 10_000 }).toBe(false)
  })

  it('finds a command again after the host was started anew, its output from the beginning', async () => {
    const id = await start('echo one; sleep 100')
    await read(id, { waitMs: 20_000, waitFor: 'one' })
    task.memory.clear()
    expect((await read(id)).text).toBe('one\n[still running]')
    task.memory.clear()
    expect((await task.call(stop, { id })).text).toMatch(/^one\n(Terminated\n)?\[(ended by SIG|exit code 143)/)
  })

  it('tells that a command is lost, where there is none or the backend cannot find it again', async () => {
    const cannotFind = await createTestingContext({ wrap: ({ attachProcess: _, ...sandbox }) => sandbox })
    const id = idOf(await cannotFind.call(shell, { command: 'sleep 100', background: true }))
    expect((await cannotFind.call(output, { id })).text).toBe('[no new output; still running]')
    cannotFind.memory.clear()
    for (const tool of [output, stop]) {
      for (const [context, missing] of [
        [cannotFind, id],
        [task, '0123456789abcdef'],
        [task, '../../etc'],
      ] as const) {
        expect(await context.call(tool, { id: missing })).toMatchObject({
          failed: true,
          text: expect.stringMatching(/no background command .* lost/),
        })
      }
    }
    await cannotFind.close()
  })

  it('neither ends with the process that started it, nor keeps that running once the task is closed there', async () => {
    const script = `
      import { createLocalSandboxProvider } from '@baton-sdk/core'
      import { createShellTool } from ${JSON.stringify(join(import.meta.dirname, 'shell-tool.ts'))}
      const sandbox = await createLocalSandboxProvider({ root: ${JSON.stringify(`${task.dir}/../sandboxes`)}, isolation: 'none' }).attach(${JSON.stringify(task.sandbox.id)})
      const context = { callId: 'c', signal: new AbortController().signal, memory: new Map(), sandbox: async () => sandbox, record: async () => {} }
      const { data } = await createShellTool().run({ command: 'echo $$ > pid; echo up; sleep 100', background: true }, context)
      for (const value of context.memory.values()) value[Symbol.dispose]()
      console.log(data.id)`
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--conditions=@baton-sdk/source', '--input-type=module', '-e', script],
      {
        cwd: import.meta.dirname,
      },
    )
    const id = stdout.trim()
    expect((await read(id, { waitMs: 20_000, waitFor: 'up' })).text).toBe('up\n[still running]')
    expect(alive(Number(await task.get('pid')))).toBe(true)
    await task.call(stop, { id })
    await gone('pid')
  })

  it('finds a command again where the backend can, and starts it so that it can be found', async () => {
    const spawned: unknown[] = []
    const wrap = (sandbox: Sandbox): Sandbox => ({
      ...sandbox,
      spawn: (command, options) => {
        spawned.push(options?.detached)
        return sandbox.spawn(command, { ...options, detached: undefined })
      },
      attachProcess: async (id, from) => {
        if (id !== 'known') throw Object.assign(new Error('no such process'), { code: 'SANDBOX_FAILED' })
        expect(from).toEqual({ stdoutFrom: 0, stderrFrom: 0 })
        return sandbox.spawn('echo from the start; sleep 100')
      },
    })
    const other = await createTestingContext({ wrap })
    await other.call(shell, { command: 'true', background: true })
    expect(spawned).toEqual([true])
    other.memory.clear()
    expect((await other.call(output, { id: 'known', waitMs: 20_000, waitFor: 'start' })).text).toBe('from the start\n[still running]')
    expect((await other.call(output, { id: 'known' })).text).toBe('[no new output; still running]')
    expect(await other.call(output, { id: 'unknown' })).toMatchObject({ failed: true })
    await other.call(stop, { id: 'known' })
    await other.close()
  })
})

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { nodeArgs, runExample, startExample, startProgram, temporaryFolder } from './testing/run-example.ts'

const git = (folder: string, ...args: string[]): string => execFileSync('git', args, { cwd: folder, encoding: 'utf8' })
const nodeTest = (folder: string): string => execFileSync(process.execPath, ['--test'], { cwd: folder, encoding: 'utf8' })

function expectFixed(cwd: string): void {
  const repository = join(cwd, '.baton/demo/repository')
  expect(nodeTest(repository)).toContain('fail 0')
  expect(git(repository, 'status', '--porcelain')).toBe(' M src/duration.js\n')
}

const options = { timeout: 120_000 }

describe('npm run demo', options, () => {
  it('fixes the sample repository, keeps the log and shows it again', async () => {
    const cwd = temporaryFolder()
    const { code, stdout, stderr } = await runExample('demo.ts', { cwd })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('The model is scripted')
    expect(stdout).toMatch(/check: node --test fails[\s\S]*check: node --test passes/)
    expect(stdout).toContain('the run ends: done')
    expect(stdout.includes('\u001b')).toBe(false)
    expectFixed(cwd)
    const log = /Its log: (\S+)/.exec(stdout)?.[1] ?? ''
    const events = readFileSync(join(cwd, log), 'utf8').trim().split('\n')
    expect(JSON.parse(events[0] ?? '')).toMatchObject({ type: 'task.created', seq: 1 })

    const again = await runExample('demo.ts', { cwd, args: ['--show'] })
    expect(again).toMatchObject({ code: 0, stderr: '' })
    const timeline = (text: string): string[] => text.split('\n').filter((line) => /^ +\d+\.\d\ds /.test(line))
    expect(timeline(again.stdout)).toEqual(timeline(stdout))
  })

  it('pauses on SIGINT, and the same command goes on', async () => {
    const cwd = temporaryFolder()
    const first = startExample('demo.ts', { cwd, args: ['--slow'] })
    await first.saw('Now what the tests say.')
    first.kill('SIGINT')
    const paused = await first.finished
    expect(paused).toMatchObject({ code: 130, stderr: '' })
    expect(paused.stdout).toContain('Pausing at the next safe point')
    expect(paused.stdout).toContain('Paused. Run the same command again to go on.')
    expect(git(join(cwd, '.baton/demo/repository'), 'status', '--porcelain')).toBe('')

    const { code, stdout, stderr } = await runExample('demo.ts', { cwd })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('goes on')
    expect(stdout).not.toContain('interrupted')
    expect(readdirSync(join(cwd, '.baton/demo/log')).filter((name) => name.endsWith('.jsonl'))).toHaveLength(1)
    expect(stdout.match(/I will look at what there is first/g)).toHaveLength(1)
    expectFixed(cwd)
  })

  it('goes on after it was killed', async () => {
    const cwd = temporaryFolder()
    const first = startExample('demo.ts', { cwd, args: ['--slow'] })
    await first.saw('modified src/duration.js')
    first.kill('SIGKILL')
    await first.finished
    const { code, stdout, stderr } = await runExample('demo.ts', { cwd })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.match(/the run begins/g)).toHaveLength(1)
    expectFixed(cwd)
  })

  it('works on a repository of yours with a live model', async () => {
    const cwd = temporaryFolder()
    const repository = join(cwd, 'mine')
    mkdirSync(repository)
    git(repository, 'init', '--quiet')
    writeFileSync(join(repository, 'greeting.txt'), 'Hello Wrold\n')
    const edits = [{ oldText: 'Wrold', newText: 'World' }]
    const server = await startScriptedServer([
      { toolCalls: [{ tool: 'edit', input: { path: 'greeting.txt', edits } }] },
      { text: 'Corrected.' },
    ])
    onTestFinished(() => server.close())
    const env = { OPENAI_BASE_URL: server.url, BATON_MODEL: 'some-model' }
    const args = ['--repo', 'mine', '--goal', 'Correct the greeting.', '--check', 'grep -q World greeting.txt']
    const { code, stdout, stderr } = await runExample('demo.ts', { cwd, env, args })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain('The model is live: local/some-model.')
    expect(stdout).not.toContain('scripted')
    expect(readFileSync(join(repository, 'greeting.txt'), 'utf8')).toBe('Hello World\n')
    expect(server.requests.map(({ body }) => body.model)).toEqual(['some-model', 'some-model'])
    expect(server.problems).toEqual([])
  })

  it.each<[string[], string, Record<string, string>?]>([
    [['--repo', '.', '--goal', 'x'], 'set OPENAI_API_KEY'],
    [['--check', 'true'], '--check is for a repository of yours'],
    [['--repo', '.'], '--repo and --goal go together'],
    [['--show'], 'There is no task yet'],
    [['--nonsense'], "Unknown option '--nonsense'"],
    [['--repo', 'gone', '--goal', 'x'], 'gone', { OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' }],
  ])('says what is wrong with %j', async (args, text, env = {}) => {
    const { code, stdout, stderr } = await runExample('demo.ts', { cwd: temporaryFolder(), args, env })
    expect(code).toBeGreaterThan(0)
    expect(stdout + stderr).toContain(text)
    expect(stderr).not.toMatch(/^\s+at /m)
  })
})

const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') ?? false
const required = process.env.BATON_REQUIRE?.split(',').includes('script') ?? false

describe.skipIf(!hasScript && !required)('npm run demo, on a terminal', options, () => {
  /** A terminal of util-linux's `script`, which passes on what is written to it. */
  function onTerminal(cwd: string, args: readonly string[] = []): ReturnType<typeof startProgram> {
    const command = ['stty rows 40 cols 100;', process.execPath, ...nodeArgs('demo.ts', args)].join(' ')
    return startProgram('script', ['-qefc', command, '/dev/null'], {
      cwd,
      // Node takes a terminal of a CI machine for one without colours.
      env: { TERM: 'xterm-256color', FORCE_COLOR: '1' },
    })
  }

  it('writes in colour, shows what the model is saying as it comes, and pauses on Ctrl-C', async () => {
    const cwd = temporaryFolder()
    const first = onTerminal(cwd)
    await first.saw('Now what the tests say.')
    first.write('\u0003')
    const { code, stdout } = await first.finished
    expect(code).toBe(130)
    expect(stdout).toContain('\u001b[36m● coder')
    expect(stdout).toContain('\r\u001b[K')
    expect(stdout).toContain('Paused. Run the same command again to go on.')

    const second = await onTerminal(cwd).finished
    expect(second.code).toBe(0)
    for (const line of visibleLines(second.stdout)) expect(line.length).toBeLessThanOrEqual(100)
    expectFixed(cwd)
  })
})

/** What stays on a terminal: lines without colours, each as it was last written over. */
function visibleLines(text: string): string[] {
  const escapes = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')
  return text.split('\n').map((line) => line.replace(/\r$/, '').split('\r\u001b[K').at(-1)?.replace(escapes, '') ?? '')
}

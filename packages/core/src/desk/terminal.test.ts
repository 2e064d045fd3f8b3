import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { probeBubblewrap } from '../sandbox/bubblewrap.ts'
import { exec } from '../sandbox/exec.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { findTree, sandboxMarker } from '../sandbox/process-tree.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { collect, expectRejection } from '../testing/conformance.ts'
import { createMemorySandboxProvider } from '../testing/memory-sandbox.ts'
import { within } from '../testing/sandbox-suite.ts'
import type { Terminal, TerminalOptions } from './terminal.ts'
import { openTerminal } from './terminal.ts'
import type { TerminalCommand } from './terminal-commands.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-terminal-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Whether a program is missing and may be; where `BATON_REQUIRE` names it, its tests run and fail. */
function lacks(name: string, there: boolean): boolean {
  return !there && !process.env.BATON_REQUIRE?.split(',').includes(name)
}

function found(name: string): string {
  const paths = (process.env.PATH ?? '').split(':').map((folder) => join(folder, name))
  return paths.find((path) => existsSync(path)) ?? ''
}

function hasScript(): boolean {
  try {
    return execFileSync('script', ['--version'], { encoding: 'utf8' }).includes('util-linux')
  } catch {
    return false
  }
}

/** The end of what a shell prints when it waits for a command: its sign, and what it tells the screen. */
const prompt = new RegExp(`[$#%] (${String.fromCharCode(27)}\\S*)*$`)
const noScript = lacks('script', hasScript())

interface Told {
  command?: string | undefined
  cwd?: string | undefined
  code?: number | null
}

/** A person at a terminal, who waits for what they see. */
interface Person {
  readonly sandbox: Sandbox
  readonly terminal: Terminal
  /** All events so far, and all output. */
  readonly events: readonly TerminalCommand[]
  screen(): string
  /** Types, and waits until a command has ended that had not before. */
  run(text: string): Promise<Told>
  /** Types, and waits until the screen shows this in what is new. */
  see(text: string, wanted: string | RegExp): Promise<void>
  /** Waits until this many events were heard. */
  heard(count: number): Promise<void>
  /** Waits until this many commands have ended. */
  ended(count: number): Promise<void>
  /** Each command with its end. */
  told(): Told[]
}

interface Place {
  shell?: string
  isolation?: 'none' | 'process'
  env?: Record<string, string>
  files?: Record<string, string>
}

async function atTerminal(place: Place, work: (person: Person) => Promise<void>): Promise<void> {
  const { shell, env, isolation = 'none' } = place
  const sandbox = await createLocalSandboxProvider({ isolation, root }).create({})
  try {
    // The home of a local sandbox is a folder of its own beside the workdir.
    for (const [name, text] of Object.entries(place.files ?? {}))
      assert.equal((await exec(sandbox, ['sh', '-c', 'cat > "$HOME/$1"', 'sh', name], { input: text })).exit.code, 0)
    if (shell === 'ash') await exec(sandbox, ['ln', '-s', found('busybox'), 'ash'])
    const path = shell === 'ash' ? `${sandbox.workdir}/ash` : shell === 'dash' ? found('dash') : shell
    const person = await openPerson(sandbox, { shell: path, env, columns: 200 })
    try {
      await work(person)
    } finally {
      await person.terminal.close()
    }
  } finally {
    await sandbox.close()
  }
}

async function openPerson(sandbox: Sandbox, options: Omit<TerminalOptions, 'onCommand'>): Promise<Person> {
  const events: TerminalCommand[] = []
  let screen = ''
  let changed = Promise.withResolvers<void>()
  const wake = (): void => {
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const until = async (what: string, holds: () => boolean): Promise<void> => {
    while (!holds())
      await within(changed.promise, `${what}; events ${JSON.stringify(events)}; screen ${JSON.stringify(screen.slice(-2000))}`)
  }
  const onCommand = (command: TerminalCommand): void => {
    events.push(command)
    wake()
  }
  const terminal = await openTerminal(sandbox, { columns: 200, ...options, onCommand })
  void (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of terminal.output) {
      screen += decoder.decode(chunk, { stream: true })
      wake()
    }
  })()
  const ends = (): number => events.filter(({ phase }) => phase === 'finished').length
  const told = (): Told[] => toldIn(events)
  const prompted = (from: number): boolean => prompt.test(screen.slice(from))
  await until('no prompt', () => prompted(0))
  return {
    sandbox,
    terminal,
    events,
    screen: () => screen,
    told,
    async run(text) {
      const [before, from] = [ends(), screen.length]
      await terminal.write(`${text}\r`)
      await until(`${JSON.stringify(text)} did not end`, () => ends() > before && prompted(from))
      return told().at(-1) ?? {}
    },
    async see(text, wanted) {
      const from = screen.length
      await terminal.write(text)
      const pattern = typeof wanted === 'string' ? { test: (part: string) => part.includes(wanted) } : wanted
      await until(`${String(wanted)} was not seen`, () => pattern.test(screen.slice(from)))
    },
    ended: (count) => until(`${count} commands did not end`, () => ends() >= count),
    heard: (count) => until(`${count} events were not heard`, () => events.length >= count),
  }
}

function toldIn(events: readonly TerminalCommand[]): Told[] {
  const commands = new Map<string, Told>()
  for (const event of events) {
    if (event.phase === 'started') {
      assert.ok(!commands.has(event.commandId), 'a command started twice')
      assert.ok(
        [...commands.values()].every(({ code }) => code !== undefined),
        'a command started before the one before it had ended',
      )
      commands.set(event.commandId, { command: event.command, cwd: event.cwd })
    } else {
      const command = commands.get(event.commandId)
      assert.ok(command !== undefined && command.code === undefined, 'a command ended that had not started, or ended twice')
      assert.ok(event.ms >= 0)
      command.code = event.code
    }
  }
  return [...commands.values()]
}

const shells = [
  { shell: 'bash', missing: noScript || lacks('bash', found('bash') !== ''), joined: 'for i in 1 2; do echo "<$i>"; done' },
  { shell: 'zsh', missing: noScript || lacks('zsh', found('zsh') !== '') },
  { shell: 'dash', missing: noScript || lacks('dash', found('dash') !== '') },
  { shell: 'ash', missing: noScript || lacks('busybox', found('busybox') !== '') },
] as const

const bubblewrap = await probeBubblewrap()

describe.each([
  ...shells.map((one) => ({ ...one, isolation: 'none' as const })),
  ...shells.map((one) => ({ ...one, isolation: 'process' as const, missing: one.missing || lacks('bubblewrap', bubblewrap.works) })),
])('openTerminal with $shell and isolation $isolation', ({ shell, isolation, missing, ...one }) => {
  const place: Place = { shell, isolation }

  it.skipIf(missing)('tells each command once, with its text, folder and exit code', () =>
    atTerminal(place, async ({ run, see, ended, told, sandbox, terminal }) => {
      const cwd = sandbox.workdir
      expect(await run('false')).toEqual({ command: 'false', cwd, code: 1 })
      expect(await run('echo $?; (exit 7)')).toEqual({ command: 'echo $?; (exit 7)', cwd, code: 7 })
      expect(await run("echo 'größe 東京 %25;\\x41' \"it's\"")).toEqual({ command: "echo 'größe 東京 %25;\\x41' \"it's\"", cwd, code: 0 })
      expect(await run('true | false')).toEqual({ command: 'true | false', cwd, code: 1 })
      expect(await run('true | false')).toEqual({ command: 'true | false', cwd, code: 1 })
      expect(await run(' echo spaced')).toEqual({ command: ' echo spaced', cwd, code: 0 })
      expect(await run('no-such-command-here')).toMatchObject({ code: 127 })
      expect(await run('sleep 0.01 & true')).toMatchObject({ command: 'sleep 0.01 & true', code: 0 })
      await run('wait')
      await run("mkdir 'a;b %41'")
      expect(await run("cd 'a;b %41'")).toMatchObject({ cwd })
      expect(await run('true')).toEqual({ command: 'true', cwd: `${cwd}/a;b %41`, code: 0 })
      const before = told().length
      for (const text of ['\r', '  \r']) await see(text, prompt)
      await see('abandoned', /a.*b.*a.*n.*d.*o.*n.*e.*d/)
      await see('\x03', prompt)
      await run('true')
      expect(told().length).toBe(before + 1)
      await terminal.write('exit 3\r')
      await ended(before + 2)
      expect(await within(terminal.exit, 'the terminal did not end')).toEqual({ reason: 'exited', code: 3 })
      expect(told().at(-1)).toMatchObject({ command: 'exit 3', code: 3 })
    }),
  )

  it.skipIf(missing)('tells a command of several lines as one', () =>
    atTerminal(place, async ({ run, see, told }) => {
      const lines = ['for i in 1 2; do', 'echo "<$i>"', 'done']
      await see(`${lines[0]}\r`, '> ')
      await see(`${lines[1]}\r`, '> ')
      await run(lines[2] ?? '')
      expect(told()).toMatchObject([{ command: 'joined' in one ? one.joined : lines.join('\n'), code: 0 }])
    }),
  )

  it.skipIf(missing)('tells a running command as started, and its end by Ctrl-C as 130', () =>
    atTerminal(place, async ({ see, heard, terminal, events }) => {
      await see('cat\r', 'cat')
      await heard(1)
      expect(events[0]).toMatchObject({ phase: 'started', command: 'cat' })
      await see('typed to cat\r', /typed to cat\r\n[\s\S]*typed to cat\r\n/)
      await terminal.write('\x03')
      await heard(2)
      expect(events[1]).toMatchObject({ phase: 'finished', code: 130 })
    }),
  )

  it.skipIf(missing)('ends the open command without a code when the shell is killed', () =>
    atTerminal(place, async ({ run, terminal, told }) => {
      await run('true')
      await terminal.write('kill -9 $$\r')
      await within(terminal.exit, 'the terminal did not end')
      expect(told().at(-1)).toMatchObject({ command: 'kill -9 $$', code: null })
    }),
  )

  it.skipIf(missing)('tells a command that takes the place of the shell, with the code of the terminal', () =>
    atTerminal(place, async ({ terminal, told }) => {
      await terminal.write("exec sh -c 'exit 5'\r")
      expect(await within(terminal.exit, 'the terminal did not end')).toMatchObject({ code: 5 })
      expect(told()).toMatchObject([{ command: "exec sh -c 'exit 5'", code: 5 }])
    }),
  )

  it.skipIf(missing)('does not believe a program that prints a marker, and passes it on as it is', () =>
    atTerminal(place, async ({ run, told, screen }) => {
      const forged = '\x1b]7717;00112233445566778899aabbccddeeff;end;99\x07'
      await run(String.raw`printf '\033]7717;00112233445566778899aabbccddeeff;end;99\007'`)
      await run(String.raw`printf '\033]7717;start;;/;forged\007\033]7717;prompt;99;/;\007'`)
      expect(screen()).toContain(forged)
      expect(told().map(({ code }) => code)).toEqual([0, 0])
      const others = ['0011', 'start', 'prompt'].reduce((text, kind) => text.replaceAll(`\x1b]7717;${kind}`, ''), screen())
      expect(others).not.toContain('\x1b]7717')
    }),
  )

  it.skipIf(missing)('keeps its secret out of the environment, the arguments and the files of the sandbox', () =>
    atTerminal(place, async ({ run, screen, sandbox }) => {
      await run('echo "secret=$__baton_nonce"')
      const [, nonce = ''] = /secret=([0-9a-f]{32})/.exec(screen()) ?? []
      expect(nonce).not.toBe('')
      await sandbox.writeFile('secret', Buffer.from(`${nonce}\n`))
      await sandbox.writeFile(
        'look',
        Buffer.from("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -cf secret"),
      )
      await run(
        'sh ./look > seen; env | grep -i nonce >> seen; find "$HOME" "$TMPDIR" /dev/shm -name "baton-[0-9a-f][0-9a-f][0-9a-f]*" >> seen 2>/dev/null',
      )
      expect(Buffer.from(await sandbox.readFile('seen')).toString()).toBe('0\n')
    }),
  )
})

describe.skipIf(shells[0].missing)('openTerminal with bash', () => {
  it('tells the true text whatever the history leaves out, and leaves out of it what the person wants', () =>
    atTerminal(
      {
        shell: 'bash',
        files: { '.bashrc': 'HISTCONTROL=ignoreboth\nHISTIGNORE="ls:secret*:&"\nHISTFILE=$HOME/history\nPROMPT_COMMAND="history -a"' },
      },
      async ({ run, told, terminal, sandbox }) => {
        for (const text of ['echo one', ' echo hidden', 'secret 1', 'ls', 'echo one', 'echo two', 'echo two', 'echo "$HISTIGNORE"'])
          await run(text)
        expect(told().map(({ command }) => command)).toEqual([
          'echo one',
          ' echo hidden',
          'secret 1',
          'ls',
          'echo one',
          'echo two',
          'echo two',
          'echo "$HISTIGNORE"',
        ])
        await terminal.write(' exit\r')
        await terminal.exit
        const kept = (await exec(sandbox, 'cat ~/history')).stdout
        expect(kept).toBe('echo one\necho two\necho "$HISTIGNORE"\n')
      },
    ))

  it('says that it does not know the text where the history is off', () =>
    atTerminal({ shell: 'bash' }, async ({ run }) => {
      await run('set +o history')
      expect(await run('false')).toMatchObject({ command: undefined, code: 1 })
    }))

  it.each([
    'PROMPT_COMMAND=true',
    'PROMPT_COMMAND=(true)',
    'unset PROMPT_COMMAND',
    'PROMPT_COMMAND="true; $PROMPT_COMMAND"',
    'PS0=',
    'PS0=x; PROMPT_COMMAND=true',
    'set -u',
    'set -x',
    'set -a',
    'HISTCONTROL=ignorespace; HISTIGNORE="f*"',
    "alias printf=false local=false history=false; trap 'true' DEBUG",
    'printf() { :; }; history() { :; }; declare() { :; }',
    'export PROMPT_COMMAND',
    'exec 2>/dev/null',
    'IFS=0123456789; shopt -s nullglob failglob extglob; set +B',
    'shopt -u cmdhist; shopt -s lithist',
    'LC_ALL=C',
    'false() { return 1; }; cd /',
  ])('goes on after: %s', (setting) =>
    atTerminal({ shell: 'bash' }, async ({ terminal, heard, ended, told }) => {
      await terminal.write(`${setting}\r`)
      // The end of a command that removes the hooks is told when the next one starts.
      await heard(1)
      await terminal.write('false\r(exit 4)\r')
      await ended(3)
      expect(told().map(({ command, code }) => [command, code])).toEqual([
        [setting, 0],
        ['false', 1],
        ['(exit 4)', 4],
      ])
    }),
  )

  it('goes on when the file that sets PROMPT_COMMAND is read again', () =>
    atTerminal(
      { shell: 'bash', files: { '.bashrc': 'PROMPT_COMMAND="echo prompting"\nPS1="> $ "\nalias ll="ls -l"' } },
      async ({ run, told, screen }) => {
        await run('. ~/.bashrc')
        await run('ll /no-such-folder')
        expect(told()).toMatchObject([
          { command: '. ~/.bashrc', code: 0 },
          { command: 'll /no-such-folder', code: 2 },
        ])
        expect(screen()).toContain('prompting')
      },
    ))

  it('leaves what the person has: the exit code, the last argument, matches and their own hooks', () =>
    atTerminal({ shell: 'bash', files: { '.bashrc': `PROMPT_COMMAND='echo "[code $?]"'\nPS0='[starting]'` } }, async ({ run, screen }) => {
      await run('[[ abc =~ b ]]; false')
      await run('echo "[$? $BASH_REMATCH]"')
      await run('echo word')
      await run('echo "[$_]"')
      expect(screen()).toContain('[1 b]')
      expect(screen()).toContain('[word]')
      expect(screen()).toContain('[code 1]')
      expect(screen()).toContain('[starting]')
    }))

  it('as sh reads the file that ENV names, and tells the text too', () =>
    atTerminal({ shell: 'bash', files: { '.shrc': 'echo "read mine"' } }, async ({ sandbox }) => {
      await exec(sandbox, ['ln', '-s', found('bash'), 'sh'])
      const person = await openPerson(sandbox, { shell: `${sandbox.workdir}/sh`, env: { ENV: '$HOME/.shrc' } })
      expect(await person.run('cd /; false')).toMatchObject({ command: 'cd /; false', code: 1 })
      await person.run('echo "<$ENV>"')
      expect(person.screen()).toContain('read mine')
      expect(person.screen()).toContain('<$HOME/.shrc>')
      await person.terminal.close()
    }))
})

describe.skipIf(shells[1].missing)('openTerminal with zsh', () => {
  it("reads the person's own files from where they are", () =>
    atTerminal(
      {
        shell: 'zsh',
        files: {
          '.zshenv':
            'export ZDOTDIR=$HOME/own; mkdir -p $HOME/own; echo "print read mine; PS1=\'mine$ \'; setopt histignorespace" > $HOME/own/.zshrc',
        },
      },
      async ({ run, screen, told }) => {
        await run('print -r -- "<$(basename $ZDOTDIR)>"')
        await run(' false')
        expect(screen()).toContain('read mine')
        expect(screen()).toContain('<own>')
        expect(told().at(-1)).toMatchObject({ command: ' false', code: 1 })
      },
    ))

  it.each([
    'precmd_functions=()',
    'preexec_functions=()',
    'setopt ksharrays shwordsplit noglob extendedglob',
    'set -x',
    'setopt nounset errreturn',
    'print() { : }; printf() { : }',
    'LC_ALL=C',
  ])('goes on after: %s', (setting) =>
    atTerminal({ shell: 'zsh' }, async ({ terminal, heard, ended, told }) => {
      await terminal.write(`${setting}\r`)
      // The end of a command that removes the hooks is told when the next one starts.
      await heard(1)
      await terminal.write('false\r(exit 4)\r')
      await ended(3)
      expect(told().map(({ command, code }) => [command, code])).toEqual([
        [setting, 0],
        ['false', 1],
        ['(exit 4)', 4],
      ])
    }),
  )

  it('tells aliases as they were typed', () =>
    atTerminal({ shell: 'zsh', files: { '.zshrc': 'alias ll="ls -l"' } }, async ({ run }) => {
      expect(await run('ll /no-such-folder')).toMatchObject({ command: 'll /no-such-folder', code: 2 })
    }))
})

describe('openTerminal with a plain sh', () => {
  it.skipIf(shells[2].missing)('tells the text where plain typing makes it certain, and otherwise that it does not know', () =>
    atTerminal({ shell: 'dash' }, async ({ run, terminal, ended, told }) => {
      expect(await run('fals\x7fsx\x7fe')).toMatchObject({ command: 'false', code: 1 })
      expect(await run('nonsense\x15true')).toMatchObject({ command: 'true', code: 0 })
      expect(await run('fal\x16se')).toMatchObject({ command: undefined, code: 1 })
      await terminal.write('cat\r')
      await terminal.write('for cat\r\x04')
      await ended(4)
      expect(await run('false')).toMatchObject({ command: 'false', code: 1 })
      await terminal.write('sleep 0.1\r')
      await terminal.write('\rsh -c "exit 3"\r')
      await ended(7)
      expect(told().slice(-1)).toMatchObject([{ command: undefined, code: 3 }])
    }),
  )

  it.skipIf(shells[3].missing)('takes what was completed, recalled or typed ahead from the history', () =>
    atTerminal({ shell: 'ash' }, async ({ run, told, terminal, ended, sandbox }) => {
      await sandbox.writeFile('a-long-name', Buffer.from('1'))
      expect(await run('test -e a-lo\t')).toMatchObject({ command: 'test -e a-long-name ', code: 0 })
      expect(await run('\x1b[A')).toMatchObject({ command: 'test -e a-long-name ', code: 0 })
      expect(await run('\x1b[5;1Rfalse')).toMatchObject({ command: 'false', code: 1 })
      await terminal.write('sleep 0.1\r')
      await terminal.write('(exit 4)\r')
      await ended(5)
      expect(told().slice(3)).toMatchObject([
        { command: 'sleep 0.1', code: 0 },
        { command: '(exit 4)', code: 4 },
      ])
    }),
  )
})

describe('openTerminal', () => {
  it.skipIf(noScript)('takes the shell of SHELL, else the best that is there, and says which one is not', async () => {
    await atTerminal({ env: { SHELL: found('dash') } }, async ({ run, screen }) => {
      await run('echo "<$0>"')
      expect(screen()).toContain(`<${found('dash') === '' ? found('bash') : found('dash')}>`)
    })
    const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
    await exec(sandbox, ['ln', '-s', '/bin/sh', 'other'])
    const person = await openPerson(sandbox, { env: { SHELL: `${sandbox.workdir}/other` } })
    await person.run('echo "<$0>"')
    expect(person.screen()).toMatch(/<\S+\/(bash|zsh|sh)>/)
    await person.terminal.close()
    const missing = openTerminal(sandbox, { shell: '/no/such/shell', onCommand: () => undefined })
    expect((await expectRejection(missing, 'UNSUPPORTED_SPEC')).message).toContain('there is no /no/such/shell in the sandbox')
    await sandbox.close()
  })

  it('refuses wrong options, naming the field, and passes on that a sandbox has no terminals', async () => {
    const sandbox = await createMemorySandboxProvider().create({})
    const onCommand = (): void => undefined
    await expectRejection(openTerminal(sandbox, { onCommand }), 'UNSUPPORTED_SPEC')
    for (const [wrong, field] of [
      [{ columns: 0 }, /columns/],
      [{ rows: 1.5 }, /rows/],
      [{ shell: 'fish' }, /shell/],
      [{ shell: '-c' }, /shell/],
      [{ onCommand: 'x' as never }, /onCommand/],
    ] as const) {
      const error = await expectRejection(openTerminal(sandbox, { onCommand, ...wrong }), 'INVALID_OPTIONS')
      expect(error.message).toMatch(field)
    }
    await expectRejection(openTerminal(sandbox, { onCommand, signal: AbortSignal.abort() }), 'ABORTED')
    await sandbox.close()
  })

  it.skipIf(noScript)('has the size it is given, and changes it', () =>
    atTerminal({ shell: 'sh' }, async ({ run, terminal, screen }) => {
      await run('stty size')
      expect(screen()).toContain('24 200')
      await terminal.resize({ columns: 101, rows: 33 })
      await run('stty size')
      expect(screen()).toContain('33 101')
      await expectRejection(terminal.resize({ columns: 0, rows: 1 }), 'INVALID_OPTIONS')
    }),
  )

  it.skipIf(noScript)('starts in a folder; one that is not there ends it with 126 and a message', async () => {
    const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
    await sandbox.writeFile('folder/file', Buffer.from(''))
    const person = await openPerson(sandbox, { cwd: 'folder' })
    expect(await person.run('true')).toMatchObject({ cwd: `${sandbox.workdir}/folder` })
    await person.terminal.close()
    const nowhere = await openTerminal(sandbox, { cwd: 'missing', onCommand: () => undefined })
    expect(await nowhere.exit).toEqual({ reason: 'exited', code: 126 })
    expect(Buffer.concat(await collect(nowhere.output)).toString()).toContain('missing')
    await nowhere.write('harmless')
    await nowhere.close()
    await sandbox.close()
  })

  it.skipIf(noScript)('tells commands although nobody wants to see the screen, and its last one before exit settles', async () => {
    const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
    const events: TerminalCommand[] = []
    const terminal = await openTerminal(sandbox, {
      shell: 'bash',
      onCommand(command) {
        events.push(command)
        throw new Error('a listener that fails')
      },
    })
    await terminal.output.cancel()
    await terminal.write('head -c 3000000 /dev/zero\rfalse\rexit 4\r')
    expect(await within(terminal.exit, 'the terminal did not end')).toEqual({ reason: 'exited', code: 4 })
    expect(toldIn(events).map(({ code }) => code)).toEqual([0, 1, 4])
    await sandbox.close()
  })

  it.skipIf(noScript)('close hangs up, also on a screen that does not read, and what was running has no code', async () => {
    const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
    const started = Promise.withResolvers<void>()
    const events: TerminalCommand[] = []
    const terminal = await openTerminal(sandbox, {
      shell: 'bash',
      onCommand(command) {
        events.push(command)
        started.resolve()
      },
    })
    await terminal.write('yes\r')
    await within(started.promise, 'the command did not start')
    await within(Promise.all([terminal.close(), terminal.close()]), 'close did not end')
    expect(toldIn(events)).toMatchObject([{ command: 'yes', code: null }])
    expect(findTree({ marker: [sandboxMarker, sandbox.id] })).toEqual([])
    await sandbox.close()
  })

  it.skipIf(noScript)('an abort ends it', async () => {
    const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
    const stop = new AbortController()
    const terminal = await openTerminal(sandbox, { onCommand: () => undefined, signal: stop.signal })
    stop.abort()
    expect((await within(terminal.exit, 'the terminal did not end')).reason).toBe('aborted')
    await sandbox.close()
  })
})

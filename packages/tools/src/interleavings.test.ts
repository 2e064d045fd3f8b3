import { createPolicy } from '@baton-sdk/core'
import { describe, expect, it } from 'vitest'
import type { Interleaving } from './testing-interleavings.ts'
import { act, calls, edit, play, shell, write } from './testing-interleavings.ts'

const three = 'one\ntwo\nthree\n'
const byHand = 'one\n2 by hand\nthree\n'
const done = { text: 'done' }

/** Nobody has control. */
const rows: readonly Interleaving[] = [
  {
    name: 'tools of the agent alone: recorded by themselves, and nothing is told',
    model: [calls(write('b.txt', 'b\n'), edit('a.txt', 'two', '2')), calls(edit('b.txt', 'b', 'B'))],
    changes: ['coder created b.txt tool', 'coder modified a.txt tool', 'coder modified b.txt tool'],
    told: {},
  },
  {
    name: "a command of the agent's in a sandbox of its own",
    model: [calls(shell('echo made > made.txt; rm a.txt'))],
    changes: ['coder deleted a.txt window', 'coder created made.txt window'],
    told: {},
  },
  {
    name: 'a command in a folder that is worked on in place: the agent or somebody outside',
    where: 'in place',
    model: [calls(shell('echo made > made.txt'))],
    changes: ['unknown created made.txt window [agent:coder outside]'],
    told: { 2: ['[own|somebody] made.txt created'] },
  },
  {
    name: 'a tool and a command in one batch, on one file',
    model: [calls(edit('a.txt', 'two', '2'), shell('echo four >> a.txt'), write('b.txt', 'b\n'))],
    changes: ['coder modified a.txt tool', 'coder modified a.txt window', 'coder created b.txt tool'],
    told: {},
  },
  {
    name: 'an edit before the sandbox is there belongs to the beginning',
    where: 'in place',
    model: [
      (world) => {
        world.put('a.txt', byHand)
        return calls(write('b.txt', 'b\n'))
      },
    ],
    changes: ['coder created b.txt tool'],
    told: {},
  },
  {
    name: 'an edit while the task is idle',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      world.put('a.txt', byHand)
    },
    changes: ['unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
    says: { 3: [/-two\n\+2 by hand/] },
  },
  {
    name: 'an edit while the model thinks, before a call',
    where: 'in place',
    model: [
      calls(write('b.txt', 'b\n')),
      (world) => {
        world.put('a.txt', byHand)
        return calls(write('c.txt', 'c\n'))
      },
    ],
    changes: ['coder created b.txt tool', 'unknown modified a.txt window [outside]', 'coder created c.txt tool'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit while the model thinks, before its last words',
    model: [
      calls(write('b.txt', 'b\n')),
      (world) => {
        world.put('a.txt', byHand)
        return done
      },
    ],
    changes: ['coder created b.txt tool', 'unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit between two tools of a batch',
    model: [calls(shell('true'), write('b.txt', 'b\n'), write('c.txt', 'c\n'))],
    async people(world) {
      world.once(
        'tool.finished',
        () => world.put('a.txt', byHand),
        ({ tool }) => tool === 'write',
      )
      await world.finish()
    },
    changes: ['coder created b.txt tool', 'unknown modified a.txt window [outside]', 'coder created c.txt tool'],
    told: { 2: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit between the reply and the start of its tool, of the same file',
    model: [calls(['read', { path: 'a.txt' }]), calls(edit('a.txt', 'one', '1'))],
    async people(world) {
      world.once('model.finished', () => world.once('model.finished', () => world.put('a.txt', byHand)))
      await world.finish()
    },
    changes: ['unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
    says: { 3: [/has changed since you read it/] },
  },
  {
    name: 'a formatter right after the edit of the agent',
    model: [calls(edit('a.txt', 'two', '2')), calls(write('b.txt', 'b\n'))],
    async people(world) {
      world.once('tool.finished', () => world.put('a.txt', 'one\n2;\nthree\n'))
      await world.finish()
    },
    changes: ['coder modified a.txt tool', 'unknown modified a.txt window [outside]', 'coder created b.txt tool'],
    told: { 2: ['somebody a.txt modified'] },
    says: { 2: [/-2\n\+2;/] },
    silent: { 2: [/-two/] },
  },
  {
    name: 'somebody takes the edit of the agent back at once',
    model: [calls(edit('a.txt', 'two', '2'))],
    async people(world) {
      world.once('tool.finished', () => world.put('a.txt', three))
      await world.finish()
    },
    changes: ['coder modified a.txt tool', 'unknown modified a.txt window [outside]'],
    told: { 2: ['somebody a.txt modified'] },
    says: { 2: [/-2\n\+two/] },
  },
  {
    name: 'somebody removes at once what the agent has created',
    model: [calls(write('b.txt', 'b\n'))],
    async people(world) {
      world.once('tool.finished', () => world.put('b.txt', null))
      await world.finish()
    },
    changes: ['coder created b.txt tool', 'unknown deleted b.txt window [outside]'],
    told: { 2: ['somebody b.txt deleted'] },
  },
  {
    name: 'a formatter that the agent left running, in a sandbox of its own',
    model: [
      async (world) => {
        const gate = world.gate()
        const over = world.gate()
        world.once(
          'tool.finished',
          () => void gate.reached().then(gate.open),
          ({ tool }) => tool === 'edit',
        )
        world.once(
          'tool.called',
          () => {},
          () => false,
        )
        Object.assign(world, { over })
        return calls(
          shell(`${gate.wait}; echo formatted >> a.txt; ${over.wait}`, { background: true }),
          edit('a.txt', 'two', '2'),
          act('formatted'),
        )
      },
    ],
    acts: {
      formatted: async (world) => {
        const { over } = world as typeof world & { over: ReturnType<typeof world.gate> }
        await over.reached()
        await over.open()
        await world.happens('command.finished')
      },
    },
    changes: ['coder modified a.txt tool', 'coder modified a.txt window'],
    told: {},
  },
  {
    name: "somebody outside beside a command, in a sandbox of its own: by the stated rule the command's",
    model: [calls(shell('true'), act('run'))],
    acts: { run: (world) => world.put('a.txt', byHand) },
    changes: ['coder modified a.txt window'],
    told: {},
  },
  {
    name: 'somebody outside beside a command, in place',
    where: 'in place',
    model: [calls(shell('true'), act('run'), write('b.txt', 'b\n'))],
    acts: { run: (world) => world.put('a.txt', byHand) },
    changes: ['unknown modified a.txt window [agent:coder outside]', 'coder created b.txt tool'],
    told: { 2: ['[own|somebody] a.txt modified'] },
  },
  {
    name: 'a rename by the agent, and one by somebody else',
    files: { 'a.txt': three, 'b.txt': 'b\n' },
    model: [
      calls(shell('mv a.txt c.txt')),
      (world) => {
        world.rename('b.txt', 'd.txt')
        return calls(shell('true'))
      },
    ],
    changes: [
      'coder deleted a.txt window',
      'coder created c.txt window',
      'unknown deleted b.txt window [outside]',
      'unknown created d.txt window [outside]',
    ],
    told: { 3: ['somebody b.txt deleted', 'somebody d.txt created'] },
  },
  {
    name: 'a deletion by somebody else',
    model: [
      calls(shell('true')),
      (world) => {
        world.put('a.txt', null)
        return done
      },
    ],
    changes: ['unknown deleted a.txt window [outside]'],
    told: { 3: ['somebody a.txt deleted'] },
  },
  {
    name: 'modes: by the agent, by somebody else, and one that git does not keep',
    files: { 'a.txt': three, 'b.sh': 'b\n', 'c.txt': 'c\n' },
    model: [
      calls(shell('chmod +x a.txt')),
      (world) => {
        world.chmod('b.sh', 0o755)
        world.chmod('c.txt', 0o600)
        return done
      },
    ],
    changes: ['coder modified a.txt window', 'unknown modified b.sh window [outside]'],
    told: { 3: ['somebody b.sh modified'] },
    says: { 3: [/old mode 100644\nnew mode 100755/] },
  },
  {
    name: 'the target of a link',
    model: [
      calls(shell('ln -s a.txt link')),
      (world) => {
        world.link('link', 'elsewhere')
        return done
      },
    ],
    changes: ['coder created link window', 'unknown modified link window [outside]'],
    told: { 3: ['somebody link modified'] },
    says: { 3: [/-a\.txt\n[\s\S]*\+elsewhere/] },
  },
  {
    name: 'a file that becomes a link to the same words',
    files: { 'a.txt': 'b.txt', 'b.txt': 'b\n' },
    model: [
      calls(shell('true')),
      (world) => {
        world.link('a.txt', 'b.txt')
        return done
      },
    ],
    changes: ['unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
    says: { 3: [/old mode 100644\nnew mode 120000/] },
  },
  {
    name: 'a file becomes a folder, and a folder a file',
    files: { one: '1\n', 'two/a': 'a\n', 'two/b': 'b\n' },
    model: [
      calls(shell('rm one; mkdir one; echo x > one/x')),
      (world) => {
        world.put('two', null)
        world.put('two', '2\n')
        return done
      },
    ],
    changes: [
      'coder deleted one window',
      'coder created one/x window',
      'unknown created two window [outside]',
      'unknown deleted two/a window [outside]',
      'unknown deleted two/b window [outside]',
    ],
    told: { 3: ['somebody two created', 'somebody two/a deleted', 'somebody two/b deleted'] },
  },
  {
    name: 'a folder in place of a file, in which the agent then writes',
    files: { a: 'a\n', 'b.txt': 'b\n' },
    model: [calls(shell('true'), act('swap'))],
    acts: {
      async swap(world, context) {
        world.put('a', null)
        world.put('a/x', 'x\n')
        const { createHash } = await import('node:crypto')
        const after = createHash('sha256').update('x\n').digest('hex')
        await context.record({
          type: 'file.changed',
          data: {
            path: 'a/x',
            change: 'created',
            evidence: 'tool',
            callId: context.callId,
            after,
            diff: '',
            addedLines: 1,
            removedLines: 0,
          },
        })
      },
    },
    changes: ['coder created a/x tool', 'coder deleted a window'],
    told: {},
  },
  {
    name: 'an edit of the same size in the same instant',
    model: [
      calls(shell('true')),
      (world) => {
        world.put('a.txt', 'ONE\ntwo\nthree\n')
        return calls(shell('touch -r a.txt ../stamp; true'))
      },
      (world) => {
        world.put('a.txt', 'two\nONE\nthree\n')
        return done
      },
    ],
    changes: ['unknown modified a.txt window [outside]', 'unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'], 4: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit that is taken back before anybody looks',
    model: [
      calls(shell('true')),
      (world) => {
        world.put('a.txt', byHand)
        world.put('a.txt', three)
        return calls(shell('true'))
      },
    ],
    changes: [],
    told: {},
  },
  {
    name: 'what git ignores: the tool of the agent says so itself, all else is left alone',
    files: { '.gitignore': '*.log\nbuild/\n', 'a.txt': three },
    model: [
      calls(write('own.log', 'x\n'), shell('mkdir build; echo x > build/x')),
      (world) => {
        world.put('other.log', 'x\n')
        world.put('own.log', 'y\n')
        return calls(shell('true'))
      },
    ],
    changes: ['coder created own.log tool'],
    told: {},
  },
  {
    name: 'a binary file, one that is too large to be kept, and one too long to be shown',
    files: { 'a.bin': new Uint8Array([0, 1, 2]), 'large.txt': 'x\n'.repeat(200_000), 'long.txt': 'x\n' },
    maxFileBytes: 100_000,
    model: [
      calls(shell('true')),
      (world) => {
        world.put('a.bin', new Uint8Array([0, 1, 3]))
        world.put('large.txt', 'y\n'.repeat(200_000))
        world.put('long.txt', 'z\n'.repeat(10_000))
        return done
      },
    ],
    changes: [
      'unknown modified a.bin window [outside]',
      'unknown modified large.txt window [outside]',
      'unknown modified long.txt window [outside]',
    ],
    told: { 3: ['somebody a.bin modified', 'somebody large.txt modified', 'somebody long.txt modified'] },
    says: {
      3: [
        /a\.bin \(modified\): no difference can be shown/,
        /large\.txt \(modified\): no difference/,
        /long\.txt \(modified, .*too long to show/,
      ],
    },
  },
  {
    name: 'names with a newline, a quote and bytes that are no UTF-8',
    files: { 'new\nline "quoted"': 'x\n' },
    model: [
      calls(shell("printf 'own\\n' > $'b\\xff\\xfe.txt'")),
      (world) => {
        world.put('new\nline "quoted"', 'y\n')
        world.sh("printf 'theirs\\n' > $'c\\xff.txt'")
        return done
      },
    ],
    changes: [
      String.raw`coder created b\udcff\udcfe.txt window`,
      String.raw`unknown created c\udcff.txt window [outside]`,
      String.raw`unknown modified new\nline \"quoted\" window [outside]`,
    ],
    told: { 3: [String.raw`somebody c\udcff.txt created`, String.raw`somebody new\nline \"quoted\" modified`] },
  },
  {
    name: 'names that git itself does not trust',
    model: [
      calls(shell('echo x > git~1; echo y > .gitmodules')),
      (world) => {
        world.put('git~1', 'z\n')
        return done
      },
    ],
    changes: ['coder created .gitmodules window', 'coder created git~1 window', 'unknown modified git~1 window [outside]'],
    told: { 3: ['somebody git~1 modified'] },
  },
  {
    name: 'an edit during a pause, behind a command',
    model: [calls(shell('echo made > made.txt'), write('b.txt', 'b\n'))],
    async people(world) {
      world.once('tool.started', () => void world.task.pause())
      const over = world.finish()
      await world.happens('checkpoint.created', ({ reason }) => reason !== 'start')
      world.put('a.txt', byHand)
      await world.task.resume()
      await over
    },
    changes: ['coder created made.txt window', 'unknown modified a.txt window [outside]', 'coder created b.txt tool'],
    told: { 2: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit during a pause that comes right before a command',
    model: [calls(shell('true')), calls(shell('echo made > made.txt'))],
    async people(world) {
      world.once('model.finished', () => world.once('model.finished', () => void world.task.pause()))
      const over = world.finish()
      await world.happens('run.paused')
      world.put('a.txt', byHand)
      await world.task.resume()
      await over
    },
    changes: ['unknown modified a.txt window [outside]', 'coder created made.txt window'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit while a call waits for approval, behind a command of the same batch',
    model: [calls(shell('echo made > made.txt'), write('b.txt', 'b\n'))],
    options: {
      policy: createPolicy({
        rules: [
          { effect: ['execute'], decision: 'allow' },
          { effect: ['write'], decision: 'ask' },
        ],
      }),
    },
    async people(world) {
      const over = world.finish()
      const { data } = await world.happens('approval.requested')
      await world.happens('file.changed')
      world.put('a.txt', byHand)
      await world.task.approve(data.approvalId)
      await over
    },
    changes: ['coder created made.txt window', 'unknown modified a.txt window [outside]', 'coder created b.txt tool'],
    told: { 2: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit while a question waits, behind a command of the same batch',
    model: [calls(shell('echo made > made.txt'), ['ask', { question: 'Which?' }])],
    async people(world) {
      const over = world.finish()
      const { data } = await world.happens('question.asked')
      await world.happens('file.changed')
      world.put('a.txt', byHand)
      await world.task.answer(data.questionId, 'That.')
      await over
    },
    changes: ['coder created made.txt window', 'unknown modified a.txt window [outside]'],
    told: { 2: ['somebody a.txt modified'] },
  },
  {
    name: 'an edit in the moment of the last words',
    model: [calls(write('b.txt', 'b\n')), done],
    async people(world) {
      world.once('tool.finished', () => world.once('model.finished', () => world.put('a.txt', byHand)))
      await world.finish()
    },
    changes: ['coder created b.txt tool', 'unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'a command that is cancelled with its run, and an edit after that',
    model: [
      (world) => {
        const gate = world.gate()
        void gate.reached().then(() => world.task.cancel())
        return calls(shell(`echo half > half.txt; ${gate.wait}; echo more >> half.txt`))
      },
    ],
    async people(world) {
      await world.finish()
      world.put('a.txt', byHand)
    },
    changes: ['coder created half.txt window', 'unknown modified a.txt window [outside]'],
    told: { 2: ['somebody a.txt modified'] },
  },
  {
    name: 'a run that fails behind a command, and an edit after that',
    model: [calls(shell('echo made > made.txt')), { error: { kind: 'bad-request' } }],
    async people(world) {
      await world.finish()
      world.put('a.txt', byHand)
    },
    changes: ['coder created made.txt window', 'unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'a check that writes, in a sandbox of its own',
    model: [calls(write('b.txt', 'b\n')), done, done],
    spec: { checks: ['test -e report.txt || echo report > report.txt'] },
    changes: ['coder created b.txt tool', 'baton created report.txt window'],
    told: { 3: ['checks report.txt created'] },
  },
  {
    name: 'a check that writes, in place',
    where: 'in place',
    model: [calls(write('b.txt', 'b\n')), done, done],
    spec: { checks: ['echo report > report.txt'] },
    changes: ['coder created b.txt tool', 'unknown created report.txt window [system:baton outside]'],
    told: { 3: ['[checks|somebody] report.txt created'] },
  },
]

describe('interleavings without control', () => {
  it.each(rows)('$name', { timeout: 20_000 }, async (row) => {
    expect(await play(row)).toEqual({ changes: row.changes, told: row.told, problems: [] })
  })
})

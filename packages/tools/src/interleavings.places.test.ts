import { createModelAgent } from '@baton-sdk/core'
import { describe, expect, it } from 'vitest'
import type { Gate, Interleaving } from './testing-interleavings.ts'
import { calls, edit, play, shell, write } from './testing-interleavings.ts'

const byHand = 'one\n2 by hand\nthree\n'
const done = { text: 'done' }

/** git in the folder that is worked on in place. */
const repositories: readonly Interleaving[] = [
  {
    name: 'a commit by somebody outside, of what the agent wrote',
    where: 'repository',
    model: [
      calls(write('b.txt', 'b\n')),
      (world) => {
        world.git('add', '-A')
        world.git('commit', '-qm', 'both')
        return done
      },
    ],
    changes: ['coder created b.txt tool'],
    told: { 3: ['git commit: both'] },
  },
  {
    name: 'a commit at the terminal of a person in control',
    where: 'repository',
    model: [calls(write('b.txt', 'b\n'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      world.put('a.txt', byHand)
      await world.run(desk, 'git -c user.name=A -c user.email=a@example.org commit -qam mine')
      world.git('status')
      await desk.returnControl()
    },
    changes: ['coder created b.txt tool', 'alice modified a.txt lease'],
    told: {
      3: [
        'alice gave it back',
        'alice a.txt modified',
        'ran alice: git -c user.name=A -c user.email=a@example.org commit -qam mine → exit code 0',
        'git commit: mine',
      ],
    },
  },
  {
    name: 'another branch with other files, and back',
    where: 'repository',
    model: [
      calls(shell('true')),
      (world) => {
        world.git('switch', '-qc', 'other')
        world.put('o.txt', 'o\n')
        world.git('add', '-A')
        world.git('commit', '-qm', 'other')
        return calls(edit('a.txt', 'two', '2'))
      },
      (world) => {
        world.git('stash', '-q')
        world.git('switch', '-q', 'main')
        return done
      },
    ],
    changes: [
      'unknown created o.txt window [outside]',
      'coder modified a.txt tool',
      'unknown modified a.txt window [outside]',
      'unknown deleted o.txt window [outside]',
    ],
    told: {
      3: ['somebody o.txt created', 'git checkout: moving from main to other', 'git commit: other'],
      4: ['somebody a.txt modified', 'somebody o.txt deleted', 'git reset: moving to HEAD', 'git checkout: moving from other to main'],
    },
  },
  {
    name: 'a branch of the same commit, with no file changed',
    where: 'repository',
    model: [
      calls(write('b.txt', 'b\n')),
      (world) => {
        world.git('switch', '-qc', 'same')
        return done
      },
    ],
    changes: ['coder created b.txt tool'],
    told: { 3: ['git checkout: moving from main to same'] },
  },
  {
    name: 'a hard reset that takes the work of the agent away',
    where: 'repository',
    model: [
      calls(edit('a.txt', 'two', '2')),
      (world) => {
        world.git('reset', '-q', '--hard')
        return done
      },
    ],
    changes: ['coder modified a.txt tool', 'unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified', 'git reset: moving to HEAD'] },
    says: { 3: [/-2\n\+two/] },
  },
  {
    name: 'only the index',
    where: 'repository',
    model: [
      calls(write('b.txt', 'b\n')),
      (world) => {
        world.git('add', 'b.txt')
        return done
      },
    ],
    changes: ['coder created b.txt tool'],
    told: {},
  },
  {
    name: 'a repository that somebody makes meanwhile',
    where: 'in place',
    model: [
      calls(shell('true')),
      (world) => {
        world.git('init', '-q', '-b', 'main')
        world.git('add', '-A')
        world.git('commit', '-qm', 'begun')
        return done
      },
    ],
    changes: [],
    told: { 3: ['git commit (initial): begun'] },
  },
  {
    name: 'a repository that the agent makes in a sandbox of its own',
    model: [
      calls(shell('git init -q && git add -A && git -c user.name=a -c user.email=a@example.org commit -qm own')),
      calls(shell('git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m more')),
    ],
    changes: [],
    told: {},
  },
]

/** Opened again, as by another process. */
const restarts: readonly Interleaving[] = [
  {
    name: 'an edit while no process has the task, long after a command that wrote nothing',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      await world.baton.close()
      world.put('a.txt', byHand)
      await world.reopen()
    },
    changes: ['unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'in the middle of a command: it may have been that, or somebody while nobody watched',
    model: [
      (world) => {
        const gate = world.gate()
        world.keep.set('gate', gate)
        return calls(shell(`echo half > half.txt; ${gate.wait}`))
      },
    ],
    async people(world) {
      const over = world.finish().catch(() => {})
      await world.happens('command.started')
      await (world.keep.get('gate') as Gate).reached()
      await world.baton.close()
      await over
      world.put('a.txt', byHand)
      await world.reopen()
      await world.finish()
    },
    changes: ['unknown modified a.txt window [agent:coder outside]', 'unknown created half.txt window [agent:coder outside]'],
    told: { 2: ['[own|somebody] a.txt modified', '[own|somebody] half.txt created'] },
  },
  {
    name: 'while a person has control: their editor goes on, and so does their lease',
    model: [calls(write('b.txt', 'b\n'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      await desk.writeFile('desk.txt', 'x\n')
      await world.baton.close()
      world.put('a.txt', byHand)
      await world.reopen()
      const again = await world.take('alice')
      world.put('c.txt', 'c\n')
      await again.returnControl()
    },
    changes: ['coder created b.txt tool', 'alice created desk.txt desk', 'alice modified a.txt lease', 'alice created c.txt lease'],
    told: { 3: ['alice gave it back', 'alice desk.txt created', 'alice a.txt modified', 'alice c.txt created'] },
  },
  {
    name: 'in a pause',
    model: [calls(shell('echo made > made.txt'), write('b.txt', 'b\n'))],
    async people(world) {
      world.once('tool.started', () => world.background(world.task.pause()))
      world.finish().catch(() => {})
      await world.happens('checkpoint.created', ({ reason }) => reason !== 'start')
      await world.baton.close()
      world.put('a.txt', byHand)
      await world.reopen()
      await world.task.resume()
      await world.finish()
    },
    changes: ['coder created made.txt window', 'unknown modified a.txt window [outside]', 'coder created b.txt tool'],
    told: { 2: ['somebody a.txt modified'] },
  },
  {
    name: 'between a hand-back and the request that tells of it',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      world.put('a.txt', byHand)
      await desk.returnControl({ note: 'Remember.' })
      await world.reopen()
      world.put('later.txt', 'x\n')
    },
    changes: ['alice modified a.txt lease', 'unknown created later.txt window [outside]'],
    told: { 3: ['alice gave it back', 'alice a.txt modified', 'somebody later.txt created'] },
    says: { 3: [/alice says: Remember\./] },
  },
  {
    name: 'while the model thinks about what it was told: it is told again, and once',
    model: [
      calls(shell('true')),
      (world) => {
        world.put('a.txt', byHand)
        return calls(shell('true'))
      },
      { text: 'never', stallAfter: 0 },
    ],
    async people(world) {
      const over = world.finish().catch(() => {})
      await world.happens('file.changed')
      await world.happens('model.called', ({ modelCallId }) => modelCallId === 'm3')
      await world.baton.close()
      await over
      await world.reopen()
      await world.finish()
    },
    changes: ['unknown modified a.txt window [outside]'],
    told: { 3: ['somebody a.txt modified'] },
  },
  {
    name: 'a command of the agent that goes on without a process that watches',
    model: [
      (world) => {
        const [gate, over] = [world.gate(), world.gate()]
        world.keep.set('gate', gate).set('over', over)
        return calls(shell(`${gate.wait}; echo late > late.txt; ${over.wait}`, { background: true }))
      },
    ],
    async people(world) {
      await world.finish()
      const [gate, over] = [world.keep.get('gate') as Gate, world.keep.get('over') as Gate]
      await gate.reached()
      await world.reopen()
      await gate.open()
      await over.reached()
      await over.open()
    },
    changes: ['unknown created late.txt window [agent:coder outside]'],
    told: { 3: ['[own|somebody] late.txt created'] },
  },
]

/** The agent of the task first has another one help, in the same sandbox. */
const helped = (() => {
  const coder = createModelAgent()
  return [
    {
      ...coder,
      async run(context: Parameters<typeof coder.run>[0]) {
        await context.delegate({ goal: 'Help', agent: 'helper', shareSandbox: true }, { key: 'help' })
        return coder.run(context)
      },
    },
    createModelAgent({ name: 'helper' }),
  ]
})()

/** A sub-task in the sandbox of the task. */
const subTasks: readonly Interleaving[] = [
  {
    name: 'what the sub-task writes is its agent’s; in a sandbox that is not its own its command may have been somebody else',
    options: { agents: helped },
    helper: [calls(write('h.txt', 'h\n'), shell('echo s > s.txt'))],
    model: [calls(write('b.txt', 'b\n'))],
    changes: [
      'helper created h.txt window',
      'helper created s.txt window',
      'coder created b.txt tool',
      'below: helper created h.txt tool',
      'below: unknown created s.txt window [agent:helper outside]',
    ],
    told: { 1: ['helper h.txt created', 'helper s.txt created'] },
  },
  {
    name: 'a person takes control of the task while the sub-task works',
    options: { agents: helped },
    helper: [
      async (world) => {
        const desk = await world.take('alice')
        world.put('a.txt', byHand)
        await desk.writeFile('desk.txt', 'x\n')
        world.background(world.beneath('run.paused').then(() => desk.returnControl()))
        return calls(write('h.txt', 'h\n'))
      },
    ],
    model: [calls(write('b.txt', 'b\n'))],
    changes: [
      'alice created desk.txt desk',
      'unknown modified a.txt window [agent:helper human:alice]',
      'helper created h.txt window',
      'coder created b.txt tool',
      'below: helper created h.txt tool',
    ],
    told: { 1: ['alice gave it back', 'alice desk.txt created', '[helper|alice] a.txt modified', 'helper h.txt created'] },
  },
]

describe('interleavings with git', () => {
  it.each(repositories)('$name', { timeout: 20_000 }, async (row) => {
    expect(await play(row)).toEqual({ changes: row.changes, told: row.told, problems: [] })
  })
})

describe('interleavings with a restart', () => {
  it.each(restarts)('$name', { timeout: 20_000 }, async (row) => {
    expect(await play(row)).toEqual({ changes: row.changes, told: row.told, problems: [] })
  })
})

describe('interleavings with a sub-task', () => {
  it.each(subTasks)('$name', { timeout: 20_000 }, async (row) => {
    expect(await play(row)).toEqual({ changes: row.changes, told: row.told, problems: [] })
  })
})

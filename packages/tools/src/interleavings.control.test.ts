import { describe, expect, it } from 'vitest'
import type { Gate, Interleaving, World } from './testing-interleavings.ts'
import { act, calls, edit, play, shell, write } from './testing-interleavings.ts'

const three = 'one\ntwo\nthree\n'
const byHand = 'one\n2 by hand\nthree\n'

/** A command of the agent that stops at a gate, and what happens once it is there. */
function gated(
  before: string,
  after: string,
  then: (world: World, gate: Gate) => Promise<void>,
  more: object = {},
): Interleaving['model'][number] {
  return (world) => {
    const gate = world.gate()
    world.background(gate.reached().then(() => then(world, gate)))
    return calls(shell(`${before}; ${gate.wait}; ${after}`, more))
  }
}

/** A person has control. */
const rows: readonly Interleaving[] = [
  {
    name: 'writeFile, a command and an editor outside, one after the other',
    model: [calls(write('b.txt', 'b\n'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      await desk.writeFile('a.txt', byHand)
      await world.run(desk, 'echo c > c.txt; exit 3')
      world.put('d.txt', 'd\n')
      await desk.returnControl({ note: 'Mind the gap.' })
    },
    changes: ['coder created b.txt tool', 'alice modified a.txt desk', 'alice created c.txt lease', 'alice created d.txt lease'],
    told: {
      3: [
        'alice gave it back',
        'alice a.txt modified',
        'alice c.txt created',
        'alice d.txt created',
        'ran alice: echo c > c.txt; exit 3 → exit code 3',
      ],
    },
    says: { 3: [/alice says: Mind the gap\./, /-two\n\+2 by hand/] },
  },
  {
    name: 'in place, an editor outside while a person has control',
    where: 'in place',
    model: [calls(write('b.txt', 'b\n'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      world.put('a.txt', byHand)
      world.chmod('b.txt', 0o755)
      await desk.returnControl()
    },
    changes: ['coder created b.txt tool', 'alice modified a.txt lease', 'alice modified b.txt lease'],
    told: { 3: ['alice gave it back', 'alice a.txt modified', 'alice b.txt modified'] },
  },
  {
    name: 'a terminal',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      const terminal = await desk.terminal({ shell: 'bash' })
      await terminal.output.cancel()
      await terminal.write('echo from the terminal > t.txt\n')
      const { data } = await world.happens('command.started', ({ command }) => /terminal/.test(String(command)))
      await world.happens('command.finished', ({ commandId }) => commandId === data.commandId)
      await desk.returnControl()
    },
    changes: ['alice created t.txt lease'],
    told: { 3: ['alice gave it back', 'alice t.txt created', 'ran alice: echo from the terminal > t.txt → exit code 0'] },
  },
  {
    name: 'an editor outside and writeFile on one file, in turns',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      world.put('a.txt', 'by the editor\n')
      await desk.writeFile('a.txt', 'at the desk\n')
      world.put('a.txt', 'by the editor again\n')
      await desk.returnControl()
    },
    changes: ['alice modified a.txt desk', 'alice modified a.txt lease', 'alice modified a.txt lease'],
    told: { 3: ['alice gave it back', 'alice a.txt modified', 'alice a.txt modified', 'alice a.txt modified'] },
  },
  {
    name: 'what a person writes and takes back',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      await desk.writeFile('a.txt', byHand)
      await desk.writeFile('a.txt', three)
      await desk.writeFile('new.txt', 'x\n')
      world.put('new.txt', null)
      await desk.returnControl()
    },
    changes: ['alice modified a.txt desk', 'alice modified a.txt desk', 'alice created new.txt desk', 'alice deleted new.txt lease'],
    told: { 3: ['alice gave it back', 'alice a.txt modified', 'alice a.txt modified', 'alice new.txt created', 'alice new.txt deleted'] },
  },
  {
    name: 'renames, deletions, links, a file for a folder, and what git ignores',
    files: { '.gitignore': '*.log\n', 'a.txt': three, 'b.txt': 'b\n', c: 'c\n' },
    model: [calls(shell('ln -s a.txt link'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      world.rename('a.txt', 'z.txt')
      world.put('b.txt', null)
      world.link('link', 'z.txt')
      world.put('c', null)
      world.put('c/x', 'x\n')
      world.put('seen.log', 'x\n')
      await desk.writeFile('own.log', 'x\n')
      await desk.returnControl()
    },
    changes: [
      'coder created link window',
      'alice created own.log desk',
      'alice deleted a.txt lease',
      'alice deleted b.txt lease',
      'alice deleted c lease',
      'alice created c/x lease',
      'alice modified link lease',
      'alice created z.txt lease',
    ],
    told: {
      3: [
        'alice gave it back',
        'alice own.log created',
        'alice a.txt deleted',
        'alice b.txt deleted',
        'alice c deleted',
        'alice c/x created',
        'alice link modified',
        'alice z.txt created',
      ],
    },
  },
  {
    name: 'a takeover while the model thinks: the tool of its reply finds another file',
    model: [
      calls(['read', { path: 'a.txt' }], shell('true')),
      async (world) => {
        const desk = await world.take('alice')
        await desk.writeFile('a.txt', byHand)
        world.background(
          world
            .happens('model.finished', ({ toolCalls }) => toolCalls.some(({ tool }) => tool === 'edit'))
            .then(() => desk.returnControl()),
        )
        return calls(edit('a.txt', 'one', '1'))
      },
    ],
    changes: ['alice modified a.txt desk'],
    told: { 3: ['alice gave it back', 'alice a.txt modified'] },
    says: { 3: [/has changed since you read it/] },
  },
  {
    name: 'a command that is awaited: what it wrote is the agent’s, the rest is the person’s',
    model: [
      gated('echo first > first.txt', 'echo last > last.txt', async (world, gate) => {
        const taking = world.take('alice')
        await world.happens('control.taken')
        await gate.open()
        const desk = await taking
        world.put('a.txt', byHand)
        await desk.returnControl()
      }),
    ],
    changes: ['coder created first.txt window', 'coder created last.txt window', 'alice modified a.txt lease'],
    told: { 2: ['alice gave it back', 'alice a.txt modified'] },
  },
  {
    name: 'a command that is stopped',
    model: [
      gated('echo first > first.txt', 'echo last > last.txt', async (world) => {
        const desk = await world.take('alice', { running: 'cancel' })
        world.put('a.txt', byHand)
        await desk.returnControl()
      }),
    ],
    changes: ['coder created first.txt window', 'alice modified a.txt lease'],
    told: { 2: ['alice gave it back', 'alice a.txt modified'] },
    says: { 2: [/alice took control of the sandbox/] },
  },
  {
    name: 'a command that is left running beside a person: either of the two, but for what is recorded',
    model: [
      gated('echo first > first.txt', 'echo last > last.txt', async (world, gate) => {
        const desk = await world.take('alice', { running: 'leave' })
        await desk.writeFile('desk.txt', 'x\n')
        world.put('a.txt', byHand)
        await gate.open()
        await world.happens('tool.finished')
        await desk.returnControl()
      }),
    ],
    changes: [
      'coder created first.txt window',
      'alice created desk.txt desk',
      'unknown modified a.txt window [agent:coder human:alice]',
      'unknown created last.txt window [agent:coder human:alice]',
    ],
    told: { 2: ['alice gave it back', 'alice desk.txt created', '[own|alice] a.txt modified', '[own|alice] last.txt created'] },
  },
  {
    name: 'a command that the agent left running and that writes beside a person',
    model: [
      async (world) => {
        const gate = world.gate()
        const over = world.gate()
        world.keep.set('gate', gate).set('over', over)
        return calls(shell(`${gate.wait}; echo late > late.txt; ${over.wait}`, { background: true }))
      },
    ],
    async people(world) {
      await world.finish()
      const [gate, over] = [world.keep.get('gate') as Gate, world.keep.get('over') as Gate]
      const desk = await world.take('alice', { running: 'leave' })
      await gate.reached()
      await gate.open()
      await over.reached()
      world.put('a.txt', byHand)
      await desk.returnControl()
      await over.open()
      await world.happens('command.finished')
    },
    changes: ['unknown modified a.txt window [agent:coder human:alice]', 'unknown created late.txt window [agent:coder human:alice]'],
    told: { 3: ['alice gave it back', '[own|alice] a.txt modified', '[own|alice] late.txt created'] },
  },
  {
    name: 'a takeover between two tools of a batch',
    model: [calls(write('b.txt', 'b\n'), write('c.txt', 'c\n'))],
    async people(world) {
      world.once('tool.finished', () =>
        world.background(
          world.take('alice').then(async (desk) => {
            world.put('a.txt', byHand)
            await desk.returnControl()
          }),
        ),
      )
      await world.finish()
    },
    changes: ['coder created b.txt tool', 'alice modified a.txt lease', 'coder created c.txt tool'],
    told: { 2: ['alice gave it back', 'alice a.txt modified'] },
  },
  {
    name: 'a takeover during a pause',
    model: [calls(shell('echo made > made.txt'), write('b.txt', 'b\n'))],
    async people(world) {
      world.once('tool.started', () => world.background(world.task.pause()))
      const over = world.finish()
      await world.happens('checkpoint.created', ({ reason }) => reason !== 'start')
      world.put('p.txt', 'in the pause\n')
      const desk = await world.take('alice')
      world.put('a.txt', byHand)
      await desk.returnControl()
      world.put('q.txt', 'in the pause\n')
      await world.task.resume()
      await over
    },
    changes: [
      'coder created made.txt window',
      'unknown created p.txt window [outside]',
      'alice modified a.txt lease',
      'unknown created q.txt window [outside]',
      'coder created b.txt tool',
    ],
    told: { 2: ['alice gave it back', 'somebody p.txt created', 'somebody q.txt created', 'alice a.txt modified'] },
  },
  {
    name: 'two people one after the other',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const hers = await world.take('alice')
      world.put('a.txt', 'by alice\n')
      await hers.returnControl({ note: 'From me.' })
      world.put('between.txt', 'x\n')
      const his = await world.take('bob')
      world.put('a.txt', 'by bob\n')
      await his.returnControl()
    },
    changes: ['alice modified a.txt lease', 'unknown created between.txt window [outside]', 'bob modified a.txt lease'],
    told: { 3: ['alice gave it back', 'bob gave it back', 'alice a.txt modified', 'somebody between.txt created', 'bob a.txt modified'] },
  },
  {
    name: 'an edit after control was given back, while the task is idle',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      await desk.returnControl()
      world.put('a.txt', byHand)
    },
    changes: ['unknown modified a.txt window [outside]'],
    told: { 3: ['alice gave it back', 'somebody a.txt modified'] },
  },
  {
    name: 'a command of the agent right after control was given back',
    model: [calls(shell('true')), calls(shell('echo made > made.txt'))],
    async people(world) {
      await world.finish()
      const desk = await world.take('alice')
      await desk.returnControl()
      await world.ask('Go on.')
    },
    changes: ['coder created made.txt window'],
    told: { 4: ['alice gave it back'] },
  },
  {
    name: 'a lease that expires: up to then its holder’s, after that nobody’s',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      // Her process is gone: nobody says that she is still there.
      const elsewhere = await world.other()
      await elsewhere.as({ kind: 'human', id: 'alice' }).takeControl({ idleMs: 300 })
      world.put('a.txt', byHand)
      await elsewhere.close()
      await world.happens('control.returned', ({ expired }) => expired === true)
      world.put('later.txt', 'x\n')
    },
    changes: ['alice modified a.txt lease', 'unknown created later.txt window [outside]'],
    told: { 3: ['alice did not give it back', 'alice a.txt modified', 'somebody later.txt created'] },
  },
  {
    name: 'a message and a takeover in one gap',
    model: [
      async (world) => {
        await world.task.send('Before.')
        const desk = await world.take('alice')
        world.put('a.txt', byHand)
        await desk.say('During.')
        world.background(world.happens('model.finished').then(() => desk.returnControl({ note: 'After.' })))
        return calls(write('b.txt', 'b\n'))
      },
    ],
    changes: ['alice modified a.txt lease', 'coder created b.txt tool'],
    told: { 2: ['alice gave it back', 'alice a.txt modified'] },
    says: { 2: [/Before\./, /During\./, /alice says: After\./] },
  },
  {
    name: 'a command that a person left running',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const [gate, over] = [world.gate(), world.gate()]
      const desk = await world.take('alice')
      await desk.sandbox.spawn(`${gate.wait}; echo late > late.txt; ${over.wait}`)
      await desk.returnControl()
      await gate.reached()
      await gate.open()
      await over.reached()
      await over.open()
      await world.happens('command.finished')
    },
    changes: ['alice created late.txt window'],
    told: { 3: ['alice gave it back', 'alice late.txt created', 'ran alice: (gate); echo late > late.txt; (gate) → exit code 0'] },
  },
  {
    name: 'a person at work in another process, and git between two looks',
    where: 'repository',
    model: [calls(shell('true'))],
    async people(world) {
      await world.finish()
      const other = await world.other()
      const desk = await other.as({ kind: 'human', id: 'alice' }).takeControl()
      world.put('a.txt', byHand)
      world.git('commit', '-qam', 'by hand')
      await desk.returnControl()
    },
    changes: ['alice modified a.txt lease'],
    told: { 3: ['alice gave it back', 'alice a.txt modified', 'git commit: by hand'] },
  },
  {
    name: 'a call that waits for an answer while a person has control: its tool could write',
    model: [calls(shell('echo made > made.txt'), act('wait'))],
    acts: {
      wait: (_, context) => context.ask('Will you?'),
    },
    async people(world) {
      const over = world.finish()
      const { data } = await world.happens('question.asked')
      await world.happens('file.changed')
      const desk = await world.take('alice')
      world.put('a.txt', byHand)
      await desk.returnControl()
      await world.task.answer(data.questionId, 'Yes.')
      await over
    },
    changes: ['coder created made.txt window', 'unknown modified a.txt window [agent:coder human:alice]'],
    told: { 2: ['alice gave it back', '[own|alice] a.txt modified'] },
  },
]

describe('interleavings with a person in control', () => {
  it.each(rows)('$name', { timeout: 20_000 }, async (row) => {
    expect(await play(row)).toEqual({ changes: row.changes, told: row.told, problems: [] })
  })
})

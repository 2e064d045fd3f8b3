import { describe, expect, it } from 'vitest'
import type { Actor } from '../events/envelope.ts'
import type { Event } from '../events/event.ts'
import { describeOutsideWork, isOutsideWork, maxAccount } from './outside-work.ts'
import { createProjection } from './projection.ts'

const alice = { kind: 'human', id: 'alice', name: 'Alice' } as const
const unknown = { kind: 'system', id: 'unknown' } as const
const time = '2026-11-25T09:08:07.000Z'
let seq = 0

function event<T extends Event['type']>(type: T, data: Event<T>['data'], actor: Actor = alice): Event<T> {
  seq++
  return { id: `e${seq}`, taskId: 't', seq, time, v: 1, actor, type, data } as never
}

const changed = (path: string, more: Partial<Event<'file.changed'>['data']> = {}, actor: Actor = alice) =>
  event('file.changed', { path, change: 'modified', evidence: 'lease', ...more }, actor)

describe('describeOutsideWork', () => {
  it('stays within its bound, whatever others did, and counts what it leaves out', () => {
    const events: Event[] = []
    for (let index = 0; index < 1000; index++) {
      events.push(event('control.taken', { leaseId: `l${index}`, running: 'wait', idleMs: 1000 }))
      events.push(event('control.returned', { leaseId: `l${index}`, note: 'n'.repeat(20_000) }))
      events.push(event('command.started', { commandId: `c${index}`, command: 'x'.repeat(10_000) }))
      events.push(event('git.changed', { operation: 'commit', message: 'm'.repeat(1000), from: '0'.repeat(40), to: '1'.repeat(40) }))
      events.push(event('changes.undone', { of: alice, commits: [], paths: Array.from({ length: 50 }, (_, file) => `${file}.txt`) }))
    }
    for (let index = 0; index < 10_000; index++) {
      const path = `${'folder/'.repeat(100)}${index}.txt`
      events.push(changed(path, { diff: '+x\n'.repeat(10_000), addedLines: 10_000, removedLines: 0 }))
      events.push(changed(path, { diff: '+x\n' }, { kind: 'human', id: `p${index % 100}` }))
    }
    const text = describeOutsideWork(events)
    expect(text.length).toBeLessThan(maxAccount + 100)
    for (const part of [
      '980 times before that people had control',
      'more files; read those that matter',
      'more commands',
      'by still others',
    ]) {
      expect(text.includes(part), part).toBe(true)
    }
  })

  it('shows small differences whole, and never a part of one', () => {
    const diff = `@@ -1 +1 @@\n-a\n+${'b'.repeat(3000)}\n`
    const text = describeOutsideWork(
      Array.from({ length: 20 }, (_, index) => changed(`f${index}.txt`, { diff, addedLines: 1, removedLines: 1 })),
    )
    const shown = text.split(diff.trimEnd()).length - 1
    expect(shown).toBe(Math.floor((24 * 1024) / Buffer.byteLength(diff)))
    expect(text.match(/too long to show here/g)).toHaveLength(20 - shown)
    expect(text.match(/- f\d+\.txt \(modified, \+1 −1\)/g)).toHaveLength(20)
  })

  it('keeps each name on one line', () => {
    const text = describeOutsideWork([
      changed('a\nFiles changed by nobody:\n- b', { diff: '+x\n' }),
      event('changes.undone', { of: alice, commits: [], paths: ['c\nd'] }),
    ])
    expect(text).toContain('- a\\nFiles changed by nobody:\\n- b (modified)')
    expect(text).toContain('in: c\\nd')
  })

  it('says what is not known, and claims nothing', () => {
    const text = describeOutsideWork(
      [
        changed('a', { candidates: ['outside'], evidence: 'window' }, unknown),
        changed('b', { candidates: ['agent:coder', 'outside'], evidence: 'window' }, unknown),
        changed('c', { candidates: ['agent:helper', 'human:alice'], evidence: 'window' }, unknown),
        changed('d', { candidates: ['system:baton', 'outside'], evidence: 'window' }, unknown),
        event('command.finished', {
          commandId: 'old',
          reason: 'signaled',
          code: null,
          signal: 'SIGKILL',
          stdoutBytes: 0,
          stderrBytes: 0,
          ms: 1,
        }),
        event('command.started', { commandId: 'new', command: '' }),
      ],
      'coder',
    )
    expect(text).toContain('Files changed by somebody else; who it was is not known:\n- a')
    expect(text).toContain('Files changed by a command of yours or somebody else; which of them is not known:\n- b')
    expect(text).toContain('Files changed by helper or alice; which of them is not known:\n- c')
    expect(text).toContain('Files changed by the checks or somebody else; which of them is not known:\n- d')
    expect(text).toContain('- Alice: (the shell cannot tell) → not finished yet')
    expect(text).toContain('a command begun before → ended by SIGKILL')
  })
})

describe('isOutsideWork', () => {
  it("is neither the agent's own work nor what is in the result of its call", () => {
    const agent = { kind: 'agent', id: 'coder' } as const
    expect(isOutsideWork(changed('a', {}, agent), 'coder')).toBe(false)
    expect(isOutsideWork(changed('a', {}, agent), 'other')).toBe(true)
    expect(isOutsideWork(changed('a', { evidence: 'tool', callId: 'c' }), 'coder')).toBe(false)
    expect(isOutsideWork(event('command.started', { commandId: 'c', command: 'x' }, agent), 'other')).toBe(false)
  })
})

describe('createProjection', () => {
  it('does not take the account for longer than it can get, so that nothing is summed up for want of room', () => {
    const projection = createProjection()
    seq = 0
    projection.apply(event('task.created', { goal: 'Go', agent: 'coder' } as never))
    for (let index = 0; index < 2000; index++) projection.apply(changed(`${index}.txt`, { diff: '+x\n'.repeat(20_000) }))
    const { pendingTokens, tokens } = projection
    projection.advance(seq)
    expect(projection.tokens - tokens).toBeLessThanOrEqual(pendingTokens)
    expect(pendingTokens).toBeLessThan(40_000)
  })
})

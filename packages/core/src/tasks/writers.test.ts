import { describe, expect, it } from 'vitest'
import type { Actor } from '../events/envelope.ts'
import { actorKey, systemActor } from '../events/envelope.ts'
import type { Event } from '../events/event.ts'
import type { Writers } from './writers.ts'
import { createWriters } from './writers.ts'

const alice: Actor = { kind: 'human', id: 'alice' }
const coder: Actor = { kind: 'agent', id: 'coder' }

/** Tells writers of events, one after the other. */
function account(): { writers: Writers; tell(type: string, data: object, actor?: Actor): void; look(): string[] } {
  const writers = createWriters()
  let seq = 0
  return {
    writers,
    tell(type, data, actor = coder) {
      seq++
      writers.apply({ id: `e${seq}`, taskId: 't', seq, time: '2026-01-01T00:00:00.000Z', v: 1, actor, type, data } as unknown as Event)
    },
    /** Who may have written up to now, and closes the window. */
    look() {
      const mark = writers.mark()
      const found = writers.current().map(({ actor }) => actorKey(actor))
      writers.closeWindow(mark)
      return found
    },
  }
}

type Account = ReturnType<typeof account>

function begin({ tell }: Account, callId: string, effect: string): void {
  tell('tool.called', { callId, tool: 't', effect })
  tell('tool.started', { callId, input: {} })
}

function end({ tell }: Account, callId: string, outcome = 'ok'): void {
  tell('tool.finished', { callId, tool: 't', outcome, output: '', ms: 0 })
}

describe('createWriters', () => {
  it('counts a call from its start to the look after its end', () => {
    const all = account()
    begin(all, 'c', 'execute')
    expect(all.look()).toEqual(['agent:coder'])
    expect(all.writers.current()).toMatchObject([{ callId: 'c' }])
    end(all, 'c')
    expect(all.look()).toEqual(['agent:coder'])
    expect(all.look()).toEqual([])
  })

  it('does not count what only reads, nor a write that said what it wrote', () => {
    const all = account()
    begin(all, 'r', 'read')
    expect(all.look()).toEqual([])
    end(all, 'r')
    begin(all, 'w', 'write')
    all.tell('file.changed', { path: 'a', change: 'modified', evidence: 'tool', callId: 'w' })
    end(all, 'w')
    expect(all.look()).toEqual([])
    begin(all, 'silent', 'write')
    end(all, 'silent')
    expect(all.look()).toEqual(['agent:coder'])
  })

  it('counts somebody who was still at it when a look began, or began while it went on, for the next one too', () => {
    const all = account()
    begin(all, 'c', 'execute')
    const mark = all.writers.mark()
    end(all, 'c')
    all.tell('command.started', { commandId: 'check', command: 'npm test' }, systemActor)
    all.tell('command.finished', { commandId: 'check' }, systemActor)
    all.writers.closeWindow(mark)
    expect(all.look().sort()).toEqual(['agent:coder', 'system:baton'])
    expect(all.look()).toEqual([])
  })

  it('counts a person for as long as they have control', () => {
    const all = account()
    all.tell('control.taken', { leaseId: 'l', running: 'wait', idleMs: 1000 }, alice)
    expect(all.writers.current()).toMatchObject([{ actor: alice, holds: true }])
    expect(all.look()).toEqual(['human:alice'])
    all.tell('control.returned', { leaseId: 'l' }, alice)
    expect(all.writers.current().some(({ holds }) => holds)).toBe(false)
  })

  it('does not say by which of several calls of one actor, and knows which commands run', () => {
    const all = account()
    all.tell('command.started', { commandId: 'x', command: 'make', callId: 'c1' })
    all.tell('command.started', { commandId: 'y', command: 'watch', callId: 'c2' })
    expect(all.writers.current()).toMatchObject([{ actor: coder, callId: undefined }])
    expect(all.writers.openCommands(coder)).toEqual(['x', 'y'])
    all.tell('command.finished', { commandId: 'x' })
    expect(all.writers.openCommands(coder)).toEqual(['y'])
    expect(all.writers.openCommands(alice)).toEqual([])
  })

  it('forgets all where the sandbox is gone, or the task is another one', () => {
    for (const type of ['sandbox.lost', 'sandbox.closed', 'task.forked']) {
      const all = account()
      begin(all, 'c', 'execute')
      all.tell('control.taken', { leaseId: 'l', running: 'wait', idleMs: 1000 }, alice)
      all.tell(type, { sandboxId: 's', from: { taskId: 'x', seq: 1 } })
      expect(all.look()).toEqual([])
    }
  })

  it('does not grow with the length of a task', () => {
    const all = account()
    for (let index = 0; index < 5000; index++) {
      begin(all, `c${index}`, index % 2 === 0 ? 'execute' : 'write')
      all.tell('command.started', { commandId: `m${index}`, command: 'x', callId: `c${index}` })
      all.tell('command.finished', { commandId: `m${index}` })
      end(all, `c${index}`, index % 3 === 0 ? 'failed' : 'ok')
      all.look()
    }
    expect(all.writers.current()).toEqual([])
    expect(all.writers.openCommands(coder)).toEqual([])
  })
})

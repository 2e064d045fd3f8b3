import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import type { Agent } from '../agents/agent.ts'
import { createFileBlobStore } from '../events/file-blob-store.ts'
import { createFileEventStore } from '../events/file-event-store.ts'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, eventsOfType, happens, instantTool, linesOf, scriptedBaton, typesOf } from '../testing/task-fixtures.ts'
import type { SettledFile, Tool, ToolContext } from '../tools/tool.ts'
import { defineTool } from '../tools/tool.ts'
import { createBaton } from './baton.ts'
import type { Task } from './task.ts'

const alice = { kind: 'human', id: 'alice' } as const
const lines = (count: number, change: Record<number, string> = {}): string =>
  Array.from({ length: count }, (_, at) => `${change[at + 1] ?? `line ${at + 1}`}\n`).join('')
const refused = (code: string, message = /./) => expect.objectContaining({ code, message: expect.stringMatching(message) })

let dir: string
let work: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'baton-proposals-'))
  work = mkdtempSync(join(dir, 'work-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
})

const inFolder = (path: string): string => readFileSync(join(work, path), 'utf8')
const put = (path: string, content: string | Uint8Array): void => writeFileSync(join(work, path), content)

/** Puts files as a whole, and counts how often it ran. */
function putTool(extra: Partial<Tool> = {}): Tool & { runs: number; settled: SettledFile[] } {
  const settled: SettledFile[] = []
  const tool = {
    ...defineTool({
      name: 'put',
      description: 'Puts files.',
      input: z.object({ files: z.record(z.string(), z.string()), mode: z.number().optional(), base64: z.boolean().default(false) }),
      effect: 'write',
      async run({ files, mode, base64 }, context) {
        tool.runs++
        const sandbox = await context.sandbox()
        for (const [path, text] of Object.entries(files)) {
          await sandbox.writeFile(path, Buffer.from(text, base64 ? 'base64' : 'utf8'), { mode })
          await context.record({ type: 'file.changed', data: { path, change: 'modified', evidence: 'tool', callId: context.callId } })
        }
        return `put ${Object.keys(files).join(', ')}`
      },
    }),
    remember: (file: SettledFile) => void settled.push(file),
    ...extra,
    runs: 0,
    settled,
  } as Tool & { runs: number; settled: SettledFile[] }
  return tool
}

const sandboxes = () => [createLocalSandboxProvider({ root: join(dir, 'sandboxes'), isolation: 'none' })]

/** A task in `assist`, in the folder, whose agent calls `put` once. */
async function proposing(input: object, { tools = [putTool()] as readonly Tool[], call = 'put', then = { text: 'Done.' } as object } = {}) {
  const { baton, model } = scriptedBaton([calling([call, input]), then as { text: string }], { sandboxes: sandboxes(), tools })
  const task = (await baton.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })).as(alice)
  onTestFinished(() => baton.close())
  const run = task.start()
  const told = (): string | undefined => linesOf(model.requests[1]).findLast((line) => line.startsWith('tool:'))
  return { baton, model, task, run, told }
}

const madeIn = (task: Task) => happens(task, 'proposal.made').then(({ data }) => data)

describe('Task.decideProposal', () => {
  it('accepts all: the files are written as proposed, by the agent, and its tool ran once', async () => {
    put('a.txt', lines(30))
    const tool = putTool()
    const { task, run, told } = await proposing(
      { files: { 'a.txt': lines(30, { 5: 'five', 25: 'twenty-five' }), 'new/b.txt': 'b\n' } },
      { tools: [tool] },
    )
    const { proposalId, files } = await madeIn(task)
    expect(files.map(({ path, change, hunks }) => [path, change, hunks.map(({ hunkId }) => hunkId)])).toEqual([
      ['a.txt', 'modified', ['a.txt#1', 'a.txt#2']],
      ['new/b.txt', 'created', ['new/b.txt#1']],
    ])
    expect(task.summary).toMatchObject({
      status: 'waiting',
      waiting: [{ kind: 'proposal', id: proposalId, text: 'put: a.txt, new/b.txt' }],
    })
    expect(inFolder('a.txt')).toBe(lines(30))
    expect(await readdir(work)).toEqual(['a.txt'])
    await task.decideProposal(proposalId, 'accept', { feedback: 'Nice.' })
    expect((await run.result).outcome).toBe('done')
    expect([inFolder('a.txt'), inFolder('new/b.txt')]).toEqual([lines(30, { 5: 'five', 25: 'twenty-five' }), 'b\n'])
    expect(told()).toBe(
      'tool: alice accepted all of what you proposed.\nThey say: Nice.\n- a.txt: changed (+2 −2)\n- new/b.txt: created (+1 −0)',
    )
    expect(await typesOf(task, /^tool|^proposal|^file/)).toEqual([
      ...['tool.called', 'proposal.made', 'proposal.decided', 'tool.started', 'file.changed', 'file.changed', 'tool.finished'],
    ])
    const changes = await eventsOfType(task, 'file.changed')
    expect(changes).toMatchObject([
      { actor: { kind: 'agent' }, data: { path: 'a.txt', change: 'modified', evidence: 'tool', addedLines: 2, removedLines: 2 } },
      { actor: { kind: 'agent' }, data: { path: 'new/b.txt', change: 'created', evidence: 'tool' } },
    ])
    expect((await eventsOfType(task, 'proposal.decided'))[0]?.actor).toEqual(alice)
    const [called] = await eventsOfType(task, 'tool.called')
    expect((await eventsOfType(task, 'tool.started'))[0]?.data.input).toEqual({ ...(called?.data.input as object), base64: false })
    expect(tool.runs).toBe(1)
    expect(tool.settled.map(({ path, shown }) => [path, shown])).toEqual([
      ['a.txt', true],
      ['new/b.txt', true],
    ])
    expect(task.summary.waiting).toEqual([])
  })

  it('rejects all: nothing is started or written, and the agent is told why', async () => {
    const { task, run, told } = await proposing({ files: { 'a.txt': 'a\n' } })
    const { proposalId } = await madeIn(task)
    await task.decideProposal(proposalId, 'reject', { feedback: 'Not here.' })
    expect((await run.result).outcome).toBe('done')
    expect(told()).toBe('tool: [rejected] alice rejected all of what you proposed; nothing was written.\nThey say: Not here.')
    expect(await readdir(work)).toEqual([])
    expect(await typesOf(task, /^tool|^file/)).toEqual(['tool.called', 'tool.finished'])
  })

  it('goes hunk by hunk: accepts one, edits one, rejects one; the agent is shown what is different from its proposal, once', async () => {
    put('a.txt', lines(40))
    const { task, run, model, told } = await proposing({ files: { 'a.txt': lines(40, { 5: 'five', 20: 'twenty', 35: 'thirty-five' }) } })
    const { proposalId } = await madeIn(task)
    const [{ files } = { files: [] }] = await task.proposals()
    const [first, second, third] = files[0]?.hunks ?? []
    expect(second?.text).toBe('line 17\nline 18\nline 19\ntwenty\nline 21\nline 22\nline 23\n')
    await task.decideProposal(proposalId, [
      { hunkId: third?.hunkId ?? '', decision: 'rejected' },
      { hunkId: first?.hunkId ?? '', decision: 'accepted' },
      { hunkId: second?.hunkId ?? '', decision: 'edited', text: (second?.text ?? '').replace('twenty', 'TWENTY') },
    ])
    await run.result
    expect(inFolder('a.txt')).toBe(lines(40, { 5: 'five', 20: 'TWENTY' }))
    expect(told()).toBe(
      [
        'tool: alice decided on the parts of what you proposed: 1 accepted, 1 edited, 1 rejected.',
        '- a.txt: changed (+2 −2), with their edit',
        '  accepted: @@ -2,7 +2,7 @@',
        '  edited: @@ -17,7 +17,7 @@',
        '  rejected: @@ -32,7 +32,7 @@',
        'The difference from what you proposed to what a.txt holds now:',
        '@@ -17,7 +17,7 @@\n line 17\n line 18\n line 19\n-twenty\n+TWENTY\n line 21\n line 22\n line 23',
        '@@ -32,7 +32,7 @@\n line 32\n line 33\n line 34\n-thirty-five\n+line 35\n line 36\n line 37\n line 38',
      ].join('\n'),
    )
    expect(linesOf(model.requests[1]).filter((line) => line.includes('TWENTY'))).toHaveLength(1)
    expect(await eventsOfType(task, 'file.changed')).toMatchObject([{ actor: alice, data: { evidence: 'tool', addedLines: 2 } }])
  })

  it('counts an edit that changes nothing as accepted by what is written', async () => {
    put('a.txt', 'a\n')
    const { task, run } = await proposing({ files: { 'a.txt': 'b\n' } })
    const { proposalId } = await madeIn(task)
    await task.decideProposal(proposalId, [{ hunkId: 'a.txt#1', decision: 'edited', text: 'b' }])
    await run.result
    expect(inFolder('a.txt')).toBe('b\n')
    expect((await eventsOfType(task, 'file.changed'))[0]?.actor.kind).toBe('agent')
  })

  it('writes nothing where an edit takes everything back', async () => {
    put('a.txt', 'a\n')
    const { task, run, told } = await proposing({ files: { 'a.txt': 'b\n' } })
    const { proposalId } = await madeIn(task)
    await task.decideProposal(proposalId, [{ hunkId: 'a.txt#1', decision: 'edited', text: 'a\n' }])
    await run.result
    expect(await eventsOfType(task, 'file.changed')).toEqual([])
    expect(told()).toContain('- a.txt: stays as it was')
  })

  it('takes what is no text as a whole, under its path', async () => {
    put('bin', Buffer.from([0, 1, 2]))
    put('bin2', Buffer.from([0, 1, 2]))
    const files = { bin: Buffer.from([0, 9]).toString('base64'), bin2: Buffer.from([0, 9]).toString('base64'), empty: '' }
    const { task, run, told } = await proposing({ files, base64: true })
    const made = await madeIn(task)
    expect(made.files.map(({ hunks }) => hunks)).toEqual([[], [], []])
    await task.decideProposal(made.proposalId, [
      { hunkId: 'bin', decision: 'accepted' },
      { hunkId: 'bin2', decision: 'rejected' },
      { hunkId: 'empty', decision: 'edited', text: 'not empty\n' },
    ])
    await run.result
    expect([readFileSync(join(work, 'bin')), readFileSync(join(work, 'bin2'))]).toEqual([Buffer.from([0, 9]), Buffer.from([0, 1, 2])])
    expect(inFolder('empty')).toBe('not empty\n')
    expect(told()).toContain('accepted: the whole file')
  })

  it('names what a decision leaves out, and what it should not have', async () => {
    put('a.txt', lines(30))
    const { task, run } = await proposing({ files: { 'a.txt': lines(30, { 5: 'five', 25: 'twenty-five' }) } })
    const { proposalId } = await madeIn(task)
    const accepted = (hunkId: string) => ({ hunkId, decision: 'accepted' as const })
    const bad: [unknown, RegExp][] = [
      [[accepted('a.txt#2')], /no decision on a\.txt#1/],
      [[], /no decision on a\.txt#1, a\.txt#2/],
      [[accepted('a.txt#1'), accepted('a.txt#2'), accepted('b')], /there is no b; the parts are a\.txt#1, a\.txt#2/],
      [[accepted('a.txt#1'), accepted('a.txt#1'), accepted('a.txt#2')], /more than one decision on a\.txt#1/],
      [[accepted('a.txt#1'), { hunkId: 'a.txt#2', decision: 'edited' }], /text belongs to "edited".*a\.txt#2/],
      [[accepted('a.txt#1'), { ...accepted('a.txt#2'), text: 'x' }], /text belongs to "edited".*a\.txt#2/],
      ['maybe', /decisions/],
      [[{ hunkId: 'a.txt#1', decision: 'perhaps' }], /decisions/],
    ]
    for (const [decisions, message] of bad) {
      await expect(task.decideProposal(proposalId, decisions as never)).rejects.toThrow(refused('INVALID_OPTIONS', message))
    }
    await expect(task.decideProposal(proposalId, 'accept', { feedback: 7 as never })).rejects.toThrow(
      refused('INVALID_OPTIONS', /feedback/),
    )
    expect(await task.proposals()).toHaveLength(1)
    await task.decideProposal(proposalId, 'reject')
    await run.result
  })

  it('of a proposal that is not there or was decided rejects with UNKNOWN_REQUEST: of two people the first decides', async () => {
    const { task, run } = await proposing({ files: { 'a.txt': 'a\n' } })
    const { proposalId } = await madeIn(task)
    await expect(task.decideProposal('p-none', 'accept')).rejects.toThrow(refused('UNKNOWN_REQUEST', new RegExp(`Waiting: ${proposalId}`)))
    const bob = task.as({ kind: 'human', id: 'bob' })
    const both = await Promise.allSettled([bob.decideProposal(proposalId, 'reject'), task.decideProposal(proposalId, 'accept')])
    expect(both).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'UNKNOWN_REQUEST' } }])
    await run.result
    expect(await readdir(work)).toEqual([])
    await expect(task.decideProposal(proposalId, 'accept')).rejects.toThrow(refused('UNKNOWN_REQUEST', /No proposal waits/))
  })

  it('fails where a file has changed meanwhile: nothing is written, the agent sees the difference', async () => {
    put('a.txt', 'a\n')
    const tool = putTool()
    const { task, run, told } = await proposing({ files: { 'a.txt': 'b\n', 'new.txt': 'n\n' } }, { tools: [tool] })
    const { proposalId } = await madeIn(task)
    put('a.txt', 'a\nby hand\n')
    await task.decideProposal(proposalId, 'accept')
    await run.result
    expect(told()).toMatch(/^tool: alice accepted this, but it cannot be made: nothing was written\./)
    expect(told()).toContain('+by hand')
    expect(inFolder('a.txt')).toBe('a\nby hand\n')
    expect(await readdir(work)).toEqual(['a.txt'])
    expect((await eventsOfType(task, 'file.changed')).map(({ actor }) => actor.id)).toEqual(['unknown'])
    expect(tool.settled).toMatchObject([{ path: 'a.txt', shown: true }])
  })

  it('fails where a file came up that was to be created, or went that was to be changed', async () => {
    put('gone.txt', 'g\n')
    const { task, run, told } = await proposing({ files: { 'gone.txt': 'x\n', 'new.txt': 'n\n' } })
    const { proposalId } = await madeIn(task)
    rmSync(join(work, 'gone.txt'))
    put('new.txt', 'somebody was faster\n')
    await task.decideProposal(proposalId, 'accept')
    await run.result
    expect(told()).toContain('gone.txt is gone since you proposed this.')
    expect(told()).toContain('+somebody was faster')
    expect(inFolder('new.txt')).toBe('somebody was faster\n')
  })

  it('tells what was written before it failed', async () => {
    put('b.txt', 'b\n')
    const provider = sandboxes()[0]!
    const interfering = {
      ...provider,
      create: async (...args: Parameters<typeof provider.create>) => {
        const sandbox = await provider.create(...args)
        return {
          ...sandbox,
          async writeFile(...given: Parameters<typeof sandbox.writeFile>) {
            // Between the look at all of them and the write of this one.
            if (given[0] === 'b.txt') put('b.txt', 'just now\n')
            return sandbox.writeFile(...given)
          },
        }
      },
    }
    const { baton, model } = scriptedBaton([calling(['put', { files: { 'a.txt': 'a\n', 'b.txt': 'B\n' } }]), { text: 'Done.' }], {
      sandboxes: [interfering],
      tools: [putTool()],
    })
    onTestFinished(() => baton.close())
    const task = await baton.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })
    const run = task.start()
    await task.decideProposal((await madeIn(task)).proposalId, 'accept')
    await run.result
    expect(linesOf(model.requests[1]).findLast((line) => line.startsWith('tool:'))).toMatch(
      /^tool: .*it was not written\. Written before that: a\.txt\./,
    )
    expect([inFolder('a.txt'), inFolder('b.txt')]).toEqual(['a\n', 'just now\n'])
    const own = (await eventsOfType(task, 'file.changed')).filter(({ actor }) => actor.kind === 'agent')
    expect(own.map(({ data }) => data.path)).toEqual(['a.txt'])
  })

  it('gives a file the mode that the call asked for', async () => {
    const { task, run } = await proposing({ files: { 'run.sh': '#!/bin/sh\n' }, mode: 0o755 })
    await task.decideProposal((await madeIn(task)).proposalId, 'accept')
    await run.result
    const { statSync } = await import('node:fs')
    expect(statSync(join(work, 'run.sh')).mode & 0o777).toBe(0o755)
  })

  it('keeps ids of hunks and of whole files apart', async () => {
    put('a', 'a\n')
    put('a#1', Buffer.from([0]))
    const files = { a: Buffer.from('b\n').toString('base64'), 'a#1': Buffer.from([0, 1]).toString('base64') }
    const { task, run } = await proposing({ files, base64: true })
    const { proposalId } = await madeIn(task)
    await task.decideProposal(proposalId, [
      { hunkId: 'a##1', decision: 'accepted' },
      { hunkId: 'a#1', decision: 'rejected' },
    ])
    await run.result
    expect([inFolder('a'), inFolder('a#1')]).toEqual(['b\n', '\0'])
  })
})

describe('a proposal', () => {
  it('waits across a restart, is not made again, and is written by who drives the task then', async () => {
    put('a.txt', 'a\n')
    const stores = () => ({
      store: createFileEventStore({ dir: join(dir, 'log') }),
      blobs: createFileBlobStore({ dir: join(dir, 'blobs') }),
    })
    const tool = putTool()
    const options = { sandboxes: sandboxes(), tools: [tool] }
    const first = scriptedBaton([calling(['put', { files: { 'a.txt': 'b\n' } }])], { ...options, ...stores() }).baton
    const task = await first.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })
    task.start().result.catch(() => {})
    const { proposalId } = await madeIn(task)
    await first.close()
    // Decided where nobody drives it.
    const between = createBaton(stores())
    const observer = await between.openTask(task.id, { as: 'observer' })
    expect((await observer.proposals()).map((one) => one.proposalId)).toEqual([proposalId])
    await observer.as(alice).decideProposal(proposalId, 'accept')
    await between.close()
    const second = scriptedBaton([{ text: 'Done.' }], { ...options, ...stores() })
    const again = await second.baton.openTask(task.id)
    expect((await again.start().result).outcome).toBe('done')
    expect(inFolder('a.txt')).toBe('b\n')
    expect(tool.runs).toBe(1)
    expect(await eventsOfType(again, 'proposal.made')).toHaveLength(1)
    expect(linesOf(second.model.requests[0]).at(-1)).toMatch(/^tool: alice accepted all/)
    await second.baton.close()
  })

  it('stands beside another of the same file: the one that is accepted later comes too late', async () => {
    put('a.txt', lines(30))
    const outcomes: string[] = []
    const agent: Agent = {
      name: 'own',
      async run(context) {
        const call = (callId: string, change: Record<number, string>) =>
          context.tool({ callId, tool: 'put', input: { files: { 'a.txt': lines(30, change) } } })
        const results = await Promise.all([call('1', { 5: 'five' }), call('2', { 25: 'twenty-five' })])
        outcomes.push(...results.map(({ outcome }) => outcome))
        return { text: '' }
      },
    }
    const baton = createBaton({ agents: [agent], sandboxes: sandboxes(), tools: [putTool()] })
    onTestFinished(() => baton.close())
    const task = await baton.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })
    const run = task.start()
    await happens(task, 'proposal.made', ({ callId }) => callId === '1')
    await happens(task, 'proposal.made', ({ callId }) => callId === '2')
    expect((await task.proposals()).map(({ callId }) => callId).sort()).toEqual(['1', '2'])
    await task.decideProposal('p-2', 'accept')
    await happens(task, 'tool.finished', ({ callId }) => callId === '2')
    await task.decideProposal('p-1', 'accept')
    await run.result
    expect(outcomes).toEqual(['failed', 'ok'])
    expect(inFolder('a.txt')).toBe(lines(30, { 25: 'twenty-five' }))
  })

  it('stays a proposal when the autonomy is raised; calls after it go by the new level', async () => {
    const { baton } = scriptedBaton(
      [calling(['put', { files: { 'a.txt': 'a\n' } }]), calling(['put', { files: { 'b.txt': 'b\n' } }]), { text: 'Done.' }],
      { sandboxes: sandboxes(), tools: [putTool()] },
    )
    onTestFinished(() => baton.close())
    const task = await baton.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })
    const run = task.start()
    const { proposalId } = await madeIn(task)
    await task.setAutonomy('supervised')
    expect(await task.proposals()).toHaveLength(1)
    expect(await readdir(work)).toEqual([])
    await task.decideProposal(proposalId, 'accept')
    await run.result
    expect((await readdir(work)).sort()).toEqual(['a.txt', 'b.txt'])
    expect(await eventsOfType(task, 'proposal.made')).toHaveLength(1)
  })

  it('lapses when the run is cancelled', async () => {
    const { task, run } = await proposing({ files: { 'a.txt': 'a\n' } })
    const { proposalId } = await madeIn(task)
    await task.cancel()
    expect((await run.result).outcome).toBe('cancelled')
    expect(await task.proposals()).toEqual([])
    await expect(task.decideProposal(proposalId, 'accept')).rejects.toThrow(refused('UNKNOWN_REQUEST'))
    expect((await eventsOfType(task, 'tool.finished'))[0]?.data.outcome).toBe('cancelled')
  })

  it('that is accepted while the run is paused is written when it goes on', async () => {
    const { task, run } = await proposing({ files: { 'a.txt': 'a\n' } })
    const { proposalId } = await madeIn(task)
    await task.pause()
    await task.decideProposal(proposalId, 'accept')
    expect(await readdir(work)).toEqual([])
    await task.resume()
    await run.result
    expect(inFolder('a.txt')).toBe('a\n')
  })

  it('waits beside a person who takes control, and is written once they have returned it', async () => {
    put('a.txt', 'a\n')
    const { task, run } = await proposing({ files: { 'a.txt': 'b\n' } })
    const { proposalId } = await madeIn(task)
    const desk = await task.takeControl()
    await task.decideProposal(proposalId, 'accept')
    expect(inFolder('a.txt')).toBe('a\n')
    await desk.returnControl()
    await run.result
    expect(inFolder('a.txt')).toBe('b\n')
    expect(await typesOf(task, /^control|^proposal|^tool\.started/)).toEqual([
      ...['proposal.made', 'control.taken', 'proposal.decided', 'control.returned', 'tool.started'],
    ])
  })

  it('is not made where the call writes nothing or fails: its result stands', async () => {
    put('a.txt', 'a\n')
    const same = await proposing({ files: { 'a.txt': 'a\n' } })
    await same.run.result
    expect(same.told()).toBe('tool: put a.txt')
    const outside = await proposing({ files: { 'b.txt': 'b\n', '../x': 'x' } })
    await outside.run.result
    expect(outside.told()).toMatch(/^tool: PATH_OUTSIDE_WORKDIR.*\n\[Nothing of what it wrote was kept\.\]$/)
    expect(await typesOf(outside.task, /^tool|^proposal|^file|^approval/)).toEqual(['tool.called', 'tool.finished'])
    expect(await readdir(work)).toEqual(['a.txt'])
  })

  it('is asked about as any call is where the tool needs the sandbox itself, and runs in it then', async () => {
    const format = defineTool({
      name: 'format',
      description: 'Formats.',
      input: z.object({}),
      effect: 'write',
      async run(_, context) {
        const sandbox = await context.sandbox()
        await sandbox.writeFile('before.txt', Buffer.from('x'))
        const { exit } = await sandbox.spawn(['touch', 'formatted.txt'])
        return JSON.stringify({ ...(await exit), proposes: context.proposes ?? false })
      },
    })
    const { task, run, told } = await proposing({}, { tools: [format], call: 'format' })
    const { data } = await happens(task, 'approval.requested')
    expect(data.reason).toBe('it cannot be proposed: the tool needs the sandbox for running a command')
    expect(await readdir(work)).toEqual([])
    await task.approve(data.approvalId)
    await run.result
    expect((await readdir(work)).sort()).toEqual(['before.txt', 'formatted.txt'])
    expect(told()).toContain('"code":0')
    expect(told()).toContain('"proposes":false')
    expect(await eventsOfType(task, 'proposal.made')).toEqual([])
  })

  it('is for tools that write: a policy that proposes others asks', async () => {
    const deploy = instantTool('deploy', 'external')
    const policy = { decide: () => ({ decision: 'propose' as const }) }
    const { baton } = scriptedBaton([calling(['deploy']), { text: 'Done.' }], { tools: [deploy], policy })
    const task = await baton.createTask({ goal: 'x' })
    const run = task.start()
    const { data } = await happens(task, 'approval.requested')
    expect([data.reason, deploy.inputs]).toEqual(['external needs approval', []])
    await task.reject(data.approvalId)
    await run.result
  })

  it('may follow a question, with the call in the log before it', async () => {
    const ask = putTool({
      run: async (_: unknown, context: ToolContext) => {
        const answer = await context.ask('Which?')
        await (await context.sandbox()).writeFile('a.txt', Buffer.from(`${answer}\n`))
        return 'ok'
      },
    } as Partial<Tool>)
    const { task, run } = await proposing({ files: {} }, { tools: [ask] })
    const { data } = await happens(task, 'question.asked')
    await task.answer(data.questionId, 'blue')
    await task.decideProposal((await madeIn(task)).proposalId, 'accept')
    await run.result
    expect(inFolder('a.txt')).toBe('blue\n')
    expect(await typesOf(task, /^tool|^proposal\.made|^question/)).toEqual([
      ...['tool.called', 'question.asked', 'question.answered', 'proposal.made', 'tool.started', 'tool.finished'],
    ])
  })

  it('does not let go of what its tool wrote by the same path in the same call', async () => {
    const twice = putTool({
      run: async (_: unknown, context: ToolContext) => {
        const sandbox = await context.sandbox()
        await sandbox.writeFile('a.txt', Buffer.from('1'))
        const text = Buffer.from(await sandbox.readFile('a.txt')).toString()
        await sandbox.writeFile('a.txt', Buffer.from(`${text}2\n`))
        return 'ok'
      },
    } as Partial<Tool>)
    const { task, run } = await proposing({ files: {} }, { tools: [twice] })
    await task.decideProposal((await madeIn(task)).proposalId, 'accept')
    await run.result
    expect(inFolder('a.txt')).toBe('12\n')
  })

  it('is as a whole where its difference is too long, and its contents are in the blob store', async () => {
    const blobs = createMemoryBlobStore()
    const long = lines(40_000)
    const { baton } = scriptedBaton([calling(['put', { files: { 'long.txt': long } }]), { text: 'Done.' }], {
      ...{ sandboxes: sandboxes(), tools: [putTool()], blobs, store: createMemoryEventStore() },
    })
    onTestFinished(() => baton.close())
    const task = await baton.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })
    const run = task.start()
    const { proposalId, files } = await madeIn(task)
    expect(files).toMatchObject([{ path: 'long.txt', hunks: [] }])
    expect(Buffer.from(await blobs.get(files[0]!.proposed)).toString()).toBe(long)
    await task.decideProposal(proposalId, [{ hunkId: 'long.txt', decision: 'accepted' }])
    await run.result
    expect(inFolder('long.txt')).toBe(long)
  })
})

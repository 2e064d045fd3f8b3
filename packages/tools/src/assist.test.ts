import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Task } from '@baton-sdk/core'
import { createBaton, createLocalSandboxProvider, createSingleModelRouter, isKnown } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCodingTools } from './coding-tools.ts'

let root: string
let work: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'baton-assist-'))
  work = await mkdtemp(join(root, 'work-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

type Step = readonly [tool: string, input: object]
/** What the person does with a proposal, the first of whose hunks has this text. */
type Person = (task: Task, proposalId: string, text: string) => Promise<void>

const accept: Person = (task, proposalId) => task.decideProposal(proposalId, 'accept')
const reject: Person = (task, proposalId) => task.decideProposal(proposalId, 'reject', { feedback: 'No.' })
/** Accepts with another word in place of one that was proposed. */
const edit =
  (from: string, to: string): Person =>
  async (task, proposalId, text) => {
    const [proposal] = await task.proposals()
    const hunks = proposal?.files.flatMap((file) => file.hunks) ?? []
    expect(text).toContain(from)
    await task.decideProposal(
      proposalId,
      hunks.map(({ hunkId }, index) =>
        index === 0 ? { hunkId, decision: 'edited', text: text.replace(from, to) } : { hunkId, decision: 'accepted' },
      ),
    )
  }

/** Runs a task in `assist` whose agent makes these calls in this order, several at once where they are in one list; the person has the proposals one by one. */
async function assist(steps: readonly (readonly Step[])[], people: readonly Person[]) {
  const baton = createBaton({
    router: createSingleModelRouter(
      scriptedModel([...steps.map((calls) => ({ toolCalls: calls.map(([tool, input]) => ({ tool, input })) })), { text: 'Done.' }]),
    ),
    sandboxes: [createLocalSandboxProvider({ root: join(root, 'sandboxes'), isolation: 'none' })],
    tools: createCodingTools(),
  })
  const task = (await baton.createTask({ goal: 'x', workspace: { path: work, inPlace: true }, autonomy: 'assist' })).as({
    kind: 'human',
    id: 'alice',
  })
  const left = [...people]
  const results: string[] = []
  const approvals: string[] = []
  const run = task.start()
  for await (const event of run.events()) {
    if (!isKnown(event)) continue
    if (event.type === 'approval.requested') {
      approvals.push(event.data.tool)
      await task.approve(event.data.approvalId)
    }
    if (event.type === 'proposal.made') {
      const { proposalId } = event.data
      const proposal = (await task.proposals()).find((one) => one.proposalId === proposalId)
      const person = left.shift() ?? reject
      const deciding: Promise<void> = person(task, proposalId, proposal?.files[0]?.hunks[0]?.text ?? '')
      await deciding
    }
    if (event.type === 'tool.finished') results.push(`${event.data.tool} ${event.data.outcome}: ${event.data.output}`)
  }
  expect((await run.result).outcome).toBe('done')
  await task.close()
  await baton.close()
  expect(left).toEqual([])
  return { results, approvals, outcomes: results.map((result) => result.split(':', 1)[0]) }
}

const replace = (oldText: string, newText: string): Step => ['edit', { path: 'a.txt', edits: [{ oldText, newText }] }]
const read: Step = ['read', { path: 'a.txt' }]
const file = () => readFile(join(work, 'a.txt'), 'utf8')

describe('createCodingTools in assist', () => {
  it('knows a file after its proposal was accepted, and edits it again without reading it', async () => {
    await writeFile(join(work, 'a.txt'), 'one\ntwo\nthree\n')
    const { outcomes, results } = await assist(
      [[read], [replace('one', '1')], [replace('two', '2')], [['write', { path: 'a.txt', content: '1\n2\n3\n' }]]],
      [accept, accept, accept],
    )
    expect(outcomes).toEqual(['read ok', 'edit ok', 'edit ok', 'write ok'])
    expect(results[1]).toContain('alice accepted all of what you proposed.\n- a.txt: changed (+1 −1)')
    expect(await file()).toBe('1\n2\n3\n')
  })

  it('knows a file as a person edited its proposal, from the difference that it is shown', async () => {
    await writeFile(join(work, 'a.txt'), 'one\ntwo\n')
    const { outcomes, results } = await assist([[read], [replace('one', 'uno')], [replace('UNO', 'eins')]], [edit('uno', 'UNO'), accept])
    expect(outcomes).toEqual(['read ok', 'edit ok', 'edit ok'])
    expect(results[1]).toContain('-uno\n+UNO')
    expect(await file()).toBe('eins\ntwo\n')
  })

  it('has to read a file again where what a person made of it is too much to show', async () => {
    await writeFile(join(work, 'a.txt'), 'one\n')
    const long = Array.from({ length: 3000 }, (_, at) => `line number ${at}`).join('\n')
    const { outcomes, results } = await assist(
      [[read], [replace('one', 'uno')], [['write', { path: 'a.txt', content: 'short\n' }]]],
      [edit('uno', long)],
    )
    expect(outcomes).toEqual(['read ok', 'edit ok', 'write failed'])
    expect(results[1]).toContain('Read the file before you change it again.')
    expect(results[2]).toContain('you have not read it')
    expect(await file()).toBe(`${long}\n`)
  })

  it('knows a file as it was after a rejection', async () => {
    await writeFile(join(work, 'a.txt'), 'one\ntwo\n')
    const { outcomes, results } = await assist([[read], [replace('one', '1')], [replace('one', 'uno')]], [reject, accept])
    expect(outcomes).toEqual(['read ok', 'edit rejected', 'edit ok'])
    expect(results[1]).toContain('They say: No.')
    expect(await file()).toBe('uno\ntwo\n')
  })

  it('knows a file that it created, and one whose creation was rejected is not there', async () => {
    const write = (content: string): Step => ['write', { path: 'a.txt', content }]
    const { outcomes } = await assist(
      [[write('x\n')], [write('one\n')], [write('two\n')], [replace('two', '2')]],
      [reject, accept, accept, accept],
    )
    expect(outcomes).toEqual(['write rejected', 'write ok', 'write ok', 'edit ok'])
    expect(await file()).toBe('2\n')
  })

  it('is shown what changed where a proposal came too late, and goes on from there', async () => {
    await writeFile(join(work, 'a.txt'), 'one\ntwo\n')
    const late: Person = async (task, proposalId) => {
      await writeFile(join(work, 'a.txt'), 'one\ntwo\nby hand\n')
      await task.decideProposal(proposalId, 'accept')
    }
    const { outcomes, results } = await assist([[read], [replace('one', '1')], [replace('one', '1')]], [late, accept])
    expect(outcomes).toEqual(['read ok', 'edit failed', 'edit ok'])
    expect(results[1]).toContain('+by hand')
    expect(await file()).toBe('1\ntwo\nby hand\n')
  })

  it('proposes the edits of one reply one after the other, each of the file as it is by then', async () => {
    await writeFile(join(work, 'a.txt'), 'one\ntwo\n')
    const { outcomes } = await assist([[read], [replace('one', '1'), replace('two', '2')]], [accept, accept])
    expect(outcomes).toEqual(['read ok', 'edit ok', 'edit ok'])
    expect(await file()).toBe('1\n2\n')
  })

  it('bothers nobody with an edit that fails', async () => {
    await writeFile(join(work, 'a.txt'), 'one\n')
    const missing: Step = ['edit', { path: 'b.txt', edits: [{ oldText: 'x', newText: 'y' }] }]
    const { outcomes, approvals, results } = await assist(
      [[missing], [replace('nine', '9')], [['write', { path: 'a.txt', content: 'x' }]]],
      [],
    )
    expect(outcomes).toEqual(['edit failed', 'edit failed', 'write failed'])
    expect(results[0]).toContain('Did you mean a.txt?')
    expect(results[2]).toContain('you have not read it')
    expect(approvals).toEqual([])
  })

  it('keeps CRLF and a missing last line end, also in an edit by a person', async () => {
    await writeFile(join(work, 'a.txt'), 'one\r\ntwo\r\nthree')
    const person: Person = async (task, proposalId, text) => {
      expect(text).toBe('1\r\ntwo\r\nthree')
      await task.decideProposal(proposalId, [{ hunkId: 'a.txt#1', decision: 'edited', text: 'I\ntwo\nthree' }])
    }
    await assist([[read], [replace('one', '1')]], [person])
    expect(await file()).toBe('I\r\ntwo\r\nthree')
  })

  it('asks for a command as before', async () => {
    const { approvals, outcomes } = await assist([[['shell', { command: 'echo hi > a.txt' }]]], [])
    expect([approvals, outcomes]).toEqual([['shell'], ['shell ok']])
    expect(await file()).toBe('hi\n')
  })
})

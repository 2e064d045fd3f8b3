import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBaton, createLocalSandboxProvider, createPolicy, createSingleModelRouter, isKnown } from '@baton-sdk/core'
import type { PolicyOptions } from '@baton-sdk/core/plugin'
import { scriptedModel } from '@baton-sdk/core/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCodingTools } from './coding-tools.ts'

let root: string
let work: string
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'baton-rules-')))
  work = await mkdtemp(join(root, 'work-'))
  await writeFile(join(work, 'a.txt'), 'one\n')
})
afterEach(() => rm(root, { recursive: true, force: true }))

type Call = readonly [tool: string, input: object]

/** What became of each call: `asked` where a person was, who said no. */
async function outcomes(
  rules: PolicyOptions['rules'],
  calls: readonly Call[],
  extra: Parameters<typeof createBaton>[0] = {},
): Promise<string[]> {
  const script = [...calls.map(([tool, input]) => ({ toolCalls: [{ tool, input }] })), { text: 'Done.' }]
  const baton = createBaton({
    router: createSingleModelRouter(scriptedModel(script)),
    sandboxes: [createLocalSandboxProvider({ root: join(root, 'sandboxes'), isolation: 'none' })],
    tools: createCodingTools(),
    policy: createPolicy({ rules }),
    ...extra,
  })
  const task = await baton.createTask({ goal: 'Work.', workspace: { path: work, inPlace: true } })
  const all: string[] = []
  for await (const event of task.start().events()) {
    if (!isKnown(event)) continue
    if (event.type === 'approval.requested') await task.reject(event.data.approvalId)
    if (event.type === 'tool.finished') all.push(event.data.outcome === 'rejected' ? 'asked' : event.data.outcome)
  }
  await task.close()
  await baton.close()
  return all
}

describe('createPolicy with the coding tools', { timeout: 30_000 }, () => {
  it('goes by the command that shell would run, and by the folder', async () => {
    const rules: PolicyOptions['rules'] = [
      { command: 'rm *', decision: 'deny', reason: 'Nothing is removed here.' },
      { command: ['cat *', 'cd sub'], decision: 'allow' },
    ]
    const calls: readonly Call[] = [
      ['shell', { command: 'cat a.txt' }],
      ['shell', { command: 'cat a.txt && cat a.txt 2>&1' }],
      ['shell', { command: 'cat a.txt > b.txt' }],
      ['shell', { command: 'cat a.txt', cwd: '.' }],
      ['shell', { command: 'cat a.txt', cwd: work }],
      ['shell', { command: 'cat a.txt', cwd: './' }],
      ['shell', { command: 'cat a.txt', cwd: 'other' }],
      ['shell', { command: 'cat a.txt', cwd: "sub' && x '" }],
      ['shell', { command: 'sudo rm a.txt' }],
      ['shell', { command: 'echo x' }],
    ]
    expect(await outcomes(rules, calls)).toEqual(['ok', 'ok', 'asked', 'ok', 'asked', 'ok', 'asked', 'asked', 'denied', 'asked'])
  })

  it('goes by the files that tools read and write, however they are spelled', async () => {
    const rules: PolicyOptions['rules'] = [
      { path: 'secrets/**', decision: 'deny' },
      { effect: 'write', path: ['notes/**', '*.txt'], decision: 'allow' },
      { effect: 'write', decision: 'ask' },
    ]
    const write = (path: string): Call => ['write', { path, content: 'x' }]
    const calls: readonly Call[] = [
      write('notes/a.md'),
      write('./notes/../notes/b.md'),
      write(join(work, 'notes', 'c.md')),
      write('src/a.ts'),
      write('notes/../src/a.ts'),
      write(`${work}/../outside.txt`),
      write('../outside.txt'),
      write('secrets/key'),
      ['read', { path: 'secrets/key' }],
      ['read', { path: './SECRETS//key' }],
      ['read', { path: join(work, 'secrets/key') }],
      ['read', { path: '/etc/passwd' }],
      ['read', { path: 'a.txt' }],
      ['list', {}],
      ['list', { path: 'notes' }],
      ['search', { pattern: 'x' }],
      ['search', { pattern: 'x', path: 'notes' }],
      ['edit', { path: 'a.txt', edits: [{ oldText: 'one', newText: '1' }] }],
    ]
    expect(await outcomes(rules, calls)).toEqual([
      ...['ok', 'ok', 'ok', 'asked', 'asked', 'denied', 'denied', 'denied'],
      ...['denied', 'denied', 'denied', 'denied', 'ok', 'denied', 'ok', 'denied', 'ok', 'ok'],
    ])
  })

  it('goes by the label of the task', async () => {
    const rules: PolicyOptions['rules'] = [
      { sensitivity: 'confidential', effect: 'write', decision: 'deny' },
      { sensitivity: 'internal', tool: 'shell', decision: 'allow' },
    ]
    const classifier = { classify: (content: string) => (content.includes('secret') ? ('restricted' as const) : ('internal' as const)) }
    const calls: readonly Call[] = [
      ['write', { path: 'b.txt', content: 'x' }],
      ['shell', { command: 'echo a secret' }],
      ['write', { path: 'c.txt', content: 'x' }],
    ]
    expect(await outcomes(rules, calls, { classifier })).toEqual(['ok', 'ok', 'denied'])
  })
})

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoggedEvent } from '@baton-sdk/core'
import { createBaton, createLocalSandboxProvider, createSingleModelRouter, defineTool, isKnown } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createCodingTools } from './coding-tools.ts'

let root: string
let work: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'baton-coding-tools-'))
  work = await mkdtemp(join(root, 'work-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const call = (tool: string, input: object) => ({ toolCalls: [{ tool, input }] })

/** Runs a task in the folder to its end, and returns its events. */
async function runTask(steps: Parameters<typeof scriptedModel>[0], extra: Parameters<typeof createBaton>[0] = {}): Promise<LoggedEvent[]> {
  const baton = createBaton({
    router: createSingleModelRouter(scriptedModel(steps)),
    sandboxes: [createLocalSandboxProvider({ root: join(root, 'sandboxes'), isolation: 'none' })],
    tools: createCodingTools(),
    ...extra,
  })
  const task = await baton.createTask({ goal: 'Work.', workspace: { path: work, inPlace: true }, autonomy: 'autonomous' })
  const run = task.start()
  const events: LoggedEvent[] = []
  for await (const event of run.events()) events.push(event)
  await task.close()
  await baton.close()
  return events
}

const results = (events: readonly LoggedEvent[]) =>
  events.filter(isKnown).flatMap((event) => (event.type === 'tool.finished' ? [event.data] : []))

describe('createCodingTools in a task', () => {
  it('refuses a stale edit within a task, and records the change that was made', async () => {
    await writeFile(join(work, 'a.txt'), 'one\ntwo\n')
    const edit = call('edit', { path: 'a.txt', edits: [{ oldText: 'one', newText: '1' }] })
    const events = await runTask([
      call('read', { path: 'a.txt' }),
      async () => {
        await writeFile(join(work, 'a.txt'), 'one\ntwo\nby hand\n')
        return edit
      },
      edit,
      { text: 'Done.' },
    ])
    expect(results(events).map(({ outcome }) => outcome)).toEqual(['ok', 'failed', 'ok'])
    expect(results(events)[1]?.output).toContain('+by hand')
    expect(await readFile(join(work, 'a.txt'), 'utf8')).toBe('1\ntwo\nby hand\n')
    const changes = events.filter(isKnown).flatMap((event) => (event.type === 'file.changed' ? [event] : []))
    expect(changes).toMatchObject([
      { actor: { id: 'unknown' }, data: { path: 'a.txt', change: 'modified', evidence: 'window', candidates: ['outside'] } },
      { actor: { kind: 'agent' }, data: { path: 'a.txt', change: 'modified', callId: results(events)[2]?.callId } },
    ])
  })

  it('shows a long output in part, says under which id all of it is kept, and reads it there', async () => {
    const lines = Array.from({ length: 20_000 }, (_, at) => `line ${at}`)
    await writeFile(join(work, 'long.txt'), lines.join('\n'))
    const events = await runTask([
      call('shell', { command: 'cat long.txt' }),
      ({ messages }) => {
        const shown = JSON.stringify(messages.at(-1))
        const callId = /kept under the call id \\+"([^"\\]+)\\+"/.exec(shown)?.[1] ?? 'none'
        return call('read_output', { callId, offset: 100_000 })
      },
      { text: 'Done.' },
    ])
    const [shell, whole] = results(events)
    expect(shell?.output).toMatch(/^line 0\n[\s\S]*bytes left out[\s\S]*line 19999\n\[exit code 0\]\n\[All of it is kept/)
    const text = whole?.output.slice(0, whole.output.lastIndexOf('\n[Bytes')) ?? ''
    expect(text.length).toBeGreaterThan(10_000)
    expect(`${lines.join('\n')}\n`.slice(100_000)).toContain(text)
  })

  it('lets go of what tools keep in memory when the task closes', async () => {
    const disposed: string[] = []
    const keep = defineTool({
      name: 'keep',
      description: 'Keeps something.',
      input: z.object({}),
      effect: 'read',
      run: async (_, { memory }) => {
        memory.set('kept', { [Symbol.dispose]: () => disposed.push('kept') }).set('plain', 'text')
        return 'kept'
      },
    })
    await runTask([call('keep', {}), { text: 'Done.' }], { tools: [keep] })
    expect(disposed).toEqual(['kept'])
  })
})

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { createMemoryBlobStore } from '../events/memory-blob-store.ts'
import { createMemoryEventStore } from '../events/memory-event-store.ts'
import { exec } from '../sandbox/exec.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, eventsOfType, linesOf, scriptedBaton } from '../testing/task-fixtures.ts'
import { defineTool } from '../tools/tool.ts'
import type { BatonOptions } from './baton.ts'

let host: string
beforeEach(() => {
  host = mkdtempSync(join(tmpdir(), 'baton-host-'))
})

/** A task whose agent runs these commands, one a run. */
async function commanded(commands: readonly string[], workspace: { inPlace?: boolean } = {}, options: BatonOptions = {}) {
  const shell = defineTool({
    name: 'shell',
    description: 'Runs.',
    input: z.object({ command: z.string() }),
    effect: 'execute',
    run: async ({ command }, context) => (await exec(await context.sandbox(), command, { signal: context.signal })).output,
  })
  const script = commands.flatMap((command) => [calling(['shell', { command }]), { text: 'Done.' }])
  const root = mkdtempSync(join(tmpdir(), 'baton-sandboxes-'))
  const sandboxes = [createLocalSandboxProvider({ isolation: 'none', root })]
  const { model, baton } = scriptedBaton(script, { tools: [shell], sandboxes, ...options })
  onTestFinished(async () => {
    await baton.close()
    for (const dir of [root, host]) rmSync(dir, { recursive: true, force: true })
  })
  const task = await baton.createTask({ goal: 'x', workspace: { path: host, ...workspace }, autonomy: 'autonomous' })
  return { model, baton, task, options: { tools: [shell], sandboxes } }
}

describe('a task’s workspace', () => {
  it('is copied into the sandbox, and its AGENTS.md reaches the prompt', async () => {
    writeFileSync(join(host, 'AGENTS.md'), 'Answer in verse.')
    writeFileSync(join(host, 'a.txt'), 'hello')
    const { model, task } = await commanded(['cat a.txt; pwd'])
    await task.start().result
    expect(linesOf(model.requests[0])[0]).toMatch(/own instructions \(AGENTS\.md\):\n\nAnswer in verse\.$/)
    expect(linesOf(model.requests[1]).at(-1)).toMatch(/^tool: hello/)
    expect(linesOf(model.requests[1]).at(-1)).not.toContain(host)
  })

  it('stays as it is until the work is applied, again and again', async () => {
    writeFileSync(join(host, 'a.txt'), '0')
    const { task } = await commanded(['echo 1 > a.txt; echo new > b.txt', 'echo 2 > a.txt; rm b.txt'])
    expect(await task.changes()).toEqual([])
    await task.start().result
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('0')
    const changes = [
      { path: 'a.txt', change: 'modified' },
      { path: 'b.txt', change: 'created' },
    ]
    expect(await task.changes()).toEqual(changes)
    expect(await task.as({ kind: 'human', id: 'alice' }).apply()).toEqual({ applied: changes, conflicts: [] })
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('1\n')
    expect(await eventsOfType(task, 'workspace.applied')).toMatchObject([{ actor: { id: 'alice' }, data: { changes } }])
    expect(await task.changes()).toEqual([])
    await task.start().result
    expect((await task.apply()).applied.map(({ change }) => change)).toEqual(['modified', 'deleted'])
    expect([readFileSync(join(host, 'a.txt'), 'utf8'), existsSync(join(host, 'b.txt'))]).toEqual(['2\n', false])
  })

  it('is not touched at all where one file in it was changed meanwhile', async () => {
    writeFileSync(join(host, 'a.txt'), '0')
    writeFileSync(join(host, 'b.txt'), '0')
    const { task } = await commanded(['echo 1 > a.txt; echo 1 > b.txt; echo 1 > c.txt'])
    await task.start().result
    writeFileSync(join(host, 'b.txt'), 'mine')
    writeFileSync(join(host, 'c.txt'), 'mine too')
    expect(await task.apply()).toEqual({ applied: [], conflicts: ['b.txt', 'c.txt'] })
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('0')
    expect(await eventsOfType(task, 'workspace.applied')).toEqual([])
  })

  it('takes a file where a folder was, and a folder where a file was', async () => {
    mkdirSync(join(host, 'folder'))
    writeFileSync(join(host, 'folder/x.txt'), 'x')
    writeFileSync(join(host, 'file'), 'f')
    const { task } = await commanded(['rm -r folder file; echo now a file > folder; mkdir -p file/deep; echo y > file/deep/y.txt'])
    await task.start().result
    expect((await task.apply()).conflicts).toEqual([])
    expect(readFileSync(join(host, 'folder'), 'utf8')).toBe('now a file\n')
    expect(readFileSync(join(host, 'file/deep/y.txt'), 'utf8')).toBe('y\n')
  })

  it('is not written where a person’s folder, or a link out of it, is in the way', async () => {
    mkdirSync(join(host, 'dir'))
    writeFileSync(join(host, 'dir/x.txt'), 'x')
    const { task } = await commanded(['rm dir/x.txt; echo 1 > thing'])
    await task.start().result
    const outside = mkdtempSync(join(tmpdir(), 'baton-outside-'))
    onTestFinished(() => rmSync(outside, { recursive: true, force: true }))
    writeFileSync(join(outside, 'x.txt'), 'x')
    rmSync(join(host, 'dir'), { recursive: true })
    symlinkSync(outside, join(host, 'dir'))
    mkdirSync(join(host, 'thing'))
    writeFileSync(join(host, 'thing/precious'), 'p')
    expect((await task.apply()).conflicts).toEqual(['dir/x.txt', 'thing'])
    expect([existsSync(join(outside, 'x.txt')), existsSync(join(host, 'thing/precious'))]).toEqual([true, true])
  })

  it('is worked on directly where that is asked for', async () => {
    writeFileSync(join(host, 'a.txt'), '0')
    const { task } = await commanded(['echo 1 > a.txt; pwd'], { inPlace: true })
    await task.start().result
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('1\n')
    for (const call of [task.changes(), task.apply()])
      await expect(call).rejects.toThrow(expect.objectContaining({ code: 'INVALID_STATE', message: expect.stringMatching(/directly/) }))
    await task.end()
    expect(existsSync(join(host, 'a.txt'))).toBe(true)
  })

  it('can be asked for its changes by any process, later', async () => {
    writeFileSync(join(host, 'a.txt'), '0')
    const shared = { store: createMemoryEventStore(), blobs: createMemoryBlobStore() }
    const { task, options } = await commanded(['echo 1 > a.txt'], {}, shared)
    await task.start().result
    const observer = await scriptedBaton([], { ...options, ...shared }).baton.openTask(task.id, { as: 'observer' })
    expect(await observer.changes()).toEqual([{ path: 'a.txt', change: 'modified' }])
    await observer.apply()
    expect(readFileSync(join(host, 'a.txt'), 'utf8')).toBe('1\n')
  })

  it.each([
    ['comes back as it was seen last', true, '1'],
    ['is copied anew where the ledger is another one', false, '0'],
  ])('%s, and the agent is told, when the sandbox was lost; that wakes nobody up', async (_, keepsLedger, content) => {
    writeFileSync(join(host, 'a.txt'), '0')
    const ledger = { dir: join(host, '..', `${basename(host)}-ledger`) }
    onTestFinished(() => rmSync(ledger.dir, { recursive: true, force: true }))
    const shared = { store: createMemoryEventStore(), blobs: createMemoryBlobStore() }
    const { task, options } = await commanded(['echo 1 > a.txt'], {}, { ...shared, ledger })
    await task.start().result
    await task.close()
    for await (const { id } of options.sandboxes[0]!.list()) await (await options.sandboxes[0]!.attach(id)).close()
    const script = [calling(['shell', { command: 'cat a.txt' }]), { text: 'Done.' }]
    const { model, baton } = scriptedBaton(script, { ...options, ...shared, ...(keepsLedger && { ledger }) })
    const again = await baton.openTask(task.id)
    expect(await again.changes()).toEqual(keepsLedger ? [{ path: 'a.txt', change: 'modified' }] : [])
    expect(again.summary.status).toBe('idle')
    expect(await eventsOfType(again, 'sandbox.lost')).toHaveLength(1)
    expect((await again.start().result).outcome).toBe('done')
    expect(linesOf(model.requests[0]).some((line) => /^user: The sandbox of this task was lost/.test(line))).toBe(true)
    expect(linesOf(model.requests[1]).at(-1)?.trim()).toBe(`tool: ${content}`)
    const warnings = (await eventsOfType(again, 'warning.raised')).map(({ data }) => data.code)
    expect(warnings.filter((code) => code !== 'no-isolation')).toEqual(keepsLedger ? [] : ['ledger-lost'])
    await again.end()
  })
})

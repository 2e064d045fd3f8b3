import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { createModelAgent } from '../agents/model-agent.ts'
import type { Classifier } from '../models/sensitivity.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { calling, eventsOf, happens, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'
import { defineTool } from '../tools/tool.ts'

/** Finds secrets; and whatever comes from a file of keys is one. */
const classifier: Classifier = {
  classify: (content, sources) =>
    content.includes('SECRET') || sources.some((source) => source.startsWith('file:keys/')) ? 'restricted' : 'public',
}
const sandboxes = [createLocalSandboxProvider({ isolation: 'none' })]
const cloud = { info: { location: 'public' } } as const

describe('the label of a task', () => {
  it('keeps content from a model that is not cleared for it, which is never asked again', async () => {
    const look = { ...instantTool('look'), run: async () => 'the SECRET' }
    const { model, baton } = scriptedBaton([calling(['look'])], { classifier, tools: [look], model: cloud })
    const task = await baton.createTask({ goal: 'x' })
    const { outcome, error } = await task.start().result
    expect([outcome, error?.code]).toEqual(['failed', 'NO_ELIGIBLE_MODEL'])
    expect(error?.message).toMatch(/not-cleared.*restricted/)
    expect(model.requests).toHaveLength(1)
    expect(task.summary.sensitivity).toBe('restricted')
  })

  it('only rises', async () => {
    const { baton } = scriptedBaton(() => ({ text: 'Done.' }), { classifier })
    const task = await baton.createTask({ goal: 'x', sensitivity: 'confidential' })
    await task.send('nothing special')
    await task.start().result
    expect(task.summary.sensitivity).toBe('confidential')
    await task.send('a SECRET')
    await task.send('nothing special')
    expect(task.summary.sensitivity).toBe('restricted')
    const called = (await eventsOf(task)).filter(({ type }) => type === 'model.called')
    expect(called).toMatchObject([{ data: { sensitivity: 'confidential' } }])
  })

  it('covers the goal, and what the workspace tells the agent', async () => {
    const { baton } = scriptedBaton([], { classifier })
    expect((await baton.createTask({ goal: 'Use the SECRET.' })).summary.sensitivity).toBe('restricted')
    const path = mkdtempSync(join(tmpdir(), 'baton-label-'))
    onTestFinished(() => rmSync(path, { recursive: true }))
    writeFileSync(join(path, 'AGENTS.md'), 'The SECRET is 42.')
    expect((await baton.createTask({ goal: 'x', workspace: { path } })).summary.sensitivity).toBe('restricted')
  })

  it('covers where a result came from, known after the tool ran, and what a failed tool said', async () => {
    const search = defineTool({
      name: 'search',
      description: 'x',
      input: z.object({}),
      effect: 'read',
      sources: (_input, output) => (output as { files: string[] }).files.map((file) => `file:${file}`),
      run: async () => ({ files: ['keys/a.pem'] }),
    })
    const first = scriptedBaton([calling(['search']), { text: 'Done.' }], { classifier, tools: [search] }).baton
    const task = await first.createTask({ goal: 'x' })
    await task.start().result
    expect(task.summary.sensitivity).toBe('restricted')

    const fails = { ...instantTool('look'), run: () => Promise.reject(new Error('no SECRET here')) }
    const second = scriptedBaton([calling(['look']), { text: 'Done.' }], { classifier, tools: [fails] }).baton
    const other = await second.createTask({ goal: 'x' })
    await other.start().result
    expect(other.summary.sensitivity).toBe('restricted')
  })

  it('covers what checks print, and the words that a person rejects a call with', async () => {
    const checked = scriptedBaton([{ text: 'Done.' }], { classifier, sandboxes, model: cloud })
    const task = await checked.baton.createTask({ goal: 'x', checks: ['echo the SECRE""T; false'] })
    expect((await task.start().result).error?.code).toBe('NO_ELIGIBLE_MODEL')
    expect(checked.model.requests).toHaveLength(1)
    await checked.baton.close()

    const { baton } = scriptedBaton([calling(['deploy']), { text: 'Done.' }], { classifier, tools: [instantTool('deploy', 'external')] })
    const asked = await baton.createTask({ goal: 'x' })
    const run = asked.start()
    await asked.reject((await happens(asked, 'approval.requested')).data.approvalId, { feedback: 'It would leak the SECRET.' })
    await run.result
    expect(asked.summary.sensitivity).toBe('restricted')
  })

  it('goes with the summary of a compaction', async () => {
    const agents = [createModelAgent({ compaction: { at: 0.3, keep: 0.05 } })]
    const look = { ...instantTool('look'), run: async () => `SECRET ${'word '.repeat(400)}` }
    const { model, baton } = scriptedBaton(
      ({ messages: [system] }, call) => {
        if (system?.role === 'system' && system.text.startsWith('Sum up')) return { text: 'Nothing special.' }
        return call < 8 ? calling(['look', { id: `${call}` }]) : { text: 'Done.' }
      },
      { classifier, tools: [look], agents, model: { info: { contextWindow: 8_000 } } },
    )
    const task = await baton.createTask({ goal: 'x' })
    expect((await task.start().result).outcome).toBe('done')
    const events = await eventsOf(task)
    expect(events.find(({ type }) => type === 'context.compacted')).toMatchObject({ data: { sensitivity: 'restricted' } })
    const last = events.findLast(({ type }) => type === 'model.called')
    expect(last).toMatchObject({ data: { sensitivity: 'restricted' } })
    expect(model.requests.length).toBeGreaterThan(8)
  })
})

describe('a classifier that fails', () => {
  it('keeps content from being stored unlabelled: a task is not made, a message is refused, a result is withheld', async () => {
    let broken = true
    const failing: Classifier = {
      classify(content) {
        if (broken) throw new Error('no model for that')
        return content.includes('SECRET') ? 'restricted' : 'public'
      },
    }
    const look = { ...instantTool('look'), run: async () => ({ text: 'the SECRET', data: { found: 'the SECRET' } }) }
    const { baton, model } = scriptedBaton([calling(['look']), { text: 'Done.' }], { classifier: failing, tools: [look] })
    await expect(baton.createTask({ goal: 'x' })).rejects.toThrow('no model for that')
    broken = false
    const task = await baton.createTask({ goal: 'x' })
    broken = true
    await expect(task.send('x')).rejects.toThrow('no model for that')
    expect((await task.start().result).outcome).toBe('done')
    expect(JSON.stringify([await eventsOf(task), model.requests])).not.toContain('SECRET')
    expect((await eventsOf(task)).find(({ type }) => type === 'tool.finished')).toMatchObject({
      data: { error: { code: 'CLASSIFIER_FAILED' } },
    })
  })
})

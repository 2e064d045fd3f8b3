import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { BatonError } from '../errors.ts'
import { createFileBlobStore } from '../events/file-blob-store.ts'
import { createFileEventStore } from '../events/file-event-store.ts'
import type { CompletionRequest, Model, ModelRequest } from '../models/model.ts'
import type { Router } from '../models/router.ts'
import type { Classifier } from '../models/sensitivity.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { writeTool } from '../testing/collaboration-fixtures.ts'
import type { Script, ScriptedStep } from '../testing/script.ts'
import type { ScriptedModelOptions } from '../testing/scripted-model.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import { calling, eventsOf, eventsOfType, happens, linesOf, probeTool, scriptedBaton } from '../testing/task-fixtures.ts'
import { createPolicy } from '../tools/policy.ts'
import type { BatonOptions } from './baton.ts'
import { createBaton } from './baton.ts'

const alice = { kind: 'human', id: 'alice' } as const
const bob = { kind: 'human', id: 'bob' } as const
const here = { path: 'src/a.ts', prefix: 'const a = ', suffix: '\n' }
const policy = createPolicy({ rules: [{ effect: ['write', 'execute'], decision: 'allow' }] })

/** Finds secrets; and whatever comes from a file of keys is one. */
const classifier: Classifier = {
  classify: (content, sources) =>
    content.includes('SECRET') || sources.some((source) => source.startsWith('file:keys/')) ? 'restricted' : 'public',
}

/** A scripted model that fills in the middle: what it is asked for that way is in `completions`, and its script sees it as a message. */
function fimModel(script: Script<ScriptedStep, ModelRequest>, options: ScriptedModelOptions = {}) {
  const model = scriptedModel(script, options)
  const completions: CompletionRequest[] = []
  return {
    ...model,
    completions,
    complete(request: CompletionRequest, call: Parameters<Model['generate']>[1]) {
      completions.push(request)
      return model.generate({ messages: [{ role: 'system', text: 'fill in the middle' }] }, call)
    },
  }
}

function folder(files: Readonly<Record<string, string>>): string {
  const path = mkdtempSync(join(tmpdir(), 'baton-suggest-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text)
  return path
}

function batonOf(model: Model, options: Partial<BatonOptions> = {}) {
  const baton = createBaton({
    router: createSingleModelRouter(model),
    sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    ...options,
  })
  onTestFinished(() => baton.close())
  return baton
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'resolved',
    (error: unknown) => (BatonError.isInstance(error) ? error.code : String(error)),
  )
}

describe('Task.complete', () => {
  it('asks a model that fills in the middle for just that, without a run', async () => {
    const model = fimModel([{ text: '1 + 1', usage: { inputTokens: 20, outputTokens: 5 } }], {
      info: { price: { input: 100, output: 1_000 } },
    })
    const task = (await batonOf(model).createTask({ goal: 'x' })).as(alice)
    const suggestion = await task.complete(here)
    expect(suggestion).toEqual({ suggestionId: expect.any(String), path: 'src/a.ts', text: '1 + 1', model: 'scripted/model' })
    expect(model.completions).toEqual([{ prefix: 'const a = ', suffix: '\n', maxOutputTokens: 256 }])
    expect(task.summary).toMatchObject({ status: 'idle', spent: { costUsd: 0.007, steps: 0, inputTokens: 20, outputTokens: 5 } })
    const events = (await eventsOf(task)).filter(({ type }) => /^(model|suggestion)/.test(type))
    const modelCallId = suggestion?.suggestionId
    expect(events).toMatchObject([
      { type: 'model.called', actor: alice, data: { modelCallId, role: 'complete', prompt: 'own', upTo: 0 } },
      { type: 'model.finished', actor: alice, cause: events[0]?.id, data: { modelCallId, role: 'complete', costUsd: 0.007 } },
      { type: 'suggestion.made', actor: { kind: 'system' }, data: { suggestionId: modelCallId, kind: 'completion', text: '1 + 1' } },
    ])
    expect(events.every(({ epoch }) => epoch === undefined)).toBe(true)
  })

  it('asks a chat model for the missing text alone', async () => {
    const { baton, model } = scriptedBaton([{ text: '```ts\nconst a = 1 + 1\n```' }, { text: '  ' }, { refusal: 'I would rather not.' }])
    const task = await baton.createTask({ goal: 'x' })
    expect((await task.complete(here))?.text).toBe('1 + 1')
    expect(linesOf(model.requests[0])[1]).toBe(
      'user: File: src/a.ts\n\n<before_cursor>const a = </before_cursor>\n<after_cursor>\n</after_cursor>',
    )
    expect(await task.complete(here)).toBeUndefined()
    expect(await task.complete(here)).toBeUndefined()
    expect(await eventsOfType(task, 'suggestion.made')).toHaveLength(1)
  })

  it('is no part of what the agent does: its prompt, its steps, what its run spent, and what waits for it', async () => {
    const probe = probeTool('wait', 'read')
    const script = (request: ModelRequest): ScriptedStep => {
      if (linesOf(request)[0]?.startsWith('system: You complete')) return { text: '42', finishReason: 'length' }
      return request.messages.some(({ role }) => role === 'tool') ? { text: 'Done.' } : calling(['wait'])
    }
    const { baton, model } = scriptedBaton(script, { tools: [probe.tool], model: { info: { price: { input: 1, output: 1 } } } })
    const task = await baton.createTask({ goal: 'x', limits: { steps: 2 } })
    const run = task.start()
    await probe.called(1)
    for (let count = 0; count < 8; count++) expect((await task.as(alice).complete(here))?.text).toBe('42')
    probe.calls[0]?.finish('waited')
    const { outcome, spent } = await run.result
    expect([outcome, spent.steps]).toEqual(['done', 2])
    expect(task.summary.spent.steps).toBe(2)
    expect(task.summary.spent.inputTokens).toBeGreaterThan(spent.inputTokens)
    const agents = model.requests.filter((request) => !linesOf(request)[0]?.startsWith('system: You complete'))
    expect(agents.map((request) => linesOf(request).slice(1))).toEqual([['user: x'], ['user: x', 'assistant: ', 'tool: waited']])
    const called = await eventsOfType(task, 'model.called')
    expect(called.filter(({ actor }) => actor.kind === 'agent').map(({ data }) => data.modelCallId)).toEqual(['m1', 'm2'])
    expect((await task.as(bob).briefing({ since: 0 })).messages.map(({ text }) => text)).toEqual(['Done.'])
    await task.start().result
    expect(task.summary.status).toBe('idle')
  })

  it('works while somebody has control, and is a sign of life', async () => {
    const { baton } = scriptedBaton(() => ({ text: '42' }))
    const task = (await baton.createTask({ goal: 'x' })).as(alice)
    const desk = await task.takeControl()
    expect((await task.complete(here))?.text).toBe('42')
    expect((await task.as(bob).complete(here))?.text).toBe('42')
    await desk.returnControl()
  })

  it('shows what was changed lately, in the same file first, whoever changed it', async () => {
    const model = fimModel([
      calling(['write', { path: 'src/z.ts', text: 'let z = 1\n' }]),
      calling(['write', { path: 'src/a.ts', text: 'let a = 1\n' }]),
      calling(['write', { path: 'other/b.ts', text: 'let b = 1\n' }]),
      { text: 'Done.' },
      { text: '1' },
      { text: '1' },
    ])
    const task = await batonOf(model, { tools: [writeTool], policy }).createTask({ goal: 'x' })
    await task.start().result
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('src/y.ts', 'let y = 2\n')
    await task.as(alice).complete(here)
    const [first] = model.completions
    expect(first?.prefix.match(/^\/\/ (Changed lately in|File:) .*$/gm)).toEqual([
      '// Changed lately in other/b.ts:',
      '// Changed lately in src/z.ts:',
      '// Changed lately in src/y.ts:',
      '// Changed lately in src/a.ts:',
      '// File: src/a.ts',
    ])
    expect(first?.prefix.endsWith('\nconst a = ')).toBe(true)
    await task.as(alice).complete(here)
    expect(model.completions[1]).toEqual(first)
    await desk.returnControl()
  })

  it('never sends what a model is not cleared for, whatever the router says', async () => {
    const cloud = fimModel(() => ({ text: '42' }), { info: { location: 'public' } })
    const leaky: Router = {
      models: [cloud],
      route: async () => ({ attempts: [{ model: cloud }], considered: [{ model: cloud.id, rank: 1, reason: 'leaky' }] }),
    }
    const baton = batonOf(cloud, { router: leaky, classifier, tools: [writeTool], policy })
    const task = await baton.createTask({ goal: 'x', sensitivity: 'public' })
    const refused = [
      { ...here, path: 'keys/a.ts' },
      { ...here, prefix: 'const a = SECRET' },
      { ...here, suffix: 'SECRET' },
    ]
    for (const request of refused) expect(await codeOf(task.complete(request))).toBe('NO_ELIGIBLE_MODEL')
    const range = { start: 1, end: 1 }
    const edits = [
      { path: 'keys/a.ts', content: 'a\n', range, instruction: 'x' },
      { path: 'a.ts', content: 'a\nSECRET\n', range, instruction: 'x' },
      { path: 'a.ts', content: 'a\n', range, instruction: 'SECRET' },
    ]
    for (const request of edits) expect(await codeOf(task.suggestEdit(request))).toBe('NO_ELIGIBLE_MODEL')
    expect(cloud.requests).toHaveLength(0)
    const failed = await eventsOfType(task, 'model.failed')
    expect(failed.map(({ data }) => data.error.code)).toEqual(Array.from({ length: 6 }, () => 'NOT_CLEARED'))
    expect((await eventsOfType(task, 'model.called')).map(({ data }) => data.sensitivity)).toEqual(
      Array.from({ length: 6 }, () => 'restricted'),
    )
    // Nothing of it came into the conversation.
    expect(task.summary.sensitivity).toBe('public')
    expect((await task.complete(here))?.text).toBe('42')

    // What others changed goes with it, so its label does too.
    const desk = await task.as(alice).takeControl()
    await desk.writeFile('src/b.ts', 'the SECRET\n')
    expect(await codeOf(task.complete(here))).toBe('NO_ELIGIBLE_MODEL')
    await desk.returnControl()
    expect(cloud.requests).toHaveLength(1)
  })

  it('labels changes that came into the log without a label', async () => {
    const secret = { path: 'keys/b.ts', text: 'let b = 1\n' }
    const local = scriptedModel([calling(['write', secret]), { text: 'Done.' }], { id: 'local' })
    const cloud = fimModel(() => ({ text: '42' }), { id: 'cloud', info: { location: 'public' } })
    const router: Router = {
      models: [local, cloud],
      route: async ({ role }) => ({ attempts: [{ model: role === 'complete' ? cloud : local }], considered: [] }),
    }
    const task = await batonOf(cloud, { router, classifier, tools: [writeTool], policy }).createTask({ goal: 'x' })
    await task.start().result
    expect(await codeOf(task.complete(here))).toBe('NO_ELIGIBLE_MODEL')
    expect(cloud.requests).toHaveLength(0)
  })

  it('keeps to the limits of the task and to the budgets of the Baton', async () => {
    const usage = { inputTokens: 600, outputTokens: 400 }
    const script = () => ({ text: '42', usage })
    const model = { info: { price: { input: 1_000, output: 1_000 } } }
    const { baton, model: asked } = scriptedBaton(script, { model, budgets: { perDayUsd: 3 } })
    const cheap = await baton.createTask({ goal: 'x', limits: { costUsd: 1 } })
    expect((await cheap.complete(here))?.text).toBe('42')
    expect(await codeOf(cheap.complete(here))).toBe('LIMIT_REACHED')
    const short = await baton.createTask({ goal: 'x', limits: { tokens: 1_000 } })
    await short.complete(here)
    expect(await codeOf(short.complete(here))).toBe('LIMIT_REACHED')
    const free = await baton.createTask({ goal: 'x' })
    await free.complete(here)
    const error = await free.complete(here).catch((reason: unknown) => reason)
    expect(BatonError.isInstance(error, 'LIMIT_REACHED') && error.details).toMatchObject({ limit: 'costUsd', scope: 'day' })
    expect(asked.requests).toHaveLength(3)
    expect((await free.start().result).outcome).toBe('limit')
  })

  it('is given up at once when the signal aborts, and that is written down', async () => {
    const model = fimModel([{ text: 'never', stallAfter: 0 }, { text: '42' }])
    const task = await batonOf(model).createTask({ goal: 'x' })
    const stop = new AbortController()
    const asked = task.complete(here, { signal: stop.signal })
    await happens(task, 'model.called')
    stop.abort()
    expect(await codeOf(asked)).toBe('ABORTED')
    expect(await model.ended(1)).toBe('gone')
    expect((await happens(task, 'model.failed')).data).toMatchObject({ error: { code: 'ABORTED' }, final: true })
    expect(await codeOf(task.complete(here, { signal: AbortSignal.abort() }))).toBe('ABORTED')
    expect((await task.complete(here))?.text).toBe('42')
    expect(model.requests).toHaveLength(2)
  })

  it('takes the place of an older one of the same person for the same path, and of no other', async () => {
    let release = (): void => {}
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    const model = fimModel(async (_, call) => {
      if (call < 4) await released
      return { text: `${call}` }
    })
    const task = await batonOf(model).createTask({ goal: 'x' })
    const old = task.as(alice).complete(here)
    const gone = codeOf(old)
    const others = [task.as(bob).complete(here), task.as(alice).complete({ ...here, path: 'src/b.ts' })]
    for await (const { type } of task.events()) if (type === 'model.called' && model.completions.length === 3) break
    const newer = await task.as(alice).complete({ ...here, path: './src/a.ts' })
    expect(newer?.text).toBe('4')
    expect(await gone).toBe('ABORTED')
    release()
    expect((await Promise.all(others)).map((suggestion) => suggestion?.text).sort()).toEqual(['2', '3'])
  })

  it('is written by an observer too, whose spend counts for the driver', async () => {
    const dir = folder({})
    const open = () =>
      batonOf(
        fimModel(() => ({ text: '42', usage: { inputTokens: 10, outputTokens: 10 } })),
        { store: createFileEventStore({ dir }), blobs: createFileBlobStore({ dir: join(dir, 'blobs') }) },
      )
    const driver = await open().createTask({ goal: 'x', limits: { tokens: 40 } })
    const watched = await open().openTask(driver.id, { as: 'observer' })
    const suggestion = await watched.as(alice).complete(here)
    await driver.decideSuggestion(suggestion?.suggestionId ?? '', 'accepted')
    expect((await eventsOfType(driver, 'suggestion.decided'))[0]?.data).toMatchObject({ decision: 'accepted' })
    await watched.as(alice).complete(here)
    await expect(watched.decideSuggestion(suggestion?.suggestionId ?? '', 'rejected')).rejects.toThrow('was decided on already')
    await driver.send('read on')
    expect(await codeOf(driver.complete(here))).toBe('LIMIT_REACHED')
    const wanted = watched.suggestEdit({ path: 'a.txt', range: { start: 1, end: 1 }, instruction: 'x' })
    await expect(wanted).rejects.toThrow(/has no sandbox to read "a.txt" from/)
  })

  it('is over when the task is closed here, with what it came to written down', async () => {
    const dir = folder({})
    const store = () => createFileEventStore({ dir })
    const model = fimModel([{ text: 'never', stallAfter: 0 }])
    const task = await batonOf(model, { store: store() }).createTask({ goal: 'x' })
    const asked = codeOf(task.complete(here))
    await happens(task, 'model.called')
    await task.close()
    expect(await asked).toBe('CLOSED')
    const again = await batonOf(model, { store: store() }).openTask(task.id, { as: 'observer' })
    expect((await eventsOf(again)).map(({ type }) => type)).toContain('model.failed')
  })

  it('is for people, and refuses what makes no sense', async () => {
    const { baton } = scriptedBaton([])
    const task = await baton.createTask({ goal: 'x' })
    await expect(task.as({ kind: 'agent', id: 'bot' }).complete(here)).rejects.toThrow(/agent:bot is no person/)
    expect(await codeOf(task.complete({ ...here, path: '' }))).toBe('INVALID_OPTIONS')
    expect(await codeOf(task.complete({ ...here, maxOutputTokens: 0 }))).toBe('INVALID_OPTIONS')
    await task.end()
    expect(await codeOf(task.complete(here))).toMatch(/CLOSED|INVALID_STATE/)
  })
})

describe('Task.suggestEdit', () => {
  const text = 'one\ntwo\nthree\n'

  it('returns other words for lines of the file in the sandbox, and writes nothing', async () => {
    const workspace = { path: folder({ 'a.txt': text }) }
    const { baton, model } = scriptedBaton([{ text: 'Here you go:\n```\nTWO\n2\n```' }], {
      sandboxes: [createLocalSandboxProvider({ isolation: 'none' })],
    })
    onTestFinished(() => baton.close())
    const task = await baton.createTask({ goal: 'x', workspace })
    const edit = await task.suggestEdit({ path: 'a.txt', range: { start: 2, end: 2 }, instruction: 'Shout.' })
    expect(edit).toEqual({
      suggestionId: expect.any(String),
      path: 'a.txt',
      text: 'TWO\n2\n',
      model: 'scripted/model',
      range: { start: 2, end: 2 },
      diff: '@@ -1,3 +1,4 @@\n one\n-two\n+TWO\n+2\n three\n',
    })
    expect(linesOf(model.requests[0])[1]).toBe(
      'user: File: a.txt\n\n<before>one\n</before>\n<lines>two\n</lines>\n<after>three\n</after>\n\nWhat to do with the lines: Shout.',
    )
    const { workdir } = (await happens(task, 'sandbox.started')).data
    expect(readFileSync(join(workdir, 'a.txt'), 'utf8')).toBe(text)
    expect((await eventsOfType(task, 'suggestion.made'))[0]?.data).toMatchObject({
      kind: 'edit',
      range: { start: 2, end: 2 },
      instruction: 'Shout.',
    })
    expect((await eventsOfType(task, 'model.called'))[0]?.data.role).toBe('edit')
  })

  it.each([
    ['lines put in', { start: 2, end: 1 }, 'new', 'one\nnew\ntwo\nthree\n'],
    ['lines put in at the end', { start: 4, end: 3 }, 'new', 'one\ntwo\nthree\nnew\n'],
    ['all lines', { start: 1, end: 3 }, 'new\n', 'new\n'],
    ['lines taken away', { start: 1, end: 2 }, '', 'three\n'],
  ])('can tell of %s in an unsaved buffer', async (_, range, reply, expected) => {
    const { baton } = scriptedBaton([{ text: reply }])
    const task = await baton.createTask({ goal: 'x' })
    const edit = await task.suggestEdit({ path: 'a.txt', content: text, range, instruction: 'x' })
    const all = text.match(/.*\n/g) ?? []
    expect([...all.slice(0, range.start - 1), edit?.text, ...all.slice(range.end)].join('')).toBe(expected)
    expect(task.summary.status).toBe('idle')
  })

  it('tells what is no edit: none, a refusal, a reply that was cut off', async () => {
    const { baton } = scriptedBaton([{ text: 'two' }, { refusal: 'No.' }, { text: 'tw', finishReason: 'length' }])
    const task = await baton.createTask({ goal: 'x' })
    const request = { path: 'a.txt', content: text, range: { start: 2, end: 2 }, instruction: 'x' }
    expect(await task.suggestEdit(request)).toBeUndefined()
    await expect(task.suggestEdit(request)).rejects.toThrow('scripted/model declined to edit: No.')
    await expect(task.suggestEdit(request)).rejects.toThrow(/was cut off at the output limit/)
    expect(await eventsOfType(task, 'suggestion.made')).toEqual([])
    expect(await eventsOfType(task, 'model.finished')).toHaveLength(3)
  })

  it('names the lines that there are', async () => {
    const { baton } = scriptedBaton([])
    const task = await baton.createTask({ goal: 'x' })
    const ask = (start: number, end: number) => task.suggestEdit({ path: 'a.txt', content: text, range: { start, end }, instruction: 'x' })
    await expect(ask(3, 4)).rejects.toThrow('range: the text has 3 lines, and 3 to 4 are not in it')
    await expect(ask(5, 4)).rejects.toThrow('range: the text has 3 lines')
    await expect(ask(3, 1)).rejects.toThrow('range: expected an end that is not before the start')
  })
})

describe('Task.decideSuggestion', () => {
  it('writes down what the person did, once', async () => {
    const { baton } = scriptedBaton(() => ({ text: '42' }))
    const task = (await baton.createTask({ goal: 'x' })).as(alice)
    const ids: string[] = []
    for (let count = 0; count < 3; count++) ids.push((await task.complete(here))?.suggestionId ?? '')
    await task.decideSuggestion(ids[0] ?? '', 'accepted')
    await task.decideSuggestion(ids[1] ?? '', { edited: '43' })
    await task.decideSuggestion(ids[2] ?? '', 'rejected')
    expect((await eventsOfType(task, 'suggestion.decided')).map(({ data, actor }) => [actor, data])).toEqual([
      [alice, { suggestionId: ids[0], decision: 'accepted' }],
      [alice, { suggestionId: ids[1], decision: 'edited', text: '43' }],
      [alice, { suggestionId: ids[2], decision: 'rejected' }],
    ])
    expect(await codeOf(task.decideSuggestion(ids[0] ?? '', 'rejected'))).toBe('UNKNOWN_REQUEST')
    expect(await codeOf(task.decideSuggestion('s-none', 'rejected'))).toBe('UNKNOWN_REQUEST')
    expect(await codeOf(task.decideSuggestion(ids[0] ?? '', 'perhaps' as 'rejected'))).toBe('INVALID_OPTIONS')
  })

  it('knows the latest 200, also after the task was opened again', async () => {
    const dir = folder({})
    const open = () =>
      batonOf(
        fimModel(() => ({ text: '42' })),
        { store: createFileEventStore({ dir }) },
      )
    const baton = open()
    const task = await baton.createTask({ goal: 'x' })
    const ids: string[] = []
    for (let count = 0; count < 201; count++) ids.push((await task.complete({ ...here, path: `${count}.ts` }))?.suggestionId ?? '')
    await baton.close()
    const again = await open().openTask(task.id)
    expect(await codeOf(again.decideSuggestion(ids[0] ?? '', 'accepted'))).toBe('UNKNOWN_REQUEST')
    await again.decideSuggestion(ids[1] ?? '', 'accepted')
  })

  it('takes one decision where two are made at the same moment', async () => {
    const { baton } = scriptedBaton(() => ({ text: '42' }))
    const task = await baton.createTask({ goal: 'x' })
    const id = (await task.complete(here))?.suggestionId ?? ''
    const both = [codeOf(task.as(alice).decideSuggestion(id, 'accepted')), codeOf(task.as(bob).decideSuggestion(id, 'rejected'))]
    expect((await Promise.all(both)).sort()).toEqual(['UNKNOWN_REQUEST', 'resolved'])
  })
})

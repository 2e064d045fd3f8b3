import { describe, expect, it } from 'vitest'
import type { Agent } from '../agents/agent.ts'
import type { Classification, Classifier } from '../models/sensitivity.ts'
import { createSingleModelRouter } from '../models/single-model-router.ts'
import { scriptedModel } from '../testing/scripted-model.ts'
import { calling, eventsOfType, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'
import { createBaton } from './baton.ts'

/** Calls a number with more than three digits a secret. */
const classifier: Classifier = {
  classify(content) {
    const findings = [...content.matchAll(/\d{4,}/g)].map(({ index, 0: found }) => ({
      kind: 'pin',
      offset: index,
      length: found.length,
      value: found,
    }))
    return findings.length > 0 ? { label: 'confidential', findings } : 'public'
  },
}

describe('a classifier', () => {
  it('raises the label of the task, and what it found is kept with the content, without the value', async () => {
    const look = instantTool('look')
    const { baton } = scriptedBaton([calling(['look', { id: '48613.' }]), { text: 'Done.' }], { classifier, tools: [look] })
    const task = await baton.createTask({ goal: 'x' })
    await task.start().result
    const [finished] = await eventsOfType(task, 'tool.finished')
    expect(finished?.data).toMatchObject({ sensitivity: 'confidential', findings: [{ kind: 'pin', offset: 5, length: 5 }] })
    expect(JSON.stringify(finished?.data.findings)).not.toContain('48613')
    expect(task.summary.sensitivity).toBe('confidential')
  })

  it('labels what people say', async () => {
    const { baton } = scriptedBaton([{ text: 'Thanks.' }], { classifier })
    const task = await baton.createTask({ goal: 'x' })
    await task.send('It is 1234, and not 123.')
    const [sent] = await eventsOfType(task, 'message.sent')
    expect(sent?.data).toMatchObject({ sensitivity: 'confidential', findings: [{ kind: 'pin', offset: 6, length: 4 }] })
  })

  it('labels what people answer, before an agent of any kind can send it to a model', async () => {
    const asker: Agent = {
      name: 'asker',
      async run(context) {
        const answer = await context.ask('Which pin?', { key: 'pin' })
        const { text } = await context.model({ messages: [{ role: 'user', parts: [{ type: 'text', text: answer }] }] })
        return { text }
      },
    }
    const cloud = scriptedModel([{ text: 'Thanks.' }], { id: 'cloud', info: { location: 'public' } })
    const baton = createBaton({ router: createSingleModelRouter(cloud), classifier, agents: [asker] })
    const task = await baton.createTask({ goal: 'x' })
    task.on('question.asked', ({ data }) => void task.answer(data.questionId, 'It is 1234.'))
    expect(await task.start().result).toMatchObject({ outcome: 'failed', error: { code: 'NO_ELIGIBLE_MODEL' } })
    expect(cloud.requests).toEqual([])
    const [answered] = await eventsOfType(task, 'question.answered')
    expect(answered?.data).toMatchObject({ sensitivity: 'confidential', findings: [{ kind: 'pin', offset: 6, length: 4 }] })
    expect(task.summary.sensitivity).toBe('confidential')
    await baton.close()
  })

  it('may return a label alone, and then no findings are kept', async () => {
    const { baton } = scriptedBaton([{ text: 'Thanks.' }], { classifier: { classify: () => 'restricted' } })
    const task = await baton.createTask({ goal: 'x' })
    await task.send('Hello.')
    const [sent] = await eventsOfType(task, 'message.sent')
    expect(sent?.data).toEqual({ text: 'Hello.', sensitivity: 'restricted' })
  })

  it('is not believed when it says something that is no label: a message is refused, and a result withheld', async () => {
    let label = 'public'
    const odd: Classifier = { classify: () => label as Classification['label'] }
    const look = instantTool('look')
    const { baton } = scriptedBaton([calling(['look', { id: '48613.' }]), { text: 'Done.' }], { classifier: odd, tools: [look] })
    const task = await baton.createTask({ goal: 'x' })
    label = 'top-secret'
    await expect(task.send('Hello.')).rejects.toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining('"top-secret"') })
    await task.start().result
    const [finished] = await eventsOfType(task, 'tool.finished')
    expect(finished?.data).toMatchObject({ outcome: 'failed', error: { code: 'CLASSIFIER_FAILED' } })
    expect(JSON.stringify(finished?.data)).not.toContain('48613')
  })

  it('keeps the first hundred findings', async () => {
    const { baton } = scriptedBaton([{ text: 'Thanks.' }], { classifier })
    const task = await baton.createTask({ goal: 'x' })
    await task.send('1234 '.repeat(500))
    const [sent] = await eventsOfType(task, 'message.sent')
    expect(sent?.data.findings).toHaveLength(100)
  })
})

import { describe, expect, it } from 'vitest'
import type { Classification, Classifier } from '../models/sensitivity.ts'
import { calling, eventsOfType, instantTool, scriptedBaton } from '../testing/task-fixtures.ts'

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

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAskTool } from './ask-tool.ts'
import { createCodingTools } from './coding-tools.ts'
import { createReadOutputTool } from './read-output-tool.ts'
import type { TestingContext } from './testing-context.ts'
import { createTestingContext } from './testing-context.ts'

let task: TestingContext
beforeEach(async () => {
  task = await createTestingContext()
})
afterEach(() => task.close())

describe('createCodingTools', () => {
  it('gives every tool once, described for a model, each field too', () => {
    const tools = createCodingTools()
    expect(tools.map(({ name, effect }) => `${name} ${effect}`)).toEqual([
      'shell execute',
      'shell_output read',
      'shell_stop execute',
      'read read',
      'list read',
      'search read',
      'write write',
      'edit write',
      'ask read',
      'read_output read',
    ])
    for (const { name, description, input } of tools) {
      expect(description.length, name).toBeGreaterThan(40)
      const { properties = {} } = input.toJSONSchema({ io: 'input' })
      for (const [field, schema] of Object.entries(properties)) expect(schema, `${name}.${field}`).toHaveProperty('description')
    }
  })

  it('refuses options that are none, naming the field', () => {
    expect(() => createCodingTools({ commandTimeoutMs: 0 })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('commandTimeoutMs') }),
    )
    expect(() => createCodingTools({ timeout: 1 } as object)).toThrow(/createCodingTools: .*timeout/)
  })
})

describe('ask', () => {
  it('asks a person and gives the answer', async () => {
    task.answers.push('Postgres')
    expect(await task.call(createAskTool(), { question: 'Which?', options: ['SQLite', 'Postgres'] })).toEqual({
      text: 'Postgres',
      data: { answer: 'Postgres' },
    })
    expect(task.questions).toEqual([{ question: 'Which?', options: ['SQLite', 'Postgres'] }])
  })
})

describe('read_output', () => {
  it('shows an earlier output piece by piece until all was seen, without splitting a character', async () => {
    const whole = 'aé😀'.repeat(20_000)
    task.outputs.set('call-9', Buffer.from(whole))
    let seen = ''
    for (let offset = 0, more = true; more; ) {
      const { text } = await task.call(createReadOutputTool(), { callId: 'call-9', offset })
      expect(Buffer.byteLength(text)).toBeLessThanOrEqual(16 * 1024)
      const [, piece = '', next] = /^([\s\S]*)\n\[Bytes \d+ to \d+ of 140000(?:; go on with offset (\d+))?\]$/.exec(text) ?? []
      seen += piece
      more = next !== undefined
      offset = Number(next)
    }
    expect(seen).toBe(whole)
  })

  it('starts at a character, also when told to start within one, and goes on however little is asked for', async () => {
    task.outputs.set('c', Buffer.from('😀b'))
    expect((await task.call(createReadOutputTool(), { callId: 'c', offset: 2, maxBytes: 1 })).text).toBe(
      '😀\n[Bytes 0 to 4 of 5; go on with offset 4]',
    )
    expect((await task.call(createReadOutputTool(), { callId: 'c', offset: 4, maxBytes: 1 })).text).toBe('b\n[Bytes 4 to 5 of 5]')
  })

  it('says when there is no such output, or not so much of it', async () => {
    task.outputs.set('c', Buffer.from('abc'))
    expect(await task.call(createReadOutputTool(), { callId: 'x' })).toMatchObject({
      failed: true,
      text: 'There is no output of a call "x".',
    })
    expect(await task.call(createReadOutputTool(), { callId: 'c', offset: 3 })).toMatchObject({
      failed: true,
      text: 'That output has only 3 bytes.',
    })
  })
})

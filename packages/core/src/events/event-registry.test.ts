import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { BatonError } from '../errors.ts'
import type { EventType } from './event.ts'
import { isKnown } from './event.ts'
import type { EventDefinition } from './event-registry.ts'
import { checkEventData, parseEvent, registerEvent, stringifyEvent, versionOf } from './event-registry.ts'

const name = (type: string): EventType => type as EventType
const envelope = { id: 'e1', taskId: 't1', seq: 7, time: '2026-01-02T03:04:05.678Z', actor: { kind: 'human', id: 'alice' }, v: 1 }
const text = (event: object): string => JSON.stringify({ ...envelope, ...event })
const parse = (json: string): ReturnType<typeof parseEvent> => parseEvent(json, JSON.parse(json))
const codeOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return BatonError.isInstance(error) ? `${error.code}: ${error.message}` : String(error)
  }
  return 'nothing was thrown'
}

describe('registerEvent', () => {
  it('makes a type known, to be appended and read', () => {
    const definition = { version: 1, schema: z.object({ url: z.string() }) }
    expect(codeOf(() => versionOf(name('deploy.finished')))).toMatch(/^INVALID_EVENT: .*registerEvent/)
    registerEvent(name('deploy.finished'), definition)
    registerEvent(name('deploy.finished'), definition)
    registerEvent(name('deploy.finished'), { ...definition })
    expect(versionOf(name('deploy.finished'))).toBe(1)
    checkEventData(name('deploy.finished'), { url: 'https://example.org' })
    expect(codeOf(() => checkEventData(name('deploy.finished'), { url: 1 }))).toMatch(/^INVALID_EVENT: .*"deploy.finished".*url/s)
    expect(isKnown(parse(text({ type: 'deploy.finished', data: { url: 'x' } })))).toBe(true)
  })

  it.each<[string, string, EventDefinition]>([
    ['type', 'Deploy', { version: 1, schema: z.string() }],
    ['type', 'deploy', { version: 1, schema: z.string() }],
    ['type', 'message.sent', { version: 1, schema: z.string() }],
    ['definition.version', 'deploy.failed', { version: 0, schema: z.string() }],
    ['definition.version', 'deploy.failed', { version: 1.5, schema: z.string() }],
    ['definition.schema', 'deploy.failed', { version: 1 } as EventDefinition],
    ['definition.upcast', 'deploy.failed', { version: 1, schema: z.string(), upcast: 'no' as never }],
  ])('refuses a wrong %s, naming it (%s)', (field, type, definition) => {
    expect(codeOf(() => registerEvent(name(type), definition))).toMatch(new RegExp(`^INVALID_OPTIONS: registerEvent: ${field}`))
  })
})

describe('parseEvent', () => {
  it('keeps an event of an unknown type byte for byte', () => {
    const json = `{ "type":"plan.made","v":3, "id":"e1","taskId":"t1","seq":7,"time":"2026-01-02T03:04:05.678Z","actor":{"kind":"system","id":"x"},"data":{"b":1,"a":1e3,"n":12345678901234567890},"new":true}`
    const event = parse(json)
    expect(event).toMatchObject({ type: '?plan.made', seq: 7, v: 3 })
    expect(isKnown(event)).toBe(false)
    expect(stringifyEvent(event)).toBe(json)
  })

  it('keeps an event of a newer version byte for byte', () => {
    const json = text({ type: 'message.sent', v: 2, data: { words: ['a'] } })
    const event = parse(json)
    expect(event.type).toBe('?message.sent')
    expect(stringifyEvent(event)).toBe(json)
  })

  it('keeps fields that a known type has too many, in the envelope and in the data', () => {
    const json = text({ type: 'message.sent', data: { text: 'a', mood: 'good' }, trace: 'abc' })
    const event = parse(json)
    expect(isKnown(event)).toBe(true)
    expect(JSON.parse(stringifyEvent(event))).toEqual(JSON.parse(json))
  })

  it('brings up data of an older version', () => {
    registerEvent(name('note.taken'), {
      version: 3,
      schema: z.object({ lines: z.array(z.string()) }),
      upcast: (data, from) => ({ lines: from === 1 ? [(data as { line: string }).line] : (data as { list: string[] }).list }),
    })
    expect(parse(text({ type: 'note.taken', v: 1, data: { line: 'a' } }))).toMatchObject({ v: 3, data: { lines: ['a'] } })
    expect(parse(text({ type: 'note.taken', v: 2, data: { list: ['a', 'b'] } }))).toMatchObject({ v: 3, data: { lines: ['a', 'b'] } })
    expect(parse(text({ type: 'note.taken', v: 3, data: { lines: [] } }))).toMatchObject({ v: 3, data: { lines: [] } })
  })

  it.each([
    ['no envelope', '{"type":"message.sent"}', /no valid envelope/],
    ['no object', '5', /no valid envelope/],
    ['a seq of 0', text({ seq: 0, type: 'message.sent', data: { text: '' } }), /seq/],
    ['data that does not fit', text({ type: 'message.sent', data: {} }), /"message.sent" event 7.*text/s],
    ['an upcast that throws', text({ type: 'note.taken', v: 1, data: null }), /"note.taken" event 7.*version 1/s],
  ])('rejects %s with CORRUPT_LOG', (_, json, message) => {
    expect(codeOf(() => parse(json))).toMatch(/^CORRUPT_LOG/)
    expect(codeOf(() => parse(json))).toMatch(message)
  })
})

import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { toAgentTrace } from './agent-trace.ts'
import type { Contributor } from './attribute-lines.ts'
import { attributeLines } from './attribute-lines.ts'

/** What the schema at agent-trace.dev/schemas/v1/trace-record.json asks for, in the stricter of its two published forms: nothing may be added. */
const closed = (required: string[], properties: object) => ({ type: 'object', required, properties, additionalProperties: false })
const line = { type: 'integer', minimum: 1 }
const contributor = closed(['type'], { type: { enum: ['human', 'ai', 'mixed', 'unknown'] }, model_id: { type: 'string', maxLength: 250 } })
const range = closed(['start_line', 'end_line'], { start_line: line, end_line: line, content_hash: { type: 'string' }, contributor })
const related = closed(['type', 'url'], { type: { type: 'string' }, url: { type: 'string' } })
const conversation = closed(['ranges'], {
  url: { type: 'string' },
  contributor,
  ranges: { type: 'array', items: range },
  related: { type: 'array', items: related },
})
const schema = closed(['version', 'id', 'timestamp', 'files'], {
  version: { type: 'string', pattern: '^[0-9]+\\.[0-9]+\\.[0-9]+$' },
  id: { type: 'string', pattern: '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' },
  timestamp: { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?Z$' },
  vcs: closed(['type', 'revision'], { type: { enum: ['git', 'jj', 'hg', 'svn'] }, revision: { type: 'string' } }),
  tool: closed(['name', 'version'], { name: { type: 'string' }, version: { type: 'string' } }),
  files: {
    type: 'array',
    items: closed(['path', 'conversations'], { path: { type: 'string' }, conversations: { type: 'array', items: conversation } }),
  },
  metadata: { type: 'object' },
})
const validate = new Ajv2020({ allErrors: true }).compile(schema)

const agent: Contributor = { actor: { kind: 'agent', id: 'smith' }, model: 'acme/m1', url: 'https://example.org/tasks/1' }
const human: Contributor = { actor: { kind: 'human', id: 'bob' } }
const unknown: Contributor = { actor: undefined }
const system: Contributor = { actor: { kind: 'system', id: 'baton' }, model: 'acme/m1' }

describe('toAgentTrace', () => {
  it('makes a valid record with the ranges of each contributor', () => {
    const versions = [
      { text: 'a\n' },
      { by: agent, text: 'x\na\ny\n' },
      { by: human, text: 'x\na\nh\ny\n' },
      { by: unknown, text: 'x\na\nh\ny\n?\n' },
    ]
    const files = [
      { path: 'src/a.ts', ...attributeLines(versions) },
      { path: 'gone.ts', ...attributeLines([{ text: 'a\n' }, { by: agent, text: '' }]) },
    ]
    const record = toAgentTrace({
      files,
      revision: 'a'.repeat(40),
      tool: { name: 'baton', version: '1.0.0' },
      metadata: { 'org.example': { task: '1' } },
    })
    expect(validate(record), JSON.stringify(validate.errors)).toBe(true)
    expect(record).toMatchObject({ version: '0.1.0', vcs: { type: 'git', revision: 'a'.repeat(40) } })
    expect(record.files).toEqual([
      {
        path: 'src/a.ts',
        conversations: [
          {
            url: 'https://example.org/tasks/1',
            contributor: { type: 'ai', model_id: 'acme/m1' },
            ranges: [
              { start_line: 1, end_line: 1 },
              { start_line: 4, end_line: 4 },
            ],
          },
          { contributor: { type: 'human' }, ranges: [{ start_line: 3, end_line: 3 }] },
          { contributor: { type: 'unknown' }, ranges: [{ start_line: 5, end_line: 5 }] },
        ],
      },
    ])
  })

  it('credits nobody for what is unknown or was done by the SDK, and leaves out what the format has no room for', () => {
    const long: Contributor = { ...agent, model: 'm'.repeat(251), url: undefined }
    const versions = [
      { by: unknown, text: '1\n' },
      { by: system, text: '1\n2\n' },
      { by: long, text: '1\n2\n3\n' },
    ]
    const record = toAgentTrace({
      files: [
        { path: 'a', ...attributeLines(versions) },
        { path: 'bad\udcff', ...attributeLines(versions) },
      ],
    })
    expect(validate(record), JSON.stringify(validate.errors)).toBe(true)
    expect(record.files.map(({ path }) => path)).toEqual(['a'])
    expect(record.files[0]?.conversations.map((found) => found.contributor)).toEqual([
      { type: 'unknown' },
      { type: 'unknown' },
      { type: 'ai' },
    ])
    expect(validate(toAgentTrace({ files: [] }))).toBe(true)
  })

  it('is checked by a schema that refuses broken records', () => {
    const record = toAgentTrace({ files: [{ path: 'a', ...attributeLines([{ by: agent, text: '1\n' }]) }] })
    expect(validate({ ...record, more: 1 })).toBe(false)
    expect(validate({ ...record, version: '0.1' })).toBe(false)
    expect(validate({ ...record, files: [{ path: 'a', conversations: [{ ranges: [{ start_line: 0, end_line: 1 }] }] }] })).toBe(false)
  })
})

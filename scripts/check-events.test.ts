import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { renderEvents } from './check-events.ts'

const root = resolve(import.meta.dirname, '..')

describe('renderEvents', () => {
  let page = ''
  beforeAll(async () => {
    page = await renderEvents(root)
  })
  const sectionOf = (type: string): string => page.split(`### ${type}\n`)[1]?.split(/^##/m)[0] ?? ''

  it('has a section with fields for every event type', () => {
    const types = [...readFileSync(join(root, 'packages/core/src/events/event.ts'), 'utf8').matchAll(/^ {2}'([a-z.]+)': \w+\.\w+$/gm)]
    expect(types.length).toBeGreaterThan(30)
    for (const [, type = ''] of types) expect(sectionOf(type)).toMatch(/\| field \| type \| \|\n\|---\|---\|---\|\n\| `/)
  })

  it('takes types from the schemas and words from the comments', () => {
    expect(sectionOf('tool.started')).toContain('Durable before the tool runs.')
    expect(sectionOf('run.finished')).toContain('| `spent` | [Spend](#spend) | What this run used, without its sub-tasks. |')
    expect(sectionOf('approval.decided')).toContain('| `remember` | `once`, `task`, `workspace` |')
    expect(sectionOf('command.finished')).toContain('| `code` | integer or null |')
    expect(sectionOf('message.sent')).toContain('| `attachments?` | list of [Attachment](#attachment) |')
  })

  it('says which types nothing writes yet', () => {
    expect(sectionOf('run.paused')).not.toContain('Reserved')
    expect(sectionOf('run.finished')).not.toContain('Reserved')
    expect(sectionOf('task.forked')).not.toContain('Reserved')
    expect(sectionOf('sandbox.moved')).toContain('Reserved')
  })

  it('shows every shape that it names', () => {
    for (const [, name] of page.matchAll(/\]\(#([a-z]+)\)/g)) expect(page.toLowerCase()).toContain(`### ${name}\n`)
  })
})

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBaton, createSingleModelRouter } from '@baton-sdk/core'
import { scriptedModel } from '@baton-sdk/core/testing'
import { createCodingTools } from '@baton-sdk/tools'
import { expect, it, onTestFinished } from 'vitest'

it('goes back to work when the check fails', async () => {
  const path = await mkdtemp(join(tmpdir(), 'typo-'))
  onTestFinished(() => rm(path, { recursive: true }))
  await writeFile(join(path, 'README.md'), 'Hello wrold\n')

  const model = scriptedModel([
    { text: 'It looks fine to me.' },
    { error: { kind: 'overloaded' } }, // tried again by the executor
    { toolCalls: [{ tool: 'edit', input: { path: 'README.md', edits: [{ oldText: 'wrold', newText: 'world' }] } }] },
    (request) => ({ text: `Corrected after ${request.messages.length} messages.` }),
  ])
  const baton = createBaton({ router: createSingleModelRouter(model), tools: createCodingTools() })
  onTestFinished(() => baton.close())
  const task = await baton.createTask({ goal: 'Correct the typo.', workspace: { path }, checks: ['grep -q world README.md'] })

  const { outcome, checks } = await task.start().result
  expect(outcome).toBe('done')
  expect(checks).toMatchObject([{ command: 'grep -q world README.md', outcome: 'passed', round: 2 }])
  expect(await readFile(join(path, 'README.md'), 'utf8')).toBe('Hello wrold\n') // nothing comes back before apply()
  await task.apply()
  expect(await readFile(join(path, 'README.md'), 'utf8')).toBe('Hello world\n')
  expect(model.requests).toHaveLength(4)
  await task.end()
})

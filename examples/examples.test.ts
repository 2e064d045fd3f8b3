import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ScriptedServer, ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runExample, temporaryFolder } from './testing/run-example.ts'

/** A server for the model, and the environment that leads an example to it. */
async function scriptedModelServer(steps: readonly ServerStep[]): Promise<{ server: ScriptedServer; env: Record<string, string> }> {
  const server = await startScriptedServer(steps)
  onTestFinished(() => server.close())
  return { server, env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'test-key' } }
}

describe('examples/own-tool.ts', () => {
  it('is at most 15 lines', () => {
    const lines = readFileSync(join(import.meta.dirname, 'own-tool.ts'), 'utf8')
      .trimEnd()
      .split('\n')
    expect(lines.filter((line) => line.trim() !== '').length).toBeLessThanOrEqual(15)
    expect(lines.length).toBeLessThanOrEqual(16)
  })

  it('answers by what its tool said', async () => {
    const { server, env } = await scriptedModelServer([
      { toolCalls: [{ tool: 'clock', input: { timeZone: 'Europe/Lisbon' } }] },
      { text: 'It is late in Lisbon.' },
    ])
    const { code, stdout, stderr } = await runExample('own-tool.ts', { env, cwd: temporaryFolder() })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'It is late in Lisbon.\n', stderr: '' })
    const messages = server.requests[1]?.body.messages as { role: string; content: string }[]
    expect(messages.at(-1)).toMatchObject({ role: 'tool', content: expect.stringMatching(/^\d\d:\d\d:\d\d$/) })
    expect(server.problems).toEqual([])
  })
})

describe('examples/quick-start.ts', () => {
  it('fixes a failing test in the folder that it is run in', async () => {
    const project = temporaryFolder()
    const manifest = { name: 'sum', type: 'module', scripts: { test: 'node --test' } }
    writeFileSync(join(project, 'package.json'), JSON.stringify(manifest))
    writeFileSync(join(project, 'sum.js'), 'export const sum = (a, b) => a - b\n')
    writeFileSync(
      join(project, 'sum.test.js'),
      "import assert from 'node:assert'\nimport { test } from 'node:test'\nimport { sum } from './sum.js'\ntest('sum', () => assert.equal(sum(1, 2), 3))\n",
    )
    const edits = [{ oldText: 'a - b', newText: 'a + b' }]
    const { server, env } = await scriptedModelServer([
      { toolCalls: [{ tool: 'read', input: { path: 'sum.js' } }] },
      { text: 'It is done already.' },
      { toolCalls: [{ tool: 'edit', input: { path: 'sum.js', edits } }] },
      { text: 'It adds now.' },
    ])
    const { code, stdout, stderr } = await runExample('quick-start.ts', { env, cwd: project })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toContain("coder read { path: 'sum.js' }")
    expect(stdout).toMatch(/npm test failed[\s\S]*-export const sum = \(a, b\) => a - b[\s\S]*npm test passed\ndone It adds now\./)
    expect(stdout).toContain("applied: [ { path: 'sum.js', change: 'modified' } ]")
    expect(readFileSync(join(project, 'sum.js'), 'utf8')).toBe('export const sum = (a, b) => a + b\n')
    expect(server.problems).toEqual([])
  })
})

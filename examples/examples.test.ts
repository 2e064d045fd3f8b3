import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ScriptedServer, ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runExample, temporaryFolder } from './testing/run-example.ts'
import { createBrokenProject, isFixed, ownTool, quickStart } from './testing/scenarios.ts'

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
    const { server, env } = await scriptedModelServer(ownTool.steps)
    const { code, stdout, stderr } = await runExample('own-tool.ts', { env, cwd: temporaryFolder() })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: ownTool.stdout, stderr: '' })
    const messages = server.requests[1]?.body.messages as { role: string; content: string }[]
    expect(messages.at(-1)).toMatchObject({ role: 'tool', content: expect.stringMatching(/^\d\d:\d\d:\d\d$/) })
    expect(server.problems).toEqual([])
  })
})

describe('examples/quick-start.ts', () => {
  it('fixes a failing test in the folder that it is run in', async () => {
    const project = temporaryFolder()
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'sum', type: 'module', scripts: { test: 'node --test' } }))
    createBrokenProject(project)
    const { server, env } = await scriptedModelServer(quickStart.steps)
    const { code, stdout, stderr } = await runExample('quick-start.ts', { env, cwd: project })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(quickStart.stdout)
    expect(isFixed(project)).toBe(true)
    expect(server.problems).toEqual([])
  })
})

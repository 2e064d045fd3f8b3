import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runExample, temporaryFolder } from './testing/run-example.ts'

describe('examples/reviewer.ts', () => {
  it('looks at the project with its tools and answers', async () => {
    const project = temporaryFolder()
    writeFileSync(join(project, 'a.ts'), 'export {}\n// TODO: everything\n')
    const server = await startScriptedServer([{ toolCalls: [{ tool: 'search', input: { pattern: 'TODO' } }] }, { text: 'Everything.' }])
    onTestFinished(() => server.close())
    const env = { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'test-key' }
    const { code, stdout, stderr } = await runExample('reviewer.ts', { env, cwd: project })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'Everything.\n', stderr: '' })
    const messages = server.requests[1]?.body.messages as { role: string; content: string }[]
    expect(messages.at(-1)).toMatchObject({ role: 'tool', content: 'a.ts:2: // TODO: everything' })
  })
})

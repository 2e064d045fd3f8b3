import { startScriptedServer } from '@baton-sdk/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { runExample, temporaryFolder } from './testing/run-example.ts'

describe('examples/ask-a-model.ts', () => {
  it('prints what the model streams', async () => {
    const server = await startScriptedServer([{ text: 'Hello there.', usage: { inputTokens: 5, outputTokens: 3 } }])
    onTestFinished(() => server.close())
    const env = { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'test-key' }
    const { code, stdout, stderr } = await runExample('ask-a-model.ts', { env, cwd: temporaryFolder() })
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'Hello there.\nstop, 3 tokens\n', stderr: '' })
  })
})

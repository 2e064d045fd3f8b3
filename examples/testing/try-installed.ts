// Runs the README's programs in the current folder, where the packages are installed, against a scripted model. `npm run check:quick-start`
// copies this file into a new project and runs it there.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { ServerStep } from '@baton-sdk/core/testing'
import { startScriptedServer } from '@baton-sdk/core/testing'
import { createBrokenProject, isFixed, ownTool, quickStart } from './scenarios.ts'

async function run(file: string, steps: readonly ServerStep[]): Promise<string> {
  const server = await startScriptedServer(steps, { schemaDir: false })
  try {
    const env = { ...process.env, OPENAI_BASE_URL: server.url, OPENAI_API_KEY: 'test-key' }
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...process.execArgv, file], { env })
    assert.equal(withoutStripWarning(stderr), '', `${file} wrote to stderr`)
    assert.equal(server.requests.length, steps.length, `${file} played its script to the end`)
    return stdout
  } finally {
    await server.close()
  }
}

/** Node 22 says that it strips types by an experimental feature. */
function withoutStripWarning(stderr: string): string {
  return stderr.replace(/^\(node:\d+\) ExperimentalWarning: Type Stripping.*\n.*\n/m, '')
}

assert.equal(await run('own-tool.ts', ownTool.steps), ownTool.stdout)
createBrokenProject('.')
assert.match(await run('quick-start.ts', quickStart.steps), quickStart.stdout)
assert.ok(isFixed('.'), 'the mistake is gone')
console.log(`Node ${process.version}: own-tool.ts and quick-start.ts work as installed`)

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ServerStep } from '@baton-sdk/core/testing'

/** What the model says to `own-tool.ts`, and what that prints. */
export const ownTool: { readonly steps: readonly ServerStep[]; readonly stdout: string } = {
  steps: [{ toolCalls: [{ tool: 'clock', input: { timeZone: 'Europe/Lisbon' } }] }, { text: 'It is late in Lisbon.' }],
  stdout: 'It is late in Lisbon.\n',
}

/** What the model says to `quick-start.ts` in a project made by {@link createBrokenProject}: at first that nothing is to be done. */
export const quickStart: { readonly steps: readonly ServerStep[]; readonly stdout: RegExp } = {
  steps: [
    { toolCalls: [{ tool: 'read', input: { path: 'sum.js' } }] },
    { text: 'It is done already.' },
    { toolCalls: [{ tool: 'edit', input: { path: 'sum.js', edits: [{ oldText: 'a - b', newText: 'a + b' }] } }] },
    { text: 'It adds now.' },
  ],
  stdout:
    /coder read \{ path: 'sum\.js' \}\nnpm test failed\n[\s\S]*-export const sum = \(a, b\) => a - b\n[\s\S]*npm test passed\ndone It adds now\.\n\{\n? +applied: \[ \{ path: 'sum\.js', change: 'modified' \} \]/,
}

/** Adds a program with a mistake, and a test that shows it, to a folder whose package.json runs `node --test`. */
export function createBrokenProject(folder: string): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'sum.js'), 'export const sum = (a, b) => a - b\n')
  const lines = [
    "import assert from 'node:assert/strict'",
    "import { test } from 'node:test'",
    "import { sum } from './sum.js'",
    "test('sum', () => assert.equal(sum(1, 2), 3))",
  ]
  writeFileSync(join(folder, 'sum.test.js'), `${lines.join('\n')}\n`)
}

/** Whether the mistake is gone. */
export function isFixed(folder: string): boolean {
  return readFileSync(join(folder, 'sum.js'), 'utf8') === 'export const sum = (a, b) => a + b\n'
}

import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** What the agent is asked to do with it. */
export const sampleTask = {
  goal: 'The tests of this project fail. Find out why and fix it; do not change the tests.',
  checks: ['node --test'],
}

const files: Readonly<Record<string, string>> = {
  'package.json': `${JSON.stringify({ name: 'duration', version: '1.0.0', type: 'module', scripts: { test: 'node --test' } }, null, 2)}\n`,
  '.gitignore': 'node_modules/\n',
  'AGENTS.md': 'Plain JavaScript without dependencies. The tests run with `node --test`.\n',
  'src/duration.js': `/** Shows milliseconds for people: 61000 is "1m 1s". */
export function formatDuration(ms) {
  const seconds = ms / 1000
  const minutes = Math.floor(seconds / 60)
  const rest = Math.round(seconds % 60)
  return minutes > 0 ? \`\${minutes}m \${rest}s\` : \`\${rest}s\`
}
`,
  'test/duration.test.js': `import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration } from '../src/duration.js'

test('shows seconds and minutes', () => {
  assert.equal(formatDuration(0), '0s')
  assert.equal(formatDuration(61_000), '1m 1s')
})

test('never shows 60 seconds', () => {
  assert.equal(formatDuration(59_700), '1m 0s')
  assert.equal(formatDuration(119_900), '2m 0s')
})

test('keeps the sign of what is negative', () => {
  assert.equal(formatDuration(-1_500), '-2s')
  assert.equal(formatDuration(-61_000), '-1m 1s')
})
`,
}

/** Makes a small git repository with a real fault and real tests that show it; one that is there is made anew. */
export function createSampleRepository(path: string): void {
  rmSync(path, { recursive: true, force: true })
  for (const [name, content] of Object.entries(files)) {
    const file = join(path, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }
  const identity = ['-c', 'user.name=Baton demo', '-c', 'user.email=demo@example.invalid', '-c', 'commit.gpgsign=false']
  const git = (...args: string[]): unknown => execFileSync('git', [...identity, ...args], { cwd: path, stdio: 'pipe' })
  git('init', '--quiet', '--initial-branch=main')
  git('add', '--all')
  git('commit', '--quiet', '--message=A duration, shown for people')
}
